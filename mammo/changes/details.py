"""What a change rests on, folded below it on the page."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from html import escape
from typing import Any

from mammo.changes.history import clause_of, words_of


def details_of(record: Mapping[str, Any]) -> str:
    """Return the folded part of a change: the facts, the gate's table, the guard's checks."""
    rows = [(name, value) for name, value in _facts(record) if value]
    table = "".join(
        f"<tr><th scope=row>{escape(name)}</th><td>{escape(str(value))}</td></tr>"
        for name, value in rows
    )
    return (
        "<details><summary>what it rests on</summary>"
        f"<div class=scroll><table>{table}</table></div>"
        f"{_gate(record.get('gate'))}{_guard(record.get('guard'))}</details>"
    )


def _facts(record: Mapping[str, Any]) -> Iterable[tuple[str, Any]]:
    code, container = record.get("code") or {}, record.get("container") or {}
    approval = record.get("approval") or {}
    yield "move", words_of(record)
    yield "clause", clause_of(record)
    yield "kind and parent", f"{record.get('kind')}, from {record.get('parent') or 'nothing'}"
    yield "episode", record.get("episode_key")
    yield "release digest", record.get("digest")
    yield "data version", record.get("data_version")
    yield "data trained on", (record.get("data") or {}).get("images")
    yield "Bento", record.get("bento_tag")
    yield "MLflow version", record.get("mlflow_version")
    yield "code", code.get("sha256")
    yield "commit", code.get("commit") and f"{code['commit']}{', changed' * bool(code['changed'])}"
    yield "container", container.get("digest") or container.get("reason")
    yield "approved", approval and f"{approval['by']}: {approval['reason']}"
    yield "record before", record.get("before")
    yield "signed with key", (record.get("signature") or {}).get("key")


def _gate(gate: Mapping[str, Any] | None) -> str:
    if not gate:
        return ""
    rows = "".join(
        f"<tr><td>{escape(one['name'])}</td><td>{escape(one.get('state') or '')}</td>"
        f"<td>{escape(one['text'])}</td></tr>"
        for one in gate.get("clauses") or ()
    )
    caption = f"Gate at alpha {gate['alpha']:.3g}" if "alpha" in gate else "Gate"
    return f"<div class=scroll><table><caption>{caption}</caption>{rows}</table></div>"


def _guard(evidence: Mapping[str, Any] | None) -> str:
    trial = (evidence or {}).get("guard") or {}
    lines = "".join(f"<li>{escape(one.get('text', ''))}</li>" for one in trial.get("checks", ()))
    told = f"The guard, after {trial.get('exams', 0)} exams in {escape(str(trial.get('stage')))}:"
    return f"<p>{told}</p><ul>{lines}</ul>" if lines else ""
