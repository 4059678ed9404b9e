"""The three tables of VinDr-Mammo (see `mammo.data.sources.vindr`), checked and joined."""

from __future__ import annotations

import ast
import re
from collections import defaultdict
from collections.abc import Iterator
from dataclasses import dataclass, replace
from pathlib import Path

from mammo.data.table_checks import CheckedTable, Row, disagreeing, read_checked
from mammo.data.table_rules import (
    DENSITIES,
    SIDES,
    CellRule,
    SameRule,
    TableRules,
    name_part,
    number_within,
    one_of,
)
from mammo.errors import RowInvalid
from mammo.exam import Finding, ViewPosition

BREASTS = "breast-level_annotations.csv"
FINDINGS = "finding_annotations.csv"
METADATA = "metadata.csv"
BREAST_COLUMNS = (
    "study_id", "image_id", "laterality", "view_position", "height", "width", "breast_birads",
    "breast_density", "split",
)  # fmt: skip
CORNERS = ("xmin", "ymin", "xmax", "ymax")
FINDING_COLUMNS = ("image_id", "finding_categories", "finding_birads", *CORNERS)
UID, AGE = "SOP Instance UID", "Patient's Age"
MAKER, MODEL = "Manufacturer", "Manufacturer's Model Name"
META_COLUMNS = (UID, MODEL)
CATEGORIES = tuple(f"BI-RADS {number}" for number in range(7))
NO_FINDING = "No Finding"
MOST_PIXELS = 50_000
_AGE = re.compile(r"0*(\d{1,3})(?:\.0+)?Y?")


def categories_of(text: str) -> tuple[str, ...]:
    """Return the categories of a cell such as ``['Mass', 'Skin Thickening']``; empty if it is none.

    The cell is a list as Python writes it; it is parsed as a literal, never run.
    """
    try:
        found = ast.literal_eval(text)
    except (ValueError, SyntaxError, MemoryError, RecursionError):
        return ()
    if not isinstance(found, list) or not all(isinstance(one, str) and one for one in found):
        return ()
    return tuple(found)


def age_of(text: str) -> int | None:
    """Return years of ``053Y`` (DICOM AS) or a number; None of nothing, and of babies' months."""
    match = _AGE.fullmatch(text)
    return int(match[1]) if match else None


def birads_of(text: str) -> int | None:
    """Return the category of ``BI-RADS 4``; None where none is given."""
    return int(text[-1]) if text else None


BREAST_RULES = TableRules(
    (
        name_part("study_id"),
        name_part("image_id"),
        one_of("laterality", SIDES),
        one_of("view_position", [view for view in ViewPosition if view != ViewPosition.UNKNOWN]),
        number_within("height", 1, MOST_PIXELS, whole=True, empty=False),
        number_within("width", 1, MOST_PIXELS, whole=True, empty=False),
        one_of("breast_birads", CATEGORIES),
        one_of("breast_density", [f"DENSITY {letter}" for letter in DENSITIES]),
        one_of("split", ("training", "test"), empty=False),
    ),
    unique="image_id",
    same=(SameRule(("study_id",), "split", "study", stops=True),),
)
OF_BREAST = tuple(
    SameRule(("study_id", "laterality"), name, "breast")
    for name in ("breast_birads", "breast_density")
)
FINDING_RULES = TableRules(
    (
        name_part("image_id"),
        CellRule(
            "finding_categories",
            "a list such as ['Mass'] or ['No Finding']",
            lambda text: bool(categories_of(text)),
        ),
        one_of("finding_birads", CATEGORIES),
        *(number_within(name, -MOST_PIXELS, MOST_PIXELS) for name in CORNERS),
    )
)
META_RULES = TableRules(
    (
        name_part(UID),
        CellRule(
            AGE,
            "0 to 120, as 053Y or a number, or nothing",
            lambda text: not text or (age_of(text) is not None and (age_of(text) or 0) <= 120),
        ),
    ),
    unique=UID,
)


@dataclass(frozen=True)
class VindrImage:
    """What the three tables say of one image; ``meta`` is empty where there is no row."""

    line: int
    row: Row
    meta: Row
    findings: tuple[Finding, ...]

    @property
    def file(self) -> str:
        """The image's path below ``images``."""
        return file_of(self.row)


@dataclass(frozen=True)
class VindrTables:
    """The images of which every row can be right, and the rows and images left out.

    ``named`` are the files of all rows, also of those left out; ``remarks`` say
    what of the images that are taken is not known, and why.
    """

    images: tuple[VindrImage, ...]
    refused: tuple[tuple[Path, RowInvalid], ...]
    named: frozenset[str]
    remarks: tuple[str, ...] = ()


def file_of(row: Row) -> str:
    """Return the path of a row's image below ``images``."""
    return f"{row['study_id']}/{row['image_id']}.dicom"


