"""What schemathesis sends where the OpenAPI document says only "binary": real small mammograms.

Loaded by schemathesis (``SCHEMATHESIS_HOOKS=benchmarks.chaos.openapi_hooks``).
"""

from __future__ import annotations

import io
import zipfile

import schemathesis
from hypothesis import strategies as st

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
