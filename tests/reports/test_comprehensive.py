"""The DICOM report reads back as what was told, in the patient's own study."""

from __future__ import annotations

from dataclasses import replace
from io import BytesIO
from typing import Any

import pydicom
import pytest
from pydicom.datadict import dictionary_VR, tag_for_keyword
from pydicom.dataset import Dataset

from mammo.dicom.original_ids import read_original_ids
from mammo.errors import ResultUnknown
from mammo.kept_result import KeptResult
from mammo.reports import KINDS, ReportMaterial, write, write_report
from tests.reports.materials import BORN, NAME

pytest.importorskip("highdicom", reason="highdicom comes with the extra serve")
pytestmark = pytest.mark.slow


@pytest.fixture(scope="module")
def kept(scored: KeptResult) -> KeptResult:
    return replace(scored, answer=scored.answer | {"abstention": ["OUT_OF_DISTRIBUTION"]})


@pytest.fixture(scope="module")
def report(kept: KeptResult) -> Dataset:
    return pydicom.dcmread(BytesIO(written(kept)))


def written(kept: KeptResult) -> bytes:
    return write_report(ReportMaterial.of_kept(kept))


def groups(report: Dataset) -> dict[str, dict[str, Any]]:
    """Return tracking identifier -> meaning of concept -> value, of the measurement groups."""
    (whole,) = (
        item
        for item in report.ContentSequence
        if item.ConceptNameCodeSequence[0].CodeMeaning == "Imaging Measurements"
    )
    found = {}
    for group in whole.ContentSequence:
        values = {
            item.ConceptNameCodeSequence[0].CodeMeaning: item for item in group.ContentSequence
        }
        found[values["Tracking Identifier"].TextValue] = values
    return found


def number(item: Dataset) -> tuple[float, str]:
    measured = item.MeasuredValueSequence[0]
    return float(measured.NumericValue), measured.MeasurementUnitsCodeSequence[0].CodeValue


def meaning(item: Dataset) -> str:
    return str(item.ConceptCodeSequence[0].CodeMeaning)


def test_it_is_in_the_patients_study(report: Dataset, original: list[Dataset]) -> None:
    for name in ("StudyInstanceUID", "PatientID", "PatientSex", "StudyDate", "StudyTime"):
        assert report[name].value == original[0][name].value, name
    assert (report.PatientName, report.PatientBirthDate) == (NAME, BORN)
    assert report.AccessionNumber == "A-77"
    assert report.SOPClassUID.name == "Comprehensive SR Storage" and report.Modality == "SR"
    assert report.ContentTemplateSequence[0].TemplateIdentifier == "1500"
    assert (report.CompletionFlag, report.VerificationFlag) == ("COMPLETE", "UNVERIFIED")
    evidence = report.CurrentRequestedProcedureEvidenceSequence[0]
    assert evidence.StudyInstanceUID == report.StudyInstanceUID
    told = {
        one.ReferencedSOPInstanceUID
        for series in evidence.ReferencedSeriesSequence
        for one in series.ReferencedSOPSequence
    }
    assert told == {image.SOPInstanceUID for image in original}
    assert report.SeriesInstanceUID not in {image.SeriesInstanceUID for image in original}


def test_scores_decisions_and_status_are_those_of_the_answer(
    report: Dataset, kept: KeptResult
) -> None:
    found, answer = groups(report), kept.answer
    exam = found["exam"]
    assert meaning(exam["Status of analysis"]) == "Scored, not to be relied on"
    reserve = exam["Reason not to rely on the score"].ConceptCodeSequence[0]
    assert reserve.LongCodeValue == "OUT_OF_DISTRIBUTION"
    assert number(exam["Probability of cancer"]) == (round(100 * answer["score"], 4), "%")
    assert number(exam["Tenth of the reference exams"]) == (7.0, "1")
    for breast in answer["breasts"]:
        told = found[f"breast {breast['laterality']}"]
        assert number(told["Probability of cancer"])[0] == round(100 * breast["probability"], 4)
        recalled = meaning(told["Decision at the operating point"]) == "Recall"
        assert recalled is breast["recall"]
        side = told["Finding Site"].ContentSequence[0]
        assert meaning(side) == {"L": "Left", "R": "Right"}[breast["laterality"]]


def test_every_finding_is_a_box_on_its_image(
    report: Dataset, kept: KeptResult, original: list[Dataset]
) -> None:
    found, regions = groups(report), 0
    for place, view in enumerate(kept.views, start=1):
        for number_, finding in enumerate(view.facts["findings"], start=1):
            told = found[f"image {place} region {number_}"]["Image Region"]
            left, top, right, bottom = (finding[n] for n in ("x_min", "y_min", "x_max", "y_max"))
            corners = [left, top, right, top, right, bottom, left, bottom, left, top]
            assert list(told.GraphicData) == pytest.approx(corners, abs=0.01)
            source = told.ContentSequence[0].ReferencedSOPSequence[0]
            assert source.ReferencedSOPInstanceUID == original[place - 1].SOPInstanceUID
            regions += 1
    assert regions >= 1 and len(found) == 3 + regions


