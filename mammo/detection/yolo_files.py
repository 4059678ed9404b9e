"""A YOLO detector in a folder: weights as safetensors, and what they belong to.

weights.safetensors   the network's tensors; no pickle, so nothing in it can run
detector.json         name, size in prepared pixels, SHA-256 of the weights
"""

from __future__ import annotations

import hashlib
import json
from pathlib import Path
from typing import Any

from mammo.detection.yolo import YOLO_NAMES, YoloDetector, build_yolo
from mammo.errors import WeightsInvalid

WEIGHTS, MANIFEST = "weights.safetensors", "detector.json"


def save_yolo(detector: YoloDetector, folder: Path) -> None:
    """Write the detector into ``folder``, which is made where it is not there."""
    from safetensors.torch import save_file

    folder.mkdir(parents=True, exist_ok=True)
    save_file(detector.weights(), folder / WEIGHTS)
    told = {
        "name": detector.name,
        "height": detector.size[0],
        "width": detector.size[1],
        "weights_sha256": _digest(folder / WEIGHTS),
    }
    (folder / MANIFEST).write_text(json.dumps(told, indent=1) + "\n")


def load_yolo(folder: Path) -> YoloDetector:
    """Return what `save_yolo` wrote.

    Raises WeightsInvalid where a file is missing, the weights have changed since,
    or are those of another network; SettingsInvalid without ultralytics.
    """
    from safetensors.torch import load_file

    told = _read_manifest(folder)
    if _digest(folder / WEIGHTS) != told["weights_sha256"]:
        raise WeightsInvalid(
            f"{WEIGHTS} is not what {MANIFEST} was written for: its SHA-256 differs; "
            "copy the detector's folder anew, or train it again"
        )
    detector = build_yolo(told["name"], (told["height"], told["width"]))
    try:
        detector.load_weights(load_file(folder / WEIGHTS))
    except RuntimeError as error:
        raise WeightsInvalid(f"{WEIGHTS} holds no {told['name']}: train it again") from error
    return detector


def _read_manifest(folder: Path) -> dict[str, Any]:
    missing = [name for name in (MANIFEST, WEIGHTS) if not (folder / name).is_file()]
    if missing:
        raise WeightsInvalid(f"{' and '.join(missing)} not in the folder: it holds no detector")
    try:
        told: dict[str, Any] = json.loads((folder / MANIFEST).read_text())
        known = told["name"] in YOLO_NAMES and {"height", "width", "weights_sha256"} <= set(told)
    except (ValueError, KeyError, TypeError) as error:
        raise WeightsInvalid(f"{MANIFEST} cannot be read as a detector's: {error}") from error
    if not known:
        raise WeightsInvalid(f"{MANIFEST} names no detector of {', '.join(YOLO_NAMES)}")
    return told


def _digest(path: Path) -> str:
    with path.open("rb") as stream:
        return hashlib.file_digest(stream, "sha256").hexdigest()
