from __future__ import annotations

import pytest

from mammo.data.index import INDEX_SCHEMA

from . import broken_log, broken_split, broken_store
from .broken import MUTATIONS
from .checks_page import PAGE, Table, make_page, tables

pytestmark = pytest.mark.slow

pytest.importorskip("great_expectations", reason="the extra 'checks' is not installed")

FAULTS = [
    *(("index", one.column, one.how) for one in MUTATIONS),
    *(("pixels", *one[:2]) for one in broken_store.FAULTS),
    *(("splits", *one[:2]) for one in broken_split.FAULTS),
    *(("predictions", *one[:2]) for one in broken_log.PREDICTION_FAULTS),
    *(("outcomes", *one[:2]) for one in broken_log.OUTCOME_FAULTS),
]
UNBROKEN = {"outcomes": {"id"}, "predictions": {"request_id"}}
"""The database counts the one, and nothing refers to it; the other is null in older logs, and
that a request is logged once is held as it is written (tests/prediction_log/test_scorings.py)."""


@pytest.fixture(scope="module")
def found(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Table]:
    return {one.suite: one for one in tables(tmp_path_factory.mktemp("broken"))}


def test_every_column_of_the_index_is_broken() -> None:
    assert {one.column for one in MUTATIONS} == set(INDEX_SCHEMA.names)


@pytest.mark.parametrize("table", ["predictions", "outcomes"])
def test_every_column_of_the_log_is_broken(table: str) -> None:
    broken = {column for suite, column, _ in FAULTS if suite == table}
    assert broken == broken_log.columns(table) - UNBROKEN.get(table, set())


@pytest.mark.parametrize("suite", ["index", "pixels", "splits", "predictions", "outcomes"])
def test_what_is_sound_raises_no_alarm(suite: str, found: dict[str, Table]) -> None:
    assert found[suite].false_alarms == []


@pytest.mark.parametrize(("suite", "column", "how"), FAULTS, ids=map(": ".join, FAULTS))
def test_fault_is_noticed(suite: str, column: str, how: str, found: dict[str, Table]) -> None:
    table = found[suite]
    noticed = table.noticed[table.faults.index((column, how))]
    assert bool(noticed) != ((column, how) in table.uncaught)


def test_page_is_up_to_date(found: dict[str, Table]) -> None:
    assert PAGE.read_text() == make_page(list(found.values())), (
        "run python -m tests.data_checks.checks_page"
    )
