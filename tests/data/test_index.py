from __future__ import annotations

from collections.abc import Callable
from datetime import UTC, date, datetime
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest

from mammo.data.index import (
    INDEX_SCHEMA,
    empty_index,
    join_outcomes,
    read_index,
    target_values,
    write_index,
)
from mammo.data.shards import ShardReader, open_shard, shard_digest, write_shard
from mammo.errors import IndexMissing, SourceInvalid

MakeIndex = Callable[..., pd.DataFrame]
JANUARY, MARCH = datetime(2024, 1, 1, tzinfo=UTC), datetime(2024, 3, 1, tzinfo=UTC)


def test_missing_index_says_what_to_run(tmp_path: Path) -> None:
    with pytest.raises(IndexMissing, match="mammo ingest"):
        read_index(tmp_path / "index.parquet")


@pytest.mark.parametrize("content", [b"", b"PAR1 but not really", b"x" * 100])
def test_damaged_index_is_refused(content: bytes, tmp_path: Path) -> None:
    (tmp_path / "index.parquet").write_bytes(content)
    with pytest.raises(SourceInvalid, match=r"index\.parquet is not an exam index"):
        read_index(tmp_path / "index.parquet")


def test_parquet_with_other_columns_is_refused(tmp_path: Path) -> None:
    pd.DataFrame({"a": [1]}).to_parquet(tmp_path / "index.parquet")
    with pytest.raises(SourceInvalid, match="not an exam index"):
        read_index(tmp_path / "index.parquet")


def test_index_comes_back_with_its_types(tmp_path: Path, make_index: MakeIndex) -> None:
    frame = make_index([{"acquired_on": date(2024, 1, 2), "cancer": 1, "implant": True}, {}])
    write_index(frame, tmp_path / "index.parquet")
    back = read_index(tmp_path / "index.parquet")
    pd.testing.assert_frame_equal(back, frame)
    assert list(back.columns) == INDEX_SCHEMA.names
    assert back["acquired_on"].tolist() == [date(2024, 1, 2), None]
    assert (str(back["cancer"].dtype), str(back["age_years"].dtype)) == ("Int8", "Int16")


def test_order_of_rows_does_not_change_the_bytes(tmp_path: Path, make_index: MakeIndex) -> None:
    frame = make_index([{}, {}, {"cancer": 0}])
    write_index(frame, tmp_path / "a")
    write_index(frame.iloc[::-1], tmp_path / "b")
    assert (tmp_path / "a").read_bytes() == (tmp_path / "b").read_bytes()
    assert sorted(path.name for path in tmp_path.iterdir()) == ["a", "b"]


@pytest.mark.parametrize(
    ("target", "expected"),
    [("cancer", [1, None]), ("abnormal", [None, 0]), ("dense", [1, 0])],
)
def test_target_values(target: str, expected: list[int | None], make_index: MakeIndex) -> None:
    frame = make_index([{"cancer": 1, "density": "D"}, {"abnormal": 0, "density": "B"}])
    values = target_values(frame, target)
    assert [None if pd.isna(value) else value for value in values] == expected


def test_unknown_target_is_named(make_index: MakeIndex) -> None:
    with pytest.raises(SourceInvalid, match="'birads' is unknown; allowed are cancer"):
        target_values(make_index([{}]), "birads")


def outcome(laterality: str | None, cancer: bool, known_at: datetime) -> dict[str, Any]:
    exam = "E-0000000000000000"
    return {"exam_id": exam, "laterality": laterality, "cancer": cancer, "known_at": known_at}


BOTH = [{"exam_id": "E-0000000000000000"}, {"exam_id": "E-0000000000000000", "laterality": "R"}]