def test_the_same_scoring_gives_the_same_object(kept: KeptResult, report: Dataset) -> None:
    again = pydicom.dcmread(BytesIO(written(kept)))
    assert again.SOPInstanceUID == report.SOPInstanceUID
    assert again.SeriesInstanceUID == report.SeriesInstanceUID
    other = pydicom.dcmread(BytesIO(written(replace(kept, request_id="q-2"))))
    assert other.SOPInstanceUID != report.SOPInstanceUID


def test_without_reserves_the_status_is_scored(kept: KeptResult) -> None:
    answer = kept.answer | {"abstention": [], "scale": None}
    report = pydicom.dcmread(BytesIO(written(replace(kept, answer=answer))))
    exam = groups(report)["exam"]
    assert meaning(exam["Status of analysis"]) == "Scored"
    assert {"Tenth of the reference exams", "Reason not to rely on the score"}.isdisjoint(exam)


def test_a_failure_is_told_with_its_code(materials: dict[str, ReportMaterial]) -> None:
    report = pydicom.dcmread(BytesIO(write_report(materials["failed"])))
    exam = groups(report)["exam"]
    assert meaning(exam["Status of analysis"]) == "Not scored"
    reason = exam["Reason why it was not scored"].ConceptCodeSequence[0]
    assert reason.CodeValue == "SCORE_NOT_FINITE"
    partly = pydicom.dcmread(BytesIO(write_report(materials["partly"])))
    assert meaning(groups(partly)["exam"]["Status of analysis"]) == "Scored, not from all images"


def test_an_image_without_uids_has_no_report(kept: KeptResult) -> None:
    assert kept.original_ids is not None
    broken = {tag: value for tag, value in kept.original_ids[0].items() if tag != "0020000D"}
    with pytest.raises(ResultUnknown, match="no Study, Series"):
        written(replace(kept, original_ids=(broken, *kept.original_ids[1:])))


@pytest.mark.parametrize(
    ("keyword", "said", "told"),
    [
        ("StudyDate", "2016.10.04", "20161004"),
        ("StudyDate", "20161345", ""),
        ("StudyTime", "13:25:30", "132530"),
        ("StudyTime", "132532.1234567", "132532.123456"),
        ("StudyTime", "9", ""),
        ("PatientBirthDate", "0000", ""),
        ("PatientSex", "X", ""),
        ("SpecificCharacterSet", ["", "ISO 2022 IR 87"], "ISO_IR 192"),
        ("AccessionNumber", "1" * 30, "1" * 30),
    ],
)
def test_values_of_old_equipment_cost_no_document(
    kept: KeptResult, keyword: str, said: Any, told: str
) -> None:
    assert kept.original_ids is not None
    values = said if isinstance(said, list) else [said]
    odd = {
        f"{tag_for_keyword(keyword):08X}": {"vr": dictionary_VR(keyword), "Value": values},
    }
    ids = tuple(one | odd for one in kept.original_ids)
    material = ReportMaterial.of_kept(replace(kept, original_ids=ids))
    for kind in KINDS:
        document = pydicom.dcmread(BytesIO(write(kind, material)))
        assert str(document[keyword].value or "") == told, kind


def test_malformed_ids_give_a_refusal_that_quotes_nothing(kept: KeptResult) -> None:
    assert kept.original_ids is not None
    strange = {"vr": "SQ", "Value": ["Doe^Jane"]}
    broken = kept.original_ids[0] | {"00081032": strange, "00280010": strange}
    with pytest.raises(ResultUnknown, match="are malformed") as caught:
        written(replace(kept, original_ids=(broken, *kept.original_ids[1:])))
    assert "Doe" not in str(caught.value) and caught.value.__suppress_context__


def test_a_malformed_value_is_left_out_of_the_ids(original: list[Dataset]) -> None:
    image = Dataset()
    image.update({element.tag: element for element in original[0] if element.keyword != "Rows"})
    stream = BytesIO()
    image.file_meta = original[0].file_meta
    image.save_as(stream, enforce_file_format=True)
    data = stream.getvalue()
    place = data.index(b"DA\x08\x00" + BORN.encode()) + 4
    ids = read_original_ids(data[:place] + b"\xff" * 8 + data[place + 8 :])
    assert ids["00100020"]["Value"] == [original[0].PatientID]
    assert "00280010" not in ids
