"""A history of changes verifies, and what somebody did to it is found and named."""

from __future__ import annotations

import copy
import json
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import sqlalchemy as sa

from mammo.changes.signing import hash_of, record_key, sealed
from mammo.changes.verify import verify_changes
from mammo.pointer import read_pointer, write_pointer
from mammo.prediction_log import PredictionLog
from mammo.prediction_log.tables import APPROVALS, CHANGES, GATES
from mammo.settings import Settings
from tests.changes.changing import make_history

Records = list[dict[str, Any]]


@pytest.fixture(scope="module")
def made(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return make_history(tmp_path_factory.mktemp("made") / "home").home


@pytest.fixture
def settings(made: Path, tmp_path: Path) -> Settings:
    home = tmp_path / "home"
    shutil.copytree(made, home, symlinks=True)
    return Settings(home=home, _env_file=None)


def read(settings: Settings) -> Records:
    return [one["record"] for one in PredictionLog(settings.log_url).changes()]


def rewrite(settings: Settings, records: Records) -> None:
    """What somebody with the database does."""
    engine = sa.create_engine(settings.log_url)
    with engine.begin() as connection:
        rows = connection.execute(sa.select(CHANGES).order_by(CHANGES.c.id)).mappings().all()
        connection.execute(CHANGES.delete())
        for row, record in zip([*rows, *rows], records, strict=False):
            values = {"release_id": record["release"], "record": record, "at": row["at"]}
            connection.execute(CHANGES.insert().values(**values))
    engine.dispose()


def found(settings: Settings, head: str | None = None) -> set[tuple[int, str]]:
    return {(one.number, one.how) for one in verify_changes(settings, head).wrong}


def test_history_as_it_was_made(settings: Settings) -> None:
    report = verify_changes(settings)
    assert report.wrong == ()
    assert (report.records, report.unsigned, report.notes) == (5, 0, ())
    records = read(settings)
    assert [one["number"] for one in records] == [1, 2, 3, 4, 5]
    assert [one["clause"]["clause"] for one in records] == ["C1", "C10", "C13", "C6", "C12"]
    assert [one["rollback_target"] and one["rollback_target"]["release_id"] for one in records] == [
        None,
        None,
        None,
        "r-1",
        "r-2",
    ]
    assert records[3]["approval"]["by"] == "dr-k"
    assert records[4]["guard"] == {"errors": 5}
    assert records[1]["gate"]["alpha"] == 0.025
    assert "golden_patients" not in json.dumps(records)
    assert found(settings, report.head) == set()


def edit(place: int, **values: Any) -> Callable[[Records], Records]:
    def change(records: Records) -> Records:
        records[place] = {**records[place], **values}
        return records

    return change


def unsign(records: Records) -> Records:
    del records[2]["signature"]
    return records


def gate_of_another(records: Records) -> Records:
    records[1]["gate"] = {**records[1]["gate"], "alpha": 0.5}
    return records


@pytest.mark.parametrize(
    ("change", "wrong"),
    [
        (edit(1, by="nobody"), {(2, "edited")}),
        (edit(0, number=7), {(1, "edited")}),
        (lambda rows: [*rows[:2], *rows[3:]], {(3, "removed")}),
        (lambda rows: rows[1:], {(1, "removed")}),
        (lambda rows: [*rows[:2], rows[3], rows[2], rows[4]], {(3, "reordered")}),
        (lambda rows: [*rows[:3], rows[1], *rows[3:]], {(4, "reordered")}),
        (unsign, {(3, "unsigned")}),
        (lambda rows: rows[:-1], {(5, "not recorded"), (5, "copy differs")}),
        (gate_of_another, {(2, "edited"), (2, "gate differs")}),
    ],
)
def test_what_was_done_to_the_log_is_found(
    settings: Settings, change: Callable[[Records], Records], wrong: set[tuple[int, str]]
) -> None:
    rewrite(settings, change(copy.deepcopy(read(settings))))
    assert wrong <= found(settings)


def test_removed_record_is_told_once(settings: Settings) -> None:
    records = read(settings)
    rewrite(settings, [*records[:2], *records[3:]])
    (only,) = verify_changes(settings).wrong
    assert (only.number, only.how) == (3, "removed")
    assert only.message == "it is record 4 in place 3: the record it follows is gone"


def test_records_that_another_key_made(settings: Settings, tmp_path: Path) -> None:
    records = read(settings)
    stranger = record_key(tmp_path / "keys")
    rewrite(settings, [*records[:4], sealed(records[4] | {"by": "x"}, records[:4], stranger)])
    assert (5, "key unknown") in found(settings)


def test_whole_history_written_anew_with_the_key(settings: Settings) -> None:
    records = read(settings)
    head = verify_changes(settings).head
    key, anew = record_key(settings.keys_dir), []
    for record in records[:-1]:
        anew.append(sealed({**record, "by": "x"}, anew, key))
    rewrite(settings, anew)
    assert (5, "cut off") in found(settings, head)


def signed_again(settings: Settings, place: int, **values: Any) -> None:
    """What somebody with the key and the database does to the newest records."""
    records, key = read(settings), record_key(settings.keys_dir)
    anew = records[:place]
    for at, record in enumerate(records[place:], place):
        told = {**record, **values} if at == place else record
        anew.append(sealed(told, anew, key))
    rewrite(settings, anew)
    for record in anew:
        beside = settings.releases_dir / record["release"] / "change_record.json"
        beside.write_text(json.dumps(record))


@pytest.mark.parametrize(
    ("values", "how"),
    [
        ({"kind": "fine_tuned"}, "not covered"),
        ({"gate": None}, "not covered"),
        ({"approval": None}, "not covered"),
        ({"clause": None}, "not covered"),
        ({"digest": "0" * 64}, "release differs"),
        ({"digest": "none"}, "schema"),
        ({"name": "Doe^Jane"}, "schema"),
    ],
)
def test_false_record_with_a_true_signature(
    settings: Settings, values: dict[str, Any], how: str
) -> None:
    signed_again(settings, 3, **values)
    assert (4, how) in found(settings)


def test_release_changed_on_the_disk(settings: Settings) -> None:
    (settings.releases_dir / "r-2" / "card.md").write_text("better than it is")
    assert found(settings) == {(number, "release differs") for number in (2, 3, 4)}
    shutil.rmtree(settings.releases_dir / "r-2")
    report = verify_changes(settings)
    assert report.wrong == ()
    assert report.notes == ("no longer on the disk, hence not compared: r-2",)


@pytest.mark.parametrize(
    ("table", "values", "wrong"),
    [
        (GATES, {"alpha": 0.001}, {(number, "gate differs") for number in (1, 2, 3, 4, 5)}),
        (APPROVALS, {"by": "somebody"}, {(4, "approval differs")}),
    ],
)
def test_books_changed_afterwards(
    settings: Settings, table: sa.Table, values: dict[str, Any], wrong: set[tuple[int, str]]
) -> None:
    engine = sa.create_engine(settings.log_url)
    with engine.begin() as connection:
        connection.execute(table.update().values(**values))
    engine.dispose()
    assert found(settings) == wrong


def test_clause_that_the_plan_does_not_have(settings: Settings) -> None:
    record = copy.deepcopy(read(settings)[3])
    record["clause"]["limits"]["C6"]["stages"] = ["champion"]
    signed_again(settings, 3, clause=record["clause"])
    assert (4, "not covered") in found(settings)
    (settings.home / "change_control_plan.yaml").write_text('version: "2"\n')
    report = verify_changes(settings)
    assert report.wrong == (), "a record of another plan is asked about its own clause"
    assert report.notes[0].startswith("5 records are of another plan than the one in force")


def test_records_of_before_they_were_signed(settings: Settings) -> None:
    old = [{"release": "r-0", "at": str(place), "stage": "champion"} for place in range(2)]
    records, key = read(settings), record_key(settings.keys_dir)
    anew: Records = list(old)
    for record in records:
        anew.append(sealed(record, anew, key))
    shutil.rmtree(settings.releases_dir)
    rewrite(settings, anew)
    report = verify_changes(settings)
    assert (report.wrong, report.unsigned) == ((), 2)
    assert report.notes[0].startswith("2 records are from before records were signed")
    rewrite(settings, [{**old[0], "by": "x"}, *anew[1:]])
    assert found(settings) == {(3, "edited")}


def test_move_that_was_not_recorded(settings: Settings) -> None:
    pointer = read_pointer(settings.pointer_path)
    assert pointer is not None
    moved = pointer["moved"] | {"at": "2999-01-01T00:00:00+00:00"}
    write_pointer(settings.pointer_path, pointer | {"moved": moved})
    assert found(settings) == {(6, "not recorded")}


def test_no_change_yet(tmp_path: Path) -> None:
    report = verify_changes(Settings(home=tmp_path / "new", _env_file=None))
    assert (report.intact, report.records, report.head) == (True, 0, None)
    assert hash_of({}) != hash_of({"a": 1})
