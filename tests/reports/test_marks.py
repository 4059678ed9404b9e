"""The presentation state draws on each image, and shows it as its own header does."""

from __future__ import annotations

from io import BytesIO
from pathlib import Path

import pydicom
import pytest
from pydicom.dataset import Dataset

from mammo.errors import ResultUnknown
from mammo.kept_result import KeptResult
from mammo.reports import ReportMaterial, original_ids_of, write_marks
from tests.reports.materials import as_bytes, replace_look

pytest.importorskip("highdicom", reason="highdicom comes with the extra serve")
pytestmark = pytest.mark.slow
PAIR = ("WindowCenter", "WindowWidth")
GE = Path(__file__).parents[3] / "shared" / "data" / "dicom" / "ge_jpeg_lossless_voi_lut.dcm"


def read(material: ReportMaterial) -> Dataset:
    return pydicom.dcmread(BytesIO(write_marks(material)))


def uid(item: Dataset) -> str:
    return str(item.ReferencedImageSequence[0].ReferencedSOPInstanceUID)


def marked(scored: KeptResult, images: list[Dataset]) -> Dataset:
    files = original_ids_of([as_bytes(one) for one in images])
    return read(ReportMaterial.of_answer(scored.answer, files))


def test_each_image_has_its_boxes_and_its_score(
    materials: dict[str, ReportMaterial], scored: KeptResult, original: list[Dataset]
) -> None:
    told = read(materials["scored"])
    drawn = {uid(one): one for one in told.GraphicAnnotationSequence}
    for image, view in zip(original, scored.answer["views"], strict=True):
        mark = drawn[image.SOPInstanceUID]
        boxes = mark.get("GraphicObjectSequence") or []
        assert len(boxes) == len(view["findings"])
        for box, finding in zip(boxes, view["findings"], strict=True):
            corner = [finding["x_min"], finding["y_min"]]
            assert list(box.GraphicData[:2]) == pytest.approx(corner, abs=0.01)
        texts = [one.UnformattedTextValue for one in mark.TextObjectSequence]
        assert f"breast {view['laterality']}" in texts[0] and "no diagnosis" in texts[0]
        assert len(texts) == 1 + len(boxes)


def test_each_image_is_shown_whole_and_in_its_own_window(
    scored: KeptResult, original: list[Dataset]
) -> None:
    looks = [
        {"WindowCenter": 100.0 + n, "WindowWidth": 50.0, "VOILUTFunction": "SIGMOID"}
        for n in range(3)
    ]
    images = [replace_look(one, **look) for one, look in zip(original, looks, strict=False)]
    told = marked(scored, [*images, original[3]])
    windows = {uid(one): one for one in told.SoftcopyVOILUTSequence}
    for image in images:
        window = windows[image.SOPInstanceUID]
        assert (window.WindowCenter, window.VOILUTFunction) == (image.WindowCenter, "SIGMOID")
    areas = {uid(one): one for one in told.DisplayedAreaSelectionSequence}
    for image in original:
        corner = areas[image.SOPInstanceUID].DisplayedAreaBottomRightHandCorner
        assert list(corner) == [image.Columns, image.Rows]
    assert told.PresentationLUTShape == "IDENTITY"


@pytest.mark.parametrize(
    ("look", "kept"),
    [
        ({"WindowCenter": [1.0, 2.0], "WindowWidth": [9.0, 8.0]}, {*PAIR, "VOILUTFunction"}),
        ({"VOILUTFunction": "LOG"}, {*PAIR, "WindowCenterWidthExplanation"}),
        ({"WindowCenter": [1.0, 2.0], "WindowWidth": 9.0}, set()),
    ],
)
def test_what_does_not_belong_to_a_window_is_not_copied(
    scored: KeptResult, original: list[Dataset], look: dict[str, object], kept: set[str]
) -> None:
    told = marked(scored, [replace_look(one, **look) for one in original])
    windows = told.get("SoftcopyVOILUTSequence") or [Dataset()]
    assert {one.keyword for one in windows[0]} - {"ReferencedImageSequence"} == kept


def test_an_inverted_image_stays_inverted(materials: dict[str, ReportMaterial]) -> None:
    assert read(materials["MONOCHROME1"]).PresentationLUTShape == "INVERSE"


def test_a_voi_lut_goes_before_a_window(scored: KeptResult, original: list[Dataset]) -> None:
    if not GE.is_file():
        pytest.skip("the shared file of a GE scanner is not here")
    real = pydicom.dcmread(GE, stop_before_pixels=True)
    look = {name: real[name].value for name in ("WindowCenter", "WindowWidth", "VOILUTSequence")}
    told = marked(scored, [replace_look(one, **look) for one in original])
    first = told.SoftcopyVOILUTSequence[0]
    assert "WindowCenter" not in first and len(first.VOILUTSequence) == 1
    assert first.VOILUTSequence[0].LUTDescriptor == real.VOILUTSequence[0].LUTDescriptor


@pytest.mark.parametrize(
    ("state", "code"), [("failed", "SCORE_NOT_FINITE"), ("not attempted", "NOT_MAMMOGRAPHY")]
)
def test_an_exam_that_was_not_scored_says_so(
    materials: dict[str, ReportMaterial], state: str, code: str
) -> None:
    for mark in read(materials[state]).GraphicAnnotationSequence:
        assert f"not scored ({code})" in mark.TextObjectSequence[0].UnformattedTextValue
        assert "GraphicObjectSequence" not in mark


def test_what_looks_different_is_left_out_or_refused(
    materials: dict[str, ReportMaterial], scored: KeptResult, original: list[Dataset]
) -> None:
    shown = read(materials["partly"]).ReferencedSeriesSequence
    told = {one.ReferencedSOPInstanceUID for s in shown for one in s.ReferencedImageSequence}
    assert told == {one.SOPInstanceUID for one in original}  # not the CT
    inverted = replace_look(original[0], PhotometricInterpretation="MONOCHROME1")
    with pytest.raises(ResultUnknown, match="polarity or modality LUT"):
        marked(scored, [inverted, *original[1:]])


def test_ids_of_a_version_before_this_one_are_refused(scored: KeptResult) -> None:
    assert scored.original_ids is not None
    old = [{k: v for k, v in one.items() if k != "00280004"} for one in scored.original_ids]
    with pytest.raises(ResultUnknown, match="was not kept"):
        write_marks(ReportMaterial.of_answer(scored.answer, old))
