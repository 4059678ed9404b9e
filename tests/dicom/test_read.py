"""From a file to a Mammogram: ids, facts, and nothing that identifies."""

from __future__ import annotations

import json
import re
import warnings
from datetime import date
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from pydicom.config import disable_value_validation
from pydicom.dataelem import DataElement

from mammo.data.sources.dicom_folder import cbis_sample_files
from mammo.describe import describe_file
from mammo.dicom.deidentify import pseudonym
from mammo.dicom.read import read_file, read_mammogram, read_mammogram_header
from mammo.errors import MammoError, SourceNotFound, TooLarge
from mammo.exam import Exposure, Laterality, Mammogram, View, ViewPosition

from .builders import (
    BIRTH,
    IMAGE,
    NAME,
    STUDY,
    code_item,
    draw_pixels,
    find_shared,
    make_dataset,
    make_file,
    to_bytes,
)

KEY = b"key"
MAGNIFIED = ("MAGNIFICATION", "NON_STANDARD_VIEW")


def read(**changes: Any) -> Mammogram:
    return read_mammogram_header(make_file(**changes), key=KEY, site="site")


def test_ids_are_pseudonyms_of_patient_study_and_instance() -> None:
    mammogram = read(PatientID="36 ")
    assert mammogram.patient_id == pseudonym(KEY, "patient", "36")
    assert mammogram.exam_id == pseudonym(KEY, "exam", STUDY)
    assert mammogram.image_id == pseudonym(KEY, "image", IMAGE)


@pytest.mark.parametrize(
    ("changes", "patient", "exam"),
    [
        ({"StudyInstanceUID": None}, "secret-id", "secret-id"),
        ({"PatientID": ""}, STUDY, STUDY),
        ({"PatientID": "Calc-Training_P_00123_RIGHT_CC"}, "P_00123", "P_00123"),
    ],
)
def test_ids_fall_back(changes: dict[str, Any], patient: str, exam: str) -> None:
    mammogram = read(**changes)
    assert mammogram.patient_id == pseudonym(KEY, "patient", patient)
    assert mammogram.exam_id == pseudonym(KEY, "exam", exam)


def test_ids_fall_back_to_the_digest() -> None:
    mammogram = read(PatientID=None, StudyInstanceUID=None, SOPInstanceUID=None)
    assert mammogram.patient_id == pseudonym(KEY, "patient", mammogram.sha256)
    assert mammogram.image_id == pseudonym(KEY, "image", mammogram.sha256)


@pytest.mark.parametrize(
    ("changes", "field", "value"),
    [
        ({"PatientAge": "049Y"}, "age_years", 49),
        ({"PatientAge": "000Y"}, "age_years", None),
        ({"PatientAge": "018M"}, "age_years", 72),
        ({"PatientAge": "130Y"}, "age_years", None),
        ({"PatientBirthDate": ""}, "age_years", None),
        ({}, "acquired_on", date(2024, 1, 2)),
        (
            {"AcquisitionDate": "20240103", "ContentDate": "20240104"},
            "acquired_on",
            date(2024, 1, 3),
        ),
        ({"ContentDate": "20240104"}, "acquired_on", date(2024, 1, 4)),
        ({"StudyDate": ""}, "acquired_on", None),
        ({"BreastImplantPresent": "YES"}, "implant", True),
        ({"BreastImplantPresent": "NO"}, "implant", False),
        ({}, "implant", None),
        (  # a view with the implant displaced is of a breast that has one
            {"BreastImplantPresent": "NO", "ViewPosition": "CCID"},
            "implant",
            True,
        ),
        ({"BreastImplantPresent": "YES"}, "quality", ("IMPLANT",)),
        ({"ViewPosition": "CCID"}, "quality", ("IMPLANT", "IMPLANT_DISPLACED")),
        ({"ImagerPixelSpacing": ["0.1", "0.1"]}, "spacing_mm", 0.1),
        ({"ImagerPixelSpacing": ["0.1", "0.1"]}, "quality", ("SPACING_DETECTOR",)),
        ({"ImagerPixelSpacing": ["0.1"] * 2, "PixelSpacing": ["0.07"] * 2}, "spacing_mm", 0.07),
        ({"PixelSpacing": ["0", "0"]}, "spacing_mm", None),
        ({"LossyImageCompression": "01"}, "quality", ("LOSSY_COMPRESSED",)),
        ({"LossyImageCompression": "00"}, "quality", ()),
        (
            {"DerivationCodeSequence": [code_item("113040", "DCM")]},
            "quality",
            ("LOSSY_COMPRESSED",),
        ),
        ({"DerivationCodeSequence": [code_item("113072", "DCM")]}, "quality", ()),
        ({"BurnedInAnnotation": "YES"}, "quality", ("BURNED_IN_ANNOTATION",)),
        ({"BurnedInAnnotation": "NO"}, "quality", ()),
        ({"FieldOfViewHorizontalFlip": "YES"}, "quality", ("FIELD_OF_VIEW_FLIPPED",)),
        ({"FieldOfViewHorizontalFlip": "NO", "FieldOfViewRotation": "0"}, "quality", ()),
        ({"FieldOfViewRotation": "180"}, "quality", ("FIELD_OF_VIEW_ROTATED",)),
        (
            {"FieldOfViewRotation": "90", "FieldOfViewHorizontalFlip": "YES"},
            "quality",
            ("FIELD_OF_VIEW_FLIPPED", "FIELD_OF_VIEW_ROTATED"),
        ),
        ({"EstimatedRadiographicMagnificationFactor": "1.8"}, "quality", MAGNIFIED),
        ({"WindowCenter": "5", "WindowWidth": "0"}, "quality", ("WINDOW_INVALID",)),
    ],
)
def test_facts(changes: dict[str, Any], field: str, value: object) -> None:
    assert getattr(read(**changes), field) == value


