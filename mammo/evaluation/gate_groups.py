"""The gate's clauses on parts of the golden set: no scanner loses, and nothing is forgotten."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np

from mammo.evaluation.gate_bounds import Loss, holm, measure
from mammo.evaluation.gate_config import GateConfig
from mammo.evaluation.gate_material import Scored
from mammo.evaluation.metrics import roc_auc
from mammo.evaluation.verdict import Clause, not_judged

SUBGROUPS = "subgroups"
FORGETTING = "forgetting"


def subgroups_clause(golden: Scored, config: GateConfig) -> Clause:
    """Judge that no scanner loses against the champion."""
    if golden.champion_scores is None or golden.scanner is None:
        return not_judged(SUBGROUPS, "No champion or no scanners to compare.")
    parts, note = _parts(golden, golden.scanner, config)
    losses = {
        name: _loss(part, part.champion_scores, config)
        for name, part in parts.items()
        if part.champion_scores is not None
    }
    if not losses:
        return not_judged(SUBGROUPS, "No scanner has exams enough." + note)
    return _shown(SUBGROUPS, "scanner", losses, config.margin_subgroup, config, note)


def forgetting_clause(
    golden: Scored, champion: str | None, challenger: str, config: GateConfig
) -> tuple[Clause, dict[str, Any]]:
    """Judge the challenger against the best release before, in every cell of site and period.

    Returns the clause and the matrix: ``rows`` (releases, the challenger last), ``cells``,
    ``auc`` (rows of cells, None where a cell has too few exams of a class), ``best`` (the
    release that the challenger was compared with), ``exams`` and ``cancers`` of each cell.
    """
    cells = golden.cell
    if champion is None or golden.champion_scores is None or cells is None:
        return not_judged(FORGETTING, "No champion, or no sites and periods, to compare."), {}
    releases = {**golden.earlier_scores, champion: golden.champion_scores}
    releases.pop(challenger, None)  # one that was in service before, and is judged again
    rows = {**releases, challenger: golden.challenger_scores}
    parts, note = _parts(golden, cells, config)
    matrix = _matrix(golden, cells, rows, set(parts))
    losses = {}
    for name, part in parts.items():
        best = matrix["best"][matrix["cells"].index(name)]
        before = part.champion_scores if best == champion else part.earlier_scores[best]
        assert before is not None
        losses[name] = _loss(part, before, config)
    if not losses:
        text = "No cell of site and period has exams enough." + note
        return not_judged(FORGETTING, text), matrix
    return _shown(FORGETTING, "cell", losses, config.margin_forgetting, config, note), matrix


def _parts(golden: Scored, group: np.ndarray, config: GateConfig) -> tuple[dict[str, Scored], str]:
    """Return the groups with enough exams of each class, and a note of the others."""
    parts: dict[str, Scored] = {}
    skipped: list[str] = []
    for name in np.unique(group):
        part = golden.at(group == name)
        positive, negative = int(part.labels.sum()), int((~part.labels).sum())
        if min(positive, negative) < config.min_per_class:
            skipped.append(f"{name} ({positive} with cancer, {negative} without)")
        else:
            parts[str(name)] = part
    if not skipped:
        return parts, ""
    return parts, f" Not judged, {config.min_per_class} of each needed: {', '.join(skipped)}."


def _loss(part: Scored, before: np.ndarray, config: GateConfig) -> Loss:
    both = {"before": before, "after": part.challenger_scores}
    return measure(part, both, config).auc_loss("after", "before")


def _matrix(
    golden: Scored, cells: np.ndarray, rows: Mapping[str, np.ndarray], judged: set[str]
) -> dict[str, Any]:
    names = [str(name) for name in np.unique(cells)]
    members = {name: cells == name for name in names}
    auc = [
        [
            roc_auc(golden.labels[members[name]], scores[members[name]]) if name in judged else None
            for name in names
        ]
        for scores in rows.values()
    ]
    before = list(rows)[:-1]
    return {
        "rows": list(rows),
        "cells": names,
        "auc": auc,
        "best": [
            max(before, key=lambda row: auc[before.index(row)][column] or 0.0)
            if name in judged
            else None
            for column, name in enumerate(names)
        ],
        "exams": [int(members[name].sum()) for name in names],
        "cancers": [int(golden.labels[members[name]].sum()) for name in names],
    }


def _shown(
    clause: str,
    group: str,
    losses: Mapping[str, Loss],
    margin: float,
    config: GateConfig,
    note: str,
) -> Clause:
    found = holm(losses, margin, config.alpha)
    parts = [f"{one} {losses[one].value:+.3f} (from {found.low[one]:+.3f})" for one in found.order]
    verdict = f"not shown for {', '.join(found.failed)}" if found.failed else "shown for all"
    against = "" if group == "scanner" else ", against the best release before in each"
    text = (
        f"AUC differences by {group}{against}: {', '.join(parts)}; every Holm lower bound must "
        f"reach {-margin:+.3f}: {verdict}.{note}"
    )
    worst = found.worst
    return Clause(
        clause,
        not found.failed,
        True,
        losses[worst].value,
        found.low[worst],
        None,
        -margin,
        text,
    )
