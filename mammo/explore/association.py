"""Whether an attribute of the record goes with the label: shares by level, one test, one size.

The test knows that images of a patient go together. An attribute of the patient
(nearly every patient has one level of it) is tested on patients by Pearson's
chi-square. One that varies within patients (view, side) is tested by a score
test whose variance comes from the patients' sums (Boos 1992, The American
Statistician 46:327). Levels with too few expected positives are put together.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

import numpy as np

from mammo.explore.counts import CLUSTER_SUMS, Share, patient_share, records, row_share

if TYPE_CHECKING:
    import pandas as pd

    from mammo.data.query import IndexQuery

MIN_EXPECTED = 5.0
"""Expected positives (and negatives) of a level, below which chi-square is no good (Cochran)."""
MOST_LEVELS = 24
OTHERS = "all others"
UNSTATED = "not stated"
ONE_LEVEL = 1.01
"""Levels per patient up to which an attribute is one of the patient."""


@dataclass(frozen=True)
class Attribute:
    """One thing the record tells; ``sql`` gives its level as text, null where not stated."""

    key: str
    title: str
    sql: str


AGE_BAND = """CASE WHEN age_years < 40 THEN 'under 40' WHEN age_years < 50 THEN '40 to 49'
    WHEN age_years < 60 THEN '50 to 59' WHEN age_years < 70 THEN '60 to 69'
    WHEN age_years < 80 THEN '70 to 79' WHEN age_years >= 80 THEN '80 and over' END"""
DENSITY = """density || CASE WHEN source IN (SELECT source FROM exams
    WHERE density IN ('F', 'G')) THEN ' (MIAS)' ELSE '' END"""
"""Density's letter and scale: D is extremely dense in BI-RADS, dense-glandular in MIAS."""
ATTRIBUTES = (
    Attribute("source", "source", "source"),
    Attribute("site", "site", "site"),
    Attribute("scanner", "scanner", "scanner"),
    Attribute("software", "software version", "software_version"),
    Attribute("year", "year", "year(acquired_on)::VARCHAR"),
    Attribute("age", "age band", AGE_BAND),
    Attribute("density", "density", DENSITY),
    Attribute("implant", "implant", "CASE WHEN implant THEN 'implant' ELSE 'no implant' END"),
    Attribute("view", "view", "view"),
    Attribute("side", "side", "laterality"),
    Attribute("images", "images of the exam",
              "least(count(*) OVER (PARTITION BY exam_id), 9)::VARCHAR"),
    Attribute("size", "image size", "rows::VARCHAR || ' x ' || columns::VARCHAR"),
)  # fmt: skip
"""What is known of an image without looking at it, and before anybody has read it."""


@dataclass(frozen=True)
class Association:
    """Shares by level, and whether they differ by more than chance.

    ``unit`` is what the shares count, patients or images. ``p`` is None where no
    test is possible; ``explained`` is the mutual information as a share of the
    label's entropy, in [0, 1], corrected for the number of levels (Miller-Madow).
    """

    attribute: Attribute
    levels: tuple[tuple[str, Share], ...]
    unit: str
    p: float | None
    explained: float
    p_holm: float | None = None

    @property
    def compared(self) -> tuple[tuple[str, Share], ...]:
        """The levels with enough expected positives to be called high or low."""
        total = sum(share.total for _, share in self.levels)
        rate = sum(share.positive for _, share in self.levels) / max(total, 1)
        least = MIN_EXPECTED / max(min(rate, 1 - rate), 1e-12)
        return tuple(item for item in self.levels if item[1].total >= least)


def associations(query: IndexQuery, target: str) -> list[Association]:
    """Return one association per attribute that has at least two levels, Holm-corrected."""
    found = [
        one for attribute in ATTRIBUTES if (one := associate(query, attribute, target)) is not None
    ]
    return holm(found)


def associate(
    query: IndexQuery,
    attribute: Attribute,
    target: str,
    *,
    of_images: bool = False,
    tested: bool = True,
) -> Association | None:
    """Return the association of one attribute with the label; None with fewer than two levels.

    ``target`` is SQL that gives 0, 1 or null; ``of_images`` counts images even where the
    attribute is one of the patient; without ``tested`` no p is computed (it costs a join).
    """
    sums = query.frame(f"""
        WITH c AS ({_by_patient(attribute, target)})
        SELECT level, sum(positive) AS positive, {CLUSTER_SUMS}
        FROM c GROUP BY level ORDER BY level
    """)
    if len(sums) < 2:
        return None
    sums = _with_others(sums)
    patients = int(
        query.frame(
            f"SELECT count(DISTINCT patient_id) AS n FROM exams WHERE {target} IS NOT NULL"
        )["n"].iloc[0]
    )
    of_patient = not of_images and sums["m"].sum() <= ONE_LEVEL * patients
    if of_patient:
        shares = [patient_share(row.positive, row.m) for row in records(sums)]
        p = _pearson(sums["positive"].to_numpy(float), sums["m"].to_numpy(float))
    else:
        shares = [row_share(row) for _, row in sums.iterrows()]
        p = _score_test(query, attribute, target, sums) if tested else None
    levels = tuple(sorted(zip(sums["level"], shares, strict=True), key=_reading_order))
    return Association(
        attribute, levels, "patients" if of_patient else "images", p, explained(shares)
    )


def _reading_order(level: tuple[str, Share]) -> tuple[int, int, str]:
    """Sort levels as a reader expects: under 40 first, 10 after 9, what is not stated last."""
    name = level[0]
    rank = {OTHERS: 1, UNSTATED: 2}.get(name, -1 if name.startswith("under ") else 0)
    return rank, int(name) if name.isdigit() else 0, name


