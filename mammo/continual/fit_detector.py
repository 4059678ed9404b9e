"""Train a detector on the index's findings; patients held out are never trained on."""

from __future__ import annotations

import hashlib
import json
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from mammo.continual.box_frames import require_box_frames
from mammo.continual.detector_patients import KEPT_PARTS, learnt_patients
from mammo.continual.detector_start import start_detector
from mammo.continual.fit import labelled_index
from mammo.continual.seal import RUN_CONFIG
from mammo.continual.split import GOLDEN_SEED, known_parts
from mammo.data.shards import ShardReader
from mammo.data.split import golden_patients
from mammo.data.store import read_store_config, store_lock
from mammo.data.version_files import present_version
from mammo.detection.boxes import Boxes, boxes_of, check_boxes, has_size, require_boxes, to_prepared
from mammo.detection.detector import (
    Detector,
    DetectorManifest,
    Images,
    Progress,
    findings_of,
    save_detector,
)
from mammo.detection.matching import ImageDetections
from mammo.detection.registry import build_detector
from mammo.errors import NoBoxes, SourceInvalid
from mammo.exam import parse_findings
from mammo.geometry import Geometry, PreprocessConfig
from mammo.models.config import TrainConfig
from mammo.settings import Settings

HELD_OUT = 5
"""One patient in so many is held out, by a hash of her pseudonym."""
BATCH = 32


@dataclass(frozen=True, eq=False)
class BoxedImages:
    """Prepared images (N, H, W) uint16, boxes (M, 4) of each in their pixels, and their rows."""

    images: Images
    boxes: list[Boxes]
    rows: pd.DataFrame

    def part(self, chosen: NDArray[np.bool_]) -> BoxedImages:
        """Return the images of a mask (N,)."""
        places = np.flatnonzero(chosen)
        rows = self.rows.iloc[places].reset_index(drop=True)
        return BoxedImages(self.images[places], [self.boxes[place] for place in places], rows)


def is_held_out(patient_id: str) -> bool:
    """True for the patients that no detector is trained on; the same for ever."""
    return int(hashlib.sha256(f"detector:{patient_id}".encode()).hexdigest(), 16) % HELD_OUT == 0


def fit_detector(
    settings: Settings,
    name: str,
    folder: Path,
    *,
    epochs: int,
    seed: int = 0,
    release: Path | None = None,
    keep_box_frame: bool = False,
    progress: Progress | None = None,
) -> DetectorManifest:
    """Train a detector on the index's images as the store prepared them; keep it in ``folder``.

    Images without findings are negatives. Not trained on are the patients that
    `is_held_out` names, for `detections_held_out`. With ``release``, the folder of
    one, nor are those of `patients_left_out`: then the detector may help its score,
    knowing neither the patients that calibrate it nor those that the gate judges by.
    Boxes that seem to be counted from the bottom edge are refused, but with
    ``keep_box_frame``. Raises IndexMissing, BoxInvalid, BoxFrameSuspect, NoBoxes,
    TrainingDiverged, and what `build_detector` does.
    """
    with store_lock(settings):
        version = present_version(settings)
        index = placed_index(settings)
        config = _store_config(settings)
    detector = build_detector(name, (config.height, config.width), seed=seed)
    start = start_detector(detector)
    left_out = frozenset() if release is None else patients_left_out(index, release)
    kept = index["patient_id"].map(is_held_out).astype(bool) | index["patient_id"].isin(left_out)
    rows = index[~kept]
    boxed = boxed_images(settings, rows, config)
    if not keep_box_frame:
        require_box_frames(settings, index)
    detector.fit(boxed.images, boxed.boxes, epochs=epochs, seed=seed, progress=progress)
    patients = tuple(sorted(set(boxed.rows["patient_id"])))
    training = {
        "epochs": epochs, "seed": seed, "images": len(boxed.images),
        "findings": sum(map(len, boxed.boxes)), "start": start,
    }  # fmt: skip
    manifest = DetectorManifest(
        name, config.to_dict(), version, patients, training,
        left_out=tuple(sorted(left_out)), files_sha256=tuple(sorted(set(boxed.rows["sha256"]))),
    )  # fmt: skip
    save_detector(detector, manifest, folder)
    return DetectorManifest.read(folder)


def patients_left_out(index: pd.DataFrame, release: Path) -> frozenset[str]:
    """Return the patients that a detector must not know for a release to use it.

    Those of the holdout and of the sealed golden set of ``release``, the folder of
    one; of patients that it does not know, those that its training would seal.
    """
    known = known_parts(release)
    config = TrainConfig.from_dict(json.loads((release / RUN_CONFIG).read_text()))
    new = index[~index["patient_id"].isin(known)]
    sealed = golden_patients(new, config.golden_fraction, GOLDEN_SEED)
    return sealed | {one for one, part in known.items() if part in KEPT_PARTS}


