"""What every detector of findings can do, and how one is kept on disk.

A kept detector is a folder of two files: ``weights.safetensors`` and
``detector.json``, which says what it is, on what it was trained, the digest of the
weights and one of itself. The second shows a change by hand or a damaged copy; it is
no signature: who can write the file can compute it. Nothing is a pickle: loading
runs no code from the folder.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Any, Protocol, Self

import numpy as np
import torch
from numpy.typing import NDArray
from safetensors.torch import load_file, save_file
from torch import Tensor, nn

from mammo.detection.boxes import Boxes, findings_of
from mammo.errors import (
    DigestMismatch,
    ReleaseNotFound,
    ScoreNotFinite,
    SourceInvalid,
    TrainingDiverged,
)
from mammo.geometry import PreprocessConfig

WEIGHTS, MANIFEST = "weights.safetensors", "detector.json"
LISTS = ("patients", "left_out", "files_sha256")
Images = NDArray[np.uint16]
Raw = list[tuple[float, float, float, float, float]]
"""Of one image: x0, y0, x1, y1 in prepared pixels and the score in [0, 1]."""
Progress = Callable[[str, int, int], None]

__all__ = [
    "Detector",
    "DetectorManifest",
    "NetworkDetector",
    "findings_of",
    "read_weights",
    "require_finite",
    "require_finite_marks",
    "save_detector",
    "watched",
    "write_manifest",
]


class Detector(Protocol):
    """A network that marks findings on prepared images of one size.

    ``size`` is (height, width) in prepared pixels.
    """

    name: str
    size: tuple[int, int]

    def fit(
        self,
        images: Images,
        boxes: Sequence[Boxes],
        *,
        epochs: int,
        seed: int = 0,
        progress: Progress | None = None,
    ) -> None:
        """Train on from the present weights; boxes (M, 4) of each image, none of a negative."""

    def detect(self, images: Images) -> list[Raw]:
        """Return what is found in images (N, H, W) uint16 as prepared, best first.

        Raises ScoreNotFinite where the network gives NaN or infinity.
        """

    def weights(self) -> dict[str, Tensor]:
        """Return the tensors by name, contiguous."""

    def load_weights(self, weights: dict[str, Tensor]) -> None:
        """Take over `weights`; RuntimeError where they are of another network."""


class NetworkDetector:
    """The part that detectors share: one network of torch, its name and the size it sees.

    ``size`` is (height, width) in prepared pixels.
    """

    def __init__(self, name: str, size: tuple[int, int], network: nn.Module) -> None:
        self.name, self.size, self.network = name, size, network

    def weights(self) -> dict[str, Tensor]:
        """Return the network's tensors by name, contiguous, for safetensors."""
        return {name: one.contiguous() for name, one in self.network.state_dict().items()}

    def load_weights(self, weights: dict[str, Tensor]) -> None:
        """Take over `weights`; RuntimeError where they are of another network."""
        self.network.load_state_dict(weights)
        self.network.eval()


def require_finite(loss: float, name: str, epoch: int) -> None:
    """Raise TrainingDiverged where the loss of an epoch, counted from 1, is no number."""
    if not np.isfinite(loss):
        raise TrainingDiverged(
            f"the loss of {name} became {loss} in epoch {epoch}; nothing is kept: look for a "
            "damaged image among those of the index, or train with another seed or more images"
        )


def require_finite_marks(told: Tensor, name: str) -> None:
    """Raise ScoreNotFinite where a network's boxes or scores hold NaN or infinity.

    ``told`` is as it comes, before any of it is compared with a threshold: that would take
    it for no mark, and nobody would hear of it.
    """
    bad = told.numel() - int(torch.isfinite(told).sum())
    if bad:
        raise ScoreNotFinite(
            f"{name} gave {bad} of {told.numel()} boxes and scores that are no finite number; "
            "nothing is told of these images: take the detector of before, or train anew"
        )


