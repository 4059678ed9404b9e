"""VinDr-Mammo 1.0.0 (PhysioNet): 5,000 four-view exams from Vietnam, read by radiologists.

Layout: ``images/<study_id>/<image_id>.dicom`` and three tables, joined by
:mod:`mammo.data.sources.vindr_tables`:

- ``breast-level_annotations.csv``: a row an image; BI-RADS 1 to 5 and density of
  the breast, the published part (training, test), rows and columns as ``height``
  and ``width``;
- ``finding_annotations.csv``: a row a finding, a box in pixels of the original
  image with its categories and BI-RADS 3 to 5; ``['No Finding']`` has no box;
- ``metadata.csv`` (may be absent): header elements by image, among them the age.

There is no pathology: ``cancer`` stays unknown. ``abnormal`` is BI-RADS 4 or 5,
suspicious, as in the field; 3 is probably benign and is not (ACR BI-RADS 2013).
Where the images of one breast disagree in BI-RADS or density, that label of theirs
is unknown, with a remark. No patient is told beside the study, so that a study is
a patient. A box of two categories is one finding, ``mass+suspicious calcification``.

Source: Nguyen et al. (2023), VinDr-Mammo, Scientific Data 10:277.
"""

from __future__ import annotations

import json
from dataclasses import asdict, replace
from pathlib import Path
from typing import TYPE_CHECKING

from mammo.data.listing import Labels, Listing, Reading, ReadOptions, Source, SourceItem
from mammo.data.sources.told_view import settle_view
from mammo.data.sources.unlisted import find_unlisted
from mammo.data.sources.vindr_tables import (
    AGE,
    BREASTS,
    MAKER,
    MODEL,
    VindrImage,
    age_of,
    birads_of,
    read_tables,
)
from mammo.dicom.deidentify import header_json, pseudonym
from mammo.dicom.read import decode_image, read_file
from mammo.errors import RowInvalid
from mammo.exam import Laterality, Mammogram, Scanner, View, ViewPosition

if TYPE_CHECKING:
    import pandas as pd

SITE = "vindr"
ABNORMAL = {1: False, 2: False, 3: False, 4: True, 5: True, 6: True}
"""By BI-RADS; 0 needs more images, so that nobody knows yet."""
OLDEST = 90
FACTS = ("study_id", "image_id", "laterality", "view_position", "height", "width")


def list_vindr(directory: Path) -> Listing:
    """List the images of the tables that are on disk, with labels and boxes."""
    tables = read_tables(directory)
    items, missing = [], []
    for image in tables.images:
        path = directory / "images" / image.file
        if not path.is_file():
            missing.append(f"{path.name} (line {image.line} of {BREASTS})")
            continue
        facts = [(name, image.row[name]) for name in FACTS]
        facts += [(name, image.meta.get(name, "")) for name in (AGE, MAKER, MODEL)]
        items.append(SourceItem(path, labels_of(image), tuple(facts)))
    unlisted = find_unlisted(directory / "images", (".dicom", ".dcm"), tables.named)
    return Listing(
        tuple(items),
        tuple(missing),
        refused=tables.refused,
        unlisted=unlisted,
        remarks=tables.remarks,
    )


def labels_of(image: VindrImage) -> Labels:
    """Return what is known of the image's breast; nothing of it is pathology."""
    birads = birads_of(image.row["breast_birads"])
    return Labels(
        density=image.row["breast_density"][-1:] or None,
        abnormal=None if birads is None else ABNORMAL.get(birads),
        birads=birads,
        published_split=image.row["split"],
        findings=image.findings,
    )


