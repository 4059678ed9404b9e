from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from mammo.data.balance import balance_table, require_balanced
from mammo.data.sources.tabulate import tabulate
from mammo.data.split import split_patients
from mammo.errors import PatientLeak, SplitUnbalanced

MakeIndex = Callable[..., pd.DataFrame]


@pytest.fixture
def women(make_index: MakeIndex) -> pd.DataFrame:
    """400 patients of two images: a tenth with cancer, a quarter on machine B."""
    return make_index(
        [
            {
                "patient_id": f"P-{patient:016x}",
                "exam_id": f"E-{patient:016x}",
                "laterality": side,
                "cancer": int(patient % 10 == 0),
                "scanner": "B" if patient % 4 == 1 else "A",
                "age_years": 45 + patient % 30,
            }
            for patient in range(400)
            for side in "LR"
        ]
    )


def by_number(index: pd.DataFrame) -> pd.Series:
    return index["patient_id"].str[2:].map(lambda digits: int(digits, 16))


def test_table_counts_patients_and_what_belongs_to_them(women: pd.DataFrame) -> None:
    fold = pd.Series(np.where(by_number(women) < 100, "small", "large"), index=women.index)
    table = balance_table(women, fold).set_index(["attribute", "level", "fold"])
    whole = table.loc[("all", "all", "small")]
    assert tuple(whole[["patients", "breasts", "images"]]) == (100, 200, 200)
    b = table.loc[("machine", "B", "small")]
    assert (b["patients"], b["share_in_fold"], b["share_overall"]) == (25, 0.25, 0.25)
    # hypergeometric: sqrt(.25 * .75 / 100 * 300 / 399) = 3.75 percentage points
    assert b["chance_pp"] == pytest.approx(3.7547, abs=1e-3)
    assert b["allowed_pp"] == pytest.approx(3 * 3.7547, abs=1e-2)
    assert b["difference_pp"] == 0


def test_assignment_by_patient_and_by_row_give_one_table(women: pd.DataFrame) -> None:
    fold = split_patients(women, folds=4, seed=1)
    by_patient = fold.groupby(women["patient_id"]).first().sample(frac=1, random_state=1)
    assert balance_table(women, fold).equals(balance_table(women, by_patient))


@pytest.mark.parametrize(
    ("broken", "message"),
    [
        # all cancers in one fold
        (lambda n: np.where(n % 10 == 0, 0, n % 3), r"at outcome 'positive', all folds .* 10\.00%"),
        # each machine a fold of its own
        (
            lambda n: (n % 4 == 1).astype(int),
            r"fold 0 has 100\.00% .* at machine 'A', all folds .* 75\.00%",
        ),
        # the youngest apart
        (
            lambda n: (n % 30 < 5).astype(int),
            r"fold 0 has 0\.00% .* at age '40-49', all folds .* 17\.50%",
        ),
    ],
    ids=["cancers in one fold", "machine is fold", "the youngest apart"],
)
def test_broken_split_is_refused(
    broken: Callable[[pd.Series], np.ndarray], message: str, women: pd.DataFrame
) -> None:
    fold = pd.Series(broken(by_number(women)), index=women.index)
    with pytest.raises(SplitUnbalanced, match=message) as refusal:
        require_balanced(balance_table(women, fold))
    assert "Split again by patient with `mammo data split`" in refusal.value.message
    assert "P-" not in refusal.value.message


@pytest.mark.parametrize(
    ("patients", "folds"), [(4, 2), (6, 3), (12, 5), (30, 12), (60, 15)], ids=str
)
def test_small_sets_are_not_refused_for_what_cannot_be_balanced(
    patients: int, folds: int, make_index: MakeIndex
) -> None:
    """One patient alone on her machine, one of another age: no split can spread them."""
    index = make_index(
        [
            {"cancer": n % 2, "scanner": "alone" if n == 0 else "A", "age_years": [50, 80][n == 1]}
            for n in range(patients)
        ]
    )  # fmt: skip
    if patients // 2 < folds:
        folds = patients // 2
    require_balanced(balance_table(index, split_patients(index, folds=folds, seed=0)))


def test_tolerance_narrows_as_the_set_grows(make_index: MakeIndex) -> None:
    shares = (50, 5000)
    allowed = []
    for count in shares:
        index = make_index([{"cancer": n % 2} for n in range(count)])
        fold = pd.Series(np.arange(count) // 2 % 5, index=index.index)
        table = balance_table(index, fold)
        allowed.append(table.loc[table["attribute"] == "outcome", "allowed_pp"].max())
    assert allowed[0] > 30
    assert allowed[1] == pytest.approx(4.24, abs=0.01)  # three times 1.41


def test_patients_in_no_part_are_left_out(women: pd.DataFrame) -> None:
    fold = pd.Series(np.where(by_number(women) < 40, -1, by_number(women) % 2), index=women.index)
    table = balance_table(women, fold)
    assert table.loc[table["attribute"] == "all", "patients"].sum() == 360
    assert set(table["fold"]) == {0, 1}


def test_patient_in_two_parts_has_no_share(women: pd.DataFrame) -> None:
    fold = by_number(women) % 2
    fold.iloc[0] = 1 - fold.iloc[0]
    with pytest.raises(PatientLeak, match=r"^1 patient stands in more than one part"):
        balance_table(women, fold)


@pytest.mark.slow
def test_real_table_split_by_machine_is_refused(shared: Path) -> None:
    index = tabulate("rsna", shared / "rsna/train.csv", b"k" * 32)
    home = index.groupby("patient_id")["scanner"].first()
    parts = (home == "RSNA/machine-49").map({True: "test", False: "train"})
    with pytest.raises(SplitUnbalanced, match="other levels are off too"):
        require_balanced(balance_table(index, parts))
