"""The pages of a monitor run: one per run, and an index of runs. No script, no network."""

from __future__ import annotations

import json
import shutil
from collections.abc import Iterable, Mapping
from html import escape
from pathlib import Path
from typing import Any

STYLE = """
body{font:15px/1.5 system-ui,sans-serif;margin:2rem auto;max-width:72rem;padding:0 1rem;
color:#1c2733}
h1{font-size:1.5rem}h2{font-size:1.1rem;margin-top:2rem}table{border-collapse:collapse;width:100%}
th,td{text-align:left;padding:.35rem .6rem;border-bottom:1px solid #dde3ea;vertical-align:top}
td.n{text-align:right;font-variant-numeric:tabular-nums}img{max-width:100%}
.confirmed{color:#b23a48;font-weight:600}.alert{color:#b06f00;font-weight:600}.quiet{color:#5a6a7a}
.box{border-left:4px solid #b23a48;background:#faf3f4;padding:.6rem 1rem;margin:.8rem 0}
"""
WORDS = {"in_control": "in control"}


def write_run_page(directory: Path, report: Mapping[str, Any]) -> None:
    """Write index.html and report.json of one run into its folder."""
    (directory / "report.json").write_text(json.dumps(report, indent=1, default=str))
    body = [
        f"<h1>Monitor run {escape(report['stamp'])}</h1>",
        f"<p>Release <b>{escape(report['release_id'])}</b> · {report['read']} new exams · "
        f"policy {escape(report['policy'])} · at most one false alarm per "
        f"{report['budget_exams']:,} exams of a stratum · <a href='../'>all runs</a></p>",
        *(_episode(one) for one in report["episodes_opened"]),
        "<h2>Strata</h2>",
        _strata(report["strata"]),
        *_picture(directory),
        "<h2>Outcomes</h2>",
        f"<p>{escape(_performance(report['performance']))}</p>",
        "<h2>Evidently</h2>",
        *_evidently(directory, report["drift"]),
        *(f"<p class=quiet>{escape(note)}</p>" for note in report["notes"]),
        "<p class=quiet><a href='report.json'>report.json</a> has all of this for machines.</p>",
    ]
    (directory / "index.html").write_text(page(f"Monitor run {report['stamp']}", body))


def write_index(root: Path, *, keep: int = 40, linked: Iterable[str] = ()) -> None:
    """Write the list of runs, newest first; drop runs beyond ``keep`` that no episode links."""
    runs = sorted((path for path in root.iterdir() if _is_run(path)), reverse=True)
    texts = " ".join(str(url) for url in linked)
    for path in runs[keep:]:
        if path.name not in texts:
            shutil.rmtree(path, ignore_errors=True)
    rows = [_run_row(path) for path in runs if path.exists()]
    table = (
        "<table><tr><th>Run (UTC)</th><th>Release</th><th>New exams</th><th>Strata in alarm</th>"
        f"<th>Episodes opened</th><th>Evidently</th></tr>{''.join(rows)}</table>"
    )
    draft = root / ".index.html"
    draft.write_text(page("Drift reports", ["<h1>Drift reports</h1>", table]))
    draft.replace(root / "index.html")


def page(title: str, body: Iterable[str]) -> str:
    """Return a whole HTML page."""
    return (
        "<!doctype html><html lang=en><meta charset=utf-8>"
        "<meta name=viewport content='width=device-width,initial-scale=1'>"
        f"<title>{escape(title)}</title><style>{STYLE}</style><body>{''.join(body)}</body></html>"
    )


def _is_run(path: Path) -> bool:
    return path.is_dir() and (path / "report.json").is_file() and not path.name.startswith(".")


def _run_row(path: Path) -> str:
    report = json.loads((path / "report.json").read_text())
    alarms = [name for name, one in report["strata"].items() if one["state"] == "confirmed"]
    opened = [f"{one['cause']} → {one['action']}" for one in report["episodes_opened"]]
    return (
        f"<tr><td><a href='{path.name}/'>{path.name}</a></td>"
        f"<td>{escape(report['release_id'])}</td><td class=n>{report['read']}</td>"
        f"<td>{escape('; '.join(alarms))}</td><td>{escape('; '.join(opened))}</td>"
        f"<td>{escape(_verdict(report['drift']))}</td></tr>"
    )


