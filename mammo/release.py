"""A release: everything that a score depends on, in one folder that checks itself.

    manifest.json       what it is, its operating points, SHA-256 of every other file
    model.onnx          image (N, 1, H, W) float32 in [0, 1] -> logit (N,)
    encoder.onnx        image -> embedding (N, 32); frozen, the same in every release
    weights.safetensors the network's parameters, to train on from
    images.parquet      which image of which file it was made with, and its label
    patients.parquet    which patient (pseudonym) it was trained on, calibrated with, sealed from
    selection.parquet   which of the images were drawn in training, how, and how often
    golden.npz          a stored image, its tensor and its logit
    reference.parquet   exams that were not trained on, scored by this release
    scores.parquet      mammograms that were not trained on, with the network's raw logit
    export.json         which graph model.onnx is, and what else was tried, where more than one was
    head.onnx           features of a breast's views -> its logit, where a head was trained
    detector.onnx       image -> boxes of findings and scores, where a detector was joined
    detector.json       what its marks are used for; detector.safetensors are its weights and
                        detector_training.json says on whom it was trained
    card.md             what it was trained on and how well it does, for people
    registry.json       where MLflow keeps it; written later, outside the digest
    signature.json      who made it: a signature over id and digest, outside the digest

No file is a pickle. The preprocessing configuration is in the manifest: it
travels with the weights (the idea of timm's ``PretrainedCfg``).
"""

from __future__ import annotations

import hashlib
import json
from dataclasses import asdict, dataclass, field, replace
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, Self

from mammo.errors import DigestMismatch, ReleaseNotFound
from mammo.exam import OperatingPoint
from mammo.folder_entries import write_json as write_json
from mammo.models.tracking import REGISTRY as REGISTRY
from mammo.preprocess import PreprocessConfig
from mammo.signing import SIGNATURE, SIGNER, sign_release

MANIFEST = "manifest.json"
SPENT = "training_cost.json"
OWN_FILES = (MANIFEST, REGISTRY, SIGNATURE, SIGNER, SPENT, "gate.json", "change_record.json")
"""Files that speak of one release alone; a child does not inherit them."""

HEAD = "head.onnx"
EXPORT = "export.json"
DETECTOR_FILES = ("detector.onnx", "detector.json")
"""What serves of a detector that a release carries; see `mammo.detection.carried`."""
DETECTOR_TRAINING = ("detector.safetensors", "detector_training.json")
DEFAULT_SCANNER = "*"
RECALIBRATED = "recalibrated"
"""The kind of a child with another operating point; see `mammo.continual.derive`."""
JOINED = "joined"
"""The kind of a child that a detector was joined to, and where its metrics tell of that."""
FITTED_WITH = "fitted_with"
"""Of `JOINED` in the metrics: the release whose classifier the use of a detector in the score
was fitted with, where a retraining carried the detector on."""
MEAN = "mean"
DIGESTED = (
    "card.md",
    *DETECTOR_FILES,
    *DETECTOR_TRAINING,
    "encoder.onnx",
    EXPORT,
    "golden.npz",
    HEAD,
    "images.parquet",
    "model.onnx",
    "patients.parquet",
    "reference.parquet",
    "scores.parquet",
    "selection.parquet",
    "weights.safetensors",
)
MAY_LACK = frozenset(
    (
        EXPORT,
        HEAD,
        *DETECTOR_FILES,
        *DETECTOR_TRAINING,
        "images.parquet",
        "scores.parquet",
        "selection.parquet",
    )
)
"""What a release need not have: views may be averaged without a head, few carry a detector,
and releases made before the others were kept do not have them, nor do their children."""
FOR_TRAINING = frozenset(
    (
        *DETECTOR_TRAINING,
        "images.parquet",
        "patients.parquet",
        "scores.parquet",
        "selection.parquet",
        "weights.safetensors",
    )
)
"""What serving never opens. A Bento leaves it out: pseudonyms of the patients trained on have
no place where a release is shipped to. The manifest lists it all the same, so the digest and
the signature are those of the whole release; what is there is checked."""


