"""Shares and tests at the level of patients, against resampling and against the textbook."""

from __future__ import annotations

import numpy as np
import pandas as pd
import pytest
from scipy.stats import chi2_contingency

from mammo.data.query import query_frame
from mammo.evaluation.bootstrap import patient_bootstrap
from mammo.evaluation.metrics import rate_statistic
from mammo.explore.association import ATTRIBUTES, associate, associations
from mammo.explore.counts import breast_share, image_share, patient_share
from mammo.explore.people import rank_test
from tests.explore.cohorts import cohort, row

from mammo.data.index import index_from_rows  # isort: skip

BY_KEY = {attribute.key: attribute for attribute in ATTRIBUTES}


def _uneven(seed: int = 1) -> pd.DataFrame:
    """Patients with 2 to 12 images, all of a positive patient's positive: strong clustering."""
    rng = np.random.default_rng(seed)
    rows = []
    for patient in range(300):
        cancer = int(rng.random() < 0.1)
        rows += [row(len(rows) + i, patient, cancer=cancer) for i in range(rng.integers(2, 13))]
    return index_from_rows(rows)


def test_share_of_images_agrees_with_resampling_patients() -> None:
    frame = _uneven()
    with query_frame(frame) as query:
        share = image_share(query, "cancer")
    flags = frame["cancer"].to_numpy(bool)
    drawn = patient_bootstrap(
        frame["patient_id"].to_numpy(), rate_statistic(flags), resamples=1000, seed=0
    )
    assert share.rate == pytest.approx(drawn.value)
    assert share.low == pytest.approx(drawn.low, abs=0.012)
    assert share.high == pytest.approx(drawn.high, abs=0.012)
    naive = patient_share(share.positive, share.total)  # as if images were independent
    assert share.high - share.low > 1.8 * (naive.high - naive.low)


def test_unlabelled_images_are_in_no_share() -> None:
    frame = cohort(40, cancer=lambda p, side, _: None if p >= 20 else int(p == 0))
    with query_frame(frame) as query:
        assert image_share(query, "cancer").total == 80
        assert breast_share(query, "cancer").total == 40


def test_an_attribute_of_the_patient_is_tested_by_pearson_on_patients() -> None:
    frame = cohort(
        400,
        site=lambda p, *_: "site-a" if p % 4 else "site-b",
        cancer=lambda p, side, _: int(side == "L" and p % (8 if p % 4 == 0 else 9) == 0),
    )
    with query_frame(frame) as query:
        found = associate(query, BY_KEY["site"], "cancer")
    assert found is not None
    assert found.unit == "patients"
    assert sum(share.total for _, share in found.levels) == 400
    y = np.array([share.positive for _, share in found.levels])
    n = np.array([share.total for _, share in found.levels])
    assert found.p == pytest.approx(chi2_contingency([y, n - y], correction=False).pvalue)


@pytest.mark.slow
def test_the_test_of_an_attribute_within_patients_holds_its_level() -> None:
    """Under no association, about one p in twenty is below 0.05, though images go together."""
    below = 0
    for seed in range(60):
        frame = cohort(150, seed=seed, cancer=lambda p, side, rng: int(rng.random() < 0.15))
        with query_frame(frame) as query:
            found = associate(query, BY_KEY["side"], "cancer")
        assert found is not None
        assert found.unit == "images"
        below += (found.p or 0.0) < 0.05
    assert below <= 8  # 3 expected; more than 8 has a chance below one in a hundred


def test_a_side_with_all_the_cancers_is_found_whatever_the_correction() -> None:
    with query_frame(cohort(200)) as query:
        found = {one.attribute.key: one for one in associations(query, "cancer")}
    side = found["side"]
    assert side.p_holm is not None
    assert side.p_holm < 0.001
    assert side.explained > 0.1
    assert found["view"].p_holm == pytest.approx(1.0)


def test_ages_are_ranked_as_by_mann_whitney() -> None:
    from scipy.stats import mannwhitneyu

    rng = np.random.default_rng(0)
    a, b = rng.integers(55, 80, 60), rng.integers(45, 75, 300)
    counted = [
        pd.Series(values).value_counts().rename_axis("age").rename("exams").reset_index()
        for values in (a, b)
    ]
    p, above = rank_test(*counted)
    expected = mannwhitneyu(a, b, use_continuity=False, method="asymptotic")
    assert p == pytest.approx(expected.pvalue, rel=1e-6)
    assert above == pytest.approx(expected.statistic / (60 * 300))
