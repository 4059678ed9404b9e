"""Operating points of a release in service: by scores alone at once, by outcomes when they come.

    release, directory = recalibrate_release(settings, parent_dir, scanner, since=changed_at)

A scanner's point is set as soon as it has 40 exams since it changed, set nearer whenever
its exams have doubled (`due_refinements`), and by outcomes when there are some.
"""

from __future__ import annotations

from dataclasses import replace
from datetime import datetime
from pathlib import Path
from typing import Any

import pandas as pd

from mammo.continual.derive import derive_release
from mammo.continual.point_origins import ALIGNED, BY_OUTCOMES, NEWEST_BY_OUTCOMES
from mammo.continual.quarantine import quarantined_exams
from mammo.errors import TooFewLabels
from mammo.evaluation.alignment import recall_error
from mammo.evaluation.calibration import Calibration
from mammo.evaluation.calibration_fit import fit_raise
from mammo.evaluation.calibration_thresholds import (
    RECALL_RATE,
    SENSITIVITY,
    SPECIFICITY,
    Target,
    fit_operating_point,
    invert,
    recalibrate,
)
from mammo.exam import OperatingPoint
from mammo.models.tracking import register_release
from mammo.prediction_log import PredictionLog
from mammo.prediction_log.tables import to_utc
from mammo.release import DEFAULT_SCANNER, DETECTOR_FILES, HEAD, MANIFEST, Release
from mammo.settings import Settings

RECENT_EXAMS = 60
"""Taken where nobody knows since when the scanner is as it is."""
MOST_EXAMS = 4000
"""More exams would not bring the rate nearer, and the scanner may have changed again."""
MIN_EXAMS_TO_RECALIBRATE = 40
"""With 20 exams the recall rate that follows lies 0.1 off its target as often as not."""
SETTLED_ERROR = 0.05
"""Relative error of the recall rate (`recall_error`) from which on no more is refined."""
MIN_EXAMS_OF_TARGET = 30
"""Cancers (or healthy women) with an outcome from which on a target of theirs is met anew."""
Network = tuple[str | None, ...]


def recalibrate_release(
    settings: Settings,
    parent_dir: Path,
    scanner: str,
    *,
    since: datetime | None = None,
    min_exams: int = MIN_EXAMS_TO_RECALIBRATE,
) -> tuple[Release, Path]:
    """Make a child release with a new operating point for one scanner, from scores alone.

    The scanner's exams scored ``since`` its change (the latest `RECENT_EXAMS` where that is
    not known) are laid onto the release's reference; no outcome is used. Every other
    scanner keeps its point bit for bit. Raises TooFewLabels when fewer than ``min_exams``
    are logged.
    """
    parent = Release.read(parent_dir, verify=True)
    recent = recent_exams(settings, parent_dir, scanner, since)
    if len(recent) < min_exams:
        raise TooFewLabels(
            f"{len(recent)} exams of scanner {scanner} are logged; {min_exams} are needed "
            "to set its operating point. The default one stays in force."
        )
    reference = pd.read_parquet(parent_dir / "reference.parquet")
    base = parent.operating_points[DEFAULT_SCANNER]
    point = recalibrate(reference["logit"].tolist(), recent["logit"].tolist(), base, scanner)
    facts = {"exams": len(recent), "threshold": point.threshold}
    began = None if since is None else to_utc(since).isoformat()
    notes = {
        "recalibrated": {"scanner": scanner, **facts},
        ALIGNED: parent.metrics.get(ALIGNED, {}) | {scanner: {**facts, "since": began}},
        BY_OUTCOMES: _without(parent, BY_OUTCOMES, scanner),
    }
    return _derive(settings, parent_dir, parent, point, notes)


