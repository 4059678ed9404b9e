"""Detectors by name."""

from __future__ import annotations

from difflib import get_close_matches
from pathlib import Path

from mammo.detection.detector import Detector, DetectorManifest, read_weights
from mammo.errors import SettingsInvalid, SourceInvalid, SourceNotFound

TORCHVISION = ("faster_rcnn", "ssd")
YOLO = ("yolov8n", "yolov5n")
DETECTOR_NAMES = TORCHVISION + YOLO


def build_detector(name: str, size: tuple[int, int], *, seed: int = 0) -> Detector:
    """Return an untrained detector for prepared images of ``size`` (height, width).

    Sides are multiples of 32. The same seed gives the same weights.

    Raises
    ------
    SourceNotFound
        No such detector; the nearest name is suggested.
    SettingsInvalid
        A YOLO without the extra ``yolo``, or a size that is no multiple of 32.
    """
    try:
        return _build(name, size, seed)
    except ValueError as error:
        raise SettingsInvalid(str(error)) from error


def _build(name: str, size: tuple[int, int], seed: int) -> Detector:
    if name in TORCHVISION:
        from mammo.detection.torchvision_detectors import build_torchvision

        return build_torchvision(name, size, seed=seed)
    if name in YOLO:
        from mammo.detection.yolo import build_yolo

        return build_yolo(name, size, seed=seed)
    near = get_close_matches(name, DETECTOR_NAMES, n=1)
    hint = f" (did you mean {near[0]}?)" if near else ""
    raise SourceNotFound(f"{name!r} is no detector{hint}; there are {', '.join(DETECTOR_NAMES)}")


def load_detector(folder: Path) -> tuple[Detector, DetectorManifest]:
    """Return a kept detector and its manifest.

    Raises
    ------
    ReleaseNotFound
    DigestMismatch
        Weights or manifest were changed.
    SourceInvalid
        The manifest is none, or the weights are of another network.
    """
    manifest = DetectorManifest.read(folder)
    weights = read_weights(folder, manifest)
    detector = build_detector(manifest.name, (manifest.config.height, manifest.config.width))
    try:
        detector.load_weights(weights)
    except RuntimeError as error:
        raise SourceInvalid(f"weights of {folder.name} are no {manifest.name}'s") from error
    return detector, manifest
