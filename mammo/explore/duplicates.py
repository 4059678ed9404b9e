"""Images that are there twice: the same file, or pictures that nobody could tell apart."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np

from mammo.data.likeness import BITS, EXHAUSTIVE_ROWS, NEAR_BITS, near_pairs
from mammo.data.shards import ShardReader
from mammo.explore.pictures import TileRow, draw_sheet
from mammo.explore.prepared import TILE_COLUMNS, make_tile, short
from mammo.explore.section import ExploreContext, Plot, Section, Table
from mammo.explore.sentences import count, number, verb

if TYPE_CHECKING:
    from pathlib import Path

    import pandas as pd

    from mammo.data.query import IndexQuery

SHOWN, LISTED = 6, 20
BLANK = "0" * (BITS // 4)
MOST_PAIRS = 100_000

_HASHES = f"""
    SELECT row_number() OVER (ORDER BY source, image_id, sha256) - 1 AS place, image_id, exam_id,
        patient_id, source, laterality, "view", sha256, phash
    FROM exams WHERE phash IS NOT NULL AND phash NOT IN ('', '{BLANK}') ORDER BY place
"""
_SAME_FILE = """
    SELECT count(*) AS digests, coalesce(sum(n), 0) AS images, count(*) FILTER (patients > 1) AS
        across
    FROM (SELECT count(*) AS n, count(DISTINCT patient_id) AS patients FROM exams
          WHERE sha256 <> '' AND shard_row >= 0 GROUP BY sha256 HAVING count(*) > 1)
