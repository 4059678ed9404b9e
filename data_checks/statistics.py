"""Counts of the index that stand beside its verdict."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import pandas as pd

if TYPE_CHECKING:
    from mammo.data.query import IndexQuery

MOST_LEVELS = 50
_COUNTS = """
SELECT count(*) AS images, count(DISTINCT exam_id) AS exams,
    count(DISTINCT patient_id) AS patients, count(cancer) AS images_with_outcome,
    coalesce(sum(cancer), 0) AS cancer_images, coalesce(sum(abnormal), 0) AS abnormal_images
FROM exams
"""
_BREASTS = """
SELECT count(*) AS breasts, avg(cancer) AS prevalence FROM (
    SELECT max(cancer) AS cancer FROM exams WHERE cancer IS NOT NULL GROUP BY exam_id, laterality)
"""
_MIXES = {
    "scanner_mix": "scanner",
    "software_mix": "scanner || ' ' || coalesce(software_version, '')",
    "site_mix": "site",
    "source_mix": "source",
    "view_mix": "laterality || ' ' || \"view\"",
}


def index_statistics(query: IndexQuery) -> dict[str, Any]:
    """Return counts of images, exams, patients, labels, and the mix of scanners.

    A mix names its `MOST_LEVELS` most frequent levels.
    """
    counts: dict[str, Any] = {
        str(name): int(value) for name, value in query.frame(_COUNTS).iloc[0].items()
    }
    breasts = query.frame(_BREASTS).iloc[0]
    prevalence = breasts["prevalence"]
    return {
        **counts,
        "breasts_with_outcome": int(breasts["breasts"]),
        "prevalence_of_breasts": None if pd.isna(prevalence) else round(float(prevalence), 4),
        **{name: _mix(query, sql) for name, sql in _MIXES.items()},
    }


def _mix(query: IndexQuery, sql: str) -> dict[str, int]:
    rows = query.frame(
        f"SELECT {sql} AS level, count(*) AS images FROM exams WHERE {sql} IS NOT NULL "
        f"GROUP BY 1 ORDER BY 2 DESC, 1 LIMIT {MOST_LEVELS}"
    )
    return {str(one).strip(): int(n) for one, n in zip(rows["level"], rows["images"], strict=True)}
