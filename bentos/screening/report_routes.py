"""The routes of documents for the patient's own study: CAD SR, report, marks.

    GET /v1/exams/{exam}/cad.dcm      Mammography CAD SR (TID 4000)
    GET /v1/exams/{exam}/report.dcm   Comprehensive SR (TID 1500)
    GET /v1/exams/{exam}/marks.dcm    Grayscale Softcopy Presentation State

All take ``?request=`` for another scoring than the latest. Of an exam that came in over
DICOM and could not be scored the documents say that it failed, and why; where nothing can
be written, ``404 EXAM_NOT_SCORED`` says why.
"""

from __future__ import annotations

from datetime import datetime
from typing import TYPE_CHECKING, Any

from fastapi import FastAPI, Request
from fastapi.responses import Response

from bentos.gateway.book import Book, Study
from bentos.gateway.objects import counts, is_scored
from bentos.gateway.tables import reading
from bentos.screening import schema
from bentos.screening.access import require_own
from bentos.screening.exams import EXAMS
from mammo.errors import ExamNotScored, ExamUnknown, JobUnknown, ResultUnknown, StudyUnknown
from mammo.reports import ReportKind, ReportMaterial, original_ids_of, write
from mammo.settings import Settings

if TYPE_CHECKING:
    from bentos.screening.work import Service

DICOM: dict[int | str, dict[str, Any]] = {
    200: {"content": {"application/dicom": {}}, "description": "The document, a DICOM file."}
}
SUMMARIES = {
    ReportKind.CAD: "The result as a Mammography CAD SR of the same study",
    ReportKind.REPORT: "The result as a DICOM structured report of the same study",
    ReportKind.MARKS: "The marks as a presentation state of the same study",
}


def add_reports(app: FastAPI, service: Service) -> None:
    """Add a route for each kind of document."""
    for kind in ReportKind:
        _add_kind(app, service, kind)


def _add_kind(app: FastAPI, service: Service, kind: ReportKind) -> None:
    def make(caller: Any, exam: str, request_id: str | None) -> tuple[bytes, str | None]:
        material = _material(service, caller, exam, request_id)
        return write(kind, material), material.release or None

    async def get_document(http: Request, exam: str, request: str | None = None) -> Response:
        """Give the document; it names the patient, as every object of the study does."""
        document, release = await service.run(make, http.state.caller, exam, request)
        await service.note(http, kind.value, exam, release)
        return Response(document, media_type="application/dicom")

    app.add_api_route(
        f"{EXAMS}/{{exam}}/{kind.value}.dcm",
        get_document,
        methods=["GET"],
        name=f"get_{kind.value}",
        operation_id=f"get_{kind.value}",
        tags=["exams"],
        summary=SUMMARIES[kind],
        response_class=Response,
        responses=DICOM | schema.problems(404, 503),
    )


def _material(service: Service, caller: Any, exam: str, request_id: str | None) -> ReportMaterial:
    """Return what is known of an exam. Raises ResultUnknown, ExamNotScored, ExamUnknown."""
    if request_id is None:
        try:
            return ReportMaterial.of_kept(service.latest_kept(exam))
        except ExamUnknown:
            return failed_material(service.settings, exam)
    try:
        kept = service.results.of_request(request_id)
        if kept.exam_id != exam:
            raise ResultUnknown("This request was of another exam.")
        return ReportMaterial.of_kept(kept)
    except ResultUnknown:
        _require_no_failed_job(service, caller, request_id)
        if service.durable.exam_report(exam) is not None:
            raise
    return failed_material(service.settings, exam)


def _require_no_failed_job(service: Service, caller: Any, request_id: str) -> None:
    """Raise ExamNotScored where the request was a job that failed."""
    try:
        job = service.jobs.read(request_id)
    except JobUnknown:
        return
    require_own(caller, job.who)
    if job.problem is not None:
        raise ExamNotScored(
            f"This exam was not scored: {job.problem['code']}. {job.problem['detail']}"
        )


def failed_material(settings: Settings, exam: str) -> ReportMaterial:
    """Return the material of an exam that the gateway could not get scored, from its files.

    Raises
    ------
    ExamUnknown
        It was neither scored nor did it come in over DICOM.
    ExamNotScored
        It is still on its way; or its files are gone, or have no identity.
    """
    try:
        study = Book(settings.gateway_book).study(exam)
    except StudyUnknown:
        raise ExamUnknown("No prediction is logged under this exam id.") from None
    line = study.line
    if line.state != "failed":
        raise ExamNotScored(
            f"The exam came in over DICOM and is {line.state}: there is no score yet. "
            f"GET /v1/studies/{exam} tells how far it is."
        )
    code = line.code or "INTERNAL"
    try:
        ids = original_ids_of(_files(settings, exam))
        return ReportMaterial.of_failure(ids, code, line.text, _failed_at(study))
    except (OSError, ResultUnknown):
        raise ExamNotScored(
            f"The exam was not scored: {code}. {line.text} Its images are no longer kept, or have "
            "no identity, so that no report can be written of it."
        ) from None


def _failed_at(study: Study) -> datetime:
    at = study.scorings[-1].scored_at if study.scorings else study.line.last_received_at
    return datetime.fromisoformat(at)


def _files(settings: Settings, exam: str) -> list[Any]:
    """Return the study's images that are still there, those that should have been scored first."""
    with reading(settings.gateway_book) as book:
        wanted = "SELECT code, file FROM images WHERE study = ? AND file != '' ORDER BY number"
        rows = [] if book is None else book.execute(wanted, (exam,)).fetchall()
    images = sorted((one for one in rows if counts(one["code"])), key=_is_left_out)
    return [settings.gateway_dir / "inbox" / one["file"] for one in images]


def _is_left_out(row: Any) -> bool:
    return not is_scored(row["code"])
