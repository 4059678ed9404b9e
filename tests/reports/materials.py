"""One scored phantom exam, and the material of every state that an exam can be in."""

from __future__ import annotations

from io import BytesIO
from pathlib import Path
from typing import Any

import pydicom
from pydicom.dataset import Dataset
from pydicom.uid import generate_uid

from mammo.kept_result import KeptResult
from mammo.reports import ReportMaterial, original_ids_of
from mammo.results import ResultStore
from tests.heat_release import KEY, load, one_exam, write_heat_release

NAME, BORN = "Müller^Żaneta=山田^花子", "19610203"
REFUSED = {"position": 5, "file": "5", "code": "NOT_MAMMOGRAPHY", "message": "A CT."}
INVERTED = {"PhotometricInterpretation": "MONOCHROME1", "PresentationLUTShape": "INVERSE"}
PATIENT = (
    "PatientID", "PatientName", "PatientBirthDate", "PatientSex", "StudyInstanceUID", "StudyID",
    "StudyDate", "StudyTime", "AccessionNumber",
)  # fmt: skip


def as_bytes(image: Dataset) -> bytes:
    stream = BytesIO()
    image.save_as(stream)
    return stream.getvalue()


def make_original(folder: Path) -> list[Dataset]:
    """Return an exam of somebody whose names need more than one character set."""
    images = []
    for _, data in one_exam(folder):
        image = pydicom.dcmread(BytesIO(data))
        image.SpecificCharacterSet = "ISO_IR 192"
        image.PatientName, image.PatientBirthDate = NAME, BORN
        image.AccessionNumber = "A-77"
        images.append(image)
    return images


def make_ct(of: Dataset) -> bytes:
    """Return a CT of the same study, as a PACS sends it along."""
    ct = Dataset()
    ct.file_meta = of.file_meta.copy()  # type: ignore[no-untyped-call]
    for keyword in PATIENT:
        ct[keyword] = of[keyword]
    ct.SpecificCharacterSet = "ISO_IR 192"
    ct.SOPClassUID = ct.file_meta.MediaStorageSOPClassUID = "1.2.840.10008.5.1.4.1.1.2"
    ct.SOPInstanceUID = ct.file_meta.MediaStorageSOPInstanceUID = generate_uid(
        entropy_srcs=["a CT"]
    )
    ct.SeriesInstanceUID = generate_uid(entropy_srcs=["its series"])
    ct.Modality, ct.Rows, ct.Columns, ct.SamplesPerPixel = "CT", 512, 512, 1
    ct.PhotometricInterpretation, ct.RescaleIntercept, ct.RescaleSlope = "MONOCHROME2", -1024, 1
    return as_bytes(ct)


def score(original: list[Dataset], folder: Path) -> KeptResult:
    """Return what is kept of the exam, scored by a tiny release that tells its heat."""
    screener = load(write_heat_release(folder / "releases", "r-light"))
    files = [(str(number), as_bytes(one)) for number, one in enumerate(original, start=1)]
    scoring = screener.score_read(screener.read_exam(files, key=KEY, site="s", identity=True))
    answer = scoring.report.to_json() | {"scale": 7, "request": "q-1"}
    store = ResultStore(folder / "results")
    store.keep("q-1", scoring.report.exam_id, answer, scoring)
    return store.of_request("q-1")


def every_state(original: list[Dataset], kept: KeptResult) -> dict[str, ReportMaterial]:
    """Return a name -> material of an exam that was scored, partly scored, not scored."""
    ids = original_ids_of([as_bytes(one) for one in original])
    with_ct = (*ids, *original_ids_of([make_ct(original[0])]))
    inverted = [replace_look(one, **INVERTED) for one in original]
    answer: dict[str, Any] = dict(kept.answer)
    empty = answer | {"views": [view | {"findings": []} for view in answer["views"]]}
    recalled = answer | {
        "abstention": [],
        "breasts": [one | {"recall": True} for one in answer["breasts"]],
    }
    three = recalled | {"views": answer["views"][:3], "quality": ["MISSING_VIEW"]}
    three["abstention"] = ["MISSING_VIEW"]
    scored = ReportMaterial.of_kept(kept)
    marked = recalled | {"views": [with_marks(view) for view in answer["views"]]}
    return {
        "two sources": ReportMaterial.of_answer(marked, ids),
        "scored": scored,
        "recalled": ReportMaterial.of_answer(recalled, ids),
        "no findings": ReportMaterial.of_answer(empty, ids),
        "no places": ReportMaterial.of_answer(empty | {"localised": False}, ids),
        "partly": ReportMaterial.of_answer(
            answer | {"abstention": [], "refused": [REFUSED]}, with_ct
        ),
        "missing view": ReportMaterial.of_answer(three, ids[:3]).replacing(scored),
        "from the log": ReportMaterial.of_answer(answer | {"views": []}, ids),
        "MONOCHROME1": ReportMaterial.of_answer(
            answer, original_ids_of([as_bytes(one) for one in inverted])
        ),
        "failed": ReportMaterial.of_failure(ids, "SCORE_NOT_FINITE", "The score is no number."),
        "not attempted": ReportMaterial.of_failure(with_ct[4:], "NOT_MAMMOGRAPHY", "It is a CT."),
    }


def with_marks(view: dict[str, Any]) -> dict[str, Any]:
    """Return a view whose regions the detector marked, too, and a mark that it alone set."""
    both = [
        one | {"score": 0.61, "source": "heat+detector", "sources": ["heat", "detector"]}
        for one in view["findings"]
    ]
    box = {"x_min": 40.0, "y_min": 60.0, "x_max": 90.5, "y_max": 110.0, "kind": "region"}
    named = {"source": "detector", "sources": ["detector"]}
    return view | {"findings": [*both, box | named | {"share": None, "logit": None, "score": 0.3}]}


def replace_look(image: Dataset, **values: Any) -> Dataset:
    """Return a copy of an image whose header says something else of how it is shown."""
    changed = pydicom.dcmread(BytesIO(as_bytes(image)))
    for keyword, value in values.items():
        setattr(changed, keyword, value)
    return changed
