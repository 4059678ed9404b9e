"""Pseudonyms are stable, keyed and apart; headers keep what is allowed and nothing else."""

from __future__ import annotations

import io
import json
import re
import warnings
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import numpy as np
import pydicom
import pytest
from dicomanonymizer import simpledicomanonymizer as library
from pydicom._dicom_dict import DicomDictionary
from pydicom.datadict import tag_for_keyword
from pydicom.dataelem import DataElement
from pydicom.dataset import Dataset
from pydicom.encaps import generate_fragments
from pydicom.uid import (
    UID,
    DeflatedExplicitVRLittleEndian,
    ExplicitVRBigEndian,
    ExplicitVRLittleEndian,
    ImplicitVRLittleEndian,
)

from mammo.dicom.confidentiality import TABLE
from mammo.dicom.deidentified_file import deidentify_file
from mammo.dicom.deidentify import (
    METHODS,
    Kind,
    deidentify_header,
    header_json,
    keyed_uid,
    pseudonym,
)
from mammo.dicom.file import parse_file
from mammo.dicom.identity import WORDED
from mammo.dicom.kept_elements import CODES, DAYS, DESCRIPTORS, DEVICE, UIDS
from mammo.dicom.read import read_mammogram
from mammo.exam import Exposure

from .builders import BIRTH, IMAGE, STUDY, code_item, draw_pixels, make_dataset, make_file, to_bytes

KEY = b"a key that is only for the tests"
LIMIT = 2**24
TEXT_VRS = ("AE", "AS", "CS", "DA", "DT", "LO", "LT", "PN", "SH", "ST", "TM", "UC", "UR", "UT")


@pytest.mark.parametrize(("kind", "prefix"), [("patient", "P"), ("exam", "E"), ("image", "I")])
def test_shape(kind: Kind, prefix: str) -> None:
    assert re.fullmatch(prefix + "-[0-9a-f]{16}", pseudonym(b"key", kind, "36"))


def test_a_golden_value_stays() -> None:
    assert pseudonym(b"key", "patient", "36") == "P-b2c65d660ec194b6"


def test_blanks_do_not_count() -> None:
    assert pseudonym(b"key", "patient", " 36 \0") == pseudonym(b"key", "patient", "36")


def test_key_kind_and_value_count() -> None:
    ids = {
        pseudonym(key, kind, value)[2:]
        for key in (b"key", b"other")
        for kind in ("patient", "exam", "image")
        for value in ("36", "37")
    }
    assert len(ids) == 12


@pytest.mark.parametrize(
    ("key", "kind", "value"), [(b"", "patient", "1"), (b"k", "x", "1"), (b"k", "exam", " ")]
)
def test_nothing_to_hash_is_an_error(key: bytes, kind: Kind, value: str) -> None:
    with pytest.raises(ValueError, match="a pseudonym needs a key"):
        pseudonym(key, kind, value)


def clean(**changes: Any) -> Dataset:
    """Return the de-identified header of a mammogram with these elements."""
    return deidentify_header(parse_file(make_file(**changes), LIMIT), KEY)


def table_tags() -> list[int]:
    """Return the elements of table E.1-1 outside of File Meta Information."""
    tags = (tag[0] << 16 | tag[1] for tag in library.initialize_actions(TABLE) if len(tag) == 2)
    return [tag for tag in tags if tag in DicomDictionary and tag >> 16 > 2]


def plant_tag(dataset: Dataset, tag: int) -> None:
    vr = DicomDictionary[tag][0].split(" ")[0]
    values = {"SQ": [code_item("1", "SCT")], "DA": "19870101", "AS": "041Y", "DT": "19870101",
             "UI": "1.2.3.987", "OB": b"planted ", "UN": b"planted ", "DS": "98765", "IS": "98765",
             "US": 987, "UL": 987, "FD": 98.7, "FL": 98.7, "TM": "101112"}  # fmt: skip
    dataset.add(DataElement(tag, vr, values.get(vr, "PLANTED"), validation_mode=0))