def calibrate_on_outcomes(
    settings: Settings, parent_dir: Path, aligned_dir: Path, scanner: str
) -> tuple[Release, Path]:
    """Make a child like the recalibrated release, its probabilities set by outcomes.

    The line of the release in ``aligned_dir`` is raised or lowered (`fit_raise`) by the
    outcomes of the scanner's exams, which leaves whom it recalls as it is where the
    target is a recall rate. A target of specificity or sensitivity is met on the exams
    with outcomes, if there are enough. Raises TooFewLabels without an outcome.

    Assumption: whether an exam was verified depends on its score only (recalled or not),
    so that outcomes at a given score are those of all exams with it.
    """
    aligned = Release.read(aligned_dir, verify=True)
    exams, breasts = _with_outcomes(settings, parent_dir, scanner)
    if breasts.empty:
        raise TooFewLabels(f"no exam of scanner {scanner} has an outcome yet")
    before = aligned.operating_points[scanner]
    line = Calibration(before.scale, before.offset, before.curve)
    by = fit_raise(line, breasts["logit"], breasts["exam"], exams["cancer"])
    raised = line.raised(by)
    cut = invert(line, before.threshold, breasts["logit"].to_numpy())
    point = replace(
        before,
        scale=raised.scale,
        offset=raised.offset,
        curve=raised.curve,
        threshold=float(raised.apply(cut)),
    )
    point = _meet_target(point, raised, exams)
    facts = {"exams": len(exams), "cancers": int(exams["cancer"].sum())}
    by_scores = aligned.metrics.get(ALIGNED, {}).get(scanner)
    own = facts if by_scores is None else {**facts, "before": by_scores}
    notes = {
        NEWEST_BY_OUTCOMES: {"scanner": scanner, **facts},
        ALIGNED: _without(aligned, ALIGNED, scanner),
        BY_OUTCOMES: _without(aligned, BY_OUTCOMES, scanner) | {scanner: own},
    }
    return _derive(settings, aligned_dir, aligned, point, notes)


def _without(release: Release, part: str, scanner: str) -> dict[str, Any]:
    """Return what a part of the metrics says of every other scanner."""
    return {name: one for name, one in release.metrics.get(part, {}).items() if name != scanner}


def _meet_target(point: OperatingPoint, line: Calibration, exams: pd.DataFrame) -> OperatingPoint:
    """Set the threshold by outcomes where the target is of cancers or of healthy women."""
    target = point_target(point)
    cancer = exams["cancer"].to_numpy(dtype=bool)
    if target.name == RECALL_RATE or target.exams(cancer).sum() < MIN_EXAMS_OF_TARGET:
        return point
    fitted = fit_operating_point(
        point.scanner, exams["logit"].to_numpy(), line, target, cancer=cancer
    )
    return replace(fitted, target_recall_rate=point.target_recall_rate)


def point_target(point: OperatingPoint) -> Target:
    """Return what an operating point was set to reach."""
    if point.target_specificity is not None:
        return Target(SPECIFICITY, point.target_specificity)
    if point.target_sensitivity is not None:
        return Target(SENSITIVITY, point.target_sensitivity)
    return Target(RECALL_RATE, point.target_recall_rate)


def _derive(
    settings: Settings,
    directory: Path,
    parent: Release,
    point: OperatingPoint,
    notes: dict[str, Any],
) -> tuple[Release, Path]:
    """Seal and register the child of ``parent`` that has one operating point of its own."""
    release, made = derive_release(
        directory,
        settings.releases_dir,
        operating_points=parent.operating_points | {point.scanner: point},
        metrics=parent.metrics | notes,
        keys_dir=settings.keys_dir,
    )
    register_release(settings, release, made, {"recalibrated": point.scanner}, [])
    return release, made


def recent_exams(
    settings: Settings, parent_dir: Path, scanner: str, since: datetime | None = None
) -> pd.DataFrame:
    """Return the scanner's latest exams that the parent's network scored, one row an exam.

    Its head, too, where it has one: exams whose views were joined otherwise do not count.
    At most `MOST_EXAMS` scored ``since`` then; without it the latest `RECENT_EXAMS`.
    Those in quarantine are left out.
    """
    log = PredictionLog(settings.log_url).create()
    exams = log.exams(role="champion", scanner=scanner, since=since)
    exams = exams[~exams["exam_id"].isin(quarantined_exams(log))]
    exams = _of_network(settings, parent_dir, exams).drop_duplicates("exam_id", keep="last")
    return exams.tail(RECENT_EXAMS if since is None else MOST_EXAMS)


