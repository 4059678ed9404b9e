from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pandas as pd
import pytest

from mammo.data.leaks import find_leaks
from mammo.data.machines import (
    HELD_OUT,
    REST,
    hold_out_machine,
    leave_one_machine_out,
    machine_sentences,
    wilson,
)
from mammo.data.sources.tabulate import tabulate
from mammo.errors import TooFewLabels

MakeIndex = Callable[..., pd.DataFrame]


@pytest.fixture
def three(make_index: MakeIndex) -> pd.DataFrame:
    """Patients 0-39 on A (half with cancer, dense), 40-79 on B (a tenth); 80 on A and B."""
    rows = [
        {"patient_id": f"P-{n:016x}", "scanner": "A" if n < 40 else "B",
         "cancer": int(n % 2 == 0) if n < 40 else int(n % 10 == 0),
         "density": "D" if n < 40 else "B"}
        for n in range(80)
    ]  # fmt: skip
    both = [{"patient_id": f"P-{80:016x}", "scanner": scanner, "cancer": 0, "density": "B"}
            for scanner in ("A", "B", "B")]  # fmt: skip
    return make_index([*rows, *both])


def test_patient_on_two_machines_stands_on_one_side(three: pd.DataFrame) -> None:
    side = hold_out_machine(three, "A")
    both = three["patient_id"] == f"P-{80:016x}"
    assert side[both].tolist() == [HELD_OUT, None, None]
    assert set(three.loc[side == REST, "scanner"]) == {"B"}
    assert set(three.loc[side == HELD_OUT, "scanner"]) == {"A"}
    assert find_leaks(three, side).passed


def test_table_has_both_sides_of_each_machine(three: pd.DataFrame) -> None:
    table = leave_one_machine_out(three).set_index("machine")
    a = table.loc["A"]
    assert (a["patients"], a["positives"], a["images"], a["images_aside"]) == (41, 20, 41, 2)
    assert (a["rest_patients"], a["rest_positives"]) == (40, 4)
    assert a["low"] == pytest.approx(0.343, abs=1e-3)
    assert a["shifts"][0] == "density B: 2.4%, rest 100.0%"
    assert table["few_positives"].to_dict() == {"A": False, "B": True}


def test_sentences_tell_a_clear_difference_and_too_few_positives(three: pd.DataFrame) -> None:
    first, second = machine_sentences(leave_one_machine_out(three))
    assert first.startswith("A: 48.78% of 41 patients are positive (34.25% to 63.52%), 10.00% of")
    assert first.endswith("clearly above the rest.")
    assert "Only 4 positive: too few to measure a model on (below 20)." in second


def test_unknown_machine_is_refused_with_those_there_are(three: pd.DataFrame) -> None:
    with pytest.raises(TooFewLabels, match="no image was made on machine 'C'; there are A, B"):
        hold_out_machine(three, "C")


def test_the_only_machine_leaves_nobody(make_index: MakeIndex) -> None:
    table = leave_one_machine_out(
        make_index([{"cancer": n % 2, "scanner": None} for n in range(4)])
    )
    assert table.loc[0, "machine"] == "unknown"
    assert table.loc[0, "rest_patients"] == 0


@pytest.mark.parametrize(
    ("positives", "patients", "low", "high"),
    [(0, 10, 0.0, 0.2775), (5, 10, 0.2366, 0.7634), (486, 11913, 0.0374, 0.0445)],
)
def test_wilson_interval(positives: int, patients: int, low: float, high: float) -> None:
    assert wilson(positives, patients) == pytest.approx((low, high), abs=1e-4)


@pytest.mark.slow
def test_real_table_has_ten_machines(shared: Path) -> None:
    index = tabulate("rsna", shared / "rsna/train.csv", b"k" * 32)
    table = leave_one_machine_out(index).set_index("machine")
    assert len(table) == 10
    assert table["images"].sum() == 54_706
    assert table.loc["RSNA/machine-49", ["patients", "positives"]].tolist() == [4589, 234]
    # the one patient on two machines is held out with either
    assert table["patients"].sum() == 11_913 + 1
    assert table.loc[["RSNA/machine-93", "RSNA/machine-190"], "images_aside"].tolist() == [1, 6]
    assert table["few_positives"].sum() == 6
