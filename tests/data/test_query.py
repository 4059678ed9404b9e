from __future__ import annotations

import os
from collections.abc import Callable
from datetime import UTC, date, datetime
from pathlib import Path

import pandas as pd
import pyarrow.parquet as pq
import pytest

from mammo.data.index import INDEX_SCHEMA, read_index, write_index
from mammo.data.index_schema import ADDED_COLUMNS
from mammo.data.query import IndexQuery, open_index, query_frame
from mammo.errors import DataError, IndexMissing, SourceInvalid

MakeIndex = Callable[..., pd.DataFrame]
JANUARY = datetime(2024, 1, 1, tzinfo=UTC)


@pytest.fixture
def frame(make_index: MakeIndex) -> pd.DataFrame:
    full = {"cancer": 1, "birads": 5, "implant": True, "age_years": 61, "density": "B"}
    full |= {"acquired_on": date(2024, 1, 2), "outcome_known_at": JANUARY, "spacing_mm": 0.07}
    return make_index([full, {"cancer": 0}, {"scanner": "Other/One"}])


@pytest.fixture
def path(frame: pd.DataFrame, tmp_path: Path) -> Path:
    (tmp_path / "data/store").mkdir(parents=True)
    write_index(frame, tmp_path / "data/store/index.parquet")
    return tmp_path / "data/store/index.parquet"


@pytest.fixture(params=["file", "frame"])
def query(request: pytest.FixtureRequest, path: Path, frame: pd.DataFrame) -> IndexQuery:
    opened = open_index(path) if request.param == "file" else query_frame(frame)
    with opened as query:
        yield query


def test_answers_are_of_the_index_s_types(query: IndexQuery, frame: pd.DataFrame) -> None:
    pd.testing.assert_frame_equal(query.frame("SELECT * FROM exams ORDER BY image_id"), frame)


@pytest.mark.parametrize(
    ("sql", "parameters", "expected"),
    [
        ("SELECT count(*) FROM exams", (), [3]),
        ("SELECT sum(cancer) FROM exams", (), [1]),
        ("SELECT sum(cancer) FROM exams WHERE scanner = ?", ("Other/One",), [None]),
        ("SELECT image_id FROM exams WHERE age_years > ?", (60,), ["I-0000000000000000"]),
        ("SELECT acquired_on FROM exams WHERE cancer = 1", (), [date(2024, 1, 2)]),
        ("SELECT year(outcome_known_at) FROM exams WHERE cancer = 1", (), [2024]),
        ("SELECT avg(spacing_mm) FROM exams", (), [0.07]),
        ("SELECT phash FROM exams WHERE cancer = 0", (), [None]),
    ],
)
def test_questions(
    sql: str, parameters: tuple[object, ...], expected: list[object], query: IndexQuery
) -> None:
    (column,) = query.frame(sql, parameters).to_dict("list").values()
    assert [None if pd.isna(value) else value for value in column] == expected


def test_sums_are_whole_numbers(query: IndexQuery) -> None:
    assert query.frame("SELECT sum(cancer) AS n FROM exams")["n"].dtype == "int64"


def test_batches_are_bounded_and_in_order(query: IndexQuery) -> None:
    batches = list(query.batches("SELECT image_id FROM exams ORDER BY image_id DESC", rows=2))
    names = [name for batch in batches for name in batch.column(0).to_pylist()]
    assert names == [f"I-{number:016x}" for number in (2, 1, 0)]
    assert max(batch.num_rows for batch in batches) <= 2


