"""Parts of the monitor's pages, as HTML made of a run's report (`MonitorReport.to_dict`)."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from html import escape
from typing import Any

from monitoring.pictures import number
from monitoring.words import LEVELS, STATES, channel_words, code_words

Report = Mapping[str, Any]
PARTS = ("site", "scanner", "software_version")
PROGRAMME = "all exams"


def table(head: Sequence[str], rows: Iterable[Sequence[str]], numbers: Sequence[int] = ()) -> str:
    """Return a table; cells are HTML already, ``numbers`` are columns set to the right."""
    told = "".join(f"<th{_right(at, numbers)}>{escape(one)}</th>" for at, one in enumerate(head))
    body = "".join(
        f"<tr>{''.join(f'<td{_right(at, numbers)}>{one}</td>' for at, one in enumerate(row))}</tr>"
        for row in rows
    )
    return f"<table><tr>{told}</tr>{body}</table>"


def _right(at: int, numbers: Sequence[int]) -> str:
    return " class=n" if at in numbers else ""


def nodes_section(nodes: Mapping[str, Report], marked: str = "") -> str:
    """Return the tree of nodes: programme, sites, scanners, software versions.

    ``marked`` names the node that the page is about. A level with one member alone is
    not watched apart, so that a node may stand below its grandparent.
    """
    head = ("Where", "State", "Exams", "Evidence", "Highest channel", "Since", "What is special")
    paths = {_path(one) for one in nodes.values()}
    ordered = sorted(nodes.items(), key=lambda item: (_path(item[1]), item[0]))
    rows = [_node(name, one, paths, marked=name == marked) for name, one in ordered]
    return table(head, rows, (2,))


def _path(one: Report) -> tuple[str, ...]:
    """Return site, scanner and version as far as the node names them."""
    return tuple(str(one[part]) for part in PARTS if one.get(part))


def _node(name: str, one: Report, paths: set[tuple[str, ...]], *, marked: bool) -> list[str]:
    level, path = str(one.get("level", "version")), _path(one)
    above = [path[:end] for end in range(len(path)) if path[:end] in paths]
    told = " · ".join(path[len(above[-1]) if above else 0 :]) or name
    shown = f"<b>{escape(told)}</b> ◄" if marked else escape(told)
    state = str(one["state"])
    return [
        f"<span class=w style='padding-left:{1.4 * len(above):.1f}em'>{shown} "
        f"<span class=quiet>{escape(LEVELS.get(level, level))}</span></span>",
        f"<span class='{escape(state)}'>{escape(STATES.get(state, state))}</span>",
        f"{one['exams']:,}",
        bar(float(one["evidence"]), state),
        escape(channel_words(str(one["channel"]))),
        escape(since(one)),
        escape(", ".join(one.get("codes", ()))),
    ]


def bar(share: float, state: str) -> str:
    """Return a bar of the evidence: full at the threshold, with the percentage beside it."""
    width = 100 * min(max(share, 0.0), 1.0)
    fill = f"<span class='fill {escape(state)}' style='width:{width:.0f}%'></span>"
    told = "&lt;1%" if 0 < share < 0.005 else f"{share:.0%}"
    return f"<span class=w><span class=bar>{fill}</span> {told}</span>"


def since(one: Report) -> str:
    """Return since when the node differs, in its own exams."""
    if one.get("confirmed_at") is None and one.get("alert_at") is None:
        return ""
    change = int(one.get("change_at") or 0)
    ago = int(one["exams"]) - change
    told = f"exam {change + 1:,} ({ago:,} exams ago)"
    return f"{told}, from its first on" if change == 0 else told


def distances_section(shifts: Mapping[str, Report], z: Mapping[str, float] | None = None) -> str:
    """Return PSI and Wasserstein of every channel, with our own mean score z where given."""
    head = ["Channel", "Recent", "Reference", "PSI", "PSI by chance", "Wasserstein", "Missing"]
    rows = []
    for name, one in shifts.items():
        row = [
            escape(channel_words(name)),
            _mean(one, "mean"),
            _mean(one, "reference_mean"),
            number(one["psi"]),
            number(one["psi_by_chance"]),
            "–" if one["wasserstein_sd"] is None else f"{one['wasserstein_sd']:.2f} SD",
            f"{one['missing']:.1%}",
        ]
        if z is not None:
            row.insert(1, f"{z[name]:+.2f} SD" if name in z else "")
        rows.append(row)
    if z is not None:
        head.insert(1, "Our shift z")
    return table(head, rows, range(1, len(head)))


def _mean(one: Report, key: str) -> str:
    values = (one.get("histogram") or {}).get("values") or ()
    is_flag = bool(values) and set(values) <= {0.0, 1.0}
    return f"{one[key]:.1%}" if is_flag and one[key] is not None else number(one[key])


DISTANCE_NOTE = (
    "<p class=quiet>PSI and Wasserstein are shown and decide nothing. <i>PSI by chance</i> is "
    "what PSI stays below in 95 of 100 windows of this size while nothing has changed; the "
    "usual limit of 0.1 lies below it where exams are few.</p>"
)


def codes_section(codes: Iterable[Mapping[str, Any]]) -> str:
    """Return what was wrong with the input of this run; empty where nothing was."""
    rows = [
        [f"<code>{escape(str(one['code']))}</code>", f"{one['count']:,}", escape(str(one["told"]))]
        for one in codes
    ]
    if not rows:
        return ""
    return f"<h2>Bad input</h2>{table(('Code', 'Count', 'What it means'), rows, (1,))}"


def code_list(codes: Iterable[str]) -> str:
    """Return a node's codes with what they say, as one line."""
    return escape("; ".join(code_words(one) for one in codes))


def evidently_section(drift: Mapping[str, Report]) -> str:
    """Return Evidently's verdicts with links to its reports (HTML and JSON)."""
    lines = []
    for name, verdict in drift.items():
        link = verdict.get("page")
        label = f"<a href='{escape(link)}'>{escape(name)}</a>" if link else escape(name)
        data = f" (<a href='{escape(link[:-5])}.json'>JSON</a>)" if link else ""
        lines.append(f"<li>{label}{data}: {escape(_say(verdict))}</li>")
    return f"<ul>{''.join(lines)}</ul>"


def _say(verdict: Report) -> str:
    if verdict["drifted"] is None:
        return str(verdict["note"])
    word = "drift" if verdict["drifted"] else "no drift"
    moved = ", ".join(verdict["moved"]) or "none"
    return (
        f"{word}; {verdict['share']:.0%} of columns moved ({moved}) by {verdict['method']} at "
        f"{verdict['threshold']}, {verdict['exams']} exams"
    )
