"""CMMD: full-field digital mammograms with biopsied tumours, China.

Layout (The Cancer Imaging Archive, NBIA Data Retriever):
``CMMD/D1-0001/<date-study>/<series>/1-1.dcm``, also with UIDs as names; some
downloads lack the patient's folder. ``CMMD_clinicaldata_revision.xlsx`` (or the
same saved as CSV) has a row per breast: ID1, LeftRight, Age, number,
abnormality, classification, subtype. Side and view are in the headers.

``classification`` is what the biopsy said of the breast, so ``cancer`` is true or
false and ``biopsied`` true there; the other breast of the patient has no row and
stays unlabelled: it was not said to be healthy. There are no boxes. Number of
images and molecular subtype are not kept.

Terms: CC BY 4.0. Source: Cui et al. (2021), The Chinese Mammography Database
(CMMD), doi:10.7937/tcia.eqde-4b16; Cai et al. (2019), Computational and
Mathematical Methods in Medicine 2019:2717454.
"""

from __future__ import annotations

import json
import re
from collections import defaultdict
from dataclasses import asdict, replace
from pathlib import Path
from typing import Any

from mammo.data.listing import Labels, Listing, Reading, ReadOptions, Source, SourceItem
from mammo.data.sources.dicom_folder import list_dicom
from mammo.data.sources.masks import peek
from mammo.data.sources.spreadsheet import Row, read_rows, require_table, require_unique
from mammo.dicom.deidentify import header_json, pseudonym
from mammo.dicom.read import decode_image, read_file
from mammo.errors import ReadError
from mammo.exam import Mammogram

TABLE_NAMES = tuple(
    f"CMMD_clinicaldata_revision{end}" for end in (".xlsx", ".csv", "_CSV.csv", ".xls")
)
COLUMNS = ("ID1", "LeftRight", "Age", "abnormality", "classification")
PATIENT = re.compile(r"D[12]-\d{4}")
SIDES = {"L": "L", "R": "R"}
CLASSES = {"Benign": False, "Malignant": True}


def list_cmmd(directory: Path) -> Listing:
    """List the images below a folder with the labels of both breasts of their patient.

    An image of a patient without a row is listed unlabelled, with a remark; a
    patient of the table without a folder is missing.

    Raises
    ------
    SourceNotFound, TableInvalid
        See `mammo.data.sources.spreadsheet`; a row also if two are of one breast.
    """
    rows = read_rows(require_table(directory, *TABLE_NAMES), COLUMNS)
    require_unique(
        (((_patient(row), row.one_of("LeftRight", SIDES)), row) for row in rows), "breast"
    )
    of_patient: defaultdict[str, list[Row]] = defaultdict(list)
    for row in rows:
        of_patient[_patient(row)].append(row)
    told = {patient: _facts(its_rows) for patient, its_rows in of_patient.items()}
    found = list_dicom(directory)
    items, without = [], 0
    seen: set[str] = set()
    for item in found.items:
        if item.path.suffix.lower() in (".xlsx", ".xls"):
            continue
        patient = _patient_of(item.path)
        seen.add(patient)
        without += patient not in told
        facts = {"patient": patient, **told.get(patient, {})}
        items.append(SourceItem(item.path, facts=tuple(facts.items())))
    remarks = (
        f"{without} images are of patients without a row in {rows[0].table}: they are unlabelled; "
        "a folder of theirs is not in its column ID1",
    )
    missing = tuple(
        f"the images of {its_rows[0].place}"
        for patient, its_rows in of_patient.items()
        if patient not in seen
    )
    return Listing(tuple(items), missing, found.unentered, remarks=remarks if without else ())


def read_cmmd(item: SourceItem, options: ReadOptions) -> Reading:
    """Read one image; the labels are those of its breast, by the side in its header.

    Raises what `mammo.dicom.read.read_mammogram` raises.
    """
    facts = dict(item.facts)
    read = read_file(item.path, key=options.key, site="cmmd", max_bytes=options.max_bytes)
    labels = Labels(**json.loads(facts.get(read.mammogram.view.laterality.value, "{}")))
    mammogram = _complete(read.mammogram, facts, options.key)
    image = decode_image(read, options.reduce)
    return Reading(mammogram, image, labels, header_json(read.file, options.key))


def _complete(found: Mammogram, facts: dict[str, str], key: bytes) -> Mammogram:
    """Fill in from folder and table what the header lacks."""
    patient = pseudonym(key, "patient", facts["patient"]) if facts["patient"] else found.patient_id
    age = found.age_years
    if age is None and facts.get("age"):
        age = int(facts["age"])
    return replace(found, patient_id=patient, age_years=age)


def _facts(rows: list[Row]) -> dict[str, str]:
    """Return the labels of each breast of a patient that has any, and the age."""
    facts: dict[str, str] = {}
    for row in rows:
        side = row.one_of("LeftRight", SIDES)
        facts[side] = json.dumps(_given(row))
        if (age := row.age_years("Age")) is not None:
            facts["age"] = str(age)
    return facts


def _given(row: Row) -> dict[str, Any]:
    labels = Labels(
        cancer=row.one_of("classification", CLASSES),
        abnormal=True,  # every breast of the table has a mass, calcifications or both
        biopsied=True,
    )
    return {name: value for name, value in asdict(labels).items() if isinstance(value, bool)}


def _patient(row: Row) -> str:
    return row.matched("ID1", PATIENT.pattern, "D1- or D2- and four digits", names=True)


def _patient_of(path: Path) -> str:
    """Return the patient of a file by its folders, else by Patient ID (0010,0020)."""
    for part in path.parts[:-1]:
        if PATIENT.fullmatch(part):
            return part
    try:
        return peek(path).patient
    except ReadError:
        return ""  # it is refused when it is read


SOURCE = Source(
    "cmmd",
    "CMMD_clinicaldata_revision.xlsx with <patient>/<study>/<series>/1-1.dcm",
    list_cmmd,
    read_cmmd,
)
"""The reader of CMMD."""