@pytest.mark.parametrize(
    "sql",
    [
        pytest.param("SELECT * FROM read_csv('{other}')", id="another file"),
        pytest.param("SELECT * FROM read_text('/etc/hostname')", id="a system's file"),
        pytest.param("SELECT * FROM read_parquet('https://example.com/a.parquet')", id="network"),
        pytest.param("COPY exams TO '{other}'", id="writing"),
        pytest.param("ATTACH '{other}' AS other", id="another database"),
        pytest.param("INSTALL httpfs", id="an extension"),
        pytest.param("LOAD httpfs", id="an extension that is there"),
        pytest.param("SET memory_limit = '1TB'", id="its own limits"),
        pytest.param("SET enable_external_access = true", id="its own rights"),
        pytest.param("SELECT * FROM frame", id="a variable of Python"),
        pytest.param("SELECT nothing FROM exams", id="a column that is not there"),
        pytest.param("SELEC", id="no SQL"),
    ],
)
def test_nothing_but_the_index_can_be_reached(
    sql: str, query: IndexQuery, frame: pd.DataFrame, tmp_path: Path
) -> None:
    other = tmp_path / "other.csv"
    other.write_text("a\n1\n")
    with pytest.raises(ValueError, match="cannot be asked of the index"):
        query.frame(sql.format(other=other))
    assert other.read_text() == "a\n1\n"


def test_index_of_the_version_before_has_nulls(path: Path) -> None:
    pq.write_table(pq.read_table(path).drop_columns(sorted(ADDED_COLUMNS)), path)
    with open_index(path) as query:
        found = query.frame("SELECT * FROM exams ORDER BY image_id")
    assert list(found.columns) == INDEX_SCHEMA.names
    assert found[sorted(ADDED_COLUMNS)].isna().all(axis=None)
    pd.testing.assert_frame_equal(found, read_index(path))


def test_frame_of_some_columns_and_one_of_its_own() -> None:
    table = pd.DataFrame({"scanner": ["a", "b", "a"], "cancer": [0, None, 1], "machine": [1, 2, 3]})
    with query_frame(table) as query:
        found = query.frame("SELECT scanner, sum(machine) n, max(birads) b FROM exams GROUP BY 1")
    assert dict(zip(found["scanner"], found["n"], strict=True)) == {"a": 4, "b": 2}
    assert found["b"].isna().all() and found["b"].dtype == "Int8"


def test_missing_index_says_what_to_run(tmp_path: Path) -> None:
    with pytest.raises(IndexMissing, match="mammo ingest"), open_index(tmp_path / "index.parquet"):
        pass


@pytest.mark.parametrize("content", [b"", b"PAR1 but not really", b"x" * 100])
def test_damaged_index_is_refused(content: bytes, path: Path) -> None:
    path.write_bytes(content)
    with pytest.raises(SourceInvalid, match="is not an exam index"), open_index(path):
        pass


def test_index_that_is_damaged_within_is_refused(path: Path) -> None:
    content = bytearray(path.read_bytes())
    content[4:200] = bytes(196)
    path.write_bytes(content)
    with open_index(path) as query, pytest.raises(SourceInvalid, match="cannot be read to its end"):
        query.frame("SELECT * FROM exams")


def test_index_that_an_ingest_replaced_is_not_mixed(path: Path, frame: pd.DataFrame) -> None:
    with open_index(path) as query:
        assert query.frame("SELECT count(*) n FROM exams")["n"].tolist() == [3]
        os.link(path, path.with_name("kept"))  # so that its inode is not given again
        write_index(frame.iloc[:2], path)
        with pytest.raises(SourceInvalid, match=r"replaced by an ingest.*run the same command"):
            query.frame("SELECT count(*) FROM exams")


@pytest.mark.slow
def test_what_memory_does_not_hold_is_spilled_and_removed(path: Path) -> None:
    seen: set[str] = set()
    with open_index(path, memory_mb=48, threads=1) as query:
        for batch in query.batches(
            "SELECT hash(range)::VARCHAR AS x FROM range(1500000) ORDER BY x", rows=200_000
        ):
            seen |= {place.name[:6] for place in path.parent.parent.iterdir()}
            assert batch.num_rows
    assert seen == {"store", "spill-"}
    assert [place.name for place in path.parent.parent.iterdir()] == ["store"]


def test_question_that_memory_cannot_answer_is_refused(path: Path) -> None:
    with (
        open_index(path, memory_mb=32, threads=1) as query,
        pytest.raises(DataError, match="needs more memory than it was given"),
    ):
        query.frame("SELECT list(hash(range)::VARCHAR) FROM range(1500000)")
