"""`mammo report`: the DICOM documents of an exam, for its own study."""

from __future__ import annotations

import os
from enum import StrEnum
from pathlib import Path
from typing import Annotated

import typer

from flows.cli_terminal import reported, say, settings_from_environment


class KindName(StrEnum):
    """What to write; `mammo.reports.ReportKind`."""

    CAD = "cad"
    REPORT = "report"
    MARKS = "marks"


def add_report_command(app: typer.Typer) -> None:
    """Add `mammo report`."""
    app.command(epilog="Example: mammo report 5e884898da28 --kind cad --to cad.dcm")(report)


@reported
def report(
    exam: Annotated[str, typer.Argument(help="The exam's pseudonym, as `mammo predict` told it.")],
    kind: Annotated[
        KindName, typer.Option(help="cad: CAD SR; report: TID 1500; marks: presentation state.")
    ] = KindName.CAD,
    to: Annotated[
        Path | None, typer.Option(dir_okay=False, help="The file to write; KIND.dcm if none.")
    ] = None,
    url: Annotated[
        str | None, typer.Option(help="A running service; what is kept on this machine if none.")
    ] = None,
) -> None:
    """Write a DICOM document of an exam, to be put into the patient's own study.

    It names the patient. Of an exam that came in over DICOM and failed, it says so.
    """
    target = to or Path(f"{kind.value}.dcm")
    document = _ask(url, exam, kind.value) if url else _write(exam, kind.value)
    target.write_bytes(document)
    say(f"{target}: {len(document)} bytes. It names the patient.")


def _ask(url: str, exam: str, kind: str) -> bytes:
    from mammo.client import Screening

    with Screening(url, token=os.environ.get("MAMMO_TOKEN")) as service:
        return service.report(exam, kind)


def _write(exam: str, kind: str) -> bytes:
    from bentos.screening.report_routes import failed_material
    from mammo.errors import ExamUnknown, ResultUnknown
    from mammo.reports import ReportMaterial, write
    from mammo.results import ResultStore

    settings = settings_from_environment()
    try:
        kept = ResultStore(settings.results_dir, settings.result_days).latest(exam)
    except ResultUnknown as unknown:
        try:
            return write(kind, failed_material(settings, exam))
        except ExamUnknown:
            raise unknown from None
    return write(kind, ReportMaterial.of_kept(kept))
