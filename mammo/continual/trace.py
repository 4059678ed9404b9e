"""From a release back to the bytes that it was made of.

A release names its data version and keeps ``images.parquet``: which image was
trained on, calibrated with or sealed, with the SHA-256 of the file that came
from the archive, the label it was given, and the shard that holds its pixels.
The trace holds these against the data version: its index must know the same
files under the same images, and its shards must have the bytes that DVC wrote
down.
"""

from __future__ import annotations

from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import pandas as pd

from mammo.data.index import read_index
from mammo.data.version import find_version
from mammo.data.version_files import damaged_files, missing_files, version_file, version_files
from mammo.errors import ChecksumMismatch, ReleaseNotFound, VersionUnknown
from mammo.release import Release, find_release
from mammo.settings import Settings

IMAGES = "images.parquet"
COLUMNS = (
    "image_id", "patient_id", "part", "label", "outcome_known_at", "sha256", "shard", "shard_row",
)  # fmt: skip

KEYS = ["image_id", "patient_id", "sha256", "shard", "shard_row"]
"""Columns in which a release's images and the version's index must agree."""


@dataclass(frozen=True)
class Step:
    """One release of the line, newest first, and the data that it was made of.

    ``images`` counts by part; ``problems`` says what does not agree, empty when
    all does; ``version_here`` is False where its files must be fetched to be checked.
    """

    release: str
    kind: str
    data_version: str
    version_here: bool
    index_md5: str | None
    shards: int
    images: dict[str, int]
    problems: tuple[str, ...]


@dataclass(frozen=True, eq=False)
class Trace:
    """A release's line, and a row for each image of its newest training."""

    steps: tuple[Step, ...]
    images: pd.DataFrame

    @property
    def whole(self) -> bool:
        """True when every step's data are here and agree."""
        return all(step.version_here and not step.problems for step in self.steps)

    def write_images(self, path: Path) -> None:
        """Write a row per image as CSV: `COLUMNS` and the MD5 of its shard."""
        self.images.to_csv(path, index=False)

    def to_dict(self) -> dict[str, Any]:
        """Return the line as JSON values; the images go to a file."""
        return {"whole": self.whole, "steps": [asdict(step) for step in self.steps]}


def trace_release(settings: Settings, release_id: str, *, read_all: bool = True) -> Trace:
    """Trace a release and those that it came from; ``read_all`` hashes every file anew.

    Without it a file that is there counts as what was written.

    Raises ReleaseNotFound and DigestMismatch.
    """
    steps: list[Step] = []
    images = pd.DataFrame(columns=[*COLUMNS, "shard_md5"])
    name: str | None = release_id
    while name is not None:
        try:
            directory = find_release(settings.releases_dir, name)
        except ReleaseNotFound:
            if not steps:
                raise
            steps.append(Step(name, "", "", False, None, 0, {}, ("the release is gone",)))
            break
        release = Release.read(directory, verify=True)
        step, rows = _step(settings, directory, release, read_all=read_all)
        images = rows if images.empty else images
        steps.append(step)
        name = release.parent
    return Trace(tuple(steps), images)


def write_images(
    draft: Path, parts: dict[str, pd.DataFrame], labels: dict[str, pd.Series[Any]]
) -> None:
    """Write ``images.parquet`` of a new release: one row an image, ordered by image."""
    rows = [rows.assign(part=part, label=labels[part]) for part, rows in parts.items()]
    frame = pd.concat(rows)[list(COLUMNS)].sort_values(["image_id", "sha256"])
    frame.to_parquet(draft / IMAGES, index=False)


def _step(
    settings: Settings, directory: Path, release: Release, *, read_all: bool
) -> tuple[Step, pd.DataFrame]:
    rows = _read_images(directory)
    counts = {str(part): int(count) for part, count in rows["part"].value_counts().items()}
    facts = (release.id, release.kind, release.data_version)
    try:
        files = {file.path: file.md5 for file in version_files(settings, release.data_version)}
        problems = _problems(settings, release, rows, files, read_all=read_all)
    except (VersionUnknown, ChecksumMismatch) as error:
        return Step(*facts, False, None, 0, counts, (error.message,)), rows
    rows = rows.assign(shard_md5=rows["shard"].map(lambda name: files.get(f"shards/{name}.npy")))
    shards = sum(path.startswith("shards/") for path in files)
    index_md5 = files.get(settings.index_path.name)
    return Step(*facts, True, index_md5, shards, counts, tuple(problems)), rows


def _problems(
    settings: Settings,
    release: Release,
    rows: pd.DataFrame,
    files: dict[str, str],
    *,
    read_all: bool,
) -> list[str]:
    version = find_version(settings, release.data_version)
    index_file = version_file(settings, version, settings.index_path.name)
    damaged = damaged_files(settings, version) if read_all else missing_files(settings, version)
    told = [f"{file.path} is {how}" for file, how in damaged]
    if any(words.startswith(f"{settings.index_path.name} is") for words in told):
        return told  # nothing can be looked up in it
    index = read_index(index_file.cached, columns=KEYS)
    joined = (
        rows[KEYS]
        .astype({"shard_row": "int64"})
        .merge(index.astype({"shard_row": "int64"}), on=KEYS, how="left", indicator=True)
    )
    lost = int((joined["_merge"] == "left_only").sum())
    told += [f"{lost} images are not in the version's index under these files"] * bool(lost)
    named = {f"shards/{shard}.npy" for shard in rows["shard"].unique()}
    if absent := named - set(files):
        told.append(f"{len(absent)} shards are not part of the version")
    if not len(rows):
        told.append(f"the release keeps no {IMAGES}: it was made by an older mammo")
    return told


def _read_images(directory: Path) -> pd.DataFrame:
    path = directory / IMAGES
    return pd.read_parquet(path) if path.is_file() else pd.DataFrame(columns=list(COLUMNS))