@pytest.mark.parametrize("nested", [False, True], ids=["flat", "nested"])
def test_table_e_1_1_is_obeyed_but_for_the_stated_options(nested: bool) -> None:
    kept = {"PatientID", "PatientName", "PatientSex", "PatientAge", *DAYS, *DESCRIPTORS, *DEVICE}
    item = Dataset()
    for tag in table_tags():
        if DicomDictionary[tag][4] not in kept | {"AcquisitionDateTime"}:
            plant_tag(item, tag)
    result = clean(RTDoseROISequence=[item]) if nested else None
    if result is None:
        dataset = make_dataset(draw_pixels(12), ExplicitVRLittleEndian, 12)
        dataset.update(item)
        result = deidentify_header(parse_file(to_bytes(dataset), LIMIT), KEY)
    told = json.dumps(result.to_json_dict())
    for planted in ("PLANTED", "1987", "041Y", "1.2.3.987", "cGxhbnRlZC", "98765", "101112"):
        assert planted not in told


def test_every_kept_element_is_in_the_dictionary() -> None:
    kept = CODES | DAYS | DESCRIPTORS | DEVICE | UIDS
    assert [keyword for keyword in kept if tag_for_keyword(keyword) is None] == []


def test_no_text_outlives_but_the_allowed() -> None:
    """Every text element of the dictionary, with an innocent text: only listed ones stay."""
    dataset = make_dataset(draw_pixels(12), ExplicitVRLittleEndian, 12)
    for tag, entry in DicomDictionary.items():
        named = entry[0] == "PN" or entry[4] in (*WORDED, "SpecificCharacterSet")
        if entry[0] in TEXT_VRS and tag >> 16 >= 8 and not named and entry[4] not in dataset:
            dataset.add(DataElement(tag, entry[0], "SCREENING", validation_mode=0))
    result = deidentify_header(parse_file(to_bytes(dataset), LIMIT), KEY)
    stayed = {one.keyword for one in result if one.VR in TEXT_VRS and "SCREENING" in str(one.value)}
    assert stayed <= CODES | DEVICE | DESCRIPTORS | {"CodeMeaning"}
    assert {"Manufacturer", "SeriesDescription", "ExposureStatus"} <= stayed


@pytest.mark.parametrize(
    ("keyword", "value", "expected"),
    [
        ("PatientAge", "057Y", "057Y"),
        ("PatientAge", "093Y", "090Y"),
        ("PatientAge", "ABCD", "072Y"),  # from birth date and study date
        ("PatientSex", "F", "F"),
        ("PatientSex", "FEMALE", ""),
        ("StudyDate", "20240229", "20240229"),
        ("ContentDate", "not a day", ""),
        ("AcquisitionDateTime", "20240102101530.12+0100", "20240102"),
        ("StudyTime", "101530", ""),
        ("AccessionNumber", "123", ""),
        ("PatientBirthDate", BIRTH, ""),
        ("Manufacturer", "GE MEDICAL SYSTEMS", "GE MEDICAL SYSTEMS"),
        ("Manufacturer", "room of Ms Name", ""),
        ("SeriesDescription", "L-MLO screening", "L-MLO screening"),
        ("SeriesDescription", "L-MLO Jones", ""),
        ("SeriesDescription", "L CC 20240102", ""),
        ("SOPClassUID", "1.2.840.10008.5.1.4.1.1.1.2", "1.2.840.10008.5.1.4.1.1.1.2"),
        ("SOPClassUID", "1.2.3.4", keyed_uid(KEY, "1.2.3.4")),
        ("SOPInstanceUID", IMAGE, keyed_uid(KEY, IMAGE)),
        ("StudyInstanceUID", STUDY, keyed_uid(KEY, STUDY)),
        ("PatientIdentityRemoved", "NO", "YES"),
    ],
)
def test_what_becomes_of_an_element(keyword: str, value: str, expected: str) -> None:
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        assert str(clean(**{keyword: value})[keyword].value or "") == expected


@pytest.mark.parametrize(
    "keyword",
    ["InstitutionName", "StationName", "DeviceSerialNumber", "DetectorID", "AcquisitionTime",
     "OperatorsName", "PatientComments", "PatientWeight", "InstanceCreationDate", "PixelData"],
)  # fmt: skip
def test_what_is_removed(keyword: str) -> None:
    values = {"PatientWeight": "70", "InstanceCreationDate": "20240102", "AcquisitionTime": "1015"}
    changes = {} if keyword == "PixelData" else {keyword: values.get(keyword, "S1")}
    assert keyword not in clean(**changes)


