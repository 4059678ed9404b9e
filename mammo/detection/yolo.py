"""YOLOv8 and YOLOv5 by ultralytics, trained from scratch on gray prepared images.

The extra `yolo` brings ultralytics (AGPL-3.0); it is imported here alone, and
only when a network is built. Nothing is downloaded and nothing is told to
anybody. ``yolov5n`` is ultralytics' v5u: the backbone of YOLOv5 (Jocher 2020)
with the anchor-free head of YOLOv8 (Jocher, Chaurasia, Qiu 2023).

Its trainer runs on a temporary folder; its checkpoints are pickles, so they
are neither written nor read: weights are kept as safetensors.
"""

from __future__ import annotations

import os
import random
import tempfile
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from copy import deepcopy
from importlib import import_module
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn

from mammo.detection.boxes import Boxes, require_boxes
from mammo.detection.detector import (
    Images,
    NetworkDetector,
    Progress,
    Raw,
    require_finite,
    require_finite_marks,
)
from mammo.detection.yolo_data import (
    CLASS_NAMES,
    check_images,
    check_size,
    checked_boxes,
    to_gray,
    write_yolo_folder,
)
from mammo.errors import SettingsInvalid
from mammo.settings import TELEMETRY_OFF

YOLO_NAMES = ("yolov8n", "yolov5n")
LEAST_SCORE = 0.001
"""Below it a box is not returned; curves need the low ones, a user chooses higher."""
OVERLAP = 0.5
"""Of two boxes with a higher intersection over union the lower scored one goes."""
CANDIDATES, MOST_FOUND = 200, 50
"""Boxes an image that suppression looks at, and those that it returns at most."""
BATCH = 8
LEARNING_RATE = 0.002


class YoloDetector(NetworkDetector):
    """A YOLO for prepared images of one size.

    ``name`` is one of `YOLO_NAMES`, ``size`` (height, width) in prepared pixels.
    """

    def fit(
        self,
        images: Images,
        boxes: Sequence[Boxes],
        *,
        epochs: int,
        seed: int = 0,
        progress: Progress | None = None,
    ) -> None:
        """Train on from the present weights.

        ``images`` are uint16 (N, H, W) as prepared, ``boxes`` (M, 4) of each in
        prepared pixels; images without boxes are negatives. The same seed, data
        and thread count give the same weights on the CPU. ``progress`` is called
        with "epoch", those done and all of them.

        Raises ValueError for boxes outside, empty or not finite, and for images of
        another size; NoBoxes where no image has a box; TrainingDiverged when the loss
        is no number any more.
        """
        self._require_size(images)
        require_boxes([len(one) for one in checked_boxes(images, boxes)])
        with tempfile.TemporaryDirectory(prefix="mammo-yolo-") as folder, _left_as_found():
            pictures = write_yolo_folder(Path(folder) / "set", images, boxes)
            weights = _train(self, pictures, Path(folder), epochs, seed, progress)
        self.load_weights(weights)

    @torch.inference_mode()
    def detect(self, images: Images) -> list[Raw]:
        """Return (x0, y0, x1, y1, score) in prepared pixels, best first, of each image.

        ``images`` are uint16 (N, H, W). Boxes are clipped to the image; scores
        are in [0, 1]. What is found in an image does not depend on its batch. Raises
        ScoreNotFinite where the network gives NaN or infinity.
        """
        self._require_size(images)
        self.network.eval()
        found: list[Raw] = []
        for start in range(0, len(images), BATCH):
            batch = torch.from_numpy(to_gray(images[start : start + BATCH]))
            predicted = self.network(batch[:, None].float() / 255)
            predicted = predicted[0] if isinstance(predicted, tuple) else predicted
            require_finite_marks(predicted, self.name)
            found += [_kept(one, self.size) for one in predicted]
        return found

    def _require_size(self, images: Images) -> None:
        check_images(images)
        if images.shape[1:] != self.size:
            found = " x ".join(map(str, images.shape[1:]))
            wanted = " x ".join(map(str, self.size))
            raise ValueError(f"images are {found} pixels; this {self.name} was made for {wanted}")


def build_yolo(name: str, size: tuple[int, int], *, seed: int = 0) -> YoloDetector:
    """Return an untrained detector; ``size`` is (height, width) in multiples of 32.

    Raises SettingsInvalid where ultralytics is not installed, ValueError for
    an unknown name or another size.
    """
    if name not in YOLO_NAMES:
        raise ValueError(f"{name!r} is no YOLO here; there are {', '.join(YOLO_NAMES)}")
    check_size(size)
    with _quiet_ultralytics():
        tasks: Any = import_module("ultralytics.nn.tasks")
        with torch.random.fork_rng(devices=[]):
            torch.manual_seed(seed)
            network = tasks.DetectionModel(f"{name}.yaml", ch=1, nc=len(CLASS_NAMES), verbose=False)
    return YoloDetector(name, size, network.eval())


def _kept(predicted: Tensor, size: tuple[int, int]) -> Raw:
    """Return the boxes of one image, best first, from (5, places): centre, size, score."""
    from torchvision.ops import box_convert, clip_boxes_to_image, nms

    likely = predicted[:, predicted[4] >= LEAST_SCORE]
    likely = likely[:, likely[4].argsort(descending=True, stable=True)[:CANDIDATES]].T
    boxes = clip_boxes_to_image(box_convert(likely[:, :4], "cxcywh", "xyxy"), size)
    sides = boxes[:, 2:] - boxes[:, :2]
    inside = (sides > 0).all(dim=1)
    boxes, scores = boxes[inside], likely[inside, 4]
    kept = nms(boxes, scores, OVERLAP)[:MOST_FOUND]
    rows = torch.cat([boxes[kept], scores[kept, None]], dim=1)
    return [(x0, y0, x1, y1, score) for x0, y0, x1, y1, score in rows.tolist()]


