"""RSNA 2022 challenge layout: ``train.csv`` and ``train_images/<patient_id>/<image_id>.dcm``.

The challenge's DICOM headers lack almost everything, so laterality, view, age,
density, machine, site, implant and the label come from the table. The label is
of the breast. Where a ``truth.csv`` with boxes lies beside (phantoms), its
boxes become findings.
"""

from __future__ import annotations

from collections import defaultdict
from dataclasses import replace
from datetime import UTC, datetime, time
from pathlib import Path

from mammo.data.listing import Labels, Listing, Reading, ReadOptions, Source, SourceItem
from mammo.data.tables import read_table, to_bool, to_float
from mammo.dicom.deidentify import header_json, pseudonym
from mammo.dicom.read import ReadFile, decode_image, read_file
from mammo.dicom.tags import Tags
from mammo.exam import Finding, Laterality, Mammogram, Scanner, View, ViewPosition

COLUMNS = (
    "site_id", "patient_id", "image_id", "laterality", "view", "age", "implant", "machine_id"
)  # fmt: skip
OLDEST = 90
"""Ages above are told as this one: so few live on that an age may name a person."""
BOX = ("x_min", "y_min", "x_max", "y_max")


def list_rsna(directory: Path) -> Listing:
    """List the rows of ``train.csv`` whose file is on disk, with their labels."""
    findings = _read_findings(directory / "truth.csv")
    items, missing = [], []
    for row in read_table(directory / "train.csv", COLUMNS):
        path = directory / "train_images" / row["patient_id"] / f"{row['image_id']}.dcm"
        if not path.is_file():
            missing.append(path.name)
            continue
        labels = Labels(
            density=row.get("density") or None,
            cancer=to_bool(row.get("cancer", "")),
            findings=tuple(findings.get(row["image_id"], ())),
        )
        facts = tuple((name, row.get(name, "")) for name in COLUMNS)
        items.append(SourceItem(path, labels, facts))
    return Listing(tuple(items), tuple(missing))


def read_rsna(item: SourceItem, options: ReadOptions) -> Reading:
    """Read one file; what its header lacks comes from its row of the table."""
    facts = dict(item.facts)
    told = View(_laterality(facts["laterality"]), _position(facts["view"]))
    site = f"site-{facts['site_id']}"
    read = read_file(item.path, key=options.key, site=site, max_bytes=options.max_bytes, told=told)
    completed = _complete(read, facts, _known_view(told, read.mammogram.view), options.key)
    known_at = None
    if item.labels.cancer is not None and completed.acquired_on is not None:
        known_at = datetime.combine(completed.acquired_on, time(), tzinfo=UTC)
    labels = replace(item.labels, known_at=known_at)
    return Reading(
        completed, decode_image(read, options.reduce), labels, header_json(read.file, options.key)
    )


def _complete(read: ReadFile, facts: dict[str, str], view: View, key: bytes) -> Mammogram:
    found, age = read.mammogram, to_float(facts["age"])
    scanner = found.scanner
    if not (scanner.manufacturer or scanner.model):
        scanner = Scanner("RSNA", f"machine-{facts['machine_id']}", scanner.software_version)
    exam_id = found.exam_id
    if not Tags(read.file.dataset, read.file.little_endian).text("StudyInstanceUID"):
        exam_id = pseudonym(key, "exam", facts["patient_id"])
    return replace(
        found,
        exam_id=exam_id,
        patient_id=pseudonym(key, "patient", facts["patient_id"]),
        view=view,
        quality=_quality(found.quality, view),
        scanner=scanner,
        age_years=min(round(age), OLDEST) if age is not None else found.age_years,
        implant=found.implant if found.implant is not None else to_bool(facts["implant"]),
    )


def _known_view(told: View, found: View) -> View:
    """The table goes before the header, which fills what the table leaves open."""
    side = found.laterality if told.laterality == Laterality.UNKNOWN else told.laterality
    position = found.position if told.position == ViewPosition.UNKNOWN else told.position
    return View(side, position)


def _quality(found: tuple[str, ...], view: View) -> tuple[str, ...]:
    """Replace what the header did not know of the view by what the table says."""
    kept = [code for code in found if code != "VIEW_UNKNOWN"]
    if view.position == ViewPosition.UNKNOWN:
        kept.append("VIEW_UNKNOWN")
    elif not view.is_standard and "NON_STANDARD_VIEW" not in kept:
        kept.append("NON_STANDARD_VIEW")
    return tuple(kept)


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
            found[row["image_id"]].append(Finding(box[0], box[1], box[2], box[3], row["kind"]))
    return found


SOURCE = Source("rsna", "train.csv with train_images/<patient>/<image>.dcm", list_rsna, read_rsna)