"""


def build(query: IndexQuery, context: ExploreContext) -> Section | None:
    """Return the duplicates, or None where no image has a perceptual hash."""
    hashes = query.frame(_HASHES)
    if hashes.empty:
        return None
    files = query.frame(_SAME_FILE).iloc[0]
    pairs = find_pairs(hashes)
    sentences = (*_pair_sentences(pairs), _same_files(files), *_method(hashes))
    plots: tuple[Plot, ...] = ()
    tables: tuple[Table, ...] = ()
    if len(pairs):
        tables = (_table(pairs),)
        plots = (_plot(query, context.shards_dir, pairs),) if context.shards_dir is not None else ()
    return Section("duplicates", "Duplicates", sentences, plots, tables, _warnings(files, pairs))


def find_pairs(hashes: pd.DataFrame) -> pd.DataFrame:
    """Return the near-identical pairs: ``bits`` apart, and the rows of both (``_1``, ``_2``).

    Those of different patients come first, then the nearest. At most `MOST_PAIRS` are kept, of
    which the nearest count.
    """
    import pandas as pd

    found = list(near_pairs(hashes["phash"].tolist()))
    first, second, bits = (
        np.concatenate([block[part] for block in found]) if found else np.empty(0, np.int64)
        for part in range(3)
    )
    nearest = np.argsort(bits, kind="stable")[:MOST_PAIRS]
    sides = [
        hashes.iloc[place[nearest]].reset_index(drop=True).add_suffix(end)
        for place, end in ((first, "_1"), (second, "_2"))
    ]
    pairs = pd.concat([pd.Series(bits[nearest], name="bits", dtype="int64"), *sides], axis=1)
    pairs["patients"] = np.where(pairs["patient_id_1"] == pairs["patient_id_2"], "one", "two")
    order = ["patients", "bits", "place_1", "place_2"]
    ascending = [False, True, True, True]
    return pairs.sort_values(order, ascending=ascending, kind="stable", ignore_index=True)


def _method(hashes: pd.DataFrame) -> list[str]:
    told = [
        f"Each of {count(len(hashes), 'prepared image')} has a perceptual hash of {BITS} bits, "
        "blind to brightness, compression, size and mirroring. Two images at most "
        f"{NEAR_BITS} bits apart count as near-identical; of mini-MIAS, the nearest images of "
        "different patients are 55 bits apart."
    ]
    if len(hashes) > EXHAUSTIVE_ROWS:
        told.append(
            "With so many images the search is not exhaustive: it finds every pair up to 7 bits "
            "apart, and most of the others."
        )
    return told


def _same_files(files: pd.Series) -> str:
    if not files["digests"]:
        return "No file is in the index twice (SHA-256)."
    return (
        f"{count(int(files['digests']), 'file').capitalize()} {verb(int(files['digests']), 'is')} "
        f"in the index more than once, as {count(int(files['images']), 'image')} (SHA-256)."
    )


def _pair_sentences(pairs: pd.DataFrame) -> list[str]:
    if not len(pairs):
        return ["No two images are near-identical."]
    across = int((pairs["patients"] == "two").sum())
    sources = int((pairs["source_1"] != pairs["source_2"]).sum())
    exact = int((pairs["bits"] == 0).sum())
    return [
        f"{count(len(pairs), 'pair').capitalize()} of images {verb(len(pairs), 'is')} "
        f"near-identical, {number(exact)} of them with equal hashes: "
        f"{number(len(pairs) - across)} within one patient, {number(across)} across patients and "
        f"{number(sources)} across sources."
    ]


def _warnings(files: pd.Series, pairs: pd.DataFrame) -> tuple[str, ...]:
    told = []
    if files["across"]:
        n = int(files["across"])
        told.append(
            f"The same bytes stand under more than one patient in {count(n, 'case')}: one "
            "person has two pseudonyms, or a file was copied. Keep them in one part of any split."
        )
    across = pairs[pairs["patients"] == "two"]
    if len(across):
        told.append(
            f"{count(len(across), 'pair').capitalize()} of near-identical images "
            f"{verb(len(across), 'is')} of different patients: split by patient alone, they can "
            "stand in training and test at once."
        )
    return tuple(told)


def _plot(query: IndexQuery, shards_dir: Path, pairs: Any) -> Plot:
    shown = pairs.head(SHOWN)
    wanted = sorted({*shown["image_id_1"], *shown["image_id_2"]})
    marks = ", ".join("?" for _ in wanted)
    frame = query.frame(
        f"SELECT {TILE_COLUMNS}, sha256 FROM exams WHERE image_id IN ({marks}) AND shard_row >= 0",
        wanted,
    )
    by_file: dict[Any, Any] = {(row.image_id, row.sha256): row for row in frame.itertuples()}
    reader = ShardReader(shards_dir)
    rows = []
    for pair in shown.itertuples():
        both = [by_file[pair.image_id_1, pair.sha256_1], by_file[pair.image_id_2, pair.sha256_2]]
        owner = "one patient" if pair.patients == "one" else "two patients"
        owners = [short(pair.patient_id_1), short(pair.patient_id_2)]
        tiles = [
            make_tile(reader, row, owner, str(row.source))
            for row, owner in zip(both, owners, strict=True)
        ]
        rows.append(
            TileRow(
                f"{pair.bits} bits apart, {owner}",
                tiles,
            )
        )
    alt = (
        f"The first {len(shown)} of {number(len(pairs))} near-identical pairs, side by side: pairs "
        "of different patients first, then the nearest."
    )
    return Plot("Near-identical pairs", "", alt, draw_sheet(rows, 2, 220))


def _table(pairs: Any) -> Table:
    rows = tuple(
        (number(pair.bits), short(pair.image_id_1), short(pair.image_id_2),
         short(pair.patient_id_1), short(pair.patient_id_2), f"{pair.laterality_1} {pair.view_1}",
         f"{pair.laterality_2} {pair.view_2}", str(pair.source_1), str(pair.source_2))
        for pair in pairs.head(LISTED).itertuples()
    )  # fmt: skip
    columns = ("bits", "image", "and", "patient", "and ", "view", "and  ", "source", "and   ")
    more = f" (the first {LISTED} of {number(len(pairs))})" if len(pairs) > LISTED else ""
    return Table(columns, rows, f"Near-identical pairs{more}")
