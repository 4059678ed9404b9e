"""The Mammography CAD SR says of every exam what came of it, on the originals' pixels."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from io import BytesIO
from typing import Any

import pydicom
import pytest
from pydicom.dataset import Dataset

from mammo.errors import ResultUnknown
from mammo.kept_result import KeptResult
from mammo.reports import ReportMaterial, original_ids_of, write_cad
from mammo.reports.kinds import ReportKind, uid_of
from mammo.reports.wording import tell_exam
from tests.reports.materials import NAME, as_bytes, replace_look

pytest.importorskip("highdicom", reason="highdicom comes with the extra serve")
pytestmark = pytest.mark.slow
SUCCEEDED, PARTLY, FAILED, NOT_TRIED = "111222", "111223", "111224", "111225"
FINE_FOUND, FINE_NONE, SOME_FOUND, SOME_NONE, NONE = (
    str(n) for n in (111242, 111241, 111244, 111243, 111245)
)
REQUIRED, OPTIONAL = "111150", "111151"


def read(material: ReportMaterial) -> Dataset:
    return pydicom.dcmread(BytesIO(write_cad(material)))


def concept(item: Dataset) -> str:
    names = item.get("ConceptNameCodeSequence")
    return str(names[0].CodeValue) if names else ""


def value(item: Dataset) -> str:
    return str(item.ConceptCodeSequence[0].CodeValue)


def below(item: Dataset, *concepts: str) -> Iterator[Dataset]:
    """Yield the items at this path of concepts."""
    for child in item.get("ContentSequence") or []:
        if concepts and concept(child) == concepts[0]:
            if len(concepts) == 1:
                yield child
            else:
                yield from below(child, *concepts[1:])


@pytest.mark.parametrize(
    ("state", "summary", "detections", "analyses"),
    [
        ("scored", FINE_FOUND, SUCCEEDED, SUCCEEDED),
        ("recalled", FINE_FOUND, SUCCEEDED, SUCCEEDED),
        ("no findings", FINE_NONE, SUCCEEDED, SUCCEEDED),
        ("no places", SOME_NONE, NOT_TRIED, SUCCEEDED),
        ("from the log", SOME_NONE, NOT_TRIED, SUCCEEDED),
        ("partly", SOME_FOUND, PARTLY, PARTLY),
        ("missing view", FINE_FOUND, SUCCEEDED, SUCCEEDED),
        ("MONOCHROME1", FINE_FOUND, SUCCEEDED, SUCCEEDED),
        ("failed", NONE, FAILED, FAILED),
        ("not attempted", NONE, NOT_TRIED, NOT_TRIED),
    ],
)
def test_the_status_is_never_absent(
    materials: dict[str, ReportMaterial], state: str, summary: str, detections: str, analyses: str
) -> None:
    told = read(materials[state])
    found = [value(next(below(told, name))) for name in ("111017", "111064", "111065")]
    assert found == [summary, detections, analyses]


def test_every_image_is_in_the_library_and_in_the_evidence(
    materials: dict[str, ReportMaterial], original: list[Dataset]
) -> None:
    told = read(materials["partly"])
    entries = next(below(told, "111028")).ContentSequence
    listed = [one.ReferencedSOPSequence[0].ReferencedSOPInstanceUID for one in entries]
    assert listed[:4] == [one.SOPInstanceUID for one in original] and len(listed) == 5
    evidence = [
        one.ReferencedSOPInstanceUID
        for series in told.CurrentRequestedProcedureEvidenceSequence[0].ReferencedSeriesSequence
        for one in series.ReferencedSOPSequence
    ]
    assert set(evidence) == set(listed)
    sides = [value(next(below(one, "111027"))) for one in entries[:4]]
    assert sides == [{"L": "80248007", "R": "73056007"}[one.ImageLaterality] for one in original]
    failed = next(below(told, "111064", "111025", "111022"))
    assert [one.ReferencedContentItemIdentifier for one in _pointers(failed)] == [[1, 2, 5]]


def test_what_is_no_orientation_is_not_told_as_one(
    scored: KeptResult, original: list[Dataset]
) -> None:
    said = [["L", "F"], "CC", "", ["L", "F"]]  # CBIS-DDSM has the view there
    images = [
        replace_look(one, PatientOrientation=two) for one, two in zip(original, said, strict=True)
    ]
    files = original_ids_of([as_bytes(one) for one in images])
    told = read(ReportMaterial.of_answer(scored.answer, files))
    rows = [list(below(one, "111044")) for one in next(below(told, "111028")).ContentSequence]
    assert [[one.TextValue for one in row] for row in rows] == [["L"], [], [], ["L"]]


def _pointers(item: Dataset) -> list[Dataset]:
    return [one for one in item.ContentSequence if "ReferencedContentItemIdentifier" in one]


def test_every_finding_is_outlined_on_its_image(
    materials: dict[str, ReportMaterial], scored: KeptResult
) -> None:
    told = read(materials["scored"])
    wanted = [
        (place, view, finding)
        for place, view in enumerate(scored.answer["views"], start=1)
        for finding in view["findings"]
    ]
    found = list(below(told, "111017", "111034", "111059"))
    assert len(found) == len(wanted) >= 1
    told_at = {tuple(_outline(one)) for one in found}
    assert told_at == {(place, *_corners(finding)) for place, _, finding in wanted}
    certain = sorted(_number(next(below(one, "111012"))) for one in found)
    expected = sorted(100 * view["probability"] * one["share"] for _, view, one in wanted)
    assert certain == pytest.approx(expected, abs=1e-4)


def test_a_mark_of_the_detector_alone_has_no_certainty(
    materials: dict[str, ReportMaterial],
) -> None:
    told = read(materials["two sources"])
    found = list(below(told, "111017", "111034", "111059"))
    words = [next(below(one, "111058")).TextValue for one in found]
    alone = [one for one, text in zip(found, words, strict=True) if "evidence" not in text]
    assert len(alone) == len(materials["two sources"].views)
    assert not any(list(below(one, "111012")) for one in alone)
    assert all("marked by the detector with 0.30." in text for text in words if "evid" not in text)
    assert any("% of the evidence for the score, marked by the detector" in one for one in words)
    shared = [one for one in found if one not in alone]
    assert shared and all(list(below(one, "111012")) for one in shared)
    how = next(below(found[0], "111002"))
    assert "marks of a detector" in how.TextValue


def _outline(finding: Dataset) -> Iterator[float]:
    region = next(below(finding, "111041"))
    yield region.ContentSequence[0].ReferencedContentItemIdentifier[2]
    yield from (round(float(one), 1) for one in region.GraphicData)


def _corners(finding: dict[str, Any]) -> tuple[float, ...]:
    left, top, right, bottom = (finding[n] for n in ("x_min", "y_min", "x_max", "y_max"))
    return (left, top, right, top, right, bottom, left, bottom, left, top)


def _number(item: Dataset) -> float:
    return float(item.MeasuredValueSequence[0].NumericValue)


def test_exam_and_breasts_have_their_probability(
    materials: dict[str, ReportMaterial], scored: KeptResult
) -> None:
    told = {
        value(next(below(one, "272741003"))): _number(one)
        for one in below(read(materials["scored"]), "111017", "111047")
    }
    answer = scored.answer
    wanted = {"63762007": answer["score"]}
    codes = {"L": "80248007", "R": "73056007"}
    wanted |= {codes[one["laterality"]]: one["probability"] for one in answer["breasts"]}
    assert told == pytest.approx({side: 100 * one for side, one in wanted.items()}, abs=1e-4)


@pytest.mark.parametrize(("state", "intent"), [("recalled", REQUIRED), ("missing view", OPTIONAL)])
def test_marks_must_be_shown_only_where_a_recall_can_be_relied_on(
    materials: dict[str, ReportMaterial], state: str, intent: str
) -> None:
    told = below(read(materials[state]), "111017", "111034", "111059", "111056")
    assert {value(one) for one in told} == {intent}


@pytest.mark.parametrize(
    ("state", "sentence"),
    [
        ("partly", "Not scored, 1 of the files sent: NOT_MAMMOGRAPHY."),
        ("missing view", "Not to be relied on: MISSING_VIEW."),
        ("failed", "Not scored: SCORE_NOT_FINITE. The score is no number."),
        ("no places", "does not tell where the score comes from"),
        ("from the log", "regions are no longer kept"),
    ],
)
def test_what_a_reader_has_to_know_is_a_sentence(
    materials: dict[str, ReportMaterial], state: str, sentence: str
) -> None:
    told = next(below(read(materials[state]), "111017", "111033")).TextValue
    assert sentence in told and "a radiologist reads every exam" in told


@pytest.mark.parametrize(
    ("reserves", "judged", "known", "seen"),
    [([], True, True, True), (None, None, False, True), ([], False, True, False),
     (["SATURATED"], None, True, True)],
    ids=["nothing speaks against it", "from a log of before", "too few reference exams", "a code"],
)  # fmt: skip
def test_what_nobody_knows_or_judged_is_not_left_out(
    materials: dict[str, ReportMaterial],
    reserves: list[str] | None, judged: bool | None, known: bool, seen: bool,
) -> None:  # fmt: skip
    scored = materials["scored"]
    answer = {**(scored.answer or {}), "abstention": reserves, "familiarity_judged": judged}
    told = tell_exam(replace(scored, answer=answer))
    assert ("Not known: whether anything speaks against the score." not in told) is known
    assert ("Not judged: whether the images look like" not in told) is seen
    assert ("Not to be relied on: SATURATED." in told) is bool(reserves)


def test_it_is_in_the_patients_study(
    materials: dict[str, ReportMaterial], original: list[Dataset]
) -> None:
    for state in ("scored", "failed"):
        told = read(materials[state])
        assert told.StudyInstanceUID == original[0].StudyInstanceUID
        assert (told.PatientName, told.AccessionNumber) == (NAME, "A-77")
        assert told.SOPClassUID.name == "Mammography CAD SR Storage"
        assert told.ContentTemplateSequence[0].TemplateIdentifier == "4000"


def test_the_same_scoring_gives_the_same_file_however_it_is_known(
    materials: dict[str, ReportMaterial], original: list[Dataset], scored: KeptResult
) -> None:
    files = original_ids_of([as_bytes(one) for one in original])
    answered = ReportMaterial.of_answer(scored.answer, files)
    assert write_cad(answered) == write_cad(materials["scored"])
    others = ("scored", "partly", "missing view", "failed", "not attempted")
    assert len({read(materials[one]).SOPInstanceUID for one in others}) == len(others)


def test_a_later_scoring_names_the_earlier_document(
    materials: dict[str, ReportMaterial],
) -> None:
    earlier, later = materials["scored"], materials["missing view"]
    told = read(later).PredecessorDocumentsSequence[0].ReferencedSeriesSequence[0]
    assert told.ReferencedSOPSequence[0].ReferencedSOPInstanceUID == read(earlier).SOPInstanceUID
    assert told.SeriesInstanceUID == uid_of(ReportKind.CAD, "series", earlier.seed)
    assert earlier.replacing(earlier).replaces is None
    assert "PredecessorDocumentsSequence" not in read(earlier)


def test_without_an_identity_there_is_no_document(
    scored: KeptResult, original: list[Dataset]
) -> None:
    with pytest.raises(ResultUnknown, match="of other files"):
        ReportMaterial.of_answer(scored.answer, original_ids_of([as_bytes(original[0])]))
    with pytest.raises(ResultUnknown, match=r"not scored \(NOT_DICOM\)"):
        ReportMaterial.of_failure(original_ids_of([b"no DICOM"]), "NOT_DICOM", "No DICOM.")
