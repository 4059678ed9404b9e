"""Small phantom exams of several scanners, whose truth is known: what the scene sends."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from datetime import date, timedelta

from benchmarks.chaos.exams import SPACING_MM
from mammo.dicom.phantom import spread_cancers
from mammo.dicom.phantom_exam import SCREENING_VIEWS, draw_exam, exam_generator, render_view
from mammo.dicom.phantom_file import ViewIdentity, make_dataset, write_bytes
from mammo.dicom.phantom_profiles import SCANNER_PROFILES

FIRST_DAY = date(2024, 1, 8)
CANCER_RATE = 0.3


@dataclass(frozen=True)
class Woman:
    """One exam: its files, and whether there is a cancer."""

    files: tuple[bytes, ...]
    cancer: bool

    @property
    def parts(self) -> list[tuple[str, tuple[str, bytes]]]:
        """The files as parts of a multipart request."""
        return [("files", (f"{place}.dcm", data)) for place, data in enumerate(self.files)]


def draw_women(
    count: int, scanners: Sequence[str], seed: int, *, lose_every: int = 0
) -> Iterator[Woman]:
    """Yield exams of scanners in turn; of each ``lose_every``-th exam a view does not arrive."""
    cancers = spread_cancers(count, CANCER_RATE, seed)
    for index in range(count):
        lost = bool(lose_every) and index % lose_every == 0
        yield _draw(scanners[index % len(scanners)], index, seed, cancers[index], lost=lost)


def _draw(scanner: str, index: int, seed: int, cancer: bool, *, lost: bool) -> Woman:
    profile = replace(SCANNER_PROFILES[scanner], spacing_mm=SPACING_MM)
    woman = draw_exam(seed, index, cancer=cancer)
    number = 1_000_000 * seed + index
    files = []
    for place, view in enumerate(SCREENING_VIEWS[: 3 if lost else 4]):
        stored, _ = render_view(woman, view, profile, exam_generator(seed, index, place + 1))
        identity = ViewIdentity(
            f"dashboards-{seed}",
            number,
            10 * number + place,
            int(woman.patient.age),
            view,
            FIRST_DAY + timedelta(days=index // 4),
            profile.software_version,
        )
        files.append(write_bytes(make_dataset(stored, identity, profile)))
    return Woman(tuple(files), cancer)
