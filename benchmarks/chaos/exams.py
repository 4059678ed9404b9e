"""Small phantom exams by number: each has ids of its own, so that the log can be checked."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from datetime import date

from mammo.dicom.deidentify import pseudonym
from mammo.dicom.phantom_exam import SCREENING_VIEWS, draw_exam, exam_generator, render_view
from mammo.dicom.phantom_file import ViewIdentity, make_dataset, make_uid, write_bytes
from mammo.dicom.phantom_profiles import SCANNER_PROFILES
from mammo.exam import View

SPACING_MM = 1.0
"""Of the phantoms' pixels: 230 x 180 of them, 83 kB a view, read in 5 ms."""
LARGEST = 10**8
_TEMPLATE = ViewIdentity("chaos", 1_000_000_000, 0, 55, SCREENING_VIEWS[0], date(2026, 3, 1), "1.0")


@dataclass(frozen=True)
class SmallExam:
    """The files of one exam, and the pseudonym under which it will be logged."""

    number: int
    exam_id: str
    files: tuple[bytes, ...]
    sides: tuple[str, ...]

    @property
    def parts(self) -> list[tuple[str, tuple[str, bytes]]]:
        """The files as parts of a multipart request."""
        return [("files", (f"{place}.dcm", data)) for place, data in enumerate(self.files)]


class ExamMaker:
    """Makes exam after exam of one drawn woman; only the ids differ.

    The UIDs of a drawn file are rewritten in place, in the same length: 10 000
    exams take seconds. ``key`` is the installation's secret for pseudonyms.
    """

    def __init__(
        self,
        key: bytes,
        views: Sequence[View] = SCREENING_VIEWS,
        seed: int = 1,
        spacing_mm: float = SPACING_MM,
    ) -> None:
        self._key, self._views = key, tuple(views)
        self._study = make_uid(_TEMPLATE.key, _TEMPLATE.patient_id)
        self._drawn = [
            _draw(view, place, seed, spacing_mm) for place, view in enumerate(self._views)
        ]

    def make(self, number: int) -> SmallExam:
        """Return exam ``number``, 0 to 10^8 - 1; the same number gives the same bytes."""
        if not 0 <= number < LARGEST:
            raise ValueError(f"exam number {number}; 0 to {LARGEST - 1} can be told apart")
        study = _numbered(self._study, number)
        files = tuple(
            data.replace(self._study.encode(), study.encode()).replace(
                image.encode(), _numbered(image, number).encode()
            )
            for data, image in self._drawn
        )
        sides = tuple(sorted({view.laterality.value for view in self._views}))
        return SmallExam(number, pseudonym(self._key, "exam", study), files, sides)


def _numbered(uid: str, number: int) -> str:
    return f"{uid[:-8]}{number:08d}"


def _draw(view: View, place: int, seed: int, spacing_mm: float) -> tuple[bytes, str]:
    profile = replace(SCANNER_PROFILES["aurora"], spacing_mm=spacing_mm)
    woman = draw_exam(seed, 0, cancer=False)
    stored, _ = render_view(woman, view, profile, exam_generator(seed, 0, place + 1))
    identity = replace(_TEMPLATE, view=view, image_id=2_000_000_000 + place)
    dataset = make_dataset(stored, identity, profile)
    return write_bytes(dataset), str(dataset.SOPInstanceUID)