@contextmanager
def watched(heads: Iterable[nn.Module], name: str) -> Iterator[None]:
    """Let `require_finite_marks` see what these modules, of one tensor each, give within."""

    def look(_module: nn.Module, _given: Any, told: Tensor) -> None:
        require_finite_marks(told, name)

    hooks = [one.register_forward_hook(look) for one in heads]
    try:
        yield
    finally:
        for hook in hooks:
            hook.remove()


@dataclass(frozen=True)
class DetectorManifest:
    """What a kept detector is.

    ``patients`` are the pseudonyms that it was trained on, so that it is never
    measured on them; ``left_out`` are those that a release keeps for itself (its
    holdout and the sealed golden set), neither trained on nor measured in passing;
    ``training`` holds epochs, seed and the like. ``files_sha256`` are the digests of the
    files trained on, as the index has them: under another key a patient has another
    pseudonym, her file has the same digest. ``digest`` is of all the other fields. Both
    are empty in a folder that an older mammo wrote.
    """

    name: str
    preprocess: dict[str, Any]
    data_version: str
    patients: tuple[str, ...]
    training: dict[str, Any]
    weights_sha256: str = ""
    left_out: tuple[str, ...] = ()
    files_sha256: tuple[str, ...] = ()
    digest: str = ""

    @property
    def config(self) -> PreprocessConfig:
        """How its images are prepared."""
        return PreprocessConfig.from_dict(self.preprocess)

    def compute_digest(self) -> str:
        """Return the SHA-256 of every other field, as JSON with sorted keys and no spaces."""
        values = {name: one for name, one in asdict(self).items() if name != "digest"}
        text = json.dumps(values, sort_keys=True, separators=(",", ":"))
        return hashlib.sha256(text.encode()).hexdigest()

    @classmethod
    def read(cls, folder: Path, name: str = MANIFEST) -> Self:
        """Read the manifest, which a release keeps by another ``name``.

        Raises ReleaseNotFound without one, SourceInvalid for another file, and
        DigestMismatch where it was changed after it was written.
        """
        path = folder / name
        if not path.is_file():
            raise ReleaseNotFound(
                f"{folder.name} has no {name}: give a folder that `mammo detect train` wrote"
            )
        try:
            values = json.loads(path.read_text())
            lists = {key: tuple(values.get(key, ())) for key in LISTS}
            manifest = cls(**values | lists)
        except (ValueError, TypeError, KeyError) as error:
            raise SourceInvalid(f"{name} of {folder.name} is none: {error}") from error
        older = not manifest.digest and not manifest.files_sha256
        if not older and manifest.digest != manifest.compute_digest():
            raise DigestMismatch(
                f"{name} of {folder.name} was changed after training, or is damaged: its "
                "content is not that of the digest in it: copy the folder anew, or train again"
            )
        return manifest


def save_detector(detector: Detector, manifest: DetectorManifest, folder: Path) -> Path:
    """Write a detector to a folder, the manifest last; return the folder."""
    folder.mkdir(parents=True, exist_ok=True)
    save_file(detector.weights(), folder / WEIGHTS)
    write_manifest(replace(manifest, weights_sha256=_digest(folder / WEIGHTS)), folder)
    return folder


def write_manifest(manifest: DetectorManifest, folder: Path) -> None:
    """Write the manifest with the digest of its content."""
    values = asdict(replace(manifest, digest=manifest.compute_digest()))
    (folder / MANIFEST).write_text(json.dumps(values, indent=2, sort_keys=True) + "\n")


def read_weights(folder: Path, manifest: DetectorManifest) -> dict[str, Tensor]:
    """Return the weights; DigestMismatch where they are not those of the manifest."""
    path = folder / WEIGHTS
    if not path.is_file() or _digest(path) != manifest.weights_sha256:
        raise DigestMismatch(
            f"{WEIGHTS} of {folder.name} is not the file that {MANIFEST} states: "
            "copy the folder anew, or train again"
        )
    return load_file(path)


def _digest(path: Path) -> str:
    return hashlib.sha256(path.read_bytes()).hexdigest()
