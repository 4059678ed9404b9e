"""Augmentation for training only; inference never sees it.

`mammo.augment_settings` says what can be asked for. Boxes are carried along. What is background
stays dark, whatever tone or noise is added, and a draw that would cut away the breast or a box is
drawn anew: no image is taught that shows nothing of its label.

A mirrored breast looks like the other side: the label is of the breast and stays, but nothing may
read the laterality from an augmented image. Both flips together are a rotation by 180 degrees.
"""

from __future__ import annotations

import os
import sys
import warnings
from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from mammo.augment_settings import AugmentValue, Transform, resolve_augment

if TYPE_CHECKING:
    import albumentations as A

Image = NDArray[np.float32]
Box = tuple[float, float, float, float]

BACKGROUND = 0.02
"""Prepared values up to this are background (1.0 is the full scale)."""
KEPT = 0.75
"""Share of the breast, in cells of 1/15 of either side, that every draw keeps in the image."""
MIN_VISIBILITY = 0.5
"""Share of a box's area that must stay inside the image; below it the box is lost."""
BURNT = 0.15
"""Share of the image that a draw may turn white on top of what was: tissue must stay to be seen."""
GONE = 0.3
"""Share of the breast that a draw may turn as dark as background, holes of the dropout included."""
DRAWS = 6
GRID, STEPS = 15, 5


@dataclass(frozen=True, eq=False)
class Augmented:
    """An image (1, H, W) float32 in [0, 1] with its boxes (pascal_voc pixels), after augmentation.

    ``kept`` are the places of the boxes in what was given; ``lost`` counts those that left the
    image; ``breast`` is the share of the breast still in it; ``draws`` were needed, 0 where none
    kept the breast and all boxes and the image is as given.
    """

    image: Image
    boxes: tuple[Box, ...]
    kept: tuple[int, ...]
    lost: int
    breast: float
    draws: int


class Augmentation:
    """A seeded pipeline: (1, H, W) float32 in [0, 1] -> the same.

    The same seed gives the same images in the same order. Each worker process of a torch
    DataLoader draws from its own stream, made of ``seed`` and the worker's seed, which torch
    derives from the loader's generator: the same generator and number of workers repeat an
    epoch, and no two workers or epochs draw alike.
    """

    def __init__(self, transforms: dict[str, Transform], seed: int) -> None:
        self.transforms, self.seed = transforms, seed
        self._pipeline: A.Compose | None = None
        self._worker_seed: int | None = None

    def __call__(self, image: Image, draw: int | None = None) -> Image:
        """Augment one image.

        With ``draw`` from the stream of that number, the same in every process
        and after any other image.
        """
        if draw is not None:
            _seed(self._seeded(), _mix(self.seed, draw))
        return self.with_boxes(image).image

    def with_boxes(self, image: Image, boxes: Sequence[Box] = ()) -> Augmented:
        """Augment one image and its boxes (x_min, y_min, x_max, y_max in its pixels).

        Boxes are taken as far as they lie in the image. A draw that loses a box, more of the breast
        than `KEPT` allows, burns out more than `BURNT`, or darkens more than `GONE`, is drawn anew,
        `DRAWS` times at most.
        """
        pipeline = self._seeded()
        plane = np.ascontiguousarray(image[0])
        cells = _breast_cells(plane)
        present, burnt = _count_cells(cells), _burnt(plane)
        given = np.array(boxes, np.float32).reshape(-1, 4)
        for draw in range(1, DRAWS + 1):
            drawn = pipeline(
                image=plane, mask=cells, bboxes=given, places=np.arange(len(given), dtype=float)
            )
            kept = tuple(int(place) for place in drawn["places"])
            breast = min(_count_cells(drawn["mask"]) / max(present, 1), 1.0)
            if (breast >= KEPT or not present) and len(kept) == len(given):
                changed = _keep_dark(drawn["image"], drawn["mask"])
                if _burnt(changed) - burnt > BURNT or _gone(changed[0], drawn["mask"]) > GONE:
                    continue
                return Augmented(changed, _boxes(drawn["bboxes"]), kept, 0, breast, draw)
        inside = _inside(given, plane.shape)
        kept = tuple(int(place) for place in np.flatnonzero(inside))
        same = np.ascontiguousarray(image, dtype=np.float32)
        lost = len(given) - len(kept)
        return Augmented(same, _boxes(_clip(given[inside], plane.shape)), kept, lost, 1.0, 0)

    def __getstate__(self) -> dict[str, Any]:
        return self.__dict__ | {"_pipeline": None, "_worker_seed": None}

    def _seeded(self) -> A.Compose:
        if self._pipeline is None:
            self._pipeline = build_pipeline(self.transforms)
            _seed(self._pipeline, self.seed)
        worker = _torch_worker_seed()
        if worker is not None and worker != self._worker_seed:
            self._worker_seed = worker
            _seed(self._pipeline, _mix(self.seed, worker))
        return self._pipeline


def build_augment(seed: int, augment: AugmentValue = True) -> Augmentation | None:
    """Return the augmentation of a setting (`TrainConfig.augment`); None where it asks for none.

    Raises SourceInvalid for a setting that makes no sense.
    """
    transforms = resolve_augment(augment)
    return Augmentation(transforms, seed) if transforms else None