def placed_index(settings: Settings) -> pd.DataFrame:
    """Return the labelled rows that say where their findings lie, or that have none.

    An image of which it is known that there is something, but not where, would teach
    that there is nothing. Raises IndexMissing.
    """
    index = labelled_index(settings)
    placed = np.array([bool(parse_findings(text)) for text in index["findings"]])
    ill = [index[name].fillna(0).astype(int) == 1 for name in ("cancer", "abnormal")]
    return index[placed | ~(ill[0] | ill[1]).to_numpy()].reset_index(drop=True)


def boxed_images(settings: Settings, rows: pd.DataFrame, config: PreprocessConfig) -> BoxedImages:
    """Return the prepared images of rows of the index and their boxes.

    Raises BoxInvalid for a box outside its original, NoBoxes where none has any.
    """
    rows = rows.sort_values("image_id", ignore_index=True)
    boxes = [_prepared_boxes(row, config) for _, row in rows.iterrows()]
    require_boxes([len(one) for one in boxes])
    reader = ShardReader(settings.shards_dir)
    places = zip(rows["shard"], rows["shard_row"].astype(int), strict=True)
    images = np.stack([reader.row(shard, place) for shard, place in places])
    return BoxedImages(images, boxes, rows)


def detections_held_out(
    settings: Settings,
    detector: Detector,
    manifest: DetectorManifest,
    *,
    keep_box_frame: bool = False,
) -> list[ImageDetections]:
    """Return truth and detections on every image of patients the detector was not trained on.

    Those that it left out for a release are not looked at: a look at the golden set
    is the gate's, and is written down. Boxes are held to their frame as in `fit_detector`.
    Raises IndexMissing, SourceInvalid where the store prepares images otherwise than those
    that it was trained on, NoBoxes, BoxInvalid, BoxFrameSuspect, ScoreNotFinite.
    """
    index = placed_index(settings)
    _require_prepared_alike(settings, manifest)
    away = learnt_patients(manifest, index) | {*manifest.left_out}
    rows = index[~index["patient_id"].isin(away)]
    if rows.empty:
        raise NoBoxes(
            "every patient of the index was trained on or is kept for a release: "
            "ingest others to measure with"
        )
    if not keep_box_frame:
        require_box_frames(settings, index[index["source"].isin(rows["source"])])
    return detections_on(settings, detector, manifest, rows)


def _require_prepared_alike(settings: Settings, manifest: DetectorManifest) -> None:
    theirs = manifest.config.to_dict()
    store = _store_config(settings).to_dict()
    if other := [name for name in theirs if theirs[name] != store[name]]:
        told = ", ".join(f"{name} {store[name]} instead of {theirs[name]}" for name in other)
        raise SourceInvalid(
            f"the store prepares images otherwise than those that {manifest.name} was trained on: "
            f"{told}. Measure it in the installation that trained it, or train another here"
        )


def _store_config(settings: Settings) -> PreprocessConfig:
    return read_store_config(settings) or PreprocessConfig()


def detections_on(
    settings: Settings, detector: Detector, manifest: DetectorManifest, rows: pd.DataFrame
) -> list[ImageDetections]:
    """Return truth and detections on the images of rows of the index, by image_id.

    Raises BoxInvalid, NoBoxes where none of them has a box, and ScoreNotFinite.
    """
    boxed = boxed_images(settings, rows, manifest.config)
    found = [
        one
        for start in range(0, len(boxed.images), BATCH)
        for one in detector.detect(boxed.images[start : start + BATCH])
    ]
    return [
        ImageDetections(
            str(row["image_id"]), str(row["patient_id"]), parse_findings(row["findings"]),
            findings_of(raw, Geometry.from_dict(json.loads(row["geometry"]))),
        )
        for (_, row), raw in zip(boxed.rows.iterrows(), found, strict=True)
    ]  # fmt: skip


def _prepared_boxes(row: pd.Series, config: PreprocessConfig) -> Boxes:
    findings = parse_findings(row["findings"])
    check_boxes(findings, int(row["rows"]), int(row["columns"]))
    geometry = Geometry.from_dict(json.loads(row["geometry"]))
    boxes = to_prepared(boxes_of(findings), geometry, config.height, config.width)
    return boxes[has_size(boxes)]
