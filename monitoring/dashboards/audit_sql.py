"""The audit of a screening programme in SQL, as BI-RADS counts it.

One row per exam of the release in service, with what is known of it at the chosen maturity:
an exam counts only if it is that old, a cancer only if it was known by then
(`monitoring.maturity`). The label is `mammo.prediction_log.frames.label_exams` in SQL.
"""

from __future__ import annotations

BIOPSY = "biops|histol|pathol"
"""What the source of an outcome says where a biopsy was done; sources are free text."""
Z95 = 1.959964

LABELS = """newest AS (
SELECT DISTINCT ON (exam_id, laterality) exam_id, laterality, cancer, known_at
FROM outcomes ORDER BY exam_id, laterality, known_at DESC, cancer DESC
), said AS (
SELECT exam_id, cancer, known_at FROM newest WHERE laterality IS NULL OR cancer
UNION ALL
SELECT exam_id, false, max(known_at) FROM newest
WHERE laterality IS NOT NULL AND NOT cancer GROUP BY exam_id HAVING count(*) = 2
), label AS (
SELECT DISTINCT ON (exam_id) exam_id, cancer, known_at
FROM said ORDER BY exam_id, known_at DESC, cancer DESC
)"""

CHOSEN = (
    "p.level = 'exam' AND p.role = 'champion' AND p.site IN (${site:sqlstring}) "
    "AND p.scanner IN (${scanner:sqlstring}) AND p.release_id IN (${release:sqlstring})"
)
EXAMS = f"""{LABELS}, exams AS (
SELECT DISTINCT ON (p.exam_id) p.exam_id, p.recall, p.scored_at, p.scanner, p.release_id,
CASE WHEN l.known_at <= p.scored_at + make_interval(days => $maturity) THEN l.cancer END AS cancer,
EXISTS (SELECT 1 FROM outcomes o WHERE o.exam_id = p.exam_id AND o.source ~* '{BIOPSY}') AS biopsied
FROM predictions p LEFT JOIN label l USING (exam_id)
WHERE {CHOSEN} AND $__timeFilter(p.scored_at)
AND p.scored_at <= (now() AT TIME ZONE 'UTC') - make_interval(days => $maturity)
ORDER BY p.exam_id, p.scored_at
)"""

MEASURES: tuple[tuple[str, str, str, float, str, str], ...] = (
    ("Abnormal interpretation (recall) rate", "recall", "true", 100, "5 to 12 %", "11.6 %"),
    ("Cancer detection rate, in 1000", "cancer AND recall", "true", 1000, "2.5 or more", "5.1"),
    ("Sensitivity", "recall AND cancer", "cancer", 100, "75 % or more", "86.9 %"),
    ("Specificity", "NOT recall AND NOT cancer", "NOT cancer", 100, "88 to 95 %", "88.9 %"),
    ("PPV1 (cancer among recalled)", "cancer AND recall", "recall", 100, "3 to 8 %", "4.4 %"),
    ("PPV3 (cancer among biopsied)", "cancer AND recall AND biopsied", "recall AND biopsied", 100,
     "none set (PPV2: 20 to 40 %)", "28.6 %"),
    ("False negatives, in 1000", "cancer AND NOT recall", "true", 1000, "none set", "0.8"),
    ("Outcome known", "cancer IS NOT NULL", "true", 100, "all", ""),
)  # fmt: skip
"""Name, numerator, denominator, scale, acceptable range, mean of the BCSC.

Ranges: BI-RADS 5th edition (ACR 2013), Follow-up and Outcome Monitoring, after Carney et al.
2010 (doi:10.1148/radiol.10091636). Means: Lehman et al. 2017 (doi:10.1148/radiol.2016161174),
1,682,504 digital screening mammograms of 2007 to 2013.
"""


def audit_table() -> str:
    """Return the query of the audit's table: a row a measure, with its 95 % interval."""
    rows = " UNION ALL ".join(
        f"SELECT {place} AS place, '{name}' AS measure, "
        f"count(*) FILTER (WHERE {top}) AS x, count(*) FILTER (WHERE {below}) AS n, "
        f"{scale} AS scale, '{limits}' AS limits, '{mean}' AS mean FROM exams"
        for place, (name, top, below, scale, limits, mean) in enumerate(MEASURES)
    )
    middle = f"(x + {Z95 * Z95 / 2:.6f}) / (n + {Z95 * Z95:.6f})"
    half = f"{Z95} * sqrt(x * (n - x) / n::float8 + {Z95 * Z95 / 4:.6f}) / (n + {Z95 * Z95:.6f})"
    return f"""
        WITH {EXAMS}, measures AS ({rows})
        SELECT measure AS "Measure", x AS "Exams", n AS "Of",
        scale * x / n::float8 AS "Value",
        scale * ({middle} - {half}) AS "Low (95 %)",
        scale * ({middle} + {half}) AS "High (95 %)",
        limits AS "Acceptable (BI-RADS 5)", mean AS "Mean (BCSC 2017)"
        FROM measures WHERE n > 0 ORDER BY place
    """


def audit_number(numerator: str, denominator: str, scale: float = 1) -> str:
    """Return the query of one number; no row where the denominator is 0."""
    return f"""
        WITH {EXAMS}
        SELECT {scale} * count(*) FILTER (WHERE {numerator})
        / count(*) FILTER (WHERE {denominator})::float8 AS value
        FROM exams HAVING count(*) FILTER (WHERE {denominator}) > 0
    """


def audit_by_month(numerator: str, denominator: str, name: str, scale: float = 1) -> str:
    """Return the query of one number by month and scanner."""
    return f"""
        WITH {EXAMS}
        SELECT date_trunc('month', scored_at) AS time, scanner AS metric,
        {scale} * count(*) FILTER (WHERE {numerator})
        / count(*) FILTER (WHERE {denominator})::float8 AS "{name}"
        FROM exams GROUP BY 1, 2 HAVING count(*) FILTER (WHERE {denominator}) > 0 ORDER BY 1
    """
