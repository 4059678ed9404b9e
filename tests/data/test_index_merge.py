"""An index that grows: what is known, how rows come in, and what a reader holds of it."""

from __future__ import annotations

import random
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pandas as pd
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq
import pytest

from mammo.data import index_file, index_merge
from mammo.data.index import INDEX_SCHEMA, count_rows, read_index, scan_index, write_index
from mammo.data.index_merge import distinct_values, extend_index, find_known
from mammo.data.index_schema import ADDED_COLUMNS
from mammo.errors import DiskFull, IndexMissing, SourceInvalid

MakeIndex = Callable[..., pd.DataFrame]
GROUP = 4


@pytest.fixture(autouse=True)
def small_groups(monkeypatch: pytest.MonkeyPatch) -> None:
    for module in (index_file, index_merge):
        monkeypatch.setattr(module, "GROUP_ROWS", GROUP)


@pytest.fixture
def rows(make_index: MakeIndex) -> pa.Table:
    """Thirty rows of three sources, one of them null, in no order."""
    sources = ["rsna", "mini-mias", None]
    given = [{"source": sources[number % 3], "shard": f"s{number % 5}"} for number in range(30)]
    frame = make_index(given).sample(frac=1, random_state=1)
    return pa.Table.from_pandas(frame, schema=INDEX_SCHEMA, preserve_index=False)


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "index.parquet"


def whole(rows: pa.Table, path: Path) -> bytes:
    """Return the bytes of an index that was written at once."""
    write_index(rows.to_pandas(types_mapper=None), path.with_name("whole"))
    return path.with_name("whole").read_bytes()


def parts(rows: pa.Table, sizes: list[int]) -> Iterator[pa.Table]:
    start = 0
    for size in sizes:
        yield rows.slice(start, size)
        start += size


@pytest.mark.parametrize(
    "sizes",
    [[30], [1] * 30, [10, 10, 10], [4, 4, 22], [0, 30], [29, 1, 0], [8, 0, 22], [3, 27]],
    ids=str,
)
def test_whatever_the_ingests_the_bytes_are_the_same(
    sizes: list[int], rows: pa.Table, path: Path
) -> None:
    for part in parts(rows, sizes):
        extend_index(path, part, path.parent)
    assert path.read_bytes() == whole(rows, path)
    groups = pq.ParquetFile(path).metadata
    assert [groups.row_group(n).num_rows for n in range(groups.num_row_groups)] == [4] * 7 + [2]


@pytest.mark.slow
def test_many_orders_of_many_ingests(rows: pa.Table, path: Path) -> None:
    expected = whole(rows, path)
    for seed in range(6):
        chance = random.Random(seed)
        order = chance.sample(range(30), 30)
        cuts = sorted(chance.sample(range(31), 4))
        path.unlink(missing_ok=True)
        for start, end in zip([0, *cuts], [*cuts, 30], strict=True):
            extend_index(path, rows.take(pa.array(order[start:end], pa.int32())), path.parent)
        assert path.read_bytes() == expected, f"seed {seed}"


def test_index_without_rows_can_be_extended(rows: pa.Table, path: Path) -> None:
    extend_index(path, rows.slice(0, 0), path.parent)
    assert (count_rows(path), len(read_index(path))) == (0, 0)
    assert list(scan_index(path, ["sha256"])) == []
    extend_index(path, rows, path.parent)
    assert path.read_bytes() == whole(rows, path)


def test_old_index_gets_the_new_columns_when_it_is_extended(rows: pa.Table, path: Path) -> None:
    extend_index(path, rows.slice(0, 20), path.parent)
    pq.write_table(pq.read_table(path).drop_columns(sorted(ADDED_COLUMNS)), path)
    extend_index(path, rows.slice(20), path.parent)
    assert pq.read_schema(path).names == INDEX_SCHEMA.names
    assert path.read_bytes() == whole(rows, path)


def test_index_out_of_order_is_refused_and_kept(rows: pa.Table, path: Path) -> None:
    pq.write_table(rows, path)
    before = path.read_bytes()
    with pytest.raises(SourceInvalid, match="its rows are out of order"):
        extend_index(path, rows.slice(0, 1), path.parent)
    assert path.read_bytes() == before
    assert [place.name for place in path.parent.iterdir()] == ["index.parquet"]