def _train(
    detector: YoloDetector,
    pictures: Path,
    folder: Path,
    epochs: int,
    seed: int,
    progress: Progress | None,
) -> dict[str, Tensor]:
    """Return the averaged weights after ultralytics' training loop."""
    with _quiet_ultralytics():
        training = _training_class()(overrides=_overrides(detector, folder, epochs, seed))
        training.data = {
            "train": str(pictures), "val": str(pictures), "path": str(pictures.parent),
            "nc": len(CLASS_NAMES), "names": CLASS_NAMES, "channels": 1,
        }  # fmt: skip
        training.title, training.frame, training.tell = detector.name, detector.size, progress
        training.model = deepcopy(detector.network).train()
        training.train()
    averaged: nn.Module = training.ema.ema
    return {name: one.detach().clone() for name, one in averaged.float().state_dict().items()}


def _overrides(detector: YoloDetector, folder: Path, epochs: int, seed: int) -> dict[str, Any]:
    return {
        "model": f"{detector.name}.yaml", "task": "detect", "data": "none.yaml",
        "epochs": epochs, "imgsz": max(detector.size), "batch": BATCH, "nbs": BATCH,
        "device": "cpu", "workers": 0, "seed": seed, "deterministic": True, "amp": False,
        "optimizer": "AdamW", "lr0": LEARNING_RATE, "warmup_bias_lr": 0.0, "cos_lr": True,
        "patience": epochs + 1, "val": False, "save": False, "plots": False, "verbose": False,
        "mosaic": 0.0, "close_mosaic": 0, "project": str(folder), "name": "run", "exist_ok": True,
    }  # fmt: skip


def _training_class() -> Any:
    """Return ultralytics' trainer without its checkpoints, validation and callbacks.

    Its name holds no "Trainer": those are given callbacks of tracking services.
    """
    from ultralytics.models.yolo.detect import DetectionTrainer

    changes: Any = import_module("ultralytics.data.augment")

    class Fitting(DetectionTrainer):
        title: str
        frame: tuple[int, int]
        tell: Progress | None

        def get_dataset(self) -> dict[str, Any]:
            return {}  # set beside the model: the usual way looks for fonts and sets online

        def build_dataset(self, img_path: str, mode: str = "train", batch: Any = None) -> Any:
            dataset = super().build_dataset(img_path, mode, batch)
            height, width = self.frame
            # prepared images are not square, and mosaics would cut breasts apart
            moved = changes.RandomPerspective(translate=0.05, scale=0.15, size=(width, height))
            flips = [changes.RandomFlip(p=0.5, direction=one) for one in ("vertical", "horizontal")]
            form = changes.Format(bbox_format="xywh", normalize=True, batch_idx=True)
            dataset.transforms = changes.Compose([moved, *flips, form])
            return dataset

        def run_callbacks(self, event: str) -> None:
            if event != "on_train_epoch_end":
                return
            # without a checkpoint to go back to, ultralytics would train on with NaN
            loss: Any = self.loss  # ultralytics declares it as None
            require_finite(float(loss.detach()), self.title, self.epoch + 1)
            if self.tell is not None:
                self.tell("epoch", self.epoch + 1, self.epochs)

        def validate(self) -> tuple[dict[str, float], float]:
            return {}, 0.0  # what it is worth is measured on patients held out, not here

        def save_metrics(self, metrics: dict[str, float]) -> None:
            """Write no table."""

        def save_model(self) -> bool:
            return False

        def final_eval(self) -> None:
            """Read no checkpoint back."""

    return Fitting


@contextmanager
def _quiet_ultralytics() -> Iterator[None]:
    """Import and use ultralytics without network, telemetry, or a file in the user's home.

    Raises SettingsInvalid where it is not installed.
    """
    wanted = {**TELEMETRY_OFF, "YOLO_VERBOSE": "False", "YOLO_AUTOINSTALL": "False"}
    with (
        tempfile.TemporaryDirectory(prefix="mammo-yolo-") as folder,
        _environment({**wanted, "YOLO_CONFIG_DIR": folder}),
    ):
        try:
            import ultralytics  # noqa: F401
        except ImportError as error:
            raise SettingsInvalid(
                f"ultralytics is not installed ({error}): `pip install -e '.[yolo]'` in the "
                "checkout brings YOLOv8 and YOLOv5, under the AGPL-3.0; the other detectors need "
                "no extra"
            ) from error
        yield


@contextmanager
def _environment(values: dict[str, str]) -> Iterator[None]:
    before = dict(os.environ)
    os.environ.update(values)
    try:
        yield
    finally:
        os.environ.clear()
        os.environ.update(before)


@contextmanager
def _left_as_found() -> Iterator[None]:
    """Put back the generators' states that ultralytics sets for the whole process."""
    states = random.getstate(), np.random.get_state()  # noqa: NPY002 - what ultralytics sets
    try:
        with torch.random.fork_rng(devices=[]):
            yield
    finally:
        random.setstate(states[0])
        np.random.set_state(states[1])  # noqa: NPY002
