"""INbreast: full-field digital mammograms with outlines of all findings.

Layout (INbreast Release 1.0): ``AllDICOMs/20586908_6c613a14b80a8591_MG_R_CC_ANON.dcm``
(or ``ALL-IMGS``), image and patient in the name; ``AllXML/20586908.xml`` with the
regions (:mod:`mammo.data.sources.inbreast_rois`), none for a normal image; and
``INbreast.csv`` (semicolons) or ``INbreast.xls``, a row per image. Patient ID and
age are ``removed`` there; Acquisition date is year and semester, 201001.

There is no pathology in the tables, so ``cancer`` is unknown. ``birads`` is the
worst category of the breast's images, 4a to 4c being 4. ``abnormal`` is what the
field trains on: true from 4 on, false for 1 and 2, unknown for 3 and 0, which some
papers leave out and others call benign. A patient's images of one semester are
an exam; ``ML`` in a name is the MLO of the table.

Terms: by agreement with the Breast Research Group, INESC Porto; research only.
Source: Moreira et al. (2012), INbreast: toward a full-field digital mammographic
database, Academic Radiology 19(2):236-248, doi:10.1016/j.acra.2011.09.014.
"""

from __future__ import annotations

import re
from collections import defaultdict
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, replace
from pathlib import Path

from mammo.data.listing import Labels, Listing, Reading, ReadOptions, Source, SourceItem
from mammo.data.sources.assessments import CATEGORIES, DENSITIES, worst_category
from mammo.data.sources.dicom_folder import list_dicom
from mammo.data.sources.inbreast_rois import read_outlines
from mammo.data.sources.masks import clip_box
from mammo.data.sources.spreadsheet import Row, read_rows, require_table, require_unique
from mammo.data.sources.told_view import settle_view
from mammo.dicom.deidentify import header_json, pseudonym
from mammo.dicom.read import decode_image, read_file
from mammo.errors import MaskInvalid, ReadError
from mammo.exam import Finding, Laterality, Scanner, View, ViewPosition

TABLE_NAMES = ("INbreast.csv", "INbreast.xls", "INbreast.xlsx")
COLUMNS = ("Laterality", "View", "Acquisition date", "File Name", "ACR", "Bi-Rads")
NAME = re.compile(r"(\d+)_([0-9a-f]+)_MG_([LR])_([A-Z]+)_ANON", re.IGNORECASE)
SIDES = {"L": Laterality.LEFT, "R": Laterality.RIGHT}
VIEWS = {"CC": ViewPosition.CC, "MLO": ViewPosition.MLO, "ML": ViewPosition.MLO}
TABLE_VIEWS = VIEWS | {"FB": ViewPosition.FB}
SCANNER = Scanner("Siemens", "MammoNovation")
"""The device of the set's paper, for headers that name none."""
ABNORMAL = {1: False, 2: False, 4: True, 5: True, 6: True}


@dataclass(frozen=True)
class Told:
    """What a row, or without one the name, tells of an image; ``place`` is where."""

    place: str
    side: Laterality
    position: ViewPosition
    semester: str = ""
    density: str | None = None
    birads: int | None = None
    age_years: int | None = None


def list_inbreast(directory: Path) -> Listing:
    """List the images below a folder, with labels and outlines.

    An image without a row is listed unlabelled, with a remark; a row without an
    image is missing. Outlines that cannot be read are told as MASK_INVALID, and
    the image listed without them.

    Raises
    ------
    SourceNotFound, TableInvalid
        See `mammo.data.sources.spreadsheet`; a row also if two are of one image.
    """
    table = require_table(directory, *TABLE_NAMES)
    rows = _read_table(table)
    found = list_dicom(directory)
    images = [(item.path, NAME.fullmatch(item.path.stem)) for item in found.items]
    named = [(path, match) for path, match in images if match]
    told = {path: rows.get(match[1]) or _told_by_name(match) for path, match in named}
    breasts = _breast_categories(named, told)
    outlines = _Outlines(directory)
    items = []
    for path, match in named:
        one = told[path]
        findings = outlines.read(match[1])
        birads = breasts[_breast(match, one)]
        facts = _facts(match, one)
        if findings is None:
            facts["outlines"] = "unreadable"
        labels = Labels(
            density=one.density,
            abnormal=None if birads is None else ABNORMAL.get(birads),
            birads=birads,
            findings=findings or (),
        )
        items.append(SourceItem(path, labels, tuple(facts.items())))
    numbers = {match[1] for _, match in named}
    missing = (f"{number}_*.dcm ({row.place})" for number, row in rows.items())
    return Listing(
        tuple(items),
        tuple(name for name in missing if name.partition("_")[0] not in numbers),
        (*found.unentered, *map(_misnamed, _unnamed(images)), *outlines.refused),
        remarks=tuple(
            f"image {number} has no row in {table.name}: it is unlabelled"
            for number in sorted(numbers - rows.keys())
        ),
    )


