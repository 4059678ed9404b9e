"""What the images look like: prepared images by class and scanner, drawn at random."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from mammo.data.shards import ShardReader
from mammo.explore.counts import main_target
from mammo.explore.pictures import TileRow, draw_sheet
from mammo.explore.prepared import TILE_COLUMNS, make_tile
from mammo.explore.section import ExploreContext, Plot, Section
from mammo.explore.sentences import count, listed, named, number

if TYPE_CHECKING:
    import pandas as pd

    from mammo.data.query import IndexQuery

SCANNERS, PER_CLASS = 6, 6
CLASSES = {1: "positive", 0: "negative", -1: "unlabelled"}

_DRAWN = """
    SELECT * FROM (
        SELECT {columns}, patient_id, coalesce({target}, -1) AS class, row_number() OVER (
            PARTITION BY scanner, coalesce({target}, -1)
            ORDER BY md5(concat(patient_id, ?)), md5(concat(image_id, ?))) AS place
        FROM (SELECT *, row_number() OVER (PARTITION BY patient_id, coalesce({target}, -1)
                ORDER BY md5(concat(image_id, ?))) AS of_patient
              FROM exams WHERE shard_row >= 0 AND scanner IN ({scanners}))
        WHERE of_patient = 1
    ) WHERE place <= ? ORDER BY scanner, class DESC, place
"""
"""One image of a patient and class, so that six tiles are six patients."""


def build(query: IndexQuery, context: ExploreContext) -> Section | None:
    """Return the gallery, or None without pixels."""
    if context.shards_dir is None:
        return None
    sizes = query.frame(
        "SELECT scanner, count(*) AS n FROM exams WHERE shard_row >= 0 "
        "GROUP BY scanner ORDER BY n DESC, scanner"
    )
    if sizes.empty:
        return None
    shown = sizes["scanner"].tolist()[:SCANNERS]
    target = main_target(query)
    drawn = _draw(query, shown, target, context.seed)
    reader = ShardReader(context.shards_dir)
    plots = tuple(_plot(reader, drawn, scanner, target) for scanner in shown)
    boxed = int((drawn["findings"].fillna("[]") != "[]").sum())
    return Section("gallery", "Gallery", _sentences(sizes, target, boxed, len(drawn)), plots)


def _draw(query: IndexQuery, scanners: list[str], target: str | None, seed: int) -> pd.DataFrame:
    marks = ", ".join("?" for _ in scanners)
    sql = _DRAWN.format(columns=TILE_COLUMNS, target=target or "NULL", scanners=marks)
    salt = str(seed)
    return query.frame(sql, [salt, salt, salt, *scanners, PER_CLASS])


def _sentences(sizes: pd.DataFrame, target: str | None, boxed: int, tiles: int) -> tuple[str, ...]:
    by = f"by {target} and scanner" if target else "by scanner (there is no label)"
    told = [
        f"Prepared images as a model sees them, {by}: up to {PER_CLASS} per class, each of another "
        "patient, drawn by a fixed seed and not chosen by eye. Under each are its view and the "
        "start of its pseudonym.",
        f"Yellow boxes are the findings that the source marks: {number(boxed)} of the "
        f"{number(tiles)} images shown have one."
        if boxed
        else "None of the images shown has a finding marked by the source.",
    ]
    if len(sizes) > SCANNERS:
        rest = [named(name) for name in sizes["scanner"].tolist()[SCANNERS:]]
        told.append(
            f"The {SCANNERS} scanners with most images are shown; "
            f"{count(len(rest), 'other')} are left out: {listed(rest)}."
        )
    return tuple(told)


def _plot(reader: ShardReader, drawn: pd.DataFrame, scanner: str, target: str | None) -> Plot:
    mine = drawn[drawn["scanner"] == scanner]
    rows, told = [], []
    for value, word in CLASSES.items():
        members = list(mine[mine["class"] == value].itertuples())
        if members:
            label = word if target else "images"
            rows.append(TileRow(_heading(label, target), [_tile(reader, row) for row in members]))
            told.append(f"{len(members)} {label}")
    alt = f"Prepared images of {named(scanner)}: {listed(told)}."
    return Plot(named(scanner), "", alt, draw_sheet(rows, PER_CLASS))


def _heading(word: str, target: str | None) -> str:
    return f"{target}: {word}" if target else word


def _tile(reader: ShardReader, row: Any) -> Any:
    density = named(row.density)
    return make_tile(reader, row, f"density {density}")