@pytest.mark.parametrize(
    ("outcomes", "left", "right"),
    [
        pytest.param([], None, None, id="nothing known"),
        pytest.param([outcome("L", True, JANUARY)], 1, None, id="one breast"),
        pytest.param([outcome(None, False, JANUARY)], 0, 0, id="negative exam"),
        pytest.param([outcome(None, True, JANUARY)], 1, 1, id="positive exam, no side"),
        pytest.param(
            [outcome(None, True, MARCH), outcome("R", False, JANUARY)], 1, 0, id="breast first"
        ),
        pytest.param(
            [outcome(None, False, JANUARY), outcome("L", True, MARCH)], 1, 0, id="interval cancer"
        ),
        pytest.param(
            [outcome("L", True, MARCH), outcome("L", False, JANUARY)], 1, None, id="newest wins"
        ),
        pytest.param(
            [outcome("L", True, JANUARY), outcome("L", False, JANUARY)], 1, None, id="same instant"
        ),
    ],
)
def test_late_outcomes(
    outcomes: list[dict[str, Any]], left: int | None, right: int | None, make_index: MakeIndex
) -> None:
    columns = ["exam_id", "laterality", "cancer", "known_at"]
    index = make_index([*BOTH, {}])
    joined = join_outcomes(index, pd.DataFrame(outcomes, columns=columns))
    found = [None if pd.isna(value) else int(value) for value in joined["cancer"]]
    assert found == [left, right, None]
    assert joined["outcome_known_at"].notna().tolist() == joined["cancer"].notna().tolist()
    assert index["cancer"].isna().all()
    assert joined.dtypes.equals(index.dtypes) or not outcomes


def test_older_outcome_does_not_replace_a_newer_label(make_index: MakeIndex) -> None:
    index = make_index([{"cancer": 1, "outcome_known_at": MARCH}])
    joined = join_outcomes(index, pd.DataFrame([outcome("L", False, JANUARY)]))
    assert joined["cancer"].tolist() == [1]


def test_outcomes_keep_the_rows_and_their_labels(make_index: MakeIndex) -> None:
    index = make_index([*BOTH, {}]).set_index(pd.Index([7, 3, 9]))
    joined = join_outcomes(index, pd.DataFrame([outcome("R", True, MARCH)]))
    assert joined.index.tolist() == [7, 3, 9]
    assert joined.loc[3, "cancer"] == 1


def test_empty_index_has_every_column() -> None:
    assert list(empty_index().columns) == INDEX_SCHEMA.names


# --- shards

ARRAYS = [np.full((4, 2), value, dtype=np.uint16) for value in (1, 65535)]


def test_shard_rows_come_back(tmp_path: Path) -> None:
    write_shard(tmp_path, "a", ARRAYS)
    reader = ShardReader(tmp_path)
    assert reader.row("a", 1).tolist() == ARRAYS[1].tolist()
    assert reader.row("a", 0).dtype == np.uint16
    assert [path.name for path in tmp_path.iterdir()] == ["a.npy"]


def test_shard_is_named_by_its_content() -> None:
    assert shard_digest(ARRAYS) == shard_digest([array.copy() for array in ARRAYS])
    assert len({shard_digest(ARRAYS), shard_digest(ARRAYS[::-1]), shard_digest(ARRAYS[:1])}) == 3


@pytest.mark.parametrize(
    ("content", "message"),
    [(b"", "cannot be opened"), (b"\x93NUMPY", "cannot be opened"), (None, "cannot be opened")],
)
def test_broken_shard_is_named(content: bytes | None, message: str, tmp_path: Path) -> None:
    path = tmp_path / "abc.npy"
    if content is not None:
        path.write_bytes(content)
    with pytest.raises(SourceInvalid, match=rf"abc\.npy {message}"):
        open_shard(path)


def test_shard_of_another_type_is_refused(tmp_path: Path) -> None:
    np.save(tmp_path / "f.npy", np.zeros((2, 4, 2), dtype=np.float32))
    with pytest.raises(SourceInvalid, match="float32 with 3 axes"):
        open_shard(tmp_path / "f.npy")
