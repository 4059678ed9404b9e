"""What schemathesis sends where the OpenAPI document says only "binary": real small mammograms.

Loaded by schemathesis (``SCHEMATHESIS_HOOKS=benchmarks.chaos.openapi_hooks``).
"""

from __future__ import annotations

import io
import random
import zipfile
from datetime import datetime
from typing import Any

import schemathesis
from hypothesis import strategies as st
from schemathesis import Case, HookContext, Response

from benchmarks.chaos.exams import ExamMaker

KEY = b"schemathesis"
EXAMS = 1


def archive(files: tuple[bytes, ...]) -> bytes:
    """Return the files as a ZIP."""
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w") as packed:
        for place, data in enumerate(files):
            packed.writestr(f"{place}.dcm", data)
    return buffer.getvalue()


_made = [ExamMaker(KEY).make(number) for number in range(EXAMS)]
_views = st.sampled_from([data for exam in _made for data in exam.files])
schemathesis.openapi.format("binary", _views)
schemathesis.openapi.media_type("application/dicom", _views)
schemathesis.openapi.media_type(
    "application/zip", st.sampled_from([archive(exam.files) for exam in _made])
)

# the document has no word for "not later than now": instants as outcomes have them
_instants = st.datetimes(min_value=datetime(1980, 1, 2), max_value=datetime.now())
schemathesis.openapi.format("date-time", _instants.map(lambda at: f"{at:%Y-%m-%dT%H:%M:%S}Z"))

_jobs: list[str] = []
_dice = random.Random(1)


@schemathesis.hook
def before_call(_context: HookContext, case: Case, _kwargs: dict[str, Any]) -> None:
    """Let every other exam be scored later, and ask for jobs that there are."""
    scored = case.method == "POST" and case.path == "/v1/exams"
    if scored and _dice.random() < 0.5 and "Prefer" not in (case.headers or {}):
        case.headers = {**(case.headers or {}), "Prefer": "respond-async"}
    if case.path == "/v1/jobs/{job}" and _jobs and _dice.random() < 0.7:
        case.path_parameters = {"job": _dice.choice(_jobs)}


@schemathesis.hook
def after_call(_context: HookContext, _case: Case, response: Response) -> None:
    """Remember the jobs that were accepted."""
    if response.status_code == 202:
        _jobs.append(response.json()["id"])
