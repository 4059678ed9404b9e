"""Quarantine: files that could not become a mammogram, one report each.

``<sha256>.json`` says why, under a stable code; beside it lies a copy of the
file for whoever looks into it. The report holds no identity: the file's own
name, its digest, the code. The folder is private to its owner, because the
copies are as they came.
"""

from __future__ import annotations

import json
import shutil
from collections.abc import Callable, Collection
from dataclasses import asdict, dataclass, fields
from datetime import UTC, datetime
from pathlib import Path

from mammo.data.durable import make_folder, storing, write_file, write_text
from mammo.errors import FileChanged, FileVanished, ReadError

MAX_COPY_BYTES = 200 * 2**20
UNEXPECTED = ReadError.code
PASSING = frozenset((FileVanished.code, FileChanged.code))
"""Codes of what befell a file while it was read; it is not to blame, and not quarantined."""

FindKnown = Callable[[Collection[str]], Collection[str]]
"""Of some files, by SHA-256, those that are in the index."""


@dataclass(frozen=True, slots=True)
class QuarantineRecord:
    """Why a file was refused.

    ``reader`` is the version of mammo that refused it and ``limits`` what it was
    allowed; ``new`` is False when the file had been refused before.
    """

    file: str
    code: str
    message: str
    sha256: str
    source: str = ""
    reader: str = ""
    first_seen: str = ""
    limits: str = ""
    new: bool = True


def refusal(
    path: Path, error: Exception, *, sha256: str, source: str, limits: str = ""
) -> QuarantineRecord:
    """Describe why a file was refused.

    Anything but a `ReadError` was not foreseen: only its class is told, since
    its text may quote the header.
    """
    import mammo

    if isinstance(error, ReadError):
        code, message = error.code, error.message
    else:
        code = UNEXPECTED
        message = f"the reader failed with {type(error).__name__}; the file was left out"
    seen = datetime.now(UTC).isoformat(timespec="seconds")
    return QuarantineRecord(
        path.name, code, message, sha256, source, mammo.__version__, seen, limits
    )


def is_for_good(record: QuarantineRecord) -> bool:
    """Return False for a refusal whose cause may have passed: the file is tried again."""
    return record.code != UNEXPECTED and record.code not in PASSING


def put_in_quarantine(directory: Path, record: QuarantineRecord, path: Path | None) -> None:
    """Write the report and a copy of the file; twice changes nothing."""
    make_folder(directory, mode=0o700)
    before = find_record(directory, record.sha256)
    if before is not None and _cause(before) == _cause(record):
        return
    if path is not None and path.is_file() and path.stat().st_size <= MAX_COPY_BYTES:
        _copy(path, directory / f"{record.sha256}{path.suffix.lower()}")
    values = {name: value for name, value in asdict(record).items() if name != "new"}
    write_text(
        _report_path(directory, record.sha256), json.dumps(values, indent=2) + "\n", directory
    )


def find_record(directory: Path, sha256: str) -> QuarantineRecord | None:
    """Return the report on a file by its digest, or None."""
    return _read_record(_report_path(directory, sha256))


def read_quarantine(directory: Path) -> list[QuarantineRecord]:
    """Return all reports, by file name."""
    found = (_read_record(path) for path in directory.glob("*.json"))
    return sorted((r for r in found if r is not None), key=lambda r: (r.file, r.sha256))


def release_from_quarantine(directory: Path, find_known: FindKnown) -> None:
    """Remove reports and copies of the files that have since been read: those in the index."""
    with storing(directory):
        paths = [(path, path.name.partition(".")[0]) for path in directory.glob("*")]
        known = find_known({digest for _, digest in paths})
        for path, digest in paths:
            if digest in known:
                path.unlink(missing_ok=True)


def _cause(record: QuarantineRecord) -> tuple[str, str, str]:
    return record.code, record.reader, record.limits


def _copy(path: Path, copy: Path) -> None:
    try:
        original = path.open("rb")
    except OSError:
        return  # gone by now, or closed to us: the report says what it was
    with original:
        write_file(copy, lambda handle: shutil.copyfileobj(original, handle), copy.parent)


def _report_path(directory: Path, sha256: str) -> Path:
    return directory / f"{sha256}.json"


def _read_record(path: Path) -> QuarantineRecord | None:
    if not path.is_file():
        return None
    values = json.loads(path.read_text())
    known = {field.name for field in fields(QuarantineRecord)}
    return QuarantineRecord(**{k: v for k, v in values.items() if k in known} | {"new": False})
