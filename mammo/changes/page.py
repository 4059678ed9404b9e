"""The history of changes as one page: a timeline and every change with what it rests on.

No script and no outside address; light or dark as the reader's screen is.
"""

from __future__ import annotations

import os
from collections.abc import Iterable, Mapping, Sequence
from datetime import UTC, datetime
from html import escape
from pathlib import Path
from typing import Any

from mammo.changes.details import details_of
from mammo.changes.history import Event, harm_of, read_history
from mammo.changes.page_style import OWN_STYLE
from mammo.changes.timeline import draw_timeline
from mammo.changes.verify import ChangesReport, verify_changes
from mammo.evaluation.ledger import left_after
from mammo.explore.page import POLICY, STYLE
from mammo.settings import Settings

PAGE_FOLDER = "changes"
MOST_EVENTS = 300
BADGES = {
    "change": "change",
    "refused": "refused",
    "passed": "gate",
    "approval": "approval",
    "episode": "episode",
}


def write_page(settings: Settings, path: Path | None = None) -> Path:
    """Write the page and return where: ``<reports>/changes/index.html`` if not told.

    Only the chain is checked for it; `mammo changes verify` does the rest. Raises what
    `verify_changes` raises, and OSError.
    """
    path = path or settings.reports_dir / PAGE_FOLDER / "index.html"
    report = verify_changes(settings, deep=False)
    text = render(read_history(settings), report, datetime.now(UTC))
    path.parent.mkdir(parents=True, exist_ok=True)
    draft = path.with_name(f".{path.name}.{os.getpid()}")
    draft.write_text(text)
    draft.replace(path)
    return path


def render(events: Sequence[Event], report: ChangesReport, now: datetime) -> str:
    """Return the page of events, oldest first, as they were verified."""
    shown = events[-MOST_EVENTS:]
    wrong: dict[int, list[str]] = {}
    for one in report.wrong:
        wrong.setdefault(one.number, []).append(f"{one.how}: {one.message}")
    body = [
        f"<header><h1>{TITLE}</h1><p class=meta>Written {now:%Y-%m-%d %H:%M} UTC. For research "
        "and decision support; not a cleared medical device.</p></header>",
        _cards(events, report),
        *_warnings(report),
        _picture(shown, len(events)),
        "<h2 id=events>What happened, newest first</h2>",
        f"<ol class=events>{''.join(_event(one, wrong) for one in reversed(shown))}</ol>",
        "<footer>Times in UTC. Signatures and chain were checked for this page; "
        "<code>mammo changes verify</code> compares releases, gates, approvals and plan, too."
        "</footer>",
    ]
    return (
        '<!DOCTYPE html><html lang="en"><head><meta charset="utf-8">'
        f'<meta http-equiv="Content-Security-Policy" content="{POLICY}">'
        '<meta name="viewport" content="width=device-width, initial-scale=1">'
        '<meta name="color-scheme" content="light dark"><link rel="icon" href="data:,">'
        f"<title>{TITLE}</title><style>{STYLE}{OWN_STYLE}</style></head>"
        f"<body>{''.join(body)}</body></html>\n"
    )


TITLE = "Changes of what is in service"


def _cards(events: Sequence[Event], report: ChangesReport) -> str:
    changes = [one.record for one in events if one.record is not None]
    refused = sum(one.kind == "refused" for one in events)
    newest: Mapping[str, Any] = changes[-1] if changes else {}
    ledgers = [one["ledger"] for one in changes if one.get("ledger")]
    left = left_after(ledgers[-1], passed=True) if ledgers else None  # served, so it had passed
    cards = [
        ("in service", newest.get("champion") or "nothing", False),
        ("a rollback brings", (newest.get("rollback_target") or {}).get("release_id"), False),
        ("changes", str(len(changes)), False),
        ("rollbacks", str(sum(bool(one.get("rollback")) for one in changes)), False),
        ("refused by the gate", str(refused), False),
        ("alpha left after its gate", None if left is None else f"{left:.3g}", False),
        (
            "records and chain",
            "intact" if report.intact else f"{len(report.wrong)} wrong",
            not report.intact,
        ),
    ]
    told = "".join(
        f"<div class='card{' bad' if bad else ''}'>{escape(name)}"
        f"<b>{escape(value or 'none')}</b></div>"
        for name, value, bad in cards
    )
    return f"<div class=cards>{told}</div>"


def _warnings(report: ChangesReport) -> Iterable[str]:
    for one in report.wrong:
        told = escape(f"Record {one.number}, {one.how}: {one.message}")
        yield f"<p class=warning><strong>Warning:</strong> {told}</p>"
    for note in report.notes:
        yield f"<p class=meta>{escape(note)}.</p>"


def _picture(events: Sequence[Event], of: int) -> str:
    if not events:
        return "<p>No change is recorded yet; <code>mammo deploy RELEASE</code> makes one.</p>"
    rest = f" The newest {len(events)} of {of} events." if of > len(events) else ""
    return (
        f"<h2>Timeline</h2><div class=lanes>{draw_timeline(events)}</div>"
        "<p class=meta>Distances grow with the logarithm of the time between. On trial: dashed in "
        "shadow, filled as canary, with its share of the exams. ✓ passed the gate, "
        f"✕ refused by it, ✎ approved by a person, ▲ a drift episode.{rest}</p>"
    )


def _event(event: Event, wrong: Mapping[int, Sequence[str]]) -> str:
    back = None if event.record is None else harm_of(event.record)
    badge = back or BADGES[event.kind]
    number = "" if event.number is None else f" <small>no. {event.number}</small>"
    warnings = "".join(
        f"<p class=warning><strong>Warning:</strong> {escape(one)}</p>"
        for one in wrong.get(event.number or -1, ())
    )
    more = "" if event.record is None else details_of(event.record)
    return (
        f"<li class='{event.kind}{' back' if back else ''}'><time>{event.at:%Y-%m-%d %H:%M:%S}"
        f"</time> <span class=badge>{badge}</span> <strong>{escape(event.title)}</strong>{number}"
        f"<p>{escape(event.text)}</p>{warnings}{more}</li>"
    )