def read_vindr(item: SourceItem, options: ReadOptions) -> Reading:
    """Read one file; its study is its patient, and what its header lacks is from the tables.

    Raises
    ------
    RowInvalid
        It has boxes, and is not of the size that the table gives them for.
    ReadError
        See `mammo.dicom.read.read_file`.
    """
    facts = dict(item.facts)
    told = View(Laterality(facts["laterality"] or "U"), ViewPosition(facts["view_position"] or "U"))
    read = read_file(item.path, key=options.key, site=SITE, max_bytes=options.max_bytes, told=told)
    found = _require_size(
        settle_view(read.mammogram, told), facts, boxes=bool(item.labels.findings)
    )
    age = age_of(facts[AGE])
    completed = replace(
        found,
        image_id=pseudonym(options.key, "image", facts["image_id"]),
        exam_id=pseudonym(options.key, "exam", facts["study_id"]),
        patient_id=pseudonym(options.key, "patient", facts["study_id"]),
        scanner=_scanner(found.scanner, facts),
        age_years=min(age, OLDEST)
        if found.age_years is None and age is not None
        else found.age_years,
    )
    header = header_json(read.file, options.key)
    return Reading(completed, decode_image(read, options.reduce), item.labels, header)


def tabulate_vindr(path: Path, key: bytes) -> pd.DataFrame:
    """Return the index rows of the tables, with the ids that `read_vindr` gives."""
    from mammo.data.sources.tabulate import index_from_columns, pseudonyms

    images = read_tables(path).images
    rows, labels = [image.row for image in images], [labels_of(image) for image in images]
    studies = [row["study_id"] for row in rows]
    scanners = [_scanner(Scanner(), {**image.meta}) for image in images]
    ages = [age_of(image.meta.get(AGE, "")) for image in images]
    views = [
        View(Laterality(r["laterality"] or "U"), ViewPosition(r["view_position"] or "U"))
        for r in rows
    ]
    return index_from_columns(
        {
            "image_id": pseudonyms(key, "image", (row["image_id"] for row in rows)),
            "exam_id": pseudonyms(key, "exam", studies),
            "patient_id": pseudonyms(key, "patient", studies),
            "laterality": [view.laterality.value for view in views],
            "view": [view.position.value for view in views],
            "manufacturer": [scanner.manufacturer for scanner in scanners],
            "model": [scanner.model for scanner in scanners],
            "software_version": "",
            "scanner": [scanner.key for scanner in scanners],
            "site": SITE,
            "age_years": [None if age is None else min(age, OLDEST) for age in ages],
            "density": [told.density for told in labels],
            "abnormal": [None if told.abnormal is None else int(told.abnormal) for told in labels],
            "birads": [told.birads for told in labels],
            "source": "vindr",
            "published_split": [told.published_split for told in labels],
            "rows": [int(float(row["height"])) for row in rows],
            "columns": [int(float(row["width"])) for row in rows],
            "quality": [_view_quality(view) for view in views],
            "findings": [json.dumps([asdict(one) for one in told.findings]) for told in labels],
        },
        len(images),
    )


def _require_size(found: Mammogram, facts: dict[str, str], *, boxes: bool) -> Mammogram:
    """Return the mammogram, marked SIZE_CONFLICT where the table gives another size."""
    height, width = int(float(facts["height"])), int(float(facts["width"]))
    if (found.rows, found.columns) == (height, width):
        return found
    if boxes:
        raise RowInvalid(
            f"the file has {found.rows} x {found.columns} pixels and the table says "
            f"{height} x {width}, so that its boxes are of another image: take both anew"
        )
    return replace(found, quality=(*found.quality, "SIZE_CONFLICT"))


def _scanner(found: Scanner, facts: dict[str, str]) -> Scanner:
    """Return the header's scanner, or the one of the metadata where the header has none."""
    if found.manufacturer or found.model:
        return found
    return replace(found, manufacturer=facts.get(MAKER, ""), model=facts.get(MODEL, ""))


def _view_quality(view: View) -> str:
    if view.position == ViewPosition.UNKNOWN:
        return "VIEW_UNKNOWN"
    return "" if view.is_standard else "NON_STANDARD_VIEW"


SOURCE = Source(
    "vindr",
    "VinDr-Mammo: breast-level_annotations.csv with images/<study>/<image>.dicom",
    list_vindr,
    read_vindr,
    tabulate_vindr,
)
