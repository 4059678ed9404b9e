"""One self-contained HTML page of sections: no script, no outside address, fit to print.

The page forbids itself every request by a content security policy; its pictures are inline.
"""

from __future__ import annotations

import base64
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from html import escape

from mammo.explore.section import Plot, Section, Table

SUMMARY_SENTENCES = 10
WARNINGS_FIRST = 7
LEADS = ("overview", "labels", "people", "images", "duplicates")
"""Sections whose first sentence belongs to the summary where the warnings leave room."""

POLICY = "default-src 'none'; style-src 'unsafe-inline'; img-src data:"
STYLE = """
:root { color-scheme: light dark; --ink: #1f2933; --muted: #52606d; --ground: #ffffff;
  --card: #f5f7f9; --line: #d5dbe1; --link: #005a8d; --warn: #8a3b00; --warn-ground: #fff4e8; }
@media (prefers-color-scheme: dark) { :root { --ink: #e6eaee; --muted: #a7b2bd;
  --ground: #14181d; --card: #1d232a; --line: #36404a; --link: #7fc4f0; --warn: #ffb98a;
  --warn-ground: #33241a; } }
* { box-sizing: border-box; }
body { margin: 0 auto; max-width: 62rem; padding: 2rem 1.25rem 4rem; background: var(--ground);
  color: var(--ink); font: 16px/1.55 system-ui, -apple-system, "Segoe UI", sans-serif; }
h1 { font-size: 1.9rem; line-height: 1.2; margin: 0 0 .25rem; }
h2 { font-size: 1.35rem; margin: 3rem 0 .5rem; padding-top: .75rem;
  border-top: 1px solid var(--line); }
p { margin: .5rem 0; max-width: 46rem; }
a { color: var(--link); }
.meta, figcaption, caption, footer { color: var(--muted); font-size: .875rem; }
.summary { background: var(--card); border: 1px solid var(--line); border-radius: 8px;
  padding: 1rem 1.25rem; margin: 1.5rem 0; }
.summary h2 { margin: 0; padding: 0; border: 0; }
.summary li, .told li { margin: .35rem 0; max-width: 46rem; }
.warning { color: var(--warn); background: var(--warn-ground); border-left: 4px solid var(--warn);
  padding: .4rem .75rem; margin: .5rem 0; max-width: 46rem; }
.summary .warning { list-style: none; margin-left: -1.25rem; }
nav ol { columns: 2; padding-left: 1.5rem; margin: .5rem 0; }
figure { margin: 1.25rem 0; padding: .75rem; background: #ffffff; color: #1f2933;
  border: 1px solid var(--line); border-radius: 8px; break-inside: avoid; }
figure h3 { margin: 0 0 .5rem; font-size: 1rem; }
figure figcaption { color: #52606d; margin-top: .5rem; }
figure img { max-width: 100%; height: auto; display: block; }
figure svg { display: block; }
.scroll { overflow-x: auto; margin: 1rem 0; }
table { border-collapse: collapse; font-size: .9rem; font-variant-numeric: tabular-nums; }
caption { text-align: left; padding-bottom: .4rem; }
th, td { text-align: left; padding: .3rem .9rem .3rem 0; border-bottom: 1px solid var(--line);
  vertical-align: top; }
td.n, th.n { text-align: right; }
footer { margin-top: 3rem; border-top: 1px solid var(--line); padding-top: .75rem;
  overflow-wrap: anywhere; }
@media print { body { max-width: none; padding: 0; font-size: 10.5pt; } nav { display: none; }
  h2 { break-after: avoid; } tr { break-inside: avoid; } figure { border: 0; } }
@media (max-width: 40rem) { nav ol { columns: 1; } }
"""


@dataclass(frozen=True)
class Origin:
    """Where a page comes from, for its footer: all told as they are, no link leads out."""

    data_version: str
    command: str
    written_at: str
    mammo_version: str


def render_page(
    name: str,
    sections: Sequence[Section],
    origin: Origin,
    *,
    subject: str = "what is in the data",
    leads: Sequence[str] = LEADS,
) -> str:
    """Return the page of sections in reading order.

    ``name`` and ``subject`` make the title; ``leads`` are the keys of the sections whose first
    sentence belongs to the summary.
    """
    title = f"{escape(name)}: {escape(subject)}"
    contents = "".join(
        f'<li><a href="#{escape(one.key)}">{escape(one.title)}</a></li>' for one in sections
    )
    body = "\n".join(_section(one) for one in sections)
    return f"""<!DOCTYPE html>
<html lang="en">
<head>
<meta charset="utf-8">
<meta http-equiv="Content-Security-Policy" content="{POLICY}">
<meta name="viewport" content="width=device-width, initial-scale=1">
<meta name="color-scheme" content="light dark">
<title>{title}</title>
<link rel="icon" href="data:,">
<style>{STYLE}</style>
</head>
<body>
<header>
<h1>{title}</h1>
<p class="meta">Written {escape(origin.written_at)}. Data version:
{escape(origin.data_version or "none")}. For research and decision support; not a cleared medical
device.</p>
</header>
<main>
{_summary(sections, leads)}
<nav aria-label="Contents"><ol>{contents}</ol></nav>
{body}
</main>
<footer>{_footer(origin)}</footer>
</body>
</html>
"""


