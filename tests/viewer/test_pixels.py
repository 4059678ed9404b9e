"""What the browser draws is what Python draws, at full depth: windows, VOI LUT, MONOCHROME1."""

from __future__ import annotations

import io
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pydicom
import pytest
from numpy.typing import NDArray
from pydicom.sequence import Sequence

from mammo.dicom.image import VoiLut, Window
from mammo.settings import Settings
from mammo.viewing import render
from tests.viewer.reading import (
    VIEWS,
    canvas_of,
    changed,
    corner_of,
    send,
    settle,
    view_of,
    wait_ready,
)

pytestmark = pytest.mark.slow
MOST_LEVELS_APART = 1
LUT_FIRST, LUT_ENTRIES, LUT_BITS = 100, 3600, 12


def lut_values() -> list[int]:
    """Return a table that is no straight line: bright early."""
    rising = np.linspace(0.0, 1.0, LUT_ENTRIES) ** 0.5
    return [int(value) for value in np.rint(rising * (2**LUT_BITS - 1))]


def vary(dataset: pydicom.Dataset, view: str) -> None:
    """Give each view another way to be shown."""
    dataset.WindowCenter, dataset.WindowWidth = 1800, 2600
    if view == "L CC":
        dataset.VOILUTFunction = "SIGMOID"
    if view == "R MLO":
        dataset.PhotometricInterpretation = "MONOCHROME1"
        dataset.PixelData = (4095 - dataset.pixel_array).astype("<u2").tobytes()
    if view == "L MLO":
        item = pydicom.Dataset()
        item.LUTDescriptor = [LUT_ENTRIES, LUT_FIRST, LUT_BITS]
        item.LUTData = lut_values()
        item["LUTDescriptor"].VR = item["LUTData"].VR = "US"
        dataset.VOILUTSequence = Sequence([item])


WAYS: dict[str, tuple[Any, bool]] = {
    "R CC": (Window(1800, 2600, "LINEAR"), False),
    "L CC": (Window(1800, 2600, "SIGMOID"), False),
    "R MLO": (Window(1800, 2600, "LINEAR"), True),
    "L MLO": (VoiLut(LUT_FIRST, np.array(lut_values(), np.uint16), LUT_BITS), False),
}


@pytest.fixture(scope="module")
def varied(hospital: tuple[str, Settings], phantom: list[Path]) -> tuple[str, dict[str, NDArray]]:
    """Score the exam and return its id with the stored pixels of each view."""
    files = changed(phantom, vary)
    sent = [pydicom.dcmread(io.BytesIO(data)) for data in files]
    exam = send(hospital[0], files)["exam"]
    return exam, {view_of(one): one.pixel_array for one in sent}


def shown_part(page: Any, view: str, expected: NDArray) -> tuple[NDArray, NDArray]:
    """Return the part of the image that is in the tile, as drawn and as expected."""
    drawn = canvas_of(page, view)
    x, y = (round(value) for value in corner_of(page, view))
    top, left = max(0, y), max(0, x)
    bottom = min(drawn.shape[0], y + expected.shape[0])
    right = min(drawn.shape[1], x + expected.shape[1])
    return drawn[top:bottom, left:right], expected[top - y : bottom - y, left - x : right - x]


# a JUnit file's schema has no place for what a test measured; pytest writes it all the same
@pytest.mark.filterwarnings("ignore:record_property is incompatible")
@pytest.mark.parametrize("by", ["", "?cpu"], ids=["webgl", "processor"])
def test_browser_draws_what_python_draws(
    hospital: tuple[str, Settings],
    varied: tuple[str, dict[str, NDArray]],
    open_page: Callable[..., Any],
    record_property: Callable[[str, object], None],
    by: str,
) -> None:
    exam, stored = varied
    most = 0
    page = open_page(f"{hospital[0]}/{by}#/exam/{exam}")
    wait_ready(page)
    assert page.locator(".exam").get_attribute("data-by") == ("processor" if by else "WebGL")
    for place, view in enumerate(VIEWS, start=1):
        way, inverted = WAYS[view]
        if by and (isinstance(way, VoiLut) or way.function == "SIGMOID"):
            # the library's drawing on the processor has straight windows only
            assert "straight" in page.inner_text(f'.tile[data-view="{view}"] .foot')
            continue
        page.keyboard.press(str(place))
        settle(page, view)
        page.keyboard.press("a")
        settle(page, view)
        expected = render(stored[view].astype(np.float64), way, inverted=inverted)
        drawn, asked = shown_part(page, view, expected)
        assert drawn.size > 300_000 and len(np.unique(asked)) > 100
        apart = np.abs(drawn.astype(int) - asked.astype(int))
        print(f"{view}: at most {apart.max()} of 255 apart, {(apart > 0).mean():.1%} are")
        assert apart.max() <= MOST_LEVELS_APART, view
        most = max(most, int(apart.max()))
        page.keyboard.press("0")
    record_property("most_levels_apart", most)
