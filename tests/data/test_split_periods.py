from __future__ import annotations

from collections.abc import Callable
from datetime import date

import pandas as pd
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from mammo.data.leaks import find_leaks
from mammo.data.periods import period_table, split_by_period
from mammo.errors import SourceInvalid

MakeIndex = Callable[..., pd.DataFrame]
VISITS = (
    (1, date(2024, 1, 10), 0), (2, date(2024, 3, 31), 1), (3, date(2024, 4, 1), 0),
    (1, date(2024, 5, 2), 1), (4, date(2024, 11, 5), 1), (1, date(2024, 12, 31), 0),
)  # fmt: skip


def make_visits(make_index: MakeIndex, visits: tuple[tuple[int, date, int], ...]) -> pd.DataFrame:
    return make_index(
        [{"patient_id": f"P-{who:016x}", "acquired_on": day, "cancer": cancer}
         for who, day, cancer in visits]
    )  # fmt: skip


@pytest.mark.parametrize(
    ("options", "names", "part"),
    [
        ({"every": "Q"}, ("2024Q1", "2024Q2", "2024Q4"),
         ["2024Q1", "2024Q1", "2024Q2", None, "2024Q4", None]),
        ({"every": "Y"}, ("2024",), ["2024"] * 6),
        ({"boundaries": [date(2024, 4, 1), date(2024, 12, 1)]},
         ("before 2024-04-01", "2024-04-01 to before 2024-12-01", "from 2024-12-01"),
         ["before 2024-04-01"] * 2 + ["2024-04-01 to before 2024-12-01", None,
          "2024-04-01 to before 2024-12-01", None]),
    ],
    ids=["quarters", "a year", "boundaries"],
)  # fmt: skip
def test_first_exam_decides_and_later_ones_are_in_no_part(
    options: dict[str, object], names: tuple[str, ...], part: list[str], make_index: MakeIndex
) -> None:
    split = split_by_period(make_visits(make_index, VISITS), **options)
    assert split.names == names
    assert split.part.tolist() == part


def test_steps_train_on_the_past_and_test_on_new_patients(make_index: MakeIndex) -> None:
    index = make_visits(make_index, VISITS)
    second, last = split_by_period(index, every="Q").steps()
    assert (second.name, last.name) == ("2024Q2", "2024Q4")
    assert index.index[second.train].tolist() == [0, 1]
    assert index.index[second.test].tolist() == [2]  # not patient 1, who came back
    assert index.index[last.train].tolist() == [0, 1, 2, 3]  # her second exam is trained on now
    assert index.index[last.test].tolist() == [4]


def test_table_counts_new_and_returning_patients(make_index: MakeIndex) -> None:
    index = make_visits(make_index, VISITS)
    table = period_table(index, split_by_period(index, every="Q"))
    assert table["patients"].tolist() == [2, 1, 1]
    assert table["returning_patients"].tolist() == [0, 1, 1]
    assert table["positives"].tolist() == [1, 0, 1]
    assert table["train_images"].tolist() == [0, 2, 4]


days = st.dates(date(2020, 1, 1), date(2023, 12, 31))


@settings(
    max_examples=30, suppress_health_check=[HealthCheck.function_scoped_fixture], deadline=None
)
@given(visits=st.lists(st.tuples(st.integers(0, 9), days, st.just(0)), min_size=1, max_size=40))
def test_no_patient_is_trained_and_tested_on(
    visits: list[tuple[int, date, int]], make_index: MakeIndex
) -> None:
    index = make_visits(make_index, tuple(visits))
    split = split_by_period(index, every="M")
    assert find_leaks(index, split.part).passed
    for step in split.steps():
        tested = set(index.loc[step.test, "patient_id"])
        assert not tested & set(index.loc[step.train, "patient_id"])
        if tested and step.train.any():
            last = index.loc[step.train, "acquired_on"].max()
            assert last < index.loc[step.test, "acquired_on"].min()


def test_rows_without_a_date_are_refused_by_set_and_count(make_index: MakeIndex) -> None:
    index = make_index(
        [{"acquired_on": date(2024, 1, 1)}, {}, {"source": "mini-mias"}, {"source": "mini-mias"}]
    )
    message = (
        r"^3 of 4 rows have no date in acquired_on, the first is index row 2; "
        r"by set: mini-mias \(2\), rsna \(1\)\..*--dated-only"
    )
    with pytest.raises(SourceInvalid, match=message):
        split_by_period(index)


@pytest.mark.parametrize("boundaries", [[], [date(2024, 2, 1), date(2024, 1, 1)]], ids=str)
def test_boundaries_out_of_order_are_refused(boundaries: list[date], make_index: MakeIndex) -> None:
    with pytest.raises(SourceInvalid, match="each later than the one before"):
        split_by_period(make_visits(make_index, VISITS), boundaries=boundaries)