def read_inbreast(item: SourceItem, options: ReadOptions) -> Reading:
    """Read one image; regions are clipped to it.

    One that lies outside is left out, under the quality code FINDING_LEFT_OUT; a side
    that differs between table and file name is the table's, under LATERALITY_CONFLICT.
    Raises what `mammo.dicom.read.read_mammogram` raises.
    """
    facts = dict(item.facts)
    told = View(Laterality(facts["side"]), ViewPosition(facts["view"]))
    read = read_file(
        item.path, key=options.key, site="inbreast", max_bytes=options.max_bytes, told=told
    )
    found = settle_view(read.mammogram, told)
    clipped = [_clip(one, found.rows, found.columns) for one in item.labels.findings]
    codes = set(found.quality)
    if None in clipped or "outlines" in facts:
        codes.add("FINDING_LEFT_OUT")
    if facts["named"] != facts["side"]:
        codes.add("LATERALITY_CONFLICT")
    mammogram = replace(
        found,
        # the header's Patient ID is the same for all
        patient_id=pseudonym(options.key, "patient", f"inbreast-{facts['patient']}"),
        exam_id=pseudonym(options.key, "exam", f"inbreast-{facts['patient']}-{facts['semester']}"),
        scanner=found.scanner if found.scanner.manufacturer else SCANNER,
        age_years=found.age_years if found.age_years is not None else _age(facts),
        quality=tuple(sorted(codes)),
    )
    labels = replace(item.labels, findings=tuple(one for one in clipped if one is not None))
    image = decode_image(read, options.reduce)
    return Reading(mammogram, image, labels, header_json(read.file, options.key))


class _Outlines:
    """The regions of the images by number; ``refused`` are those that cannot be read."""

    def __init__(self, directory: Path) -> None:
        self._paths = {path.stem: path for path in sorted(directory.rglob("*.xml"))}
        self.refused: list[tuple[Path, ReadError]] = []

    def read(self, number: str) -> tuple[Finding, ...] | None:
        """Return the regions, none of a normal image; None where they cannot be read."""
        if (path := self._paths.get(number)) is None:
            return ()
        try:
            return read_outlines(path)
        except MaskInvalid as error:
            self.refused.append((path, error))
            return None


def _read_table(path: Path) -> dict[str, Told]:
    """Return the rows by image; the Excel table ends in two rows of sums without one."""
    rows = [row for row in read_rows(path, COLUMNS) if row.text("File Name")]
    numbered = [(_image_number(row), row) for row in rows]
    require_unique(numbered, "image")
    return {
        number: Told(
            place=row.place,
            side=row.one_of("Laterality", SIDES),
            position=row.one_of("View", TABLE_VIEWS),
            semester=row.text("Acquisition date"),
            density=row.one_of("ACR", DENSITIES),
            birads=row.one_of("Bi-Rads", CATEGORIES),
            age_years=row.age_years("Patient age"),
        )
        for number, row in numbered
    }


def _image_number(row: Row) -> str:
    return row.matched("File Name", r"\d+(?:\.0)?", "a number, as 20586908").partition(".")[0]


def _told_by_name(match: re.Match[str]) -> Told:
    position = VIEWS.get(match[4].upper(), ViewPosition.UNKNOWN)
    return Told(f"image {match[1]}", SIDES[match[3].upper()], position)


def _facts(match: re.Match[str], one: Told) -> dict[str, str]:
    facts = {"patient": match[2].lower(), "semester": one.semester}
    facts |= {"side": one.side.value, "view": one.position.value, "named": match[3].upper()}
    return facts | ({} if one.age_years is None else {"age": str(one.age_years)})


def _breast(match: re.Match[str], one: Told) -> tuple[str, str, Laterality]:
    """Return patient, semester and side."""
    return match[2].lower(), one.semester, one.side


def _breast_categories(
    named: Iterable[tuple[Path, re.Match[str]]], told: Mapping[Path, Told]
) -> dict[tuple[str, str, Laterality], int | None]:
    found: defaultdict[tuple[str, str, Laterality], list[int | None]] = defaultdict(list)
    for path, match in named:
        found[_breast(match, told[path])].append(told[path].birads)
    return {breast: worst_category(categories) for breast, categories in found.items()}


def _age(facts: Mapping[str, str]) -> int | None:
    return int(facts["age"]) if "age" in facts else None


def _clip(one: Finding, rows: int, columns: int) -> Finding | None:
    box = clip_box((one.x_min, one.y_min, one.x_max, one.y_max), rows, columns)
    return None if box is None else Finding(*box, one.kind)


def _unnamed(images: Iterable[tuple[Path, re.Match[str] | None]]) -> Iterator[Path]:
    """Yield the DICOM files whose name is not the set's."""
    return (path for path, match in images if not match and path.suffix.lower() == ".dcm")


def _misnamed(path: Path) -> tuple[Path, ReadError]:
    return path, ReadError(
        "the name is not that of an INbreast image, such as 20586908_6c613a14b80a8591_MG_R_CC_"
        "ANON.dcm, so its patient is unknown: give it its name back, or take it elsewhere"
    )


SOURCE = Source(
    "inbreast",
    "INbreast.csv with AllDICOMs/*.dcm and AllXML/*.xml (outlines)",
    list_inbreast,
    read_inbreast,
)
"""The reader of INbreast."""