def _with_outcomes(
    settings: Settings, parent_dir: Path, scanner: str
) -> tuple[pd.DataFrame, pd.DataFrame]:
    """Return the scanner's exams with an outcome, and their breasts; ``exam`` is the exam's row.

    Only what the parent's network scored, nothing of exams in quarantine.
    """
    log = PredictionLog(settings.log_url).create()
    exams = _of_network(settings, parent_dir, log.labelled("exam"))
    exams = exams[(exams["scanner"] == scanner) & ~exams["exam_id"].isin(quarantined_exams(log))]
    breasts = log.exams(role="champion", scanner=scanner, level="breast")
    breasts = _of_network(settings, parent_dir, breasts)
    if exams.empty or breasts.empty:
        return exams.iloc[:0], breasts.iloc[:0]
    breasts = breasts.drop_duplicates(["exam_id", "laterality"], keep="last")
    exams = exams[exams["exam_id"].isin(breasts["exam_id"])].reset_index(drop=True)
    place = breasts["exam_id"].map(pd.Series(exams.index, index=exams["exam_id"]))
    return exams, breasts.assign(exam=place).dropna(subset=["exam"])


def _of_network(settings: Settings, parent_dir: Path, rows: pd.DataFrame) -> pd.DataFrame:
    if rows.empty:  # a frame of no rows lacks the log's own columns
        return rows
    network = _network(Release.read(parent_dir))
    same = [one for one in rows["release_id"].unique() if _known(settings, one) == network]
    return rows[rows["release_id"].isin(same)]


def due_refinements(settings: Settings, release_dir: Path) -> dict[str, datetime]:
    """Return the scanners whose point can be set nearer, and since when their exams count.

    Those are set without outcomes, when their exams have doubled since they were, until
    the rate's error is `SETTLED_ERROR` of the target. A point that the gate refused, or
    that was rolled back, is not set from the same exams once more: they have to double
    since that one, or each day would bring it again.
    """
    release = Release.read(release_dir)
    tried = _tried(settings, release)
    due = {}
    for scanner, facts in release.metrics.get(ALIGNED, {}).items():
        target = release.operating_points[scanner].target_recall_rate
        if facts["since"] is None or recall_error(facts["exams"], target) <= SETTLED_ERROR:
            continue
        since = datetime.fromisoformat(facts["since"])
        exams = max(facts["exams"], tried.get(scanner, 0))
        if len(recent_exams(settings, release_dir, scanner, since)) >= 2 * exams:
            due[scanner] = since
    return due


def _tried(settings: Settings, release: Release) -> dict[str, int]:
    """Return, by scanner, from how many exams a point was set that was not to stay beside this."""
    log, tried = PredictionLog(settings.log_url).create(), dict[str, int]()
    moves = [one["record"] for one in log.changes() if one["record"]["release"] == release.id]
    back = [one.get("previous") for one in moves if one.get("rollback")]
    gates = [one for one in log.gates() if one["champion"] == release.id]
    refused = [one["challenger"] for one in gates if one["passed"] is False]
    for name in map(str, {*back, *refused}):
        directory = settings.releases_dir / name
        known = Release.read(directory).metrics if (directory / MANIFEST).is_file() else {}
        for scanner, facts in known.get(ALIGNED, {}).items():
            tried[scanner] = max(int(facts["exams"]), tried.get(scanner, 0))
    return tried


def _known(settings: Settings, release_id: str) -> Network | None:
    """Return what gives a release's logits; None when the release is gone."""
    directory = settings.releases_dir / release_id
    return _network(Release.read(directory)) if (directory / MANIFEST).is_file() else None


def _network(release: Release) -> Network:
    """Return the digests of model, head and detector, and how views become a breast."""
    more = [release.files.get(name) for name in (HEAD, *DETECTOR_FILES)]
    return (release.files["model.onnx"], release.aggregation, *more)