def test_codes_that_everybody_knows_are_kept_and_local_ones_go() -> None:
    known, local = code_item("399162004", "SCT"), code_item("JONES", "99LOCAL")
    known.CodeMeaning = "view of Ms Jones"
    result = clean(ViewCodeSequence=[known], ProcedureCodeSequence=[local])
    assert result.ViewCodeSequence[0].CodeValue == "399162004"
    assert result.ViewCodeSequence[0].CodeMeaning == "399162004"
    assert "ProcedureCodeSequence" not in result


def test_the_header_says_what_was_done() -> None:
    result = clean()
    items = [
        (one.CodeValue, one.CodingSchemeDesignator)
        for one in result.DeidentificationMethodCodeSequence
    ]
    assert items == [(value, "DCM") for value, _ in METHODS]
    assert result.PatientIdentityRemoved == "YES"
    assert all(len(text) <= 64 for text in result.DeidentificationMethod)
    assert result.PatientID == result.PatientName == pseudonym(KEY, "patient", "secret-id")


def test_uids_are_keyed_valid_and_the_same_everywhere() -> None:
    with ThreadPoolExecutor(4) as pool:
        found = set(pool.map(lambda _: keyed_uid(KEY, STUDY), range(64)))
    assert found == {keyed_uid(KEY, STUDY)} != {keyed_uid(b"other", STUDY)}
    uid = pydicom.uid.UID(found.pop())
    assert uid.is_valid and uid.startswith("2.25.") and len(uid) <= 64
    assert keyed_uid(b"key", "1.2.3") == "2.25.101800061706341454340885976248362500830"


def test_the_sidecar_is_one_line_and_always_the_same() -> None:
    lines = {header_json(parse_file(make_file(), LIMIT), KEY) for _ in range(3)}
    line = lines.pop()
    assert not lines and "\n" not in line and "7FE00010" not in json.loads(line)
    assert Dataset.from_json(line).PatientID == pseudonym(KEY, "patient", "secret-id")


@pytest.mark.parametrize(
    "syntax",
    [ImplicitVRLittleEndian, ExplicitVRLittleEndian, ExplicitVRBigEndian,
     DeflatedExplicitVRLittleEndian, "1.2.840.10008.1.2.4.70", "1.2.840.10008.1.2.4.90",
     "1.2.840.10008.1.2.4.80", "1.2.840.10008.1.2.5"],
)  # fmt: skip
@pytest.mark.parametrize("signed", [False, True])
def test_a_file_keeps_pixels_and_meaning(syntax: str, signed: bool) -> None:
    if signed and syntax[-2:] in ("70", "80", "90", ".5"):
        pytest.skip("the encoders here write unsigned values")
    data = make_file(
        draw_pixels(12, signed), syntax, PixelPaddingValue=7, Manufacturer="Hologic",
        BodyPartThickness="53", CompressionForce="88.9", KVP="29", Exposure="76",
    )  # fmt: skip
    copy = deidentify_file(data, KEY, LIMIT)
    (before, image), (after, again) = (
        read_mammogram(one, key=KEY, site="s") for one in (data, copy)
    )
    assert np.array_equal(image.pixels, again.pixels) and image.pixels.dtype == again.pixels.dtype
    assert (after.view, after.scanner, after.age_years, after.exposure) == (
        before.view,
        before.scanner,
        before.age_years,
        Exposure(53, 88.9, 29, 76),
    )
    values = [pydicom.dcmread(io.BytesIO(one)).PixelData for one in (copy, data)]
    if UID(syntax).is_encapsulated:
        values = [list(generate_fragments(value))[1:] for value in values]  # without offsets
    # OpenJPEG signs its codestreams with a comment, which goes
    assert values[0] == values[1] or syntax.endswith("4.90")
    assert copy[:128] == bytes(128) and b"secret" not in copy.lower()
    meta = pydicom.dcmread(io.BytesIO(copy)).file_meta
    assert meta.MediaStorageSOPInstanceUID == keyed_uid(KEY, IMAGE)
    assert meta.TransferSyntaxUID == syntax
