"""Make the Data Docs pages open without the internet, under an index of our own.

Great Expectations writes pages that fetch their style, scripts and logo from
seven hosts; behind a hospital's firewall they come out bare, and the logo's
address tells the outside which installation was opened. Here every outside
reference is taken out, a small style sheet and script go in, and the index
page is written from the runs' own summaries.
"""

from __future__ import annotations

import json
import os
import re
from datetime import UTC, datetime
from html import escape
from pathlib import Path
from typing import Any

PAGES = Path(__file__).parent / "pages"
STYLE, SCRIPT, RUNS = "mammo.css", "mammo.js", "runs.json"
KEPT_RUNS = 200

_OUTSIDE = (
    re.compile(r"<link\b[^>]*href=[\"']https?://[^>]*>", re.IGNORECASE),
    re.compile(r"<script\b[^>]*src=[\"']https?://[^>]*>\s*</script>", re.IGNORECASE),
    re.compile(r"<img\b[^>]*src=[\"']https?://[^>]*>", re.IGNORECASE),
    re.compile(r"<footer\b.*?</footer>", re.IGNORECASE | re.DOTALL),
    re.compile(r"url\([\"']?https?://[^)]*\)[^;}]*", re.IGNORECASE),
)


def publish(site: Path, report: dict[str, Any]) -> Path:
    """Clean the pages of a run, note the run, write the index page; return the index.

    ``report`` is the dictionary of a `data_checks.run.ValidationReport`.
    """
    for name in (STYLE, SCRIPT):
        (site / name).write_text((PAGES / name).read_text())
    for page in site.rglob("*.html"):
        _clean(page, site)
    runs = [_summary(report), *_read_runs(site)][:KEPT_RUNS]
    _write(site / RUNS, json.dumps(runs, indent=1, default=str))
    _write(site / "index.html", _index_page(runs))
    return site / "index.html"


def without_outside(page: str) -> str:
    """Return a page without the references that a browser would fetch from outside."""
    for pattern in _OUTSIDE:
        page = pattern.sub("", page)
    return page


def _clean(page: Path, site: Path) -> None:
    text = page.read_text()
    if STYLE in text:
        return
    up = "../" * (len(page.relative_to(site).parts) - 1)
    head = f'<link rel="stylesheet" href="{up}{STYLE}"><script src="{up}{SCRIPT}" defer></script>'
    _write(page, without_outside(text).replace("</head>", f"{head}</head>", 1))


def _summary(report: dict[str, Any]) -> dict[str, Any]:
    return {
        "at": datetime.now(UTC).isoformat(timespec="seconds"),
        **{name: report[name] for name in ("passed", "evaluated", "suites", "statistics")},
    }


def _read_runs(site: Path) -> list[dict[str, Any]]:
    try:
        runs: list[dict[str, Any]] = json.loads((site / RUNS).read_text())
    except (FileNotFoundError, ValueError):
        return []
    return [run for run in runs if "suites" in run]  # older versions noted less


def _index_page(runs: list[dict[str, Any]]) -> str:
    newest = runs[0]
    rows = "".join(_run_row(run) for run in runs)
    facts = "".join(_fact(name, value) for name, value in newest["statistics"].items())
    suites = "".join(map(_suite_row, newest["suites"].values()))
    told = "".join(map(_suite_messages, newest["suites"].values()))
    return f"""<!DOCTYPE html>
<html lang="en"><head><meta charset="utf-8"><title>Checks of the data</title>
<meta name="viewport" content="width=device-width, initial-scale=1">
<link rel="stylesheet" href="{STYLE}"></head>
<body class="mammo-index"><main>
<h1>Checks of the data</h1>
<p class="verdict {_state(newest)}">{_verdict(newest)}</p>
<table class="suites"><thead><tr><th>Suite</th><th class="number">Rows</th><th>Result</th>
<th class="number">Held</th><th class="number">Warnings</th><th></th></tr></thead>
<tbody>{suites}</tbody></table>
{told}
<h2>Runs</h2>
<table class="runs"><thead><tr><th>Time (UTC)</th><th>Data version</th>
<th class="number">Images</th><th>Result</th><th>Suites</th></tr></thead>
<tbody>{rows}</tbody></table>
<h2>The index at the newest run</h2><table class="facts"><tbody>{facts}</tbody></table>
<p class="foot">Pages by Great Expectations; nothing here is fetched from outside.</p>
</main></body></html>
"""


def _suite_row(suite: dict[str, Any]) -> str:
    held = suite["evaluated"] - len(suite["failed"]) - len(suite["warnings"])
    return (
        f'<tr><td><a href="{escape(suite["page"])}">{escape(suite["title"])}</a></td>'
        f'<td class="number">{suite["rows"]:,}</td>'
        f'<td class="{_state(suite)}">{_state(suite)}</td>'
        f'<td class="number">{held} of {suite["evaluated"]}</td>'
        f'<td class="number">{len(suite["warnings"])}</td>'
        f'<td><a href="{escape(suite["expectations"])}">all in words</a></td></tr>'
    )


def _suite_messages(suite: dict[str, Any]) -> str:
    return _messages(f"{suite['title']}: not held", suite["failed"]) + _messages(
        f"{suite['title']}: warnings", suite["warnings"]
    )


def _run_row(run: dict[str, Any]) -> str:
    statistics = run["statistics"]
    suites = ", ".join(
        f'<a href="{escape(one["page"])}" class="{_state(one)}">{escape(one["title"].lower())}</a>'
        for one in run["suites"].values()
    )
    return (
        f"<tr><td>{escape(run['at'][:19].replace('T', ' '))}</td>"
        f"<td><code>{escape(str(statistics['data_version']) or '-')}</code></td>"
        f'<td class="number">{statistics.get("images", 0):,}</td>'
        f'<td class="{_state(run)}">{_state(run)}</td><td>{suites}</td></tr>'
    )


def _verdict(run: dict[str, Any]) -> str:
    count = sum(len(one["failed"]) for one in run["suites"].values())
    if run["passed"]:
        return f"All that must hold of the newest data holds ({run['evaluated']} expectations)."
    return f"{count} of {run['evaluated']} expectations did not hold; runs stop here."


def _state(run: dict[str, Any]) -> str:
    return "passed" if run["passed"] else "failed"


def _messages(title: str, messages: list[str]) -> str:
    if not messages:
        return ""
    return f"<h2>{escape(title)}</h2><ul>{''.join(map(_message, messages))}</ul>"


def _message(text: str) -> str:
    """Set the reason, which stands in brackets at the end, on a line of its own."""
    words, bracket, reason = text.partition(" [")
    why = f'<span class="why">{escape(reason.removesuffix("]"))}</span>' if bracket else ""
    return f"<li>{escape(words)}{why}</li>"


def _fact(name: str, value: Any) -> str:
    if isinstance(value, dict):
        value = ", ".join(f"{key}: {count:,}" for key, count in value.items())
    elif isinstance(value, int):
        value = f"{value:,}"
    return f"<tr><th>{escape(name.replace('_', ' '))}</th><td>{escape(str(value))}</td></tr>"


def _write(path: Path, text: str) -> None:
    draft = path.with_name(f".{path.name}.{os.getpid()}")
    draft.write_text(text)
    draft.replace(path)
