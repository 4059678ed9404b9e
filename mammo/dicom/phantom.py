"""Breast phantoms: whole screening sets as DICOM in the RSNA challenge's layout.

    write_phantoms(Path("phantoms"), exams=40, scanner="aurora", seed=1)

writes ``train.csv``, ``train_images/<patient_id>/<image_id>.dcm`` (four views
an exam) and ``truth.csv`` (every lesion's box). The same arguments write the
same bytes, however many processes work. They are for development and
demonstration: a model that finds these cancers has not shown that it finds
real ones.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, replace
from datetime import date, timedelta
from pathlib import Path

import numpy as np

from mammo.dicom.phantom_bad import write_bad_files
from mammo.dicom.phantom_exam import SCREENING_VIEWS, draw_exam, exam_generator, render_view
from mammo.dicom.phantom_exposure import draw_exposure
from mammo.dicom.phantom_file import ViewIdentity, make_dataset, write_bytes
from mammo.dicom.phantom_profiles import SCANNER_PROFILES, ScannerProfile, list_profiles
from mammo.dicom.phantom_tables import (
    MAX_EXAMS,
    RSNA_COLUMNS,
    TRUTH_COLUMNS,
    ExamOrder,
    ExamRows,
    train_row,
    truth_rows,
    write_table,
)
from mammo.dicom.phantom_variation import Variation, spread
from mammo.errors import SourceInvalid
from mammo.exam import Exposure, View

__all__ = [
    "SCANNER_PROFILES",
    "PhantomSet",
    "ScannerProfile",
    "Variation",
    "list_profiles",
    "write_bad_files",
    "write_phantoms",
]

FIRST_DAY = date(2024, 1, 8)


@dataclass(frozen=True)
class PhantomSet:
    """What was written and where."""

    directory: Path
    exams: int
    images: int
    cancer_exams: int
    scanners: tuple[str, ...]

    @property
    def train_csv(self) -> Path:
        """Labels per image, with the RSNA challenge's columns."""
        return self.directory / "train.csv"

    @property
    def truth_csv(self) -> Path:
        """Boxes of every lesion in original pixels; one bare row for an image without."""
        return self.directory / "truth.csv"


