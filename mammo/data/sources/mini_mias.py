"""mini-MIAS: digitised film, MLO only, 1024 x 1024, 8 bit.

Layout: ``labels.csv`` and ``images/<image>.png``. A finding is a circle whose
y counts from the bottom edge. Several rows may name one image; some abnormal
rows have no place. A patient is a pair of breasts, one exam.

Source: Suckling et al. (1994), The Mammographic Image Analysis Society digital
mammogram database; research use only.
"""

from __future__ import annotations

import hashlib
import io
import json
from collections import defaultdict
from collections.abc import Sequence
from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
from PIL import Image, UnidentifiedImageError

from mammo.data.listing import Labels, Listing, Reading, ReadOptions, Source, SourceItem
from mammo.data.sources.unlisted import find_unlisted
from mammo.data.table_checks import CheckedTable, Row, read_checked
from mammo.data.table_rules import (
    SIDES,
    SameRule,
    TableRules,
    digits,
    name_part,
    number_within,
    one_of,
)
from mammo.data.tables import to_float
from mammo.dicom.deidentify import pseudonym
from mammo.errors import EmptyFile, PixelsUnreadable, TooLarge, ViewUnknown
from mammo.exam import Finding, Laterality, Mammogram, Scanner, View, ViewPosition
from mammo.preprocess import StoredImage

if TYPE_CHECKING:
    import pandas as pd

COLUMNS = (
    "image", "tissue", "abnorm", "severity", "x", "y_from_bottom", "radius", "patient", "laterality"
)  # fmt: skip
SIZE = 1024
SPACING_MM = 0.2
SCANNER = Scanner("MIAS", "film-digitiser")
SITE = "mias"
RULES = TableRules(
    (
        name_part("image"),
        one_of("tissue", ("F", "G", "D")),
        one_of("abnorm", ("NORM", "CALC", "CIRC", "SPIC", "MISC", "ARCH", "ASYM"), empty=False),
        one_of("severity", ("B", "M")),
        *(number_within(name, 0, SIZE) for name in ("x", "y_from_bottom", "radius")),
        digits("patient"),
        one_of("laterality", SIDES),
    ),
    same=tuple(SameRule(("image",), name, "image") for name in ("tissue", "patient", "laterality")),
)


def list_mini_mias(directory: Path) -> Listing:
    """List the images of ``labels.csv`` that are on disk, with labels and boxes.

    Where one of an image's rows cannot be right the image is left out: its other
    rows alone would tell half of what was found.
    """
    table = _read(directory)
    items, missing = [], []
    lines = {image: line for line, image in reversed(list(table.rows["image"].items()))}
    for image, rows in _rows_of(table).items():
        path = directory / "images" / f"{image}.png"
        if not path.is_file():
            missing.append(f"{path.name} (line {lines[image]} of {table.path.name})")
            continue
        facts = (("patient", rows[0]["patient"]), ("laterality", rows[0]["laterality"]))
        items.append(SourceItem(path, labels_of(rows), facts))
    named = table.named(lambda row: f"{row['image']}.png")
    unlisted = find_unlisted(directory / "images", (".png",), named)
    return Listing(tuple(items), tuple(missing), refused=table.refused, unlisted=unlisted)


def tabulate_mini_mias(path: Path, key: bytes) -> pd.DataFrame:
    """Return the index rows of ``labels.csv``, or of the folder that it lies in."""
    from mammo.data.sources.tabulate import index_from_columns, pseudonyms

    images = _rows_of(_read(path))
    labels = [labels_of(rows) for rows in images.values()]
    patients = [f"mias-{rows[0]['patient']}" for rows in images.values()]
    findings = [json.dumps([asdict(one) for one in told.findings]) for told in labels]
    return index_from_columns(
        {
            "image_id": pseudonyms(key, "image", (f"mias-{image}" for image in images)),
            "exam_id": pseudonyms(key, "exam", patients),
            "patient_id": pseudonyms(key, "patient", patients),
            "laterality": [rows[0]["laterality"] or "U" for rows in images.values()],
            "view": ViewPosition.MLO.value,
            "manufacturer": SCANNER.manufacturer,
            "model": SCANNER.model,
            "software_version": "",
            "scanner": SCANNER.key,
            "site": SITE,
            "density": [told.density for told in labels],
            "cancer": [told.cancer if told.cancer is None else int(told.cancer) for told in labels],
            "abnormal": [int(bool(told.abnormal)) for told in labels],
            "source": "mini-mias",
            "rows": SIZE,
            "columns": SIZE,
            "spacing_mm": SPACING_MM,
            "quality": "",
            "findings": findings,
        },
        len(images),
    )


