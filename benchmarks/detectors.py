"""Each detector trained on the same phantoms and, from there, on mini-MIAS: where it finds what.

python -m benchmarks.detectors --data DIR [--work FOLDER] [--detectors NAME …] [--write]

DIR holds mini-MIAS: labels.csv and images/. Phantoms: patients are halved, one
half is trained on, the other measured. Mini-MIAS: three folds of patients, each
measured by a detector that was trained on the other two and began with the
phantoms' weights. All found is kept in FOLDER, so that a second run with the
same settings measures again without training. FOLDER gets contact sheets of
hits, misses and false marks; --write puts the detectors that ran into
benchmarks/detectors.json, each with its commit and epochs, and writes the
tables and the pictures of phantoms of docs/detectors.md anew.
"""

from __future__ import annotations

import argparse
import json
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from benchmarks.detectors_picture import contact_sheet
from benchmarks.detectors_report import Measured, image_detections, write_page
from mammo.appraisal.detection import summarise_detections
from mammo.continual.detector_start import start_detector
from mammo.continual.fit_detector import BoxedImages, boxed_images
from mammo.data.index import read_index
from mammo.data.ingest import ingest
from mammo.data.split import split_patients
from mammo.detection.boxes import to_original
from mammo.detection.registry import build_detector
from mammo.detection.yolo import YOLO_NAMES
from mammo.dicom.phantom import write_phantoms
from mammo.geometry import Geometry, PreprocessConfig
from mammo.settings import Settings

DOCS_PICTURES = Path(__file__).parents[1] / "docs/pictures"
RESULTS = Path(__file__).with_name("detectors.json")
PHANTOM_SCANNERS = ("aurora", "borealis")
DETECTORS = (*YOLO_NAMES, "faster_rcnn", "ssd")
VIEWS_TIMED = 15
OWN = ("detectors", "phantom_epochs", "mias_epochs")
"""What of a study a detector has for itself."""


@dataclass(frozen=True)
class Study:
    """What is measured; the same for every detector."""

    exams: int = 60
    cancer_rate: float = 0.5
    seed: int = 10
    height: int = 256
    width: int = 128
    phantom_epochs: int = 16
    mias_epochs: int = 16
    mias_folds: int = 3
    detectors: tuple[str, ...] = DETECTORS

    @property
    def preprocess(self) -> PreprocessConfig:
        """The size that the detectors see."""
        return PreprocessConfig(height=self.height, width=self.width)


def main() -> None:
    """Measure, print, and write where asked."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--data", type=Path, required=True)
    parser.add_argument("--work", type=Path)
    parser.add_argument("--detectors", nargs="+", default=list(DETECTORS))
    parser.add_argument("--exams", type=int, default=Study.exams)
    parser.add_argument("--epochs", type=int, default=Study.phantom_epochs)
    parser.add_argument("--write", action="store_true")
    given = parser.parse_args()
    study = replace(
        Study(), exams=given.exams, phantom_epochs=given.epochs, mias_epochs=given.epochs,
        detectors=tuple(given.detectors),
    )  # fmt: skip
    with tempfile.TemporaryDirectory() as folder:
        work = given.work or Path(folder)
        results, measured = measure(study, given.data, work)
        print(json.dumps(results, indent=1))
        if given.write:
            results["detectors"] = written_before(results["sets"]) | results["detectors"]
            RESULTS.write_text(json.dumps(results, indent=1) + "\n")
            write_page(results)
        for one in measured:
            # a real woman's image is not for the repository: only phantoms go into the docs
            folder = DOCS_PICTURES if given.write and one.kind == "phantoms" else work
            contact_sheet(folder / f"detectors-{one.kind}-{one.detector}.png", one)


def written_before(sets: dict[str, Any]) -> dict[str, Any]:
    """Return the detectors that were measured on these sets before, none of those on others."""
    before = json.loads(RESULTS.read_text()) if RESULTS.is_file() else {}
    told: dict[str, Any] = before.get("detectors", {}) if before.get("sets") == sets else {}
    return told


def measure(study: Study, data: Path, work: Path) -> tuple[dict[str, Any], list[Measured]]:
    """Return the numbers, and what was found in each set by each detector."""
    sets = {"phantoms": phantom_set(study, work), "mini-mias": mias_set(study, data, work)}
    numbers: dict[str, Any] = {}
    measured = []
    for name in study.detectors:
        told = _kept(work, name, study) or run_detector(name, study, *sets.values())
        _keep(work, name, study, told)
        numbers[name] = {key: told[key] for key in ("start", "size_mb", "view_ms", "train_s")}
        numbers[name] |= {"commit": _commit(), "epochs": study.phantom_epochs}
        for kind, images in sets.items():
            found = image_detections(images.rows, told["found"][kind])
            summary = summarise_detections(found)
            numbers[name][kind] = summary.to_dict()
            measured.append(Measured(name, kind, images.rows, images.images, found, summary))
    return {
        "study": {key: one for key, one in asdict(study).items() if key not in OWN},
        "sets": {kind: _counts(images) for kind, images in sets.items()},
        "detectors": numbers,
    }, measured  # fmt: skip


def phantom_set(study: Study, work: Path) -> BoxedImages:
    """Write and ingest the phantoms, where they are not yet."""
    settings = _home(work / f"phantoms-{study.exams}-{study.height}")
    if not settings.index_path.is_file():
        folder = settings.home / "files"
        write_phantoms(
            folder, exams=study.exams, scanner=PHANTOM_SCANNERS, seed=study.seed,
            cancer_rate=study.cancer_rate, processes=2,
        )  # fmt: skip
        ingest("rsna", folder, settings, study.preprocess)
    return read_set(settings, study)


def mias_set(study: Study, data: Path, work: Path) -> BoxedImages:
    """Ingest mini-MIAS, where it is not yet; its boxes are those of the set's circles."""
    settings = _home(work / f"mini-mias-{study.height}")
    if not settings.index_path.is_file():
        ingest("mini-mias", data, settings, study.preprocess)
    return read_set(settings, study)


