"""Shares with intervals, from sums that SQL gives: no row ever leaves the index.

The unit of every interval is the patient. A share of images or breasts gets
Wilson's interval on the *effective* number of rows: the variance of a ratio of
patients' sums (Cochran 1977, section 6.3) says how many independent rows would
tell as much (Korn and Graubard 1998, Survey Methodology 24:193).
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from mammo.evaluation.bootstrap import wilson_bounds

if TYPE_CHECKING:
    import pandas as pd

    from mammo.data.query import IndexQuery

LEVEL = 0.95

BREASTS = """
    SELECT patient_id, exam_id, laterality, max({target}) AS outcome, count(*) AS images
    FROM exams WHERE laterality IN ('L', 'R') GROUP BY ALL
"""
"""One row per breast; ``outcome`` is null where no image of it has a label."""

PATIENTS = """
    SELECT patient_id, count(*) AS images,
        CASE WHEN max({target}) = 1 THEN 1
             WHEN count({target}) = count(*) THEN 0 END AS outcome,
        count({target}) AS labelled
    FROM exams GROUP BY patient_id
"""
"""One row per patient: positive if any image is, negative if all images are."""


@dataclass(frozen=True)
class Share:
    """``positive`` of ``total``, with a 95% interval of the rate; NaN where total is 0."""

    positive: int
    total: int
    low: float
    high: float
    patients: int

    @property
    def rate(self) -> float:
        """The share, in [0, 1]."""
        return self.positive / self.total if self.total else float("nan")


def patient_share(positive: int, patients: int) -> Share:
    """Return the share of patients with Wilson's interval."""
    if not patients:
        return Share(0, 0, float("nan"), float("nan"), 0)
    low, high = wilson_bounds(positive / patients, patients, LEVEL)
    return Share(int(positive), int(patients), low, high, int(patients))


CLUSTER_SUMS = """
    count(*) AS m, sum(y) AS y, sum(n) AS n, sum(y * y) AS yy, sum(y * n) AS yn, sum(n * n) AS nn
"""
"""Aggregates over patients whose ``y`` of ``n`` rows are positive: what `row_share` takes."""


def row_share(sums: Any) -> Share:
    """Return the share of rows (images, breasts) of patients, from `CLUSTER_SUMS`.

    ``sums`` has m, y, n, yy, yn, nn as attributes or a Series' items. Where the
    rows show no variance (no positive, or all), every patient counts as one row.
    """
    m, y, n = int(sums["m"]), int(sums["y"] or 0), int(sums["n"] or 0)
    if not n:
        return Share(0, 0, float("nan"), float("nan"), 0)
    rate = y / n
    spread = float(sums["yy"]) - 2 * rate * float(sums["yn"]) + rate**2 * float(sums["nn"])
    variance = spread / n**2 * m / (m - 1) if m > 1 else 0.0
    effective = rate * (1 - rate) / variance if variance > 1e-15 else float(m)
    low, high = wilson_bounds(rate, max(1.0, min(effective, float(n))), LEVEL)
    return Share(y, n, low, high, m)


def image_share(query: IndexQuery, target: str) -> Share:
    """Return the share of labelled images whose ``target`` (a column of 0 and 1) is 1."""
    sums = query.frame(f"""
        SELECT {CLUSTER_SUMS} FROM (
            SELECT sum({target})::DOUBLE AS y, count({target})::DOUBLE AS n
            FROM exams WHERE {target} IS NOT NULL GROUP BY patient_id)
    """)
    return row_share(sums.iloc[0])


def breast_share(query: IndexQuery, target: str) -> Share:
    """Return the share of labelled breasts that are positive in any image."""
    sums = query.frame(f"""
        SELECT {CLUSTER_SUMS} FROM (
            SELECT sum(outcome)::DOUBLE AS y, count(outcome)::DOUBLE AS n
            FROM ({BREASTS.format(target=target)})
            WHERE outcome IS NOT NULL GROUP BY patient_id)
    """)
    return row_share(sums.iloc[0])


def known(query: IndexQuery, *columns: str) -> dict[str, int]:
    """Return in how many rows each column has a value; an empty text is no value."""
    terms = ", ".join(f"count(nullif(trim({name}::VARCHAR), '')) AS {name}" for name in columns)
    row = query.frame(f"SELECT {terms} FROM exams").iloc[0]
    return {name: int(row[name]) for name in columns}


def records(frame: pd.DataFrame) -> list[Any]:
    """Return the rows of an answer as named tuples, whose values have SQL's types."""
    return list(frame.itertuples(index=False))


def one_row(query: IndexQuery, sql: str) -> pd.Series:
    """Return the only row of an answer."""
    return query.frame(sql).iloc[0]


def main_target(query: IndexQuery) -> str | None:
    """Return the label that the report is about: ``cancer``, else ``abnormal``, else None."""
    labelled = known(query, "cancer", "abnormal")
    return next((name for name, rows in labelled.items() if rows), None)


POSITIVE_WORDS = {"cancer": "cancer", "abnormal": "an abnormality"}
"""What a positive label says, as it stands in a sentence: ``patients with cancer``."""