def summarise(
    sections: Sequence[Section], leads: Sequence[str] = LEADS
) -> tuple[tuple[str, ...], tuple[str, ...]]:
    """Return what an expert would say first: the warnings, then the leading sentences.

    Every section's first warning comes before any second one.
    """
    warnings = tuple(_round_robin([one.warnings for one in sections]))[:WARNINGS_FIRST]
    by_key = {one.key: one for one in sections}
    told = [by_key[key].sentences[0] for key in leads if key in by_key and by_key[key].sentences]
    told = [one for one in told if one not in warnings]
    room = max(SUMMARY_SENTENCES - len(warnings), 2)
    return warnings, tuple(told[:room])


def _round_robin(lists: Sequence[Sequence[str]]) -> Iterable[str]:
    for turn in range(max(map(len, lists), default=0)):
        yield from (one[turn] for one in lists if len(one) > turn)


def _summary(sections: Sequence[Section], keys: Sequence[str]) -> str:
    warnings, leads = summarise(sections, keys)
    total = sum(len(one.warnings) for one in sections)
    items = "".join(f'<li class="warning">{_warned(one)}</li>' for one in warnings)
    items += "".join(f"<li>{escape(one)}</li>" for one in leads)
    rest = total - len(warnings)
    more = f'<p class="meta">{rest} more in the chapters below.</p>' if rest else ""
    return (
        '<section class="summary" aria-labelledby="summary"><h2 id="summary">What to know first'
        f"</h2><ul>{items}</ul>{more}</section>"
    )


def _warned(sentence: str) -> str:
    """Say by a word, not by colour alone, that a sentence warns."""
    return f"<strong>Warning:</strong> {escape(sentence)}"


def _section(section: Section) -> str:
    warnings = "".join(f'<p class="warning">{_warned(one)}</p>' for one in section.warnings)
    told = "".join(f"<p>{escape(one)}</p>" for one in section.sentences)
    plots = "\n".join(_figure(one) for one in section.plots)
    tables = "\n".join(_table(one) for one in section.tables)
    key = escape(section.key)
    return (
        f'<section id="{key}" aria-labelledby="{key}-title"><h2 id="{key}-title">'
        f"{escape(section.title)}</h2>{warnings}{told}{plots}{tables}</section>"
    )


def _figure(plot: Plot) -> str:
    picture = plot.svg
    if plot.png:
        data = base64.b64encode(plot.png).decode()
        kind = "jpeg" if plot.png[:2] == b"\xff\xd8" else "png"
        picture = f'<img alt="{escape(plot.alt)}" src="data:image/{kind};base64,{data}">'
    return (
        f"<figure><h3>{escape(plot.title)}</h3>{picture}"
        f"<figcaption>{escape(plot.alt)}</figcaption></figure>"
    )


def _table(table: Table) -> str:
    numeric = [
        bool(table.rows) and all(_is_number(row[place]) for row in table.rows)
        for place in range(len(table.columns))
    ]
    mark = [' class="n"' if right else "" for right in numeric]
    head = "".join(
        f'<th scope="col"{one}>{escape(name)}</th>'
        for name, one in zip(table.columns, mark, strict=True)
    )
    rows = "".join(
        "<tr>"
        + "".join(f"<td{one}>{escape(cell)}</td>" for cell, one in zip(row, mark, strict=True))
        + "</tr>"
        for row in table.rows
    )
    return (
        f'<div class="scroll"><table><caption>{escape(table.caption)}</caption>'
        f"<thead><tr>{head}</tr></thead><tbody>{rows}</tbody></table></div>"
    )


def _is_number(cell: str) -> bool:
    bare = cell.strip().rstrip("%").replace(",", "").replace("\N{MINUS SIGN}", "-")
    return bare in ("", "-", "–") or bare.lstrip("+-").replace(".", "", 1).isdigit()


def _footer(origin: Origin) -> str:
    parts = (
        ("data version", origin.data_version),
        ("written", origin.written_at),
        ("by", f"mammo {origin.mammo_version}"),
        ("command", origin.command),
    )
    return " · ".join(f"{name}: {escape(value)}" for name, value in parts)
