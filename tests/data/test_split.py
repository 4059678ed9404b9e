from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from mammo.data.balance import balance_table, imbalance
from mammo.data.patients import patient_table
from mammo.data.sources.tabulate import tabulate
from mammo.data.split import (
    UNLABELLED_FOLD,
    golden_patients,
    patients_in_two,
    split_patients,
    split_table,
    strata_of,
)
from mammo.errors import TooFewLabels

MakeIndex = Callable[..., pd.DataFrame]


@pytest.fixture
def screening(make_index: MakeIndex) -> pd.DataFrame:
    """80 patients of two to four images; every fourth has cancer; two scanners and a rare one."""
    rows = [
        {
            "patient_id": f"P-{patient:016x}",
            "cancer": int(patient % 4 == 0 and image == 0),
            "scanner": "rare" if patient == 7 else f"scanner-{patient % 2}",
        }
        for patient in range(80)
        for image in range(2 + patient % 3)
    ]
    return make_index(rows)


def test_patients_never_stand_in_two_folds(screening: pd.DataFrame) -> None:
    fold = split_patients(screening, folds=5, seed=1)
    assert patients_in_two(screening, fold) == []
    assert sorted(fold.unique()) == [0, 1, 2, 3, 4]
    assert (fold.name, fold.dtype, len(fold)) == ("fold", "int64", len(screening))


def test_folds_have_like_outcomes_and_scanners(screening: pd.DataFrame) -> None:
    fold = split_patients(screening, folds=5, seed=1)
    positives = screening["cancer"].groupby(fold).sum()
    assert positives.between(3, 5).all()
    share = (screening["scanner"] == "scanner-0").groupby(fold).mean()
    assert share.between(0.35, 0.65).all()


def test_split_depends_on_the_seed_alone(screening: pd.DataFrame) -> None:
    first, again = (split_patients(screening, folds=4, seed=3) for _ in range(2))
    other = split_patients(screening, folds=4, seed=4)
    assert first.equals(again)
    assert not first.equals(other)


def test_leak_is_found_by_name(screening: pd.DataFrame) -> None:
    fold = split_patients(screening, folds=5, seed=1)
    fold.iloc[0] = (fold.iloc[0] + 1) % 5
    assert patients_in_two(screening, fold) == [screening["patient_id"].iloc[0]]


def test_unlabelled_patients_are_in_no_fold(screening: pd.DataFrame) -> None:
    unlabelled = screening["patient_id"] == "P-0000000000000003"
    screening.loc[unlabelled, "cancer"] = None
    screening.loc[screening.index[0], "cancer"] = None  # one image of a labelled patient
    fold = split_patients(screening, folds=5, seed=1)
    assert (fold[unlabelled] == UNLABELLED_FOLD).all()
    assert (fold[~unlabelled] >= 0).all()
    assert patients_in_two(screening, fold) == []


@pytest.mark.parametrize(
    ("target", "message"),
    [
        ("cancer", "has 2 positive and 4 negative patients; 3 folds need at least 3 of each"),
        ("abnormal", "has 0 positive and 0 negative patients"),
    ],
)
def test_too_few_labels_are_counted(target: str, message: str, make_index: MakeIndex) -> None:
    index = make_index([{"cancer": int(n < 2)} for n in range(6)])
    with pytest.raises(TooFewLabels, match=message):
        split_patients(index, target=target, folds=3, seed=0)


def test_golden_set_does_not_change_as_data_grows(screening: pd.DataFrame) -> None:
    early = golden_patients(screening.head(60), 0.3, seed=0)
    late = golden_patients(screening, 0.3, seed=0)
    assert early == late & set(screening.head(60)["patient_id"])
    assert 0.15 < len(late) / 80 < 0.45
    assert golden_patients(screening, 0.3, seed=1) != late


@pytest.mark.parametrize(("fraction", "count"), [(0.0, 0), (1.0, 80)])
def test_golden_fraction_at_its_ends(fraction: float, count: int, screening: pd.DataFrame) -> None:
    assert len(golden_patients(screening, fraction, seed=0)) == count


def test_golden_fraction_outside_is_refused(screening: pd.DataFrame) -> None:
    with pytest.raises(ValueError, match=r"fraction is 1\.5"):
        golden_patients(screening, 1.5, seed=0)


ages = st.one_of(st.none(), st.integers(0, 119))
rows = st.fixed_dictionaries(
    {
        "patient_id": st.integers(0, 40).map(lambda n: f"P-{n:016x}"),
        "cancer": st.sampled_from([None, 0, 0, 1]),
        "site": st.sampled_from([None, "site-1", "site-2"]),
        "scanner": st.sampled_from([None, "unknown", "Maker/A", "Maker/B"]),
        "density": st.sampled_from([None, "A", "B", "C", "D"]),
        "implant": st.sampled_from([None, False, True]),
        "age_years": ages,
    }
)


