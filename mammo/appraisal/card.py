"""The model card of a release, from its own files: manifest, scores, gate, change record.

Headings follow Mitchell et al. (2019), Model cards for model reporting, FAT* '19, with what
TRIPOD+AI (Collins et al. 2024, BMJ 385:e078378) asks beside it. What the release's files do not
say is listed as not known rather than left out.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from mammo import INTENDED_USE
from mammo.appraisal.card_detector import detector_sections
from mammo.appraisal.evaluate import evaluate_scores
from mammo.appraisal.evaluate_page import Judged, build_sections
from mammo.appraisal.evaluate_words import POSITIVES, Words, is_phantoms
from mammo.appraisal.groups import evaluate_groups, with_total
from mammo.appraisal.scores import OUT_OF_FOLD, UNTOUCHED, pick_part, read_scores
from mammo.changes.record import CHANGE_RECORD
from mammo.continual import card_words as say
from mammo.continual.card import told_number
from mammo.continual.point_origins import point_origins, told_measures, told_points
from mammo.data.sources.terms import names_phantoms
from mammo.evaluation.subgroups import MIN_PATIENTS, SubgroupResult
from mammo.explore.section import Section, Table
from mammo.explore.sentences import count, listed
from mammo.familiarity import MIN_EXAMS
from mammo.reference_exams import ReferenceExams
from mammo.release import DEFAULT_SCANNER, RECALIBRATED, Release

SUBJECT = "model card"
LEADS = ("use", "data", "discrimination", "gate")
SCORES = "scores.parquet"
JUDGED = ("discrimination", "calibration", "subgroups")
"""Chapters of `mammo evaluate` that belong on the card."""

RESAMPLES = 1000
SCORED_BEFORE = (
    "The chapters on telling positives from negatives, calibration and subgroups are of the exams "
    "scored at the training, decided by the operating points of now."
)


def model_card(directory: Path, *, resamples: int = RESAMPLES) -> list[Section]:
    """Return the card's sections in reading order, from the release's own files alone.

    Raises
    ------
    ReleaseNotFound, DigestMismatch
        There is no release in that folder, or it was changed after it was made.
    """
    release = Release.read(directory, verify=True)
    judged = _judged(directory, release, resamples)
    return [
        _use(release),
        _details(release),
        _data(release),
        *detector_sections(directory, release),
        *judged,
        _measured(release),
        _points(release),
        _gate(_read(directory / "gate.json")),
        _change(_read(directory / CHANGE_RECORD)),
        Section("ethics", "Ethical notes", say.ETHICS),
        _unknown(directory, release, judged),
    ]


def _use(release: Release) -> Section:
    warned = (say.PHANTOMS,) if names_phantoms(release.trained_on) else ()
    rows = tuple(("not intended", one) for one in say.NOT_INTENDED)
    rows = (("intended", say.INTENDED), ("for whom", say.USERS), *rows)
    table = Table(("use", "what"), rows, "Intended and not intended use")
    return Section("use", "What it is for", (INTENDED_USE,), (), (table,), warned)


def _details(release: Release) -> Section:
    size = release.preprocess
    rows = (
        ("release", release.id),
        ("made", release.created_at[:10]),
        ("how", f"{release.kind} from {release.parent or 'no earlier release'}"),
        ("network", f"{release.architecture}, {size.height} x {size.width} pixels"),
        ("breasts", f"views are put together by {release.aggregation}"),
        ("target", release.target),
        ("digest (SHA-256)", release.digest),
    )
    told = "A network gives each view a logit; an operating point of the scanner decides a recall."
    return Section("details", "The model", (told,), (), (Table(("what", "is"), rows, "Facts"),))


def _data(release: Release) -> Section:
    parts = release.metrics.get("patients") or {}
    rows = tuple((name, str(n)) for name, n in sorted(parts.items()))
    told = (
        f"Trained on {release.trained_on}. Data version {release.data_version}.",
        "Patients are in one part alone. The golden set and the holdout were not trained on.",
        *told_points(release),
        *((SCORED_BEFORE,) if release.kind == RECALIBRATED else ()),
    )
    table = (Table(("part", "patients"), rows, "Patients by part"),) if rows else ()
    return Section("data", "Training and judging data", told, (), table)


def _judged(directory: Path, release: Release, resamples: int) -> list[Section]:
    """Judge the kept scores as `mammo evaluate` does; none where no scores were kept."""
    path = directory / SCORES
    if not path.is_file():
        return []
    scores = read_scores(path)
    part = OUT_OF_FOLD if set(scores["part"]) == {OUT_OF_FOLD} else UNTOUCHED
    found = evaluate_scores(scores, release.operating_points, part=part, resamples=resamples)
    groups = with_total(evaluate_groups(found), found)
    rows = pick_part(scores, part)
    counts = {str(k): int(v) for k, v in rows["part"].value_counts().items()}
    positive = POSITIVES.get(release.target, release.target)
    words = Words(positive, True, is_phantoms(rows, release.trained_on), counts)
    judged = Judged(f"Release {release.id}", words, release.operating_points)
    chosen = [one for one in build_sections(found, groups, judged) if one.key in JUDGED]
    return [*chosen, _small_groups(groups[1:])]


def _small_groups(groups: list[SubgroupResult]) -> Section:
    """Say by name which subgroups are too small to judge."""
    small = [
        one for one in groups
        if min(one.positive_patients, one.n_patients - one.positive_patients) < MIN_PATIENTS
    ]  # fmt: skip
    rows = tuple(
        (f"{one.attribute}: {one.name}", str(one.n_patients), str(one.positive_patients))
        for one in small
    )
    told = (
        f"{count(len(small), 'subgroup')} of {len(groups)} have fewer than {MIN_PATIENTS} patients "
        "of a class: nothing is known of how well the model does there.",
    )
    table = Table(("subgroup", "patients", "positive"), rows, "Too small to judge")
    return Section("small", "Subgroups that are too small", told, (), (table,) if rows else ())


def _measured(release: Release) -> Section:
    rows = tuple(
        (name.replace("_", " "), told_number(value))
        for name, value in sorted(release.metrics.items())
        if (isinstance(value, dict) and "low" in value) or name.endswith(("_ece", "_brier"))
    )
    table = Table(("measure", "value"), rows, "Exams; patient-bootstrap 95% intervals")
    moment = "before it was recalibrated" if release.kind == RECALIBRATED else "when it was made"
    return Section("measured", f"Measured {moment}", (told_measures(release),), (), (table,))


def _points(release: Release) -> Section:
    origins = point_origins(release)
    rows = tuple(
        ("any other" if name == DEFAULT_SCANNER else name, f"{p.threshold:.3f}",
         f"{p.target_recall_rate:.2f}", origins[name])
        for name, p in sorted(release.operating_points.items())
    )  # fmt: skip
    told = "A scanner that is not listed is decided by the default and marked UNKNOWN_SCANNER."
    choice = release.metrics.get("calibration") or {}
    method = (
        f"Calibrated on the holdout by {choice['method']}: {choice['reason']}." if choice else ""
    )
    columns = ("scanner", "threshold", "target recall rate", "set from")
    table = Table(columns, rows, "Operating points")
    return Section("points", "Operating points", tuple(filter(None, (told, method))), (), (table,))


def _gate(gate: Mapping[str, Any] | None) -> Section:
    if gate is None:
        return Section("gate", "The gate", ("Not judged by the gate: no gate.json is kept.",))
    rows = tuple((c["name"].replace("_", " "), c["state"], c["text"]) for c in gate["clauses"])
    verdict = "passed" if gate["passed"] else "refused"
    failed = listed(name.replace("_", " ") for name in gate.get("failed", ()))
    warned = () if gate["passed"] else (f"The gate refused this release: {failed}.",)
    told = f"The gate {verdict} it against {gate.get('against') or 'no release in service'}."
    table = Table(("clause", "state", "why"), rows, "The gate's clauses")
    return Section("gate", "The gate", (told,), (), (table,), warned)


def _change(record: Mapping[str, Any] | None) -> Section:
    title = "Change record"
    if record is None:
        return Section("change", title, ("No change record: it has not come into service.",))
    clause, approval = record.get("clause") or {}, record.get("approval") or {}
    container = record.get("container") or {}
    rows = (
        ("at", str(record.get("at"))[:19]),
        ("clause of the plan", _unnamed(str(clause.get("text") or "none"), approval)),
        ("approved", str(approval.get("reason") or "not needed, or not yet")),
        ("code", str((record.get("code") or {}).get("commit") or "not known")),
        ("container", str(container.get("digest") or container.get("reason") or "not known")),
    )
    told = "The newest change of this release, under the change-control plan."
    return Section("change", title, (told,), (), (Table(("what", "is"), rows, title),))


def _unnamed(text: str, approval: Mapping[str, Any]) -> str:
    """Return a clause's text without who approved: a card goes further than the record."""
    by = approval.get("by")
    return text.replace(f"approved by {by}", "approved by a person") if by else text


