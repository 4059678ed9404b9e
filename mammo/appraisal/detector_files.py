"""A detector on files: read and prepared as for every score, findings in original pixels."""

from __future__ import annotations

import time
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import numpy as np

from mammo.detection.detector import findings_of
from mammo.detection.registry import load_detector
from mammo.errors import EmptyRequest, ReadError
from mammo.exam import Finding, View
from mammo.exam_report import ExamReport
from mammo.exam_scores import require_one_exam
from mammo.geometry import PreprocessConfig
from mammo.reading import ReadView, ViewReader
from mammo.screening import ReadExam, Refused, Screener
from mammo.settings import Settings


@dataclass(frozen=True)
class DetectedView:
    """What a detector found in one file, best first; ``image_id`` is a pseudonym."""

    image_id: str
    view: View
    findings: tuple[Finding, ...]

    def to_dict(self) -> dict[str, Any]:
        """Return JSON-able data."""
        told = [asdict(one) for one in self.findings]
        return {"image": self.image_id, "view": str(self.view), "findings": told}

    def rows(self) -> list[dict[str, Any]]:
        """Return a table row a finding; one without a place where there is none."""
        return [
            {
                "view": str(self.view), "score": f"{one.score:.2f}",
                "x": f"{one.x_min:.0f}", "y": f"{one.y_min:.0f}",
                "width": f"{one.x_max - one.x_min:.0f}", "height": f"{one.y_max - one.y_min:.0f}",
            }
            for one in self.findings
        ] or [{"view": str(self.view), "score": "none"}]  # fmt: skip


def detect_files(
    settings: Settings,
    folder: Path,
    files: Sequence[tuple[str, bytes]],
    *,
    least_score: float = 0.0,
) -> tuple[list[DetectedView], tuple[Refused, ...]]:
    """Return what was found in each file that could be read, and why others could not.

    Raises EmptyRequest without a file, NothingReadable where none could be read,
    ReleaseNotFound and DigestMismatch.
    """
    _require_files(files)
    detector, facts = load_detector(folder)
    views, refused = _read(settings, files, facts.config)
    found = detector.detect(np.stack([one.prepared.pixels for one in views]))
    return [
        DetectedView(
            one.mammogram.image_id,
            one.mammogram.view,
            findings_of([box for box in boxes if box[4] >= least_score], one.prepared.geometry),
        )
        for one, boxes in zip(views, found, strict=True)
    ], refused


def screen_files(
    settings: Settings, directory: Path, files: Sequence[tuple[str, bytes]]
) -> tuple[list[ExamReport], tuple[Refused, ...]]:
    """Return what a release says of each exam among the files, by the one inference path.

    With classification, the findings of heat and detector, and how far both agree; and why
    the other files could not be read. Nothing tells of which exam such a file is: the report
    of each exam lists it, with what follows for quality and abstention. Raises EmptyRequest
    without a file, NothingReadable where none could be read, ReleaseNotFound, DigestMismatch
    and ParityError.
    """
    _require_files(files)
    screener = Screener.load(directory, reader=ViewReader.of(settings))
    started = time.perf_counter()
    read, refused = _read(settings, files, screener.release.preprocess)
    exams: dict[str, list[ReadView]] = {}
    for one in read:
        exams.setdefault(one.mammogram.exam_id, []).append(one)
    reports = [
        screener.score_read(ReadExam(tuple(views), refused, started)).report
        for views in exams.values()
    ]
    return reports, refused


def _require_files(files: Sequence[tuple[str, bytes]]) -> None:
    if not files:
        raise EmptyRequest("no file was given; name DICOM files, or folders of them")


def _read(
    settings: Settings, files: Sequence[tuple[str, bytes]], config: PreprocessConfig
) -> tuple[list[ReadView], tuple[Refused, ...]]:
    """Return the views of the files, at least one, and the files that are none, by their names."""
    contents, key = [data for _, data in files], settings.pseudonym_key()
    read = ViewReader.of(settings).read(contents, key, settings.site, config)
    views = [one for one in read if isinstance(one, ReadView)]
    refused = tuple(
        Refused(name, one.code, one.message)
        for (name, _), one in zip(files, read, strict=True)
        if isinstance(one, ReadError)
    )
    if not views:
        require_one_exam((), refused)
    return views, refused
