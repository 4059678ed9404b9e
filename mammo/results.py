"""What was scored, kept for a while: for heat maps, findings and reports that are asked for later.

    store = ResultStore(settings.results_dir, settings.result_days)
    store.keep(request_id, report.exam_id, answer, scoring)
    store.latest(exam_id).heatmap_png()
    store.sweep()  # now and then: removes what is too old, or too much

The prediction log is the record of what was answered; this is not. What is lost
here costs a picture, so nothing is synchronised with the disk. All worker
processes share one folder: a file appears whole or not at all, and the latest of
an exam is the one whose link was set last.

The folder is for its owner alone (mode 0700): the images are of patients, and
where the original ids are kept, they name them.
"""

from __future__ import annotations

import errno
import json
import zipfile
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from mammo.errors import DiskFull, StoreReadOnly
from mammo.kept_files import KeptFiles
from mammo.kept_result import KeptResult, pack_result, unknown
from mammo.scoring import Scoring

__all__ = ["KeptResult", "ResultStore"]
MAX_MB = 20_000
FULL = (errno.ENOSPC, errno.EDQUOT, errno.EFBIG)


class ResultStore(KeptFiles):
    """A folder of scorings, the file of each named by a hash of its request; see `KeptFiles`."""

    def __init__(self, folder: Path, days: float = 30.0, max_mb: int = MAX_MB) -> None:
        super().__init__(folder, days, max_mb)

    def keep(
        self, request_id: str, exam_id: str, answer: Mapping[str, Any], scoring: Scoring
    ) -> None:
        """Keep a scoring under its request and as the latest of its exam.

        ``answer`` is what the caller was told, JSON-able. The same request again
        replaces what was kept.

        Raises
        ------
        DiskFull, StoreReadOnly
            Nothing half-written is left. The answer may be given all the same: only
            its pictures are lost.
        """
        data = pack_result(request_id, exam_id, answer, scoring)
        try:
            self.put(request_id, exam_id, lambda stream: stream.write(data))
        except OSError as error:
            if error.errno in FULL:
                raise DiskFull(
                    "The disk of the results is full; the scoring is logged, its heat map, "
                    "findings and report are not kept. Make room, or lower MAMMO_RESULT_DAYS."
                ) from error
            raise StoreReadOnly(
                f"The folder of the results cannot be written ({error.strerror}); the scoring "
                "is logged, its heat map, findings and report are not kept."
            ) from error

    def latest(self, exam_id: str) -> KeptResult:
        """Return the latest scoring kept of an exam; ResultUnknown where there is none."""
        return self._read(self.exam_path(exam_id), exam_id=exam_id)

    def of_request(self, request_id: str) -> KeptResult:
        """Return the scoring of a request; ResultUnknown where it is not kept."""
        return self._read(self.request_path(request_id), request_id=request_id)

    def answer(self, request_id: str | None) -> dict[str, Any]:
        """Return what was answered to a request, without its pictures; empty where not kept."""
        if request_id is None:
            return {}
        try:
            with zipfile.ZipFile(self.request_path(request_id)) as archive:
                told = json.loads(archive.read("result.json"))
        except (OSError, zipfile.BadZipFile, KeyError, ValueError):
            return {}
        return dict(told["answer"]) if told["request"] == request_id else {}

    def _read(self, path: Path, **wanted: str) -> KeptResult:
        found = KeptResult.read(path)
        if any(getattr(found, name) != value for name, value in wanted.items()):
            raise unknown()
        return found