@pytest.mark.parametrize(
    ("changes", "exposure"),
    [
        ({}, Exposure()),
        (
            {
                "BodyPartThickness": "53",
                "CompressionForce": "88.964",
                "KVP": "29",
                "Exposure": "76",
            },
            Exposure(53, 88.964, 29, 76),
        ),
        ({"BodyPartThickness": "0", "CompressionForce": "0", "KVP": "0"}, Exposure()),
        ({"BodyPartThickness": "5.3", "KVP": "28000", "Exposure": "9999"}, Exposure()),
        ({"BodyPartThickness": "-53", "CompressionForce": "9999"}, Exposure()),
        ({"BodyPartThickness": "53\\54"}, Exposure(53)),
        ({"BodyPartThickness": "nan", "CompressionForce": "inf"}, Exposure()),
        ({"KVP": ""}, Exposure()),
        ({"ExposureInuAs": "76400"}, Exposure(exposure_mas=76.4)),
        ({"Exposure": "76", "ExposureInuAs": "76400"}, Exposure(exposure_mas=76)),
        ({"Exposure": "0", "ExposureInuAs": "76400"}, Exposure(exposure_mas=76.4)),
        ({"Exposure": "0", "ExposureInuAs": "0"}, Exposure()),
    ],
)
@pytest.mark.filterwarnings("ignore:Invalid value for VR")
def test_exposure(changes: dict[str, Any], exposure: Exposure) -> None:
    with disable_value_validation():
        assert read(**changes).exposure == exposure


@pytest.mark.parametrize(
    ("uid", "valid"),
    [
        ("1.2.840.10009.1.2.3", True),
        ("2.25.329800735698586629295641978511506172918", True),
        ("1.2.03.4", True),  # a leading zero is wrong, common and harmless
        ("", True),
        ("../../../../etc/passwd", False),
        ("..\\..\\windows\\system32", False),
        ("/etc/passwd", False),
        ("1.2.3/../4", False),
        ("1.2.3\\4.5.6", False),
        ("1.2..3", False),
        (".1.2", False),
        ("1.2.3.", False),
        ("1", False),
        ("1.2.3 4", False),
        ("1.2.abc", False),
        ("1.2.3\0.4", False),
        ("1." * 32 + "1", False),
    ],
)
@pytest.mark.parametrize("keyword", ["SOPInstanceUID", "StudyInstanceUID", "SeriesInstanceUID"])
def test_uids_are_checked_and_are_never_more_than_text(uid: str, valid: bool, keyword: str) -> None:
    with disable_value_validation():
        data = make_file(**{keyword: uid})
    mammogram = read_mammogram_header(data, key=KEY, site="site")
    assert ("UID_INVALID" in mammogram.quality) is not valid
    ids = (mammogram.image_id, mammogram.exam_id, mammogram.patient_id)
    assert all(re.fullmatch(r"[IEP]-[0-9a-f]{16}", one) for one in ids)


