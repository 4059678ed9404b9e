"""One phantom exam: a woman, what her breasts hold, and her four views."""

from __future__ import annotations

from dataclasses import dataclass, replace

import numpy as np

from mammo.dicom.phantom_anatomy import draw_tissue
from mammo.dicom.phantom_lesions import add_lesion, draw_cancer, draw_distractors
from mammo.dicom.phantom_patient import Patient, draw_patient
from mammo.dicom.phantom_profiles import ScannerProfile
from mammo.dicom.phantom_scanner import acquire
from mammo.dicom.phantom_shapes import Lesion
from mammo.exam import Finding, Laterality, View, ViewPosition

SCREENING_VIEWS = tuple(
    View(side, position)
    for side in (Laterality.LEFT, Laterality.RIGHT)
    for position in (ViewPosition.CC, ViewPosition.MLO)
)


@dataclass(frozen=True, eq=False)
class PhantomExam:
    """One woman and what her breasts hold, before any scanner saw them."""

    patient: Patient
    lesions: dict[Laterality, tuple[Lesion, ...]]
    cancer_side: Laterality | None


def draw_exam(
    seed: int, index: int, *, cancer: bool, conspicuity: float = 1.0, older_years: float = 0.0
) -> PhantomExam:
    """Draw the woman and the lesions of exam ``index`` of a set."""
    rng = exam_generator(seed, index, 0)
    patient = draw_patient(rng, older_years)
    side = Laterality.LEFT if rng.random() < 0.5 else Laterality.RIGHT
    tumour = draw_cancer(rng, conspicuity)
    lesions = {
        breast: tuple(draw_distractors(rng)) + ((tumour,) if cancer and breast is side else ())
        for breast in (Laterality.LEFT, Laterality.RIGHT)
    }
    return PhantomExam(patient, lesions, side if cancer else None)


def render_view(
    exam: PhantomExam, view: View, profile: ScannerProfile, rng: np.random.Generator
) -> tuple[np.ndarray, list[Finding]]:
    """Return stored values, uint16 (rows, columns), and the boxes of the lesions."""
    tissue = draw_tissue(exam.patient, view, rng, profile.spacing_mm)
    boxes = [add_lesion(tissue, lesion, view) for lesion in exam.lesions[view.laterality]]
    flip = view.laterality is Laterality.RIGHT
    stored = acquire(tissue, profile, rng, flip=flip)
    return stored, [_mirrored(box, stored.shape[1]) if flip else box for box in boxes]


def _mirrored(box: Finding, columns: int) -> Finding:
    return replace(box, x_min=columns - box.x_max, x_max=columns - box.x_min)


def exam_generator(seed: int, index: int, part: int) -> np.random.Generator:
    """Return the generator of one part (0 the woman, 1 to 4 her views) of an exam."""
    return np.random.Generator(np.random.SFC64(np.random.SeedSequence([seed, index, part])))