def read_set(settings: Settings, study: Study) -> BoxedImages:
    """Return all images of an index; findings that the crop left out have no box."""
    return boxed_images(settings, read_index(settings.index_path), study.preprocess)


def run_detector(
    name: str, study: Study, phantoms: BoxedImages, mias: BoxedImages
) -> dict[str, Any]:
    """Train and detect on both sets; found boxes are in original pixels, by image.

    Seconds of training are those of the CPU: other programs do not count.
    """
    began = time.process_time()
    size = study.height, study.width
    detector = build_detector(name, size, seed=study.seed)
    told_start = start_detector(detector)
    half = _folds(phantoms, 2, study.seed, "cancer")
    known, held = phantoms.part(half == 0), phantoms.part(half == 1)
    detector.fit(
        known.images, known.boxes, epochs=study.phantom_epochs, seed=study.seed, progress=_told
    )
    found = {"phantoms": dict(detections(detector, held)), "mini-mias": {}}
    start = {key: one.clone() for key, one in detector.weights().items()}
    folds = _folds(mias, study.mias_folds, study.seed, "abnormal")
    for fold in range(study.mias_folds):
        detector.load_weights(start)
        known, held = mias.part(folds != fold), mias.part(folds == fold)
        detector.fit(
            known.images, known.boxes, epochs=study.mias_epochs, seed=study.seed, progress=_told
        )
        found["mini-mias"].update(detections(detector, held))
    return {
        "found": found, "start": told_start, "train_s": round(time.process_time() - began, 1),
        "size_mb": sum(one.nbytes for one in detector.weights().values()) / 1e6,
        "view_ms": 1e3 * _view_seconds(detector, mias.images),
    }  # fmt: skip


def detections(detector: Any, held: BoxedImages) -> Iterator[tuple[str, list[list[float]]]]:
    """Yield an image's id and what was found in it: x0, y0, x1, y1 of the original, score."""
    found = detector.detect(held.images)
    for row, one in zip(held.rows.itertuples(), found, strict=True):
        table = np.array(one, dtype=np.float64).reshape(-1, 5)
        place = Geometry.from_dict(json.loads(str(row.geometry)))
        boxes = to_original(table[:, :4], place)
        yield str(row.image_id), np.column_stack([boxes, table[:, 4]]).tolist()


def _told(stage: str, done: int, of: int) -> None:
    print(f"{stage} {done} of {of}, {time.process_time():.0f} s of CPU", file=sys.stderr)


def _view_seconds(detector: Any, images: NDArray[np.uint16]) -> float:
    seconds = []
    for number in range(VIEWS_TIMED):
        began = time.process_time()
        detector.detect(images[number : number + 1])
        seconds.append(time.process_time() - began)
    return float(np.median(seconds))


def _folds(images: BoxedImages, folds: int, seed: int, target: str) -> NDArray[np.int64]:
    return split_patients(images.rows, target=target, folds=folds, seed=seed).to_numpy(np.int64)


def _counts(images: BoxedImages) -> dict[str, int]:
    return {
        "images": len(images.rows), "patients": int(images.rows["patient_id"].nunique()),
        "boxes": sum(map(len, images.boxes)), "images_with": sum(map(bool, map(len, images.boxes))),
    }  # fmt: skip


def _home(home: Path) -> Settings:
    home.mkdir(parents=True, exist_ok=True)
    # a fixed key: the folds follow from the pseudonyms
    (home / "pseudonym.key").write_bytes(bytes(range(32)))
    return Settings(home=home, _env_file=None)


def _place(work: Path, name: str, study: Study) -> Path:
    return work / f"found-{name}-{study.exams}-{study.phantom_epochs}-{study.height}.json"


def _kept(work: Path, name: str, study: Study) -> dict[str, Any] | None:
    place = _place(work, name, study)
    return json.loads(place.read_text()) if place.is_file() else None


def _keep(work: Path, name: str, study: Study, told: dict[str, Any]) -> None:
    _place(work, name, study).write_text(json.dumps(told))


def _commit() -> str:
    asked = ["git", "rev-parse", "--short", "HEAD"]
    return subprocess.run(asked, capture_output=True, text=True, check=True).stdout.strip()


if __name__ == "__main__":
    main()