def holm(found: Sequence[Association]) -> list[Association]:
    """Return the associations with Holm's adjusted p values (Holm 1979)."""
    tested = sorted((one for one in found if one.p is not None), key=lambda one: one.p or 0.0)
    adjusted: dict[str, float] = {}
    running = 0.0
    for rank, one in enumerate(tested):
        running = max(running, min(1.0, (len(tested) - rank) * (one.p or 0.0)))
        adjusted[one.attribute.key] = running
    return [replace(one, p_holm=adjusted.get(one.attribute.key)) for one in found]


def explained(shares: Sequence[Share]) -> float:
    """Return the share of the label's entropy that the level tells, bias-corrected."""
    positive = np.array([share.positive for share in shares], float)
    total = np.array([share.total for share in shares], float)
    n = total.sum()
    entropy = _entropy(positive.sum() / n)
    if entropy == 0:
        return 0.0
    inside = float((total / n * np.array([_entropy(v) for v in positive / total])).sum())
    bias = (len(shares) - 1) / (2 * n)
    return max(0.0, (entropy - inside - bias) / entropy)


def _entropy(rate: float) -> float:
    if rate <= 0 or rate >= 1:
        return 0.0
    return float(-rate * np.log(rate) - (1 - rate) * np.log(1 - rate))


def _by_patient(attribute: Attribute, target: str) -> str:
    level = f"coalesce(nullif(trim(({attribute.sql})::VARCHAR), ''), '{UNSTATED}')"
    return f"""
        SELECT patient_id, level, sum(t)::DOUBLE AS y, count(t)::DOUBLE AS n,
            max(t)::INTEGER AS positive
        FROM (SELECT patient_id, {level} AS level, {target} AS t FROM exams) WHERE t IS NOT NULL
        GROUP BY ALL
    """


def _with_others(sums: pd.DataFrame) -> pd.DataFrame:
    """Put all but the largest levels together, so that a table stays a table."""
    import pandas as pd

    if len(sums) <= MOST_LEVELS:
        return sums.reset_index(drop=True)
    ordered = sums.sort_values("m", ascending=False)
    rest = ordered.iloc[MOST_LEVELS - 1 :].drop(columns="level").sum()
    kept = ordered.iloc[: MOST_LEVELS - 1].sort_values("level")
    return pd.concat([kept, pd.DataFrame([{"level": OTHERS, **rest}])], ignore_index=True)


def _groups(positive: np.ndarray, total: np.ndarray) -> np.ndarray | None:
    """Return each level's group, the rare ones together; None if fewer than two remain."""
    rate = positive.sum() / total.sum()
    expected = total * min(rate, 1 - rate)
    if expected.sum() == 0:
        return None
    rare = expected < MIN_EXPECTED
    group = np.cumsum(~rare) - 1
    if not rare.any():
        return group if len(group) > 1 else None
    if expected[rare].sum() >= MIN_EXPECTED:
        group[rare] = group.max() + 1
        return group if group.max() > 0 else None
    if (~rare).sum() < 2:
        return None
    group[rare] = int(np.argmin(np.where(rare, np.inf, expected)[~rare]))
    return group


def _merged(values: np.ndarray, group: np.ndarray) -> np.ndarray:
    return np.bincount(group, weights=values)


def _pearson(positive: np.ndarray, total: np.ndarray) -> float | None:
    from scipy.stats import chi2_contingency

    group = _groups(positive, total)
    if group is None:
        return None
    y, n = _merged(positive, group), _merged(total, group)
    return float(chi2_contingency(np.array([y, n - y]), correction=False).pvalue)


def _score_test(
    query: IndexQuery, attribute: Attribute, target: str, sums: pd.DataFrame
) -> float | None:
    from scipy.stats import chi2

    group = _groups(sums["y"].to_numpy(float), sums["n"].to_numpy(float))
    if group is None:
        return None
    y, n = _merged(sums["y"].to_numpy(float), group), _merged(sums["n"].to_numpy(float), group)
    rate = y.sum() / n.sum()
    products = _products(query, attribute, target, rate, sums["level"].tolist(), group)
    share = n / n.sum()
    along = products.sum(axis=1)
    variance = (
        products - np.outer(along, share) - np.outer(share, along)
        + np.outer(share, share) * products.sum()
    )  # fmt: skip
    score = (y - rate * n)[:-1]
    statistic = float(score @ np.linalg.pinv(variance[:-1, :-1]) @ score)
    return float(chi2.sf(statistic, len(score)))


def _products(
    query: IndexQuery, attribute: Attribute, target: str, rate: float, levels: list[str],
    group: np.ndarray,
) -> np.ndarray:  # fmt: skip
    """Return the sum over patients of the products of their groups' residuals."""
    frame = query.frame(
        f"""
        WITH c AS (SELECT patient_id, level, y - ? * n AS z FROM ({_by_patient(attribute, target)}))
        SELECT a.level AS i, b.level AS j, sum(a.z * b.z) AS v
        FROM c AS a JOIN c AS b USING (patient_id) GROUP BY ALL
    """,
        [rate],
    )
    place = dict(zip(levels, group, strict=True))
    others = place.get(OTHERS, 0)
    out = np.zeros((group.max() + 1,) * 2)
    for row in records(frame):
        out[place.get(row.i, others), place.get(row.j, others)] += row.v
    return out