def _unknown(directory: Path, release: Release, judged: list[Section]) -> Section:
    """List what the release's files do not say, so that nobody reads silence as good news."""
    familiar = ReferenceExams.read(directory, release).judges_familiarity
    lacking = {
        "numbers by subgroup, for no scores were kept with the release": not judged,
        "whether the gate lets it through": not (directory / "gate.json").is_file(),
        "out-of-fold numbers over several trainings": not any(
            name.startswith("out_of_fold") for name in release.metrics
        ),
        "whether it scores by shortcuts (marks, borders, the scanner): `mammo shortcuts` "
        "measures it, the release does not keep it": True,
        f"whether an exam looks like those it was tried on, for fewer than {MIN_EXAMS} reference "
        "exams are kept with all their numbers: OUT_OF_DISTRIBUTION is never told": not familiar,
        "how it does at another site than those it was trained on": True,
        "how readers do with it, beside without it": True,
        "how sensitive and how well calibrated it is at the operating points set in service": (
            release.kind == RECALIBRATED
        ),
    }
    told = tuple(f"Not known: {name}." for name, true in lacking.items() if true)
    return Section("unknown", "What is not known", told)


def _read(path: Path) -> dict[str, Any] | None:
    if not path.is_file():
        return None
    found: dict[str, Any] = json.loads(path.read_text())
    return found