def read_tables(path: Path) -> VindrTables:
    """Read and join the tables of a folder (or of the folder that the main table lies in).

    An image is left out when any row on it is, since its other rows would tell
    half: an image whose box is unreadable is not an image without a finding.

    Raises
    ------
    SourceNotFound
        A table but ``metadata.csv`` is not there.
    TableInvalid
        See `mammo.data.table_checks.read_checked`.
    """
    folder = path if path.is_dir() else path.parent
    breasts = read_checked(folder / BREASTS, BREAST_COLUMNS, BREAST_RULES)
    breasts, remarks = _settle_breasts(breasts)
    marks = read_checked(folder / FINDINGS, FINDING_COLUMNS, FINDING_RULES)
    metas = None
    if (folder / METADATA).exists():
        metas = read_checked(folder / METADATA, META_COLUMNS, META_RULES)
    sizes = {row["image_id"]: row for row in breasts.records()}
    found, bad = _findings(marks, sizes, set(breasts.left_out["image_id"]))
    incomplete = {*bad, *marks.left_out["image_id"]}
    refused = [*breasts.refused, *marks.refused, *((marks.path, one) for one in bad.values())]
    meta_of: dict[str, Row] = {}
    if metas is not None:
        meta_of = {row[UID]: row for row in metas.records()}
        incomplete |= set(metas.left_out[UID])
        refused += metas.refused
    images = tuple(
        VindrImage(int(line), row, meta_of.get(image, {}), tuple(found[image]))
        for line, (image, row) in zip(breasts.rows.index, sizes.items(), strict=True)
        if image not in incomplete
    )
    marked = {*marks.rows["image_id"], *incomplete}
    remarks += _unmarked([image.line for image in images if image.row["image_id"] not in marked])
    return VindrTables(images, tuple(refused), breasts.named(file_of), tuple(remarks))


def _settle_breasts(table: CheckedTable) -> tuple[CheckedTable, list[str]]:
    """Return the table without the labels in which the images of a breast disagree.

    The boxes are of the image and stand; which of two assessments counts, nobody knows.
    """
    rows, remarks = table.rows.copy(), []
    for rule in OF_BREAST:
        for lines, what, members in disagreeing(rows, rule):
            rows.loc[members, rule.column] = ""
            remarks.append(
                f"{lines} of {table.path.name}: {what}; the images are taken without it, and "
                "whoever knows which is right corrects the rows before the set is ingested"
            )
    return replace(table, rows=rows), remarks


def _unmarked(lines: list[int]) -> list[str]:
    """Say which images have no row in the findings: in the set each has one, if of none."""
    if not lines:
        return []
    return [
        f"{len(lines)} images, the first of line {lines[0]} of {BREASTS}, have no row in "
        f"{FINDINGS}, not even one of {NO_FINDING}: they are taken without boxes; if the table "
        "is cut off, take it anew from its source"
    ]


def _findings(
    marks: CheckedTable, sizes: dict[str, Row], left_out: set[str]
) -> tuple[defaultdict[str, list[Finding]], dict[str, RowInvalid]]:
    """Return the boxes by image, and of each image that has a wrong one why it is wrong."""
    found: defaultdict[str, list[Finding]] = defaultdict(list)
    bad: dict[str, RowInvalid] = {}
    for line, row in zip(marks.rows.index, marks.records(), strict=True):
        image = row["image_id"]
        if image in left_out:
            continue
        try:
            found[image] += box_of(row, sizes.get(image))
        except ValueError as error:
            bad[image] = RowInvalid(
                f"line {line} was left out, and its image with it: {error}; correct the row, or "
                "take the table anew from its source"
            )
    return found, bad


def box_of(row: Row, size: Row | None) -> Iterator[Finding]:
    """Yield the box of a row, clipped to the image of ``height`` and ``width`` of its row.

    The makers' boxes overshoot the edge by a few pixels here and there, which
    clipping mends; one that lies outside altogether belongs to another image.

    Raises
    ------
    ValueError
        The row cannot be right; the text says why and names no image.
    """
    if size is None:
        raise ValueError(f"no row of {BREASTS} has its image")
    categories = categories_of(row["finding_categories"])
    corners = [float(row[name]) for name in CORNERS if row[name]]
    if categories == (NO_FINDING,) and not corners:
        return
    if NO_FINDING in categories or len(corners) < len(CORNERS):
        raise ValueError(
            f"its categories and its {len(corners)} of 4 corners contradict each other"
        )
    width, height = float(size["width"]), float(size["height"])
    x_min, y_min, x_max, y_max = corners
    clipped = (max(x_min, 0.0), max(y_min, 0.0), min(x_max, width), min(y_max, height))
    if clipped[0] >= clipped[2] or clipped[1] >= clipped[3]:
        raise ValueError(
            f"the box {x_min:g}, {y_min:g} to {x_max:g}, {y_max:g} has no area within the image of "
            f"{width:g} x {height:g}"
        )
    kind = "+".join(category.lower() for category in categories)
    yield Finding(*clipped, kind, birads=birads_of(row["finding_birads"]))
