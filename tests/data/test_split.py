from __future__ import annotations

from collections.abc import Callable

import pandas as pd
import pytest

from mammo.data.split import UNLABELLED_FOLD, golden_patients, patients_in_two, split_patients
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