@pytest.mark.parametrize(("cut", "missing"), [(0, False), (128, True), (132, True)])
def test_a_missing_preamble_is_told(cut: int, missing: bool) -> None:
    mammogram = read_mammogram_header(make_file()[cut:], key=KEY, site="site")
    assert ("PREAMBLE_MISSING" in mammogram.quality) is missing


@pytest.mark.parametrize(
    ("changes", "scanner", "dropped"),
    [
        (
            {"Manufacturer": "GE", "ManufacturerModelName": "Pristina"},
            ("GE", "Pristina", ""),
            False,
        ),
        (
            {"Manufacturer": "GE", "ManufacturerModelName": "Pristina of Mrs Canary"},
            ("GE", "", ""),
            True,
        ),
        ({"SoftwareVersions": ["1.0", "CANARY build"]}, ("", "", ""), True),
        ({"Manufacturer": "A\x1bB"}, ("", "", ""), True),
        # a number may be the patient's, a short part of a version not
        ({"PatientID": "480712", "SoftwareVersions": "480712"}, ("", "", ""), True),
        ({"PatientID": "1.8.3", "SoftwareVersions": "1.8.3"}, ("", "", "1.8.3"), False),
        # a maker's name is public, whoever is called like it
        (
            {"PatientName": "Siemens^Ada", "Manufacturer": "SIEMENS"},
            ("SIEMENS", "", ""),
            False,
        ),
        ({"PatientName": "Siemens^Ada", "Manufacturer": "Ada Siemens"}, ("", "", ""), True),
        ({}, ("", "", ""), False),
    ],
)
def test_scanner_texts_with_an_identity_are_dropped(
    changes: dict[str, Any], scanner: tuple[str, str, str], dropped: bool
) -> None:
    mammogram = read(**({"PatientName": "Canary^Tweety"} | changes))
    found = mammogram.scanner
    assert (found.manufacturer, found.model, found.software_version) == scanner
    assert ("IDENTITY_IN_TEXT" in mammogram.quality) is dropped


def test_scanner_joins_its_software_versions() -> None:
    scanner = read(
        Manufacturer=" GE ", ManufacturerModelName="Pristina", SoftwareVersions=["1.2", "", "3"]
    ).scanner
    assert (scanner.key, scanner.software_version) == ("GE/Pristina", "1.2, 3")


def test_header_and_whole_file_agree() -> None:
    data = make_file(syntax="1.2.840.10008.1.2.4.80")
    mammogram, image = read_mammogram(data, key=KEY, site="site")
    assert mammogram == read_mammogram_header(data, key=KEY, site="site")
    np.testing.assert_array_equal(image.pixels, draw_pixels(12))
    assert (image.bits_stored, image.inverted, image.padding) == (12, False, None)


@pytest.mark.parametrize(
    "fault", [{}, {"Rows": 999}, {"Modality": "CT"}, {"ImageLaterality": None}]
)
def test_nothing_identifying_leaves(tmp_path: Path, fault: dict[str, Any]) -> None:
    path = tmp_path / "file.dcm"
    path.write_bytes(make_file(**fault))
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        told = [json.dumps(describe_file(path, KEY, "site"))]
        try:
            told.append(repr(read_mammogram(path, key=KEY, site="site")[0]))
        except MammoError as error:
            told.append(repr(error.problem()))
    for text in (*told, *(str(warning.message) for warning in caught)):
        for secret in (NAME, "Secret", BIRTH, "1951", "secret-id", STUDY, IMAGE, str(tmp_path)):
            assert secret not in text