def _read(path: Path) -> CheckedTable:
    """Read the table of a folder, or the table itself."""
    return read_checked(path / "labels.csv" if path.is_dir() else path, COLUMNS, RULES)


def _rows_of(table: CheckedTable) -> dict[str, list[Row]]:
    """Return the rows of each image that has no row that was left out."""
    rows_of: defaultdict[str, list[Row]] = defaultdict(list)
    for row in table.records():
        rows_of[row["image"]].append(row)
    incomplete = set(table.left_out["image"])
    return {image: rows for image, rows in rows_of.items() if image not in incomplete}


def labels_of(rows: Sequence[Row]) -> Labels:
    """Return the labels of one image from all rows that name it.

    Cancer is severity M in any row; unlabelled when an abnormal row has no
    severity and none is M.
    """
    abnormal = any(row["abnorm"] != "NORM" for row in rows)
    severities = {row["severity"] for row in rows if row["abnorm"] != "NORM"}
    cancer = True if "M" in severities else (None if "" in severities else False)
    findings = tuple(finding for row in rows if (finding := finding_of(row)) is not None)
    tissue = rows[0]["tissue"] or None
    return Labels(density=tissue, cancer=cancer, abnormal=abnormal, findings=findings)


def finding_of(row: Row) -> Finding | None:
    """Return the box around a row's circle, clipped to the image; None without a place."""
    x, from_bottom, radius = (to_float(row[name]) for name in ("x", "y_from_bottom", "radius"))
    if x is None or from_bottom is None or radius is None:
        return None
    y = SIZE - from_bottom
    kind = f"{row['abnorm']}-{row['severity']}".rstrip("-")
    low_x, low_y = max(x - radius, 0.0), max(y - radius, 0.0)
    high_x, high_y = min(x + radius, float(SIZE)), min(y + radius, float(SIZE))
    if low_x >= high_x or low_y >= high_y:
        return None
    return Finding(low_x, low_y, high_x, high_y, kind)


def read_mini_mias(item: SourceItem, options: ReadOptions) -> Reading:
    """Read one PNG.

    Raises
    ------
    EmptyFile, TooLarge, PixelsUnreadable
        The file has no bytes, too many, or is not an 8-bit grey image.
    ViewUnknown
        The table does not say which breast it is.
    """
    content = item.path.read_bytes()
    if not content:
        raise EmptyFile(f"{item.path.name} has no bytes")
    if len(content) > options.max_bytes:
        raise TooLarge(f"{item.path.name} has {len(content)} bytes; allowed {options.max_bytes}")
    pixels = _decode(content, item.path.name)
    facts = dict(item.facts)
    if facts["laterality"] not in ("L", "R"):
        raise ViewUnknown(f"labels.csv gives {item.path.name} neither L nor R as laterality")
    patient = f"mias-{facts['patient']}"
    mammogram = Mammogram(
        image_id=pseudonym(options.key, "image", f"mias-{item.path.stem}"),
        exam_id=pseudonym(options.key, "exam", patient),
        patient_id=pseudonym(options.key, "patient", patient),
        view=View(Laterality(facts["laterality"]), ViewPosition.MLO),
        scanner=SCANNER,
        site=SITE,
        acquired_on=None,
        age_years=None,
        rows=pixels.shape[0],
        columns=pixels.shape[1],
        sha256=hashlib.sha256(content).hexdigest(),
        spacing_mm=SPACING_MM,
    )
    return Reading(mammogram, StoredImage(pixels, bits_stored=8, inverted=False), item.labels)


def _decode(content: bytes, name: str) -> np.ndarray[tuple[int, int], np.dtype[np.uint8]]:
    try:
        with Image.open(io.BytesIO(content), formats=["PNG"]) as picture:
            if picture.mode != "L":
                raise PixelsUnreadable(f"{name} has mode {picture.mode}; allowed is 8-bit grey")
            return np.asarray(picture)
    except (UnidentifiedImageError, OSError, SyntaxError) as error:
        raise PixelsUnreadable(f"{name} is not a readable PNG ({type(error).__name__})") from error


SOURCE = Source(
    "mini-mias",
    "labels.csv with images/*.png (digitised film)",
    list_mini_mias,
    read_mini_mias,
    tabulate_mini_mias,
)