def _episode(one: Mapping[str, Any]) -> str:
    after = one["exams_to_alarm"]
    when = f" · confirmed after {after} exams" if after is not None else ""
    return (
        f"<div class=box><b>{escape(one['stratum'])}</b>: {escape(one['cause'])} → "
        f"<b>{escape(one['action'])}</b>{when}<br>{escape(one['reason'])}<br>"
        f"<span class=quiet>{escape(one['key'])}</span></div>"
    )


def _strata(strata: Mapping[str, Mapping[str, Any]]) -> str:
    head = (
        "<tr><th>Stratum</th><th>State</th><th>Exams</th><th>Reference exams</th><th>CUSUM</th>"
        "<th>Threshold</th><th>Highest channel</th><th>e-process</th><th>Exams to alarm</th>"
        "<th>Codes</th></tr>"
    )
    rows = [
        f"<tr><td>{escape(name)}</td><td class='{escape(one['state'])}'>"
        f"{escape(WORDS.get(one['state'], one['state']))}</td><td class=n>{one['exams']}</td>"
        f"<td class=n>{one['reference_exams']}</td><td class=n>{one['cusum']:.1f}</td>"
        f"<td class=n>{one['threshold']:.1f}</td><td>{escape(one['channel'])}</td>"
        f"<td class=n>{one['evidence']:.0%}</td>"
        f"<td class=n>{'' if one['exams_to_alarm'] is None else one['exams_to_alarm']}</td>"
        f"<td>{escape(', '.join(one['codes']))}</td></tr>"
        for name, one in strata.items()
    ]
    return f"<table>{head}{''.join(rows)}</table>"


def _picture(directory: Path) -> list[str]:
    if not (directory / "control.svg").exists():
        return []
    return [
        "<h2>Control</h2><img src='control.svg' alt='CUSUM and e-process of each stratum'>"
        "<p class=quiet>Each line is a channel's CUSUM as a part of its threshold; dashed the "
        "e-process. The CUSUM alerts, the e-process confirms.</p>"
    ]


def _performance(performance: Mapping[str, Any]) -> str:
    auc, reference = performance["auc"], performance["reference"]
    words = [f"{performance['exams']} exams have an outcome, {performance['positives']} a cancer."]
    if auc:
        words.append(f"AUC {auc['value']:.3f} (95% {auc['low']:.3f} to {auc['high']:.3f}).")
    if reference:
        words.append(f"Reference {reference['value']:.3f}.")
    if performance["loss"]:
        words.append("The loss is confirmed.")
    return " ".join([*words, performance["note"]]).strip()


def _evidently(directory: Path, drift: Mapping[str, Mapping[str, Any]]) -> list[str]:
    lines = []
    for name, verdict in drift.items():
        link = verdict.get("page")
        label = f"<a href='{escape(link)}'>{escape(name)}</a>" if link else escape(name)
        lines.append(f"<li>{label}: {escape(_say(verdict))}</li>")
    return [f"<ul>{''.join(lines)}</ul>"]


def _say(verdict: Mapping[str, Any]) -> str:
    if verdict["drifted"] is None:
        return str(verdict["note"])
    word = "drift" if verdict["drifted"] else "no drift"
    moved = ", ".join(verdict["moved"]) or "none"
    return (
        f"{word}; {verdict['share']:.0%} of columns moved ({moved}) by {verdict['method']} at "
        f"{verdict['threshold']}, {verdict['exams']} exams"
    )


def _verdict(drift: Mapping[str, Mapping[str, Any]]) -> str:
    verdict = drift.get("all exams")
    if not verdict or verdict["drifted"] is None:
        return ""
    return f"{'drift' if verdict['drifted'] else 'no drift'} ({verdict['share']:.0%})"
