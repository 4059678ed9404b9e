"""Each detector trained on the same phantoms and, from there, on mini-MIAS: where it finds what.

python -m benchmarks.detectors --data DIR [--work FOLDER] [--detectors NAME …] [--write]

DIR holds mini-MIAS: labels.csv and images/. Phantoms: patients are halved, one
half is trained on, the other measured. Mini-MIAS: three folds of patients, each
measured by a detector that was trained on the other two and began with the
phantoms' weights. All found is kept in FOLDER, so that a second run with the
same settings measures again without training. FOLDER gets contact sheets of
hits, misses and false marks; --write writes benchmarks/detectors.json and the
tables and the pictures of phantoms of docs/detectors.md.
"""

from __future__ import annotations

import argparse
import json
import subprocess
import tempfile
import time
from collections.abc import Iterator
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from benchmarks.detectors_picture import contact_sheet
from benchmarks.detectors_report import Measured, image_detections, write_page
from mammo.appraisal.detection import summarise_detections
from mammo.data.index import read_index
from mammo.data.ingest import ingest
from mammo.data.shards import ShardReader
from mammo.data.split import split_patients
from mammo.detection.boxes import boxes_of, to_original, to_prepared
from mammo.detection.registry import build_detector
from mammo.detection.yolo import YOLO_NAMES
from mammo.dicom.phantom import write_phantoms
from mammo.exam import parse_findings
from mammo.geometry import Geometry, PreprocessConfig
from mammo.settings import Settings

DOCS_PICTURES = Path(__file__).parents[1] / "docs/pictures"
RESULTS = Path(__file__).with_name("detectors.json")
PHANTOM_SCANNERS = ("aurora", "borealis")
DETECTORS = (*YOLO_NAMES, "faster_rcnn", "ssd")
VIEWS_TIMED = 15
LEAST_SIDE = 1.0
"""Boxes that are narrower in prepared pixels after the crop are not trained on."""


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


@dataclass(frozen=True, eq=False)
class ImageSet:
    """Prepared images uint16 (N, H, W), their rows of the index and boxes in prepared pixels."""

    rows: pd.DataFrame
    images: NDArray[np.uint16]
    boxes: list[NDArray[np.float64]]

    def part(self, chosen: NDArray[np.bool_]) -> ImageSet:
        """Return the images of a mask."""
        places = np.flatnonzero(chosen)
        kept = self.rows.iloc[places].reset_index(drop=True)
        return ImageSet(kept, self.images[places], [self.boxes[place] for place in places])


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
            RESULTS.write_text(json.dumps(results, indent=1) + "\n")
            write_page(results)
        for one in measured:
            # a real woman's image is not for the repository: only phantoms go into the docs
            folder = DOCS_PICTURES if given.write and one.kind == "phantoms" else work
            contact_sheet(folder / f"detectors-{one.kind}-{one.detector}.png", one)


def measure(study: Study, data: Path, work: Path) -> tuple[dict[str, Any], list[Measured]]:
    """Return the numbers, and what was found in each set by each detector."""
    sets = {"phantoms": phantom_set(study, work), "mini-mias": mias_set(study, data, work)}
    numbers: dict[str, Any] = {}
    measured = []
    for name in study.detectors:
        told = _kept(work, name, study) or run_detector(name, study, *sets.values())
        _keep(work, name, study, told)
        numbers[name] = {key: told[key] for key in ("size_mb", "view_ms", "train_s")}
        for kind, images in sets.items():
            found = image_detections(images.rows, told["found"][kind])
            summary = summarise_detections(found)
            numbers[name][kind] = summary.to_dict()
            measured.append(Measured(name, kind, images.rows, images.images, found, summary))
    return {
        "commit": _commit(), "study": asdict(study),
        "sets": {kind: _counts(images) for kind, images in sets.items()},
        "detectors": numbers,
    }, measured  # fmt: skip


def phantom_set(study: Study, work: Path) -> ImageSet:
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


