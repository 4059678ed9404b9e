from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest

from mammo.data.sources.told_view import settle_view
from mammo.dicom.read import read_mammogram_header
from mammo.exam import Laterality, View, ViewPosition

KEY = b"k" * 32


@pytest.mark.parametrize(
    ("header", "told", "view", "quality"),
    [
        (("L", "CC"), ("L", "CC"), "L CC", ()),
        (("L", "CC"), ("U", "U"), "L CC", ()),
        (("L", None), ("L", "MLO"), "L MLO", ()),
        (("L", None), ("L", "U"), "L U", ("VIEW_UNKNOWN",)),
        (("R", "CC"), ("L", "CC"), "L CC", ("LATERALITY_CONFLICT",)),
        (("R", "ML"), ("R", "MLO"), "R MLO", ("VIEW_CONFLICT",)),
        (("R", "ML"), ("R", "ML"), "R ML", ("NON_STANDARD_VIEW",)),
        (("R", None), ("R", "FB"), "R FB", ("NON_STANDARD_VIEW",)),
    ],
)
def test_told_view_goes_before_the_header(
    header: tuple[str, str | None],
    told: tuple[str, str],
    view: str,
    quality: tuple[str, ...],
    tmp_path: Path,
    make_dicom: Callable[..., Path],
) -> None:
    path = make_dicom(tmp_path / "a.dcm", 1, ImageLaterality=header[0], ViewPosition=header[1])
    found = read_mammogram_header(path, key=KEY, site="s")
    settled = settle_view(found, View(Laterality(told[0]), ViewPosition(told[1])))
    assert (str(settled.view), settled.quality) == (view, quality)
