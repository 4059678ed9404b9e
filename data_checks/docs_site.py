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
    runs = [_summary(site, report), *_read_runs(site)][:KEPT_RUNS]
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


def _summary(site: Path, report: dict[str, Any]) -> dict[str, Any]:
    pages = sorted((site / "validations").rglob("*.html"), key=lambda page: page.parent.name)
    return {
        "at": datetime.now(UTC).isoformat(timespec="seconds"),
        "page": pages[-1].relative_to(site).as_posix() if pages else "",
        **{name: report[name] for name in ("passed", "failed", "warnings", "evaluated")},
        "statistics": report["statistics"],
    }


def _read_runs(site: Path) -> list[dict[str, Any]]:
    try:
        runs: list[dict[str, Any]] = json.loads((site / RUNS).read_text())
    except (FileNotFoundError, ValueError):
        return []
    return runs


def _index_page(runs: list[dict[str, Any]]) -> str:
    newest = runs[0]
    rows = "".join(_run_row(run) for run in runs)
    facts = "".join(_fact(name, value) for name, value in newest["statistics"].items())
    return f"""<!DOCTYPE html>
<html lang="en"><head><meta charset="utf-8"><title>Checks of the exam index</title>
<meta name="viewport" content="width=device-width, initial-scale=1">
<link rel="stylesheet" href="{STYLE}"></head>
<body class="mammo-index"><main>
<h1>Checks of the exam index</h1>
<p class="verdict {_state(newest)}">{_verdict(newest)}</p>
{_messages("Not held", newest["failed"])}{_messages("Warnings", newest["warnings"])}
<h2>Runs</h2>
<table><thead><tr><th>Time (UTC)</th><th>Data version</th><th>Images</th><th>Result</th>
<th>Expectations</th></tr></thead><tbody>{rows}</tbody></table>
<h2>The index at the newest run</h2><table class="facts"><tbody>{facts}</tbody></table>
<p><a href="expectations/exam_index.html">All expectations in words</a>. Pages by Great
Expectations; nothing here is fetched from outside.</p>
</main></body></html>
"""


def _run_row(run: dict[str, Any]) -> str:
    statistics = run["statistics"]
    held = run["evaluated"] - len(run["failed"]) - len(run["warnings"])
    return (
        f'<tr><td><a href="{escape(run["page"])}">{escape(run["at"][:19].replace("T", " "))}</a>'
        f"</td><td><code>{escape(str(statistics['data_version']))}</code></td>"
        f"<td>{statistics['images']}</td>"
        f'<td class="{_state(run)}">{_state(run)}</td><td>{held} of {run["evaluated"]}</td></tr>'
    )


def _verdict(run: dict[str, Any]) -> str:
    count = len(run["failed"])
    if run["passed"]:
        return f"All that must hold of the newest data holds ({run['evaluated']} expectations)."
    return f"{count} of {run['evaluated']} expectations did not hold; runs stop here."


def _state(run: dict[str, Any]) -> str:
    return "passed" if run["passed"] else "failed"


def _messages(title: str, messages: list[str]) -> str:
    if not messages:
        return ""
    return f"<h2>{title}</h2><ul>{''.join(f'<li>{escape(m)}</li>' for m in messages)}</ul>"


def _fact(name: str, value: Any) -> str:
    if isinstance(value, dict):
        value = ", ".join(f"{key}: {count}" for key, count in value.items())
    return f"<tr><th>{escape(name.replace('_', ' '))}</th><td>{escape(str(value))}</td></tr>"


def _write(path: Path, text: str) -> None:
    draft = path.with_name(f".{path.name}.{os.getpid()}")
    draft.write_text(text)
    draft.replace(path)
