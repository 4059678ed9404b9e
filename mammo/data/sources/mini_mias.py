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
from collections import defaultdict
from pathlib import Path

import numpy as np
from PIL import Image, UnidentifiedImageError

from mammo.data.listing import Labels, Listing, Reading, ReadOptions, Source, SourceItem
from mammo.data.tables import read_table, to_float
from mammo.dicom.deidentify import pseudonym
from mammo.errors import EmptyFile, PixelsUnreadable, TooLarge, ViewUnknown
from mammo.exam import Finding, Laterality, Mammogram, Scanner, View, ViewPosition
from mammo.preprocess import StoredImage

COLUMNS = (
    "image", "tissue", "abnorm", "severity", "x", "y_from_bottom", "radius", "patient", "laterality"
)  # fmt: skip
SIZE = 1024
SPACING_MM = 0.2
SCANNER = Scanner("MIAS", "film-digitiser")


def list_mini_mias(directory: Path) -> Listing:
    """List the images of ``labels.csv`` that are on disk, with labels and boxes."""
    rows_of: defaultdict[str, list[dict[str, str]]] = defaultdict(list)
    for row in read_table(directory / "labels.csv", COLUMNS):
        rows_of[row["image"]].append(row)
    items, missing = [], []
    for image, rows in rows_of.items():
        path = directory / "images" / f"{image}.png"
        if not path.is_file():
            missing.append(path.name)
            continue
        facts = (("patient", rows[0]["patient"]), ("laterality", rows[0]["laterality"]))
        items.append(SourceItem(path, labels_of(rows), facts))
    return Listing(tuple(items), tuple(missing))


def labels_of(rows: list[dict[str, str]]) -> Labels:
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


def finding_of(row: dict[str, str]) -> Finding | None:
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
        site="mias",
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
    "mini-mias", "labels.csv with images/*.png (digitised film)", list_mini_mias, read_mini_mias
)
