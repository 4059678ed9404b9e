"""From mammograms to breasts, exams and patients, by the rules of the service.

A breast's logit is the mean over its pooled views (or ``breast_logit``, see
`mammo.appraisal.scores`), calibrated by the operating point of the exam's
scanner and compared with its threshold; an exam's is the highest of its breasts,
a patient's the highest of her exams; either is recalled when one below it is.
`score_breasts` does the same for one exam of the service; a test holds the two together.
"""

from __future__ import annotations

import json
from collections.abc import Mapping

import numpy as np
import pandas as pd

from mammo.errors import LevelUnknown
from mammo.exam import OperatingPoint
from mammo.logit_curve import calibrated_logit, sigmoid
from mammo.release import DEFAULT_SCANNER

LEVELS = ("image", "breast", "exam", "patient")
PLAIN_POINT = OperatingPoint(DEFAULT_SCANNER, 1.0, 0.0, 0.5, 0.5)
"""Where no release tells better: the sigmoid of the logit, recalled from 0.5."""

_CARRIED = ("scanner", "site", "source", "age_years", "density", "implant")
_KEYS = {"breast": ["exam_id", "laterality"], "exam": ["exam_id"], "patient": ["patient_id"]}


def require_level(level: str) -> str:
    """Return the level; LevelUnknown names those there are."""
    if level not in LEVELS:
        raise LevelUnknown(f"level {level!r} is unknown; allowed are {', '.join(LEVELS)}")
    return level


def to_levels(
    scores: pd.DataFrame, points: Mapping[str, OperatingPoint] | None = None
) -> dict[str, pd.DataFrame]:
    """Return the units of each level of `LEVELS`, one row a unit whose outcome is known.

    Parameters
    ----------
    scores : DataFrame
        As `mammo.appraisal.scores.check_scores` returns it.
    points : mapping of str to OperatingPoint, optional
        By scanner, with ``*`` for all others; by default `PLAIN_POINT`.

    Returns
    -------
    dict of str to DataFrame
        Columns: unit (str, unique), patient_id, exam_id, label (bool), score
        (calibrated logit, comparable over scanners), probability, recalled
        (bool), kinds (findings, ``|``-joined), scanner, site, source, age_years,
        density, implant; at image level view. A unit is positive when a part of
        it is, and known when the outcome of any part is.
    """
    at = points or {DEFAULT_SCANNER: PLAIN_POINT}
    views = scores.assign(kinds=finding_kinds(scores["findings"]))
    breasts = _aggregate(_decide(_breasts(views), at), "breast", "score")
    exams = _aggregate(breasts, "exam", "score")
    patients = _aggregate(exams, "patient", "score")
    images = _decide(views[views["pooled"]], at)
    images["unit"] = images["image_id"].astype(str)
    found = {"image": images, "breast": breasts, "exam": exams, "patient": patients}
    return {level: _known(units) for level, units in found.items()}


def _breasts(views: pd.DataFrame) -> pd.DataFrame:
    """Return one row a breast with its raw logit; label and kinds also of views not pooled."""
    groups = views.groupby(_KEYS["breast"], sort=False)
    breasts = groups[["patient_id", *_CARRIED]].first()
    breasts["label"] = groups["label"].max()
    breasts["kinds"] = _kinds(views, "breast").reindex(breasts.index).fillna("")
    of_head = groups["breast_logit"].mean()
    pooled = views[views["pooled"]].groupby(_KEYS["breast"], sort=False)["logit"].mean()
    breasts["logit"] = of_head.where(of_head.notna(), pooled.reindex(breasts.index))
    return breasts[breasts["logit"].notna()].reset_index()


def _decide(units: pd.DataFrame, points: Mapping[str, OperatingPoint]) -> pd.DataFrame:
    """Add score, probability and recalled by each row's operating point."""
    decided = units.copy()
    names = units["scanner"].fillna("").astype(str)
    default = points.get(DEFAULT_SCANNER, PLAIN_POINT)
    decided["score"] = np.nan
    decided["threshold"] = np.nan
    for name, rows in units.groupby(names.to_numpy(), sort=False).groups.items():
        point = points.get(str(name), default)
        logit = decided.loc[rows, "logit"].to_numpy(float)
        decided.loc[rows, "score"] = calibrated_logit(logit, point.scale, point.offset, point.curve)
        decided.loc[rows, "threshold"] = point.threshold
    decided["probability"] = sigmoid(decided["score"].to_numpy(float))
    decided["recalled"] = decided["probability"] >= decided["threshold"]
    return decided


def _aggregate(parts: pd.DataFrame, level: str, score: str) -> pd.DataFrame:
    """Return one row a unit: the highest score of its parts, positive and recalled if any is."""
    groups = parts.groupby(_KEYS[level], sort=False)
    names = [*dict.fromkeys(["patient_id", "exam_id", "laterality", *_CARRIED, "threshold"])]
    carried = [name for name in names if name in parts and name not in _KEYS[level]]
    units = groups[carried].first()
    for name in (score, "probability", "label", "recalled"):
        units[name] = groups[name].max()
    units["kinds"] = _kinds(parts, level).reindex(units.index).fillna("")
    units = units.reset_index()
    unit = units[_KEYS[level][0]].astype(str)
    units["unit"] = unit + "/" + units["laterality"].astype(str) if level == "breast" else unit
    return units


def _known(units: pd.DataFrame) -> pd.DataFrame:
    known = units[units["label"].notna()].reset_index(drop=True)
    known["label"] = known["label"].astype(bool)
    known["recalled"] = known["recalled"].astype(bool)
    return known


def _kinds(parts: pd.DataFrame, level: str) -> pd.Series:
    """Return the kinds of findings of each unit that has one."""
    told = parts[parts["kinds"] != ""]
    return told.groupby(_KEYS[level], sort=False)["kinds"].agg(_join)


def _join(kinds: pd.Series) -> str:
    return "|".join(sorted({one for text in kinds.unique() for one in text.split("|")}))


def finding_kinds(findings: pd.Series) -> pd.Series:
    """Return the kinds of each row's findings (JSON list of boxes), sorted, ``|``-joined."""

    def kinds(text: object) -> str:
        if not isinstance(text, str) or not text.strip():
            return ""
        try:
            boxes = json.loads(text)
        except json.JSONDecodeError:
            return text  # a plain word, as a table of another house may have
        if not isinstance(boxes, list):
            return text
        return "|".join(sorted({_kind(box) for box in boxes}))

    texts = {text: kinds(text) for text in findings.unique()}
    return findings.map(texts).fillna("")


def _kind(box: object) -> str:
    """Return the kind of a box, or the word that stands for one."""
    return str(box.get("kind") or "finding") if isinstance(box, dict) else str(box)