def test_disk_that_fills_up_in_the_middle_is_named(
    rows: pa.Table, path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    extend_index(path, rows.slice(0, 20), path.parent)
    before = path.read_bytes()

    class Full(index_file._Sink):
        def write(self, content: Any) -> int:
            self._handle = Path("/dev/full").open("wb", buffering=0)  # noqa: SIM115
            return super().write(content)

    monkeypatch.setattr(index_file, "_Sink", Full)
    with pytest.raises(DiskFull, match=r"No space left on device.*\): make room"):
        extend_index(path, rows.slice(20), path.parent)
    assert path.read_bytes() == before
    assert [place.name for place in path.parent.iterdir()] == ["index.parquet"]


@pytest.mark.parametrize(
    ("column", "asked", "found"),
    [
        ("sha256", [3, 99, 29], [3, 29]),
        ("sha256", [99], []),
        ("sha256", [], []),
        ("sha256", range(100), range(30)),
    ],
)
def test_known_files(
    column: str, asked: list[int], found: list[int], rows: pa.Table, path: Path
) -> None:
    extend_index(path, rows, path.parent)
    known = find_known(path, column, {f"{number:064x}" for number in asked})
    assert known == {f"{number:064x}" for number in found}


def test_nothing_is_known_without_an_index(path: Path) -> None:
    assert find_known(path, "sha256", {"a"}) == distinct_values(path, "shard") == frozenset()


def test_distinct_values_leave_nulls_out(rows: pa.Table, path: Path) -> None:
    extend_index(path, rows, path.parent)
    assert distinct_values(path, "shard") == {f"s{number}" for number in range(5)}
    assert distinct_values(path, "source") == {"rsna", "mini-mias"}


# --- reading parts of it


def test_columns_come_in_the_order_wanted(rows: pa.Table, path: Path) -> None:
    extend_index(path, rows, path.parent)
    frame = read_index(path, ["shard_row", "sha256"])
    assert list(frame.columns) == ["shard_row", "sha256"]
    pd.testing.assert_frame_equal(frame, read_index(path)[["shard_row", "sha256"]])


@pytest.mark.parametrize("columns", [None, ["image_id", "phash"]])
def test_rows_that_are_kept(columns: list[str] | None, rows: pa.Table, path: Path) -> None:
    extend_index(path, rows, path.parent)
    found = read_index(path, columns, where=pc.field("source") == "rsna")
    everything = read_index(path)
    expected = everything[everything["source"] == "rsna"][columns or INDEX_SCHEMA.names]
    pd.testing.assert_frame_equal(found, expected.reset_index(drop=True))


@pytest.mark.parametrize("where", [None, pc.field("birads").is_null()], ids=["all", "where"])
def test_index_of_the_version_before_is_read_with_nulls(
    where: pc.Expression | None, rows: pa.Table, path: Path
) -> None:
    extend_index(path, rows, path.parent)
    expected = read_index(path)
    pq.write_table(pq.read_table(path).drop_columns(sorted(ADDED_COLUMNS)), path)
    pd.testing.assert_frame_equal(read_index(path, where=where), expected)
    (batch,) = scan_index(path, ["phash", "image_id"])
    assert batch.schema.names == ["phash", "image_id"]
    assert batch.column(0).null_count == count_rows(path) == 30


def test_batches_of_an_index_that_is_replaced_meanwhile_are_of_one(
    rows: pa.Table, path: Path
) -> None:
    extend_index(path, rows, path.parent)
    batches = scan_index(path, ["image_id"], rows=GROUP)
    read = next(batches).num_rows
    extend_index(path, rows.slice(0, 0), path.parent)
    path.unlink()
    assert read + sum(batch.num_rows for batch in batches) == 30


def test_unknown_column_is_a_mistake_of_ours(rows: pa.Table, path: Path) -> None:
    extend_index(path, rows, path.parent)
    with pytest.raises(ValueError, match="no columns nothing"):
        read_index(path, ["image_id", "nothing"])


def _lacking(table: pa.Table) -> pa.Table:
    return table.drop_columns(["sha256", "view"])


def _retyped(table: pa.Table) -> pa.Table:
    return table.set_column(
        table.schema.get_field_index("cancer"), "cancer", table["cancer"].cast(pa.int64())
    )


@pytest.mark.parametrize(
    ("change", "message"),
    [(_lacking, "it lacks view, sha256"), (_retyped, "cancer is int64, not int8")],
)
@pytest.mark.parametrize(
    "use",
    [read_index, lambda path: list(scan_index(path, ["cancer"])), lambda path: extend_index(
        path, INDEX_SCHEMA.empty_table(), path.parent)],
    ids=["read", "scan", "extend"],
)  # fmt: skip
def test_index_that_is_none_is_refused(
    change: Callable[[pa.Table], pa.Table], message: str, use: Callable[[Path], object],
    rows: pa.Table, path: Path,
) -> None:  # fmt: skip
    pq.write_table(change(rows), path)
    with pytest.raises(SourceInvalid, match=rf"index\.parquet is not an exam index.*{message}"):
        use(path)


@pytest.mark.parametrize("use", [count_rows, lambda path: next(scan_index(path, ["sha256"]))])
def test_missing_and_damaged_files_are_named(use: Callable[[Path], object], path: Path) -> None:
    with pytest.raises(IndexMissing, match="mammo ingest"):
        use(path)
    path.write_bytes(b"PAR1 but not really")
    with pytest.raises(SourceInvalid, match="is not an exam index"):
        use(path)
