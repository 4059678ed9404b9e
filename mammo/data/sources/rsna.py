"""RSNA 2022 challenge layout: ``train.csv`` and ``train_images/<patient_id>/<image_id>.dcm``.

The challenge's DICOM headers lack almost everything, so laterality, view, age,
density, machine, site, implant and the label come from the table. The labels are
of the breast. BIRADS is 0 (recalled for more images), 1 (negative) or 2 (benign).
``test.csv`` with ``test_images/`` is the same without labels, and is read where
there is no ``train.csv``. Where a ``truth.csv`` with boxes lies beside
(phantoms), its boxes become findings.

Source: RSNA Screening Mammography Breast Cancer Detection (2022), data page.
"""

from __future__ import annotations

from collections import defaultdict
from dataclasses import replace
from datetime import UTC, datetime, time
from pathlib import Path
from typing import TYPE_CHECKING

from mammo.data.listing import Labels, Listing, Reading, ReadOptions, Source, SourceItem
from mammo.data.sources.told_view import settle_view
from mammo.data.sources.unlisted import find_unlisted
from mammo.data.table_checks import CheckedTable, Row, read_checked
from mammo.data.table_rules import (
    DENSITIES,
    SIDES,
    SameRule,
    TableRules,
    digits,
    flag,
    number_within,
    one_of,
)
from mammo.data.tables import read_table, to_bool, to_float
from mammo.dicom.deidentify import header_json, pseudonym
from mammo.dicom.read import ReadFile, decode_image, read_file
from mammo.dicom.tags import Tags
from mammo.exam import STANDARD_VIEWS, Finding, Laterality, Mammogram, Scanner, View, ViewPosition

if TYPE_CHECKING:
    import pandas as pd

COLUMNS = (
    "site_id", "patient_id", "image_id", "laterality", "view", "age", "implant", "machine_id"
)  # fmt: skip
OF_BREAST = ("cancer", "biopsy", "invasive", "BIRADS", "difficult_negative_case", "density")
OLDEST = 90
"""Ages above are told as this one: so few live on that an age may name a person."""
BOX = ("x_min", "y_min", "x_max", "y_max")
MALIGNANT = {"1": True, "0": False}
CHALLENGE_UID = "1.2.840.10009.1.2.3."
"""Its files' Study Instance UID is this and the patient; an image adds ``.1.`` and its number."""
RULES = TableRules(
    (
        *(digits(name) for name in ("site_id", "patient_id", "image_id", "machine_id")),
        one_of("laterality", SIDES),
        one_of("view", [view for view in ViewPosition if view != ViewPosition.UNKNOWN]),
        number_within("age", 0, 120),
        number_within("BIRADS", 0, 6, whole=True),
        one_of("density", DENSITIES),
        *(flag(name) for name in (*OF_BREAST[:3], "difficult_negative_case", "implant")),
    ),
    unique="image_id",
    same=tuple(SameRule(("patient_id", "laterality"), name, "breast") for name in OF_BREAST),
)


def list_rsna(directory: Path) -> Listing:
    """List the rows of the table whose file is on disk, with their labels."""
    table = _read(directory)
    images = directory / f"{table.path.stem}_images"
    findings = _read_findings(directory / "truth.csv")
    items, missing = [], []
    for line, row in zip(table.rows.index, table.records(), strict=True):
        path = images / _file(row)
        if not path.is_file():
            missing.append(f"{path.name} (line {line} of {table.path.name})")
            continue
        labels = _labels(row, tuple(findings.get(row["image_id"], ())))
        items.append(SourceItem(path, labels, tuple((name, row[name]) for name in COLUMNS)))
    unlisted = find_unlisted(images, (".dcm",), table.named(_file))
    return Listing(tuple(items), tuple(missing), refused=table.refused, unlisted=unlisted)


def read_rsna(item: SourceItem, options: ReadOptions) -> Reading:
    """Read one file; what its header lacks comes from its row of the table."""
    facts = dict(item.facts)
    told = View(_laterality(facts["laterality"]), _position(facts["view"]))
    site = f"site-{facts['site_id']}"
    read = read_file(item.path, key=options.key, site=site, max_bytes=options.max_bytes, told=told)
    completed = settle_view(_complete(read, facts, options.key), told)
    known_at = None
    if item.labels.cancer is not None and completed.acquired_on is not None:
        known_at = datetime.combine(completed.acquired_on, time(), tzinfo=UTC)
    labels = replace(item.labels, known_at=known_at)
    return Reading(
        completed, decode_image(read, options.reduce), labels, header_json(read.file, options.key)
    )