def build_pipeline(transforms: dict[str, Transform]) -> A.Compose:
    """Return albumentations' pipeline of these transforms, which carries ``bboxes`` along.

    Shapes change before tones, so that what comes in from outside the image is background.
    """
    os.environ.setdefault("NO_ALBUMENTATIONS_UPDATE", "1")  # it would ask a server on import
    import albumentations as A

    chain = [made for name, asked in transforms.items() for made in _make(A, name, asked)]
    boxes = A.BboxParams(
        format="pascal_voc",
        label_fields=["places"],
        min_visibility=MIN_VISIBILITY,
        clip=True,
        filter_invalid_bboxes=True,
    )
    with warnings.catch_warnings():  # of tones alone it says that no box will change
        warnings.filterwarnings("ignore", message="Got processor for bboxes")
        return A.Compose(chain, bbox_params=boxes)


def _make(A: Any, name: str, asked: Transform) -> list[Any]:
    p = asked["p"]
    match name:
        case "horizontal_flip":
            return [A.HorizontalFlip(p=p)]
        case "vertical_flip":
            return [A.VerticalFlip(p=p)]
        case "rotation":
            return [A.Rotate(limit=asked["degrees"], p=p)]
        case "affine":
            return [_affine(A, asked)]
        case "crop":
            return [A.CropAndPad(percent=(-asked["share"], 0.0), p=p)]
        case "elastic":
            # a distorted grid: 19 ms an image of 1024 x 512, where ElasticTransform takes 225
            bend = STEPS * asked["shift"]
            return [A.GridDistortion(STEPS, distort_limit=(-bend, bend), p=p)]
        case "brightness_contrast":
            return [A.RandomBrightnessContrast(asked["brightness"], asked["contrast"], p=p)]
        case "tone":
            return _tone(A, asked)
        case "noise":
            return [A.GaussNoise(std_range=(0.0, asked["std"]), p=p)]
        case _:
            return [_dropout(A, asked)]


def _affine(A: Any, asked: Transform) -> Any:
    degrees, shear = asked["degrees"], asked["shear_degrees"]
    return A.Affine(
        scale=(1 - asked["scale"], 1 + asked["scale"]),
        translate_percent=(-asked["translate"], asked["translate"]),
        rotate=(-degrees, degrees),
        shear=(-shear, shear),
        p=asked["p"],
    )


def _tone(A: Any, asked: Transform) -> list[Any]:
    most = 100 * (1 + asked["gamma"])
    chain = [A.RandomGamma(gamma_limit=(1e4 / most, most), p=asked["p"])]
    if asked["curve"]:
        chain.append(A.RandomToneCurve(scale=asked["curve"], p=asked["p"]))
    return chain


def _dropout(A: Any, asked: Transform) -> Any:
    sizes = (0.4 * asked["size"], asked["size"])
    holes = max(1, round(asked["holes"]))
    return A.CoarseDropout((1, holes), sizes, sizes, p=asked["p"])


def _seed(pipeline: A.Compose, seed: int) -> None:
    """Let all transforms draw from one stream.

    ``set_random_seed`` gives each its own of the same seed, so that, say, both flips always
    happen together.
    """
    import random

    pipeline.set_random_state(np.random.default_rng(seed), random.Random(seed))


def _mix(*seeds: int) -> int:
    return int(np.random.SeedSequence(seeds).generate_state(1)[0])


def _breast_cells(plane: Image) -> NDArray[np.uint8]:
    """Number the cells of a grid where the breast is, 1 to 225; 0 is background."""
    height, width = plane.shape
    rows = (np.arange(height) * GRID // height).astype(np.uint8)
    columns = (np.arange(width) * GRID // width).astype(np.uint8)
    cells = rows[:, None] * np.uint8(GRID) + columns[None, :] + np.uint8(1)
    return np.asarray(np.where(plane > BACKGROUND, cells, 0), np.uint8)


def _count_cells(cells: NDArray[np.uint8]) -> int:
    seen = np.bincount(cells.ravel(), minlength=1)
    return int(np.count_nonzero(seen[1:]))


def _burnt(image: NDArray[np.float32]) -> float:
    """Return the share of the image at the top of its scale."""
    return float((image >= 0.99).mean())


def _gone(image: Image, cells: NDArray[np.uint8]) -> float:
    """Return the share of the breast that cannot be told from background."""
    breast = cells > 0
    return float((image[breast] <= BACKGROUND).mean()) if breast.any() else 0.0


def _keep_dark(image: NDArray[Any], cells: NDArray[np.uint8]) -> Image:
    """Return (1, H, W) in [0, 1] where what was background is at most that."""
    changed = np.clip(image, 0.0, np.where(cells > 0, np.float32(1.0), np.float32(BACKGROUND)))
    return np.ascontiguousarray(changed[np.newaxis], dtype=np.float32)


def _boxes(boxes: Any) -> tuple[Box, ...]:
    rows = np.asarray(boxes, np.float64).reshape(-1, 4)
    return tuple((float(a), float(b), float(c), float(d)) for a, b, c, d in rows)


def _clip(boxes: NDArray[np.float32], shape: tuple[int, ...]) -> NDArray[np.float32]:
    limit = np.array([shape[1], shape[0], shape[1], shape[0]], np.float32)
    return np.clip(boxes, 0, limit)


def _inside(boxes: NDArray[np.float32], shape: tuple[int, ...]) -> NDArray[np.bool_]:
    """Return which boxes have any area in the image."""
    clipped = _clip(boxes, shape)
    return np.asarray(((clipped[:, 2:] - clipped[:, :2]) > 0).all(axis=1))


def _torch_worker_seed() -> int | None:
    """Return the seed of this worker process of a DataLoader; None in the main process."""
    data = sys.modules.get("torch.utils.data")  # nothing to ask where torch was not imported
    info = data.get_worker_info() if data is not None else None
    return None if info is None else int(info.seed)