def mias_set(study: Study, data: Path, work: Path) -> ImageSet:
    """Ingest mini-MIAS, where it is not yet; its boxes are those of the set's circles."""
    settings = _home(work / f"mini-mias-{study.height}")
    if not settings.index_path.is_file():
        ingest("mini-mias", data, settings, study.preprocess)
    return read_set(settings, study)


def read_set(settings: Settings, study: Study) -> ImageSet:
    """Return all images of an index; findings that the crop left out have no box."""
    rows = read_index(settings.index_path)
    rows = rows.sort_values("sha256", kind="stable").reset_index(drop=True)
    reader = ShardReader(settings.shards_dir)
    places = zip(rows["shard"], rows["shard_row"].astype(int), strict=True)
    images = np.stack([reader.row(*place) for place in places])
    pairs = zip(rows["findings"], rows["geometry"], strict=True)
    boxes = [prepared_boxes(findings, place, study) for findings, place in pairs]
    return ImageSet(rows, images, boxes)


def prepared_boxes(findings: str, geometry: str, study: Study) -> NDArray[np.float64]:
    """Return a row's findings as boxes (M, 4) in prepared pixels, clipped to the image."""
    place = Geometry.from_dict(json.loads(geometry))
    boxes = to_prepared(boxes_of(parse_findings(findings)), place, study.height, study.width)
    return boxes[((boxes[:, 2:] - boxes[:, :2]) >= LEAST_SIDE).all(axis=1)]


def run_detector(name: str, study: Study, phantoms: ImageSet, mias: ImageSet) -> dict[str, Any]:
    """Train and detect on both sets; found boxes are in original pixels, by image."""
    began = time.perf_counter()
    size = study.height, study.width
    detector = build_detector(name, size, seed=study.seed)
    half = _folds(phantoms, 2, study.seed, "cancer")
    known, held = phantoms.part(half == 0), phantoms.part(half == 1)
    detector.fit(known.images, known.boxes, epochs=study.phantom_epochs, seed=study.seed)
    found = {"phantoms": dict(detections(detector, held)), "mini-mias": {}}
    start = {key: one.clone() for key, one in detector.weights().items()}
    folds = _folds(mias, study.mias_folds, study.seed, "abnormal")
    for fold in range(study.mias_folds):
        detector.load_weights(start)
        known, held = mias.part(folds != fold), mias.part(folds == fold)
        detector.fit(known.images, known.boxes, epochs=study.mias_epochs, seed=study.seed)
        found["mini-mias"].update(detections(detector, held))
    return {
        "found": found, "train_s": round(time.perf_counter() - began, 1),
        "size_mb": sum(one.nbytes for one in detector.weights().values()) / 1e6,
        "view_ms": 1e3 * _view_seconds(detector, mias.images),
    }  # fmt: skip


def detections(detector: Any, held: ImageSet) -> Iterator[tuple[str, list[list[float]]]]:
    """Yield an image's id and what was found in it: x0, y0, x1, y1 of the original, score."""
    found = detector.detect(held.images)
    for row, one in zip(held.rows.itertuples(), found, strict=True):
        table = np.array(one, dtype=np.float64).reshape(-1, 5)
        place = Geometry.from_dict(json.loads(str(row.geometry)))
        boxes = to_original(table[:, :4], place)
        yield str(row.image_id), np.column_stack([boxes, table[:, 4]]).tolist()


def _view_seconds(detector: Any, images: NDArray[np.uint16]) -> float:
    seconds = []
    for number in range(VIEWS_TIMED):
        began = time.perf_counter()
        detector.detect(images[number : number + 1])
        seconds.append(time.perf_counter() - began)
    return float(np.median(seconds))


def _folds(images: ImageSet, folds: int, seed: int, target: str) -> NDArray[np.int64]:
    return split_patients(images.rows, target=target, folds=folds, seed=seed).to_numpy(np.int64)


def _counts(images: ImageSet) -> dict[str, int]:
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
