"""Write docs/reading_cases.md: `python -m tests.dicom.archive_page`.

The page tells nothing of the machine, so that a test can find it out of date.
Where pydicom-data is not installed, its rows keep what is expected.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from pathlib import Path

from mammo.dicom.read import read_mammogram
from mammo.errors import ReadError
from mammo.quality import QUALITY_CODES, REFUSALS

from .archive_cases import Case, all_cases, see
from .archive_pydicom import ArchiveFile, read_table, see_pixels, see_reader
from .hostile import HOSTILE

PAGE = Path(__file__).parents[2] / "docs" / "reading_cases.md"
HEAD = """# What the reader does with what

Written by `python -m tests.dicom.archive_page` from the tables of the tests;
a test fails where this page is out of date. [reading.md](reading.md) says why.

An outcome is the view and the quality codes (`L CC SYNTHETIC_2D`), or the code
of the refusal. After a semicolon stands what was measured: `exact` is equality
of every stored value, numbers are greys in percent of white.
"""


def make_page() -> str:
    """Return the page."""
    return "\n".join((HEAD, *_codes(), *_cases(), *_hostile(), *_files(), ""))


def table(columns: tuple[str, ...], rows: Iterable[tuple[str, ...]]) -> Iterator[str]:
    """Yield the lines of a table."""
    yield f"| {' | '.join(columns)} |"
    yield f"|{'---|' * len(columns)}"
    for row in rows:
        yield f"| {' | '.join(cell.replace('|', '/') for cell in row)} |"
    yield ""


def _codes() -> Iterator[str]:
    yield "## Quality codes\n\nThe image was read, and this is what to know of it.\n"
    yield from table(("code", "meaning"), ((f"`{c}`", t) for c, t in QUALITY_CODES.items()))
    yield "## Refusals\n\nThe file was not read.\n"
    rows = ((f"`{code}`", says, do) for code, (says, do) in REFUSALS.items())
    yield from table(("code", "meaning", "what to do"), rows)


def _cases() -> Iterator[str]:
    cases = all_cases()
    seen = [see(case) for case in cases]
    right = sum(one == case.expected for one, case in zip(seen, cases, strict=True))
    yield f"## Edge cases\n\n{len(cases)} cases, {right} as expected.\n"
    for topic in dict.fromkeys(case.topic for case in cases):
        yield f"### {topic.capitalize()}\n"
        yield from table(("file", "expected", "seen"), _case_rows(topic, cases, seen))


def _case_rows(
    topic: str, cases: tuple[Case, ...], seen: list[str]
) -> Iterator[tuple[str, str, str]]:
    for case, outcome in zip(cases, seen, strict=True):
        if case.topic == topic:
            yield case.name, case.expected, outcome


def _hostile() -> Iterator[str]:
    yield f"## Hostile and broken files\n\n{len(HOSTILE)} files of `tests/dicom/hostile.py`.\n"
    rows = ((name, code or "read", _outcome(make())) for name, code, make in HOSTILE)
    yield from table(("file", "expected", "seen"), rows)


def _outcome(data: bytes) -> str:
    try:
        read_mammogram(data, key=b"key", site="site")
    except ReadError as error:
        return error.code
    return "read"


def _files() -> Iterator[str]:
    rows = read_table()
    yield f"## Test files of pydicom\n\n{len(rows)} files of pydicom and pydicom-data.\n"
    yield (
        "`pixels` is what decoding gives when the file is taken for a mammogram: type, size,\n"
        "codes and the first digits of the SHA-256 of the values, which are pydicom's own\n"
        "(equal; where the compression lost something, at most 1 apart).\n"
    )
    columns = ("file", "expected", "seen", "pixels expected", "pixels seen")
    yield from table(columns, map(_file_row, rows))


def _file_row(row: ArchiveFile) -> tuple[str, ...]:
    reader, pixels = row.reader, row.pixels
    if row.path is not None:
        data = row.path.read_bytes()
        reader = see_reader(data)
        if reader != "NOT_DICOM":
            pixels = see_pixels(data, lossy=bool(row.same_as))
    return f"{row.folder}: {row.file}", row.reader, reader, row.pixels, pixels


if __name__ == "__main__":
    PAGE.write_text(make_page())
    print(f"wrote {PAGE.name}")