def write_phantoms(
    directory: Path,
    *,
    exams: int,
    scanner: str | Sequence[str],
    seed: int,
    cancer_rate: float = 0.3,
    start: date = FIRST_DAY,
    days: int = 60,
    software_version: str | None = None,
    conspicuity: float = 1.0,
    variations: Sequence[Variation] = (),
    processes: int = 2,
    progress: Callable[[int, int], None] | None = None,
) -> PhantomSet:
    """Write ``exams`` screening exams of four views each.

    Several scanners take turns. Dates rise from ``start`` over ``days``; a
    share ``cancer_rate`` of the exams has a cancer in one breast, evenly spread
    over the set. ``conspicuity`` scales the contrast of the cancers;
    ``variations`` say what else is otherwise, and in which exams. A view that
    is lost has no file and no row.
    ``processes`` exams are made at a time. ``progress`` is called with
    (done, exams). Raises SourceInvalid for an
    unknown scanner or a number out of range.
    """
    names = (scanner,) if isinstance(scanner, str) else tuple(scanner)
    _require(names, exams, seed, cancer_rate)
    profiles = [_profile(name, software_version) for name in names]
    cancers = spread_cancers(exams, cancer_rate, seed)
    orders = [
        ExamOrder(
            directory,
            index,
            seed,
            cancers[index],
            conspicuity,
            profiles[index % len(profiles)],
            start + timedelta(days=index * days // max(exams, 1)),
        )
        for index in range(exams)
    ]
    for variation in variations:
        orders = [_varied(order, variation, exams) for order in orders]
    rows = []
    for exam_rows in _work(orders, processes):
        rows.append(exam_rows)
        if progress is not None:
            progress(len(rows), exams)
    images = sum(len(exam.train) for exam in rows)
    written = PhantomSet(directory, exams, images, sum(cancers), names)
    write_table(written.train_csv, RSNA_COLUMNS, (row for exam in rows for row in exam.train))
    write_table(written.truth_csv, TRUTH_COLUMNS, (row for exam in rows for row in exam.truth))
    return written


def _require(names: Sequence[str], exams: int, seed: int, cancer_rate: float) -> None:
    unknown = [name for name in names if name not in SCANNER_PROFILES]
    if unknown or not names:
        found, known = ", ".join(unknown) or "given", ", ".join(SCANNER_PROFILES)
        raise SourceInvalid(f"No scanner profile {found}; there are {known}.")
    if not 1 <= exams <= MAX_EXAMS:
        raise SourceInvalid(f"{exams} exams asked for; a set holds 1 to {MAX_EXAMS}.")
    if not 0 <= cancer_rate <= 1:
        raise SourceInvalid(f"A cancer rate of {cancer_rate} was asked for; it lies in 0 to 1.")
    if seed < 0:
        raise SourceInvalid(f"Seed {seed} is negative; take 0 or more.")


def _profile(name: str, software_version: str | None) -> ScannerProfile:
    profile = SCANNER_PROFILES[name]
    return replace(profile, software_version=software_version) if software_version else profile


def spread_cancers(exams: int, rate: float, seed: int) -> list[bool]:
    """Return which exams have cancer: ``rate`` of them in any stretch, to within one or two."""
    return [spread(index, rate, (seed, 1)) for index in range(exams)]


def _varied(order: ExamOrder, variation: Variation, exams: int) -> ExamOrder:
    """Return what the worker needs for an exam of which something is otherwise."""
    if not variation.holds(order.profile.name, order.index, order.seed):
        return order
    strength = variation.strength(order.index, exams)
    lost = variation.lost_view(order.index, order.seed)
    return replace(
        order,
        profile=variation.applied(order.profile, strength),
        older_years=order.older_years + variation.older_years * strength,
        lost_view=order.lost_view if lost is None else lost,
    )


def _work(orders: list[ExamOrder], processes: int) -> Iterator[ExamRows]:
    # threads: the arithmetic and the codecs release the interpreter's lock, and new
    # processes would import everything again, longer than a set of the demo takes
    with ThreadPoolExecutor(max(processes, 1)) as pool:
        yield from pool.map(write_exam, orders)


def write_exam(order: ExamOrder) -> ExamRows:
    """Write the four files of one exam and return its rows."""
    exam = draw_exam(
        order.seed, order.index, cancer=order.cancer, conspicuity=order.conspicuity,
        older_years=order.older_years,
    )  # fmt: skip
    rows = ExamRows([], [])
    for number, view in enumerate(SCREENING_VIEWS):
        if number == order.lost_view:
            continue
        image_id = (order.patient_id * 10 + order.profile.machine_id % 10) * 10 + number
        rng = exam_generator(order.seed, order.index, 1 + number)
        stored, boxes = render_view(exam, view, order.profile, rng)
        # a generator of its own: the images stay as they were before headers told of this
        header = exam_generator(order.seed, order.index, 1 + len(SCREENING_VIEWS) + number)
        exposure = draw_exposure(exam.patient, view, order.profile, header)
        _write_view(order, exam.patient.age, view, image_id, stored, exposure)
        rows.train.append(train_row(exam, order, view, image_id))
        rows.truth.extend(truth_rows(order, view, image_id, boxes, exam))
    return rows


def _write_view(
    order: ExamOrder, age: int, view: View, image_id: int, stored: np.ndarray, exposure: Exposure
) -> None:
    identity = ViewIdentity(
        key=f"{order.seed}/{order.profile.name}",
        patient_id=order.patient_id,
        image_id=image_id,
        age=age,
        view=view,
        acquired_on=order.acquired_on,
        software_version=order.profile.software_version,
        exposure=exposure,
    )
    path = order.directory / "train_images" / str(order.patient_id) / f"{image_id}.dcm"
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(write_bytes(make_dataset(stored, identity, order.profile)))
