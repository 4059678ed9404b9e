"""How far the classifier's heat and the detector of a release name the same places.

    table = measure_release(settings, directory, part="holdout")

Over the breasts of patients that neither was trained on, with and without the target:
how many places both name, how often the first place of both is one, and what a place is
worth by who named it: how often its centre lies in a finding of the index. Intervals
resample patients; those of a share have a width where all or none agree
(`mammo.evaluation.effective_count`).
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from mammo.appraisal.agreement_bounds import (
    Bounds,
    Ratio,
    bounds_of_counts,
    bounds_of_mean,
    bounds_of_parts,
)
from mammo.continual.fit import labelled_index
from mammo.continual.judge import in_service
from mammo.continual.score import infer_rows, row_geometries
from mammo.continual.split import known_parts
from mammo.data.index import target_values
from mammo.detection.boxes import boxes_of, centres_in
from mammo.errors import SourceInvalid, TooFewLabels
from mammo.evaluation.bootstrap import Interval
from mammo.exam import parse_findings
from mammo.findings import BOTH, DETECTOR, HEAT, Agreement, SourcedFinding
from mammo.preferred import suitable_rows
from mammo.screening import Screener
from mammo.settings import Settings

Progress = Callable[[int, int], None]
HOLDOUT, GOLDEN = "holdout", "golden"
PARTS = (HOLDOUT,)
"""Parts that neither classifier nor detector was trained on, and that are not sealed."""
SOURCES = {"both": BOTH, "heat alone": (HEAT,), "detector alone": (DETECTOR,)}
RESAMPLES = 1000


@dataclass(frozen=True, eq=False)
class JudgedBreast:
    """The agreement on a breast, whose it is, and whether it has the target.

    ``places`` and ``hits`` count the places by the names of `SOURCES`, and those of them
    whose centre lies in a finding of the index.
    """

    patient_id: str
    positive: bool
    agreement: Agreement
    places: dict[str, int]
    hits: dict[str, int]


@dataclass(frozen=True, eq=False)
class AgreementTable:
    """Measures with intervals, by group of breasts; None where nothing defines one.

    Of each group: ``share`` is the mean over breasts with a place of the part that both
    name, ``top`` how often the first places are one among breasts where both name some,
    ``places`` the mean number of places of a breast by who named them, and ``hits`` the
    part of those places that lie in a finding.
    """

    release: str
    part: str
    groups: dict[str, dict[str, Any]]

    def to_dict(self) -> dict[str, Any]:
        """Return JSON-able data."""
        return {"release": self.release, "part": self.part, "groups": _plain(self.groups)}


def measure_release(
    settings: Settings, directory: Path, *, part: str = "holdout", progress: Progress | None = None
) -> AgreementTable:
    """Measure the agreement of a release's two sources on one of its `PARTS`.

    Patients that are golden to the release in service are left out. Raises SourceInvalid
    where it has no detector or no heat, or for another part; TooFewLabels where the index
    holds none of these patients.
    """
    _require_open(part)
    screener = Screener.load(directory)
    if screener.detector is None:
        raise SourceInvalid(
            f"release {screener.release.id} carries no detector: `mammo detect join` makes "
            "a child that does"
        )
    patients = _patients_of(directory, part) - _patients_of(in_service(settings), GOLDEN)
    index = labelled_index(settings)
    target = target_values(index, screener.release.target)
    rows = index[index["patient_id"].isin(patients) & target.notna()].reset_index(drop=True)
    if rows.empty:
        raise TooFewLabels(f"no labelled exam of the {part} of {directory.name} is in the index")
    breasts = judge_breasts(screener, rows, settings.shards_dir, progress)
    return AgreementTable(screener.release.id, part, summarise_agreement(breasts))


def _require_open(part: str) -> None:
    if part == GOLDEN:
        raise SourceInvalid(
            "part is 'golden', which is sealed: only `mammo gate` looks at it, and writes each "
            f"look down. Allowed is {', '.join(PARTS)}"
        )
    if part not in PARTS:
        raise SourceInvalid(f"part is {part!r}; allowed is {', '.join(PARTS)}")


def _patients_of(directory: Path | None, part: str) -> set[str]:
    return {one for one, of in known_parts(directory).items() if of == part}


def judge_breasts(
    screener: Screener, rows: pd.DataFrame, shards_dir: Path, progress: Progress | None = None
) -> list[JudgedBreast]:
    """Return the agreement on each labelled breast of whole exams in the index.

    By the same findings as the service tells. Raises SourceInvalid where the graph of the
    release tells no heat.
    """
    found = infer_rows(screener, rows, shards_dir, progress, heat=True)
    if found.heat is None:
        raise SourceInvalid(
            f"release {screener.release.id} does not tell where its scores come from: "
            "`mammo export` makes a child that does"
        )
    findings = screener.findings_of(found, row_geometries(rows))
    labels = target_values(rows, screener.release.target)
    pooled = np.asarray(suitable_rows(rows.to_dict("records")), dtype=bool)
    judged = []
    for places in rows.groupby("exam_id", sort=True).indices.values():
        chosen = np.asarray(places)[pooled[np.asarray(places)]]
        sides = [str(rows["laterality"].iloc[place]) for place in chosen]
        for one in screener.agreement_of(sides, [findings[place] for place in chosen]):
            own = [place for place in chosen if rows["laterality"].iloc[place] == one.laterality]
            judged.append(_judge(one, rows.iloc[own], labels.iloc[own], [findings[i] for i in own]))
    return judged


def _judge(
    agreement: Agreement,
    rows: pd.DataFrame,
    labels: pd.Series,
    findings: Sequence[Sequence[Any]],
) -> JudgedBreast:
    places, hits = dict.fromkeys(SOURCES, 0), dict.fromkeys(SOURCES, 0)
    for of_view, text in zip(findings, rows["findings"], strict=True):
        within = _within(of_view, text)
        for name, sources in SOURCES.items():
            named = np.array([one.sources == sources for one in of_view], bool)
            places[name] += int(named.sum())
            hits[name] += int((named & within).sum())
    positive = bool(labels.eq(1).any())
    return JudgedBreast(str(rows["patient_id"].iloc[0]), positive, agreement, places, hits)


def _within(findings: Sequence[SourcedFinding], text: str | None) -> NDArray[np.bool_]:
    truth = boxes_of(parse_findings(text))
    return np.asarray(centres_in(boxes_of(findings), truth).any(axis=1))


def summarise_agreement(
    breasts: Sequence[JudgedBreast], *, resamples: int = RESAMPLES, seed: int = 0
) -> dict[str, dict[str, Any]]:
    """Return the measures of `AgreementTable` for breasts with and without the target."""
    groups = {
        "with": [one for one in breasts if one.positive],
        "without": [one for one in breasts if not one.positive],
    }
    return {name: _group(group, resamples, seed) for name, group in groups.items()}


def _group(breasts: Sequence[JudgedBreast], resamples: int, seed: int) -> dict[str, Any]:
    patients = np.array([one.patient_id for one in breasts])

    def rate(
        top: Sequence[float | None], below: Sequence[float], bounds: Bounds
    ) -> Interval | None:
        ratio = Ratio.of(patients, top, below)
        return None if ratio is None else ratio.interval(bounds, resamples, seed)

    shares = [one.agreement.share for one in breasts]
    firsts = [one.agreement.top for one in breasts]
    ones = [1.0] * len(breasts)
    return {
        "breasts": len(breasts),
        "patients": len(set(patients)),
        "share": rate(shares, [float(one is not None) for one in shares], bounds_of_parts),
        "top": rate(firsts, [float(one is not None) for one in firsts], bounds_of_counts),
        "places": {
            name: rate([one.places[name] for one in breasts], ones, bounds_of_mean)
            for name in SOURCES
        },
        "hits": {
            name: rate(
                [one.hits[name] for one in breasts],
                [float(one.places[name]) for one in breasts],
                bounds_of_counts,
            )
            for name in SOURCES
        },
    }


def _plain(value: Any) -> Any:
    if isinstance(value, Interval):
        return value.to_dict()
    if isinstance(value, dict):
        return {name: _plain(one) for name, one in value.items()}
    return value