@dataclass(frozen=True)
class Release:
    """The manifest of a release.

    ``operating_points`` is by scanner key, with ``*`` for a scanner that the
    release has not met. ``kind`` is how it came: ``trained``, ``fine_tuned``,
    ``recalibrated``, ``exported`` or ``joined``. ``metrics`` are at exam level on patients
    not trained on. ``aggregation`` says how views become a breast: ``mean``, ``max``, or by
    head.onnx as ``breast_head`` or ``exam_head``. ``detector`` is the name of the detector
    that it carries, None without one.
    """

    id: str
    parent: str | None
    kind: str
    created_at: str
    target: str
    architecture: str
    data_version: str
    trained_on: str
    preprocess: PreprocessConfig
    operating_points: dict[str, OperatingPoint]
    aggregation: str = MEAN
    detector: str | None = None
    metrics: dict[str, Any] = field(default_factory=dict)
    files: dict[str, str] = field(default_factory=dict)
    digest: str = ""

    def operating_point(self, scanner: str) -> OperatingPoint:
        """Return the scanner's operating point, or the default one."""
        return self.operating_points.get(scanner, self.operating_points[DEFAULT_SCANNER])

    def knows(self, scanner: str) -> bool:
        """True when the release has an operating point of this scanner's own."""
        return scanner in self.operating_points

    def to_dict(self) -> dict[str, Any]:
        """Return the manifest as JSON-able data."""
        points = {name: point.to_dict() for name, point in self.operating_points.items()}
        own = {"preprocess": self.preprocess.to_dict(), "operating_points": points}
        data = asdict(self) | own
        if self.aggregation == MEAN:
            del data["aggregation"]  # as before it existed: older digests stay right
        if self.detector is None:
            del data["detector"]
        return data

    @classmethod
    def from_dict(cls, data: dict[str, Any]) -> Self:
        """Build from `to_dict`'s data."""
        stored = data["operating_points"]
        points = {name: OperatingPoint.from_dict(point) for name, point in stored.items()}
        config = PreprocessConfig.from_dict(data["preprocess"])
        return cls(**(data | {"preprocess": config, "operating_points": points}))

    @classmethod
    def read(cls, directory: Path, *, verify: bool = False, served: bool = False) -> Self:
        """Read a release's manifest; with ``verify``, check every digest.

        With ``served``, files `FOR_TRAINING` may be missing. Raises ReleaseNotFound
        and DigestMismatch.
        """
        path = directory / MANIFEST
        if not path.is_file():
            raise ReleaseNotFound(
                f"No release in {directory.name!r}: {MANIFEST} is missing. "
                "`mammo train` makes a release; `mammo status` lists those in service."
            )
        release = cls.from_dict(json.loads(path.read_text()))
        if verify:
            release.verify(directory, served=served)
        return release

    def verify(self, directory: Path, *, served: bool = False) -> None:
        """Raise DigestMismatch when a file or the manifest is not what was written.

        With ``served``, files `FOR_TRAINING` may be missing; those that are there
        are checked.
        """
        for name, expected in self.files.items():
            path = directory / name
            if served and name in FOR_TRAINING and not path.exists():
                continue
            found = file_sha256(path) if path.is_file() else "missing"
            if found != expected:
                raise DigestMismatch(
                    f"{name} of release {self.id} has SHA-256 {found[:12]}, the manifest states "
                    f"{expected[:12]}. The release was changed after it was made: package it again."
                )
        if self.compute_digest() != self.digest:
            raise DigestMismatch(
                f"The manifest of release {self.id} does not match its own digest. "
                "The release was changed after it was made: package it again."
            )

    def compute_digest(self) -> str:
        """Return the SHA-256 of the manifest with an empty digest."""
        text = json.dumps(replace(self, digest="").to_dict(), sort_keys=True)
        return hashlib.sha256(text.encode()).hexdigest()

    def seal(self, directory: Path, keys_dir: Path | None = None) -> Self:
        """Hash the files, write the manifest, and return the sealed release.

        Signed with the key in ``keys_dir``, where that is given: see `mammo.signing`.
        """
        lacking = {name for name in MAY_LACK if not (directory / name).is_file()}
        files = {name: file_sha256(directory / name) for name in DIGESTED if name not in lacking}
        draft = replace(self, files=files, digest="")
        sealed = replace(draft, digest=draft.compute_digest())
        write_json(directory / MANIFEST, sealed.to_dict())
        if keys_dir is not None:
            sign_release(directory, sealed.id, sealed.digest, keys_dir)
        return sealed


def file_sha256(path: Path) -> str:
    """Return the hex SHA-256 of a file."""
    with path.open("rb") as stream:
        return hashlib.file_digest(stream, "sha256").hexdigest()


def new_release_id(*facts: object) -> str:
    """Return ``r-YYYYMMDD-xxxxxxxx``; the last part hashes what the release is made of."""
    now = datetime.now(UTC)
    text = "|".join(str(fact) for fact in (*facts, now.isoformat()))
    return f"r-{now:%Y%m%d}-{hashlib.sha256(text.encode()).hexdigest()[:8]}"


def find_release(releases_dir: Path, release_id: str) -> Path:
    """Return a release's folder; ReleaseNotFound names those that exist."""
    directory = releases_dir / release_id
    if not (directory / MANIFEST).is_file():
        have = sorted(path.parent.name for path in releases_dir.glob(f"r-*/{MANIFEST}"))
        raise ReleaseNotFound(
            f"No release {release_id!r}. Known: {', '.join(have[-5:]) or 'none yet'}."
        )
    return directory