@settings(
    max_examples=30, suppress_health_check=[HealthCheck.function_scoped_fixture], deadline=None
)
@given(given_rows=st.lists(rows, min_size=1, max_size=120), folds=st.integers(2, 6))
def test_no_index_puts_a_patient_in_two_folds(
    given_rows: list[dict[str, Any]], folds: int, make_index: MakeIndex
) -> None:
    index = make_index(given_rows)
    try:
        fold = split_patients(index, folds=folds, seed=0, candidates=2)
    except TooFewLabels:
        return
    labelled = index["cancer"].notna().groupby(index["patient_id"]).transform("any")
    assert patients_in_two(index, fold) == []
    assert ((fold >= 0) == labelled).all()
    assert set(fold[labelled]) == set(range(folds))
    outcome = index["cancer"].groupby(index["patient_id"]).max()
    for label in (0, 1):
        patients = fold.groupby(index["patient_id"]).first()[outcome == label]
        assert int(np.ptp(patients.value_counts().reindex(range(folds), fill_value=0))) <= 2


def test_order_of_the_rows_does_not_matter(screening: pd.DataFrame) -> None:
    fold = split_patients(screening, folds=5, seed=1)
    shuffled = screening.sample(frac=1, random_state=3)
    assert split_patients(shuffled, folds=5, seed=1).sort_index().equals(fold)


@pytest.mark.parametrize(
    ("least", "strata"),
    [
        (1, {("1", "a"), ("1", "b"), ("0", "a"), ("0", "b"), ("0", "rare")}),
        (2, {("1", "a"), ("1", "b"), ("0", "a"), ("0", "b, rare")}),
        (5, {("1", "a, b"), ("0", "a, b, rare")}),
    ],
)
def test_rare_strata_are_merged_within_their_outcome(
    least: int, strata: set[tuple[str, str]], make_index: MakeIndex
) -> None:
    many = [(1, "a")] * 3 + [(1, "b")] * 2 + [(0, "a")] * 3 + [(0, "b")] * 4 + [(0, "rare")]
    index = make_index([{"cancer": cancer, "scanner": scanner} for cancer, scanner in many])
    found: dict[int, set[tuple[int, str]]] = {}
    for number, one in zip(strata_of(patient_table(index), least), many, strict=True):
        found.setdefault(int(number), set()).add(one)
    assert {
        (str(next(iter(group))[0]), ", ".join(sorted({scanner for _, scanner in group})))
        for group in found.values()
    } == strata


def test_least_important_attribute_is_dropped_first(make_index: MakeIndex) -> None:
    index = make_index(
        [{"cancer": 0, "density": "B", "implant": n == 0} for n in range(6)]
        + [{"cancer": 0, "density": "D", "implant": False} for _ in range(6)]
    )
    implant, rest, dense = (set(strata_of(patient_table(index), 2)[part])
                            for part in (slice(0, 1), slice(1, 6), slice(6, 12)))  # fmt: skip
    assert len(rest) == len(dense) == 1
    # the single implant has nobody of her density left: she joins the outcome's largest
    assert implant <= rest | dense
    assert rest != dense


@pytest.mark.slow
def test_real_table_is_split_evenly(shared: Path) -> None:
    index = tabulate("rsna", shared / "rsna/train.csv", b"k" * 32)
    fold = split_patients(index, folds=5, seed=7, candidates=2)
    positives = index["cancer"].groupby([fold, index["patient_id"]]).max().groupby("fold").sum()
    assert sorted(positives) == [97, 97, 97, 97, 98]
    table = balance_table(index, fold)
    assert table["difference_sd"].abs().max() < 0.02
    assert patients_in_two(index, fold) == []


@pytest.mark.parametrize(("folds", "candidates"), [(1, 3), (3, 0)])
def test_a_split_into_nothing_is_refused(
    folds: int, candidates: int, screening: pd.DataFrame
) -> None:
    with pytest.raises(ValueError, match=f"folds is {folds}, candidates {candidates}"):
        split_patients(screening, folds=folds, candidates=candidates, seed=0)


def test_more_candidates_are_never_less_even(screening: pd.DataFrame) -> None:
    patients = patient_table(screening)
    uneven = [
        imbalance(patients, split_table(patients, seed=5, candidates=n).to_numpy(), 5)
        for n in (1, 4, 12)
    ]
    assert uneven == sorted(uneven, reverse=True)
