"""The tables beside a phantom set: `train.csv` as RSNA ships it, and the truth."""

from __future__ import annotations

import csv
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from datetime import date
from pathlib import Path

from mammo.dicom.phantom_exam import PhantomExam
from mammo.dicom.phantom_profiles import ScannerProfile
from mammo.exam import Finding, View

RSNA_COLUMNS = (
    "site_id", "patient_id", "image_id", "laterality", "view", "age", "cancer", "biopsy",
    "invasive", "BIRADS", "implant", "density", "machine_id", "difficult_negative_case",
)  # fmt: skip
TRUTH_COLUMNS = (
    "image_id", "patient_id", "laterality", "view", "kind", "malignant",
    "x_min", "y_min", "x_max", "y_max", "scanner", "acquired_on",
)  # fmt: skip
MAX_EXAMS = 100_000
ID_SETS = 20_000


@dataclass(frozen=True)
class ExamOrder:
    """What one worker needs to write one exam; ``lost_view`` is the view that is not written."""

    directory: Path
    index: int
    seed: int
    cancer: bool
    conspicuity: float
    profile: ScannerProfile
    acquired_on: date
    older_years: float = 0.0
    lost_view: int | None = None

    @property
    def patient_id(self) -> int:
        """Number unique to seed and index; above every number of the RSNA set."""
        return (1 + self.seed % ID_SETS) * MAX_EXAMS + self.index


@dataclass(frozen=True)
class ExamRows:
    """One exam's rows of ``train.csv`` and ``truth.csv``."""

    train: list[dict[str, object]]
    truth: list[dict[str, object]]


def train_row(exam: PhantomExam, order: ExamOrder, view: View, image_id: int) -> dict[str, object]:
    """Return the image's row of ``train.csv``; ``cancer`` is of its breast, as in RSNA."""
    kinds = [lesion.kind for lesion in exam.lesions[view.laterality]]
    cancer = exam.cancer_side is view.laterality
    worked_up = cancer or "benign_mass" in kinds
    return {
        "site_id": order.profile.site_id,
        "patient_id": order.patient_id,
        "image_id": image_id,
        "laterality": view.laterality.value,
        "view": view.position.value,
        "age": float(exam.patient.age),
        "cancer": int(cancer),
        "biopsy": int(worked_up),
        "invasive": int(cancer and "calcification_cluster" not in kinds),
        "BIRADS": 0 if worked_up else 2 if kinds else 1,
        "implant": 0,
        "density": exam.patient.density,
        "machine_id": order.profile.machine_id,
        "difficult_negative_case": worked_up and not cancer,
    }


def truth_rows(
    order: ExamOrder, view: View, image_id: int, boxes: list[Finding], exam: PhantomExam
) -> list[dict[str, object]]:
    """Return a row per lesion with its box in original pixels, or one bare row."""
    common: dict[str, object] = {
        "image_id": image_id,
        "patient_id": order.patient_id,
        "laterality": view.laterality.value,
        "view": view.position.value,
        "scanner": order.profile.name,
        "acquired_on": order.acquired_on.isoformat(),
    }
    corners = ("x_min", "y_min", "x_max", "y_max")
    found = zip(boxes, exam.lesions[view.laterality], strict=True)
    return [
        common
        | {"kind": box.kind, "malignant": int(lesion.malignant)}
        | {corner: round(getattr(box, corner), 1) for corner in corners}
        for box, lesion in found
    ] or [common]


def write_table(path: Path, columns: Sequence[str], rows: Iterable[dict[str, object]]) -> None:
    """Write rows as CSV, making the folder."""
    path.parent.mkdir(parents=True, exist_ok=True)
    with path.open("w", newline="") as file:
        table = csv.DictWriter(file, columns)
        table.writeheader()
        table.writerows(rows)