def tabulate_rsna(path: Path, key: bytes) -> pd.DataFrame:
    """Return the index rows of ``train.csv``, or of the folder that it lies in.

    The ids are those of the challenge's own files, whose UIDs follow from patient
    and image; an exam is a patient, the challenge having one of each.
    """
    import pandas as pd

    from mammo.data.sources.tabulate import flags, index_from_columns, pseudonyms, whole_numbers

    rows = _read(path).rows
    study = CHALLENGE_UID + rows["patient_id"]
    machine = "machine-" + rows["machine_id"]
    age = pd.to_numeric(rows["age"], errors="coerce").clip(upper=OLDEST)
    odd = (rows["view"] != "") & ~rows["view"].isin(STANDARD_VIEWS)
    return index_from_columns(
        {
            "image_id": pseudonyms(key, "image", study + ".1." + rows["image_id"]),
            "exam_id": pseudonyms(key, "exam", study),
            "patient_id": pseudonyms(key, "patient", rows["patient_id"]),
            "laterality": rows["laterality"].replace("", Laterality.UNKNOWN.value),
            "view": rows["view"].replace("", ViewPosition.UNKNOWN.value),
            "manufacturer": "RSNA",
            "model": machine,
            "software_version": "",
            "scanner": "RSNA/" + machine,
            "site": "site-" + rows["site_id"],
            "age_years": age.round().astype("Int16"),
            "density": rows["density"].replace("", None) if "density" in rows else None,
            "cancer": flags(rows, "cancer"),
            "birads": whole_numbers(rows, "BIRADS"),
            "biopsied": flags(rows, "biopsy"),
            "invasive": flags(rows, "invasive"),
            "difficult": flags(rows, "difficult_negative_case"),
            "source": "rsna",
            "implant": flags(rows, "implant").astype("boolean"),
            "quality": odd.map({True: "NON_STANDARD_VIEW", False: ""}),
        },
        len(rows),
    )


def _read(path: Path) -> CheckedTable:
    """Read the table of a folder, or the table itself."""
    if path.is_dir():
        has_only_test = not (path / "train.csv").exists() and (path / "test.csv").exists()
        path = path / ("test.csv" if has_only_test else "train.csv")
    return read_checked(path, COLUMNS, RULES)


def _file(row: Row) -> str:
    return f"{row['patient_id']}/{row['image_id']}.dcm"


def _labels(row: Row, findings: tuple[Finding, ...]) -> Labels:
    birads = to_float(row.get("BIRADS", ""))
    return Labels(
        density=row.get("density") or None,
        cancer=to_bool(row.get("cancer", "")),
        birads=None if birads is None else int(birads),
        biopsied=to_bool(row.get("biopsy", "")),
        invasive=to_bool(row.get("invasive", "")),
        difficult=to_bool(row.get("difficult_negative_case", "")),
        findings=findings,
    )


def _complete(read: ReadFile, facts: dict[str, str], key: bytes) -> Mammogram:
    found, age = read.mammogram, to_float(facts["age"])
    scanner = found.scanner
    if not (scanner.manufacturer or scanner.model):
        scanner = Scanner("RSNA", f"machine-{facts['machine_id']}", scanner.software_version)
    exam_id = found.exam_id
    study = Tags(read.file.dataset, read.file.little_endian).text("StudyInstanceUID")
    if not study:
        exam_id = pseudonym(key, "exam", facts["patient_id"])
    # the only date in the challenge's own files is the day on which they were de-identified
    undated = study.startswith(CHALLENGE_UID)
    return replace(
        found,
        exam_id=exam_id,
        patient_id=pseudonym(key, "patient", facts["patient_id"]),
        scanner=scanner,
        acquired_on=None if undated else found.acquired_on,
        age_years=min(round(age), OLDEST) if age is not None else found.age_years,
        implant=found.implant if found.implant is not None else to_bool(facts["implant"]),
    )


def _laterality(text: str) -> Laterality:
    return Laterality(text) if text in ("L", "R") else Laterality.UNKNOWN


def _position(text: str) -> ViewPosition:
    return ViewPosition(text) if text in set(ViewPosition) else ViewPosition.UNKNOWN


def _read_findings(path: Path) -> dict[str, list[Finding]]:
    found: defaultdict[str, list[Finding]] = defaultdict(list)
    if not path.is_file():
        return found
    for row in read_table(path, ("image_id", "kind", *BOX)):
        box = [corner for name in BOX if (corner := to_float(row[name])) is not None]
        if len(box) == len(BOX):
            x_min, y_min, x_max, y_max = box
            malignant = MALIGNANT.get(row.get("malignant", ""))
            found[row["image_id"]].append(
                Finding(x_min, y_min, x_max, y_max, row["kind"], malignant=malignant)
            )
    return found


SOURCE = Source(
    "rsna",
    "train.csv with train_images/<patient>/<image>.dcm",
    list_rsna,
    read_rsna,
    tabulate_rsna,
)