CODED = (
    *("Modality", "PresentationIntentType", "BodyPartExamined", "PhotometricInterpretation"),
    *("ImageType", "ViewPosition", "ImageLaterality", "Laterality", "PatientOrientation"),
    *("VOILUTFunction", "WindowCenterWidthExplanation", "PresentationLUTShape", "RescaleType"),
    *("PixelSpacingCalibrationType", "BurnedInAnnotation", "BreastImplantPresent", "PartialView"),
    *("SeriesDescription", "ProtocolName", "ManufacturerModelName", "LossyImageCompression"),
    *("VolumetricProperties", "FieldOfViewHorizontalFlip", "PatientAge", "RescaleSlope"),
    *("WindowCenter", "NumberOfFrames", "PixelSpacing", "SOPClassUID", "StudyDate"),
)
"""Elements that reading looks at and that may hold anything."""


@pytest.mark.parametrize("keyword", [*CODED, "all"])
def test_a_name_in_a_coded_element_does_not_come_out(tmp_path: Path, keyword: str) -> None:
    planted = CODED if keyword == "all" else (keyword,)
    with disable_value_validation():
        dataset = make_dataset(draw_pixels(12), "1.2.840.10008.1.2.1", 12)
        dataset.PatientName = "Canary^Tweety"
        for one in planted:
            dataset[one] = DataElement(one, "LO", "CANARY TWEETY")  # written whatever the VR
        path = tmp_path / "file.dcm"
        path.write_bytes(to_bytes(dataset))
    told = [json.dumps(describe_file(path, KEY, "site"))]
    try:
        told.append(repr(read_mammogram(path, key=KEY, site="site")[0]))
    except MammoError as error:
        told.append(repr(error.problem()))
    for text in told:
        assert "canary" not in text.lower()
        assert "tweety" not in text.lower()


def test_a_file_above_the_limit_is_not_read(tmp_path: Path) -> None:
    path = tmp_path / "large.dcm"
    with path.open("wb") as file:
        file.truncate(2**30)
    with pytest.raises(TooLarge, match="1,073,741,824 bytes; allowed are 1,048,576"):
        read_mammogram(path, key=KEY, site="site", max_bytes=2**20)


@pytest.mark.parametrize("name", ["", "absent.dcm"])
def test_no_file_is_named(tmp_path: Path, name: str) -> None:
    with pytest.raises(SourceNotFound, match=r"No such file|Is a directory"):
        read_mammogram(tmp_path / name, key=KEY, site="site")


def test_describe_gives_the_refusal(tmp_path: Path) -> None:
    path = tmp_path / "ct.dcm"
    path.write_bytes(make_file(Modality="CT", SOPClassUID="1.2.840.10008.5.1.4.1.1.2"))
    described = describe_file(path, KEY, "site")
    assert (described["readable"], described["refusal"]["code"]) == (False, "NOT_MAMMOGRAPHY")


def test_describe_a_real_file() -> None:
    described = describe_file(find_shared("dicom", "ge_jpeg_lossless_voi_lut.dcm"), KEY, "site")
    assert json.loads(json.dumps(described)) == described
    assert described["readable"]
    assert described["view"] == {
        "laterality": "R",
        "laterality_from": "ImageLaterality",
        "position": "MLO",
        "position_from": "ViewCodeSequence",
    }
    assert described["display"]["by"] == "VOI LUT"
    assert described["pixels"]["codec"] == "jpeg"


def test_a_table_beside_the_files_tells_a_side_that_the_header_lacks() -> None:
    told = View(Laterality.RIGHT, ViewPosition.CC)
    found = read_file(make_file(ImageLaterality=None), key=KEY, site="site", told=told)
    assert (str(found.mammogram.view), found.found.laterality_from) == ("R CC", "told")


def test_the_cbis_sample_is_two_exams_of_four_views() -> None:
    try:
        files = cbis_sample_files()
    except SourceNotFound as error:
        pytest.skip(error.message)
    exams: dict[str, set[str]] = {}
    for file in files:
        mammogram = read_mammogram_header(file, key=KEY, site="site")
        assert mammogram.quality == ()
        exams.setdefault(mammogram.exam_id, set()).add(str(mammogram.view))
    assert exams == {
        pseudonym(KEY, "exam", case): {"L CC", "L MLO", "R CC", "R MLO"}
        for case in ("P_00173", "P_00820")
    }
