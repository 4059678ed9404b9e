"""A release is traced to the files that it was made of, and what does not agree is told."""

from __future__ import annotations

import hashlib
import json
import shutil
from pathlib import Path

import pandas as pd
import pytest

from mammo.continual.fit import TrainedRelease
from mammo.continual.trace import IMAGES, trace_release
from mammo.data.version_files import listing_path, version_file, version_files
from mammo.errors import DigestMismatch, ReleaseNotFound
from mammo.release import Release
from mammo.settings import Settings

pytestmark = pytest.mark.slow


@pytest.fixture
def copied(installation: Settings, trained: TrainedRelease, tmp_path: Path) -> Settings:
    """A copy of the installation's data and releases, to be broken."""
    home = tmp_path / "home"
    home.mkdir()
    for name in ("data", "releases"):
        shutil.copytree(installation.home / name, home / name)
    shutil.copy(installation.home / "pseudonym.key", home / "pseudonym.key")
    return installation.model_copy(update={"home": home})


def test_release_is_traced_to_the_archives_files(
    copied: Settings, trained: TrainedRelease, phantoms: Path, tmp_path: Path
) -> None:
    trace = trace_release(copied, trained.release.id)
    assert trace.whole
    (step,) = trace.steps
    assert step.data_version == trained.release.data_version
    assert set(step.images) == {"train", "holdout", "golden"}
    files = {hashlib.sha256(path.read_bytes()).hexdigest() for path in phantoms.rglob("*.dcm")}
    assert set(trace.images["sha256"]) == files  # the very files that the archive gave
    shards = {one.path: one.md5 for one in version_files(copied, step.data_version)}
    for row in trace.images.itertuples():
        assert row.shard_md5 == shards[f"shards/{row.shard}.npy"]
    assert set(trace.images["label"]) == {0, 1}
    trace.write_images(tmp_path / "images.csv")
    assert len(pd.read_csv(tmp_path / "images.csv")) == len(files)


def test_parts_are_those_of_the_patients(trained: TrainedRelease) -> None:
    images = pd.read_parquet(trained.directory / IMAGES)
    patients = pd.read_parquet(trained.directory / "patients.parquet")
    part = dict(zip(patients["patient_id"], patients["part"], strict=True))
    assert list(images["part"]) == [part[one] for one in images["patient_id"]]


def test_child_is_traced_with_its_parent(copied: Settings, trained: TrainedRelease) -> None:
    parent = copied.releases_dir / trained.release.id
    child = Release.read(parent)
    # a recalibrated child has the parent's network, and so its images
    grandchild = parent.with_name("r-20990101-00000000")
    shutil.copytree(parent, grandchild)
    from dataclasses import replace

    replace(child, id=grandchild.name, parent=child.id, kind="recalibrated").seal(grandchild)
    trace = trace_release(copied, grandchild.name)
    assert [step.release for step in trace.steps] == [grandchild.name, child.id]
    assert trace.whole
    shutil.rmtree(parent)
    broken = trace_release(copied, grandchild.name)
    assert not broken.whole and broken.steps[-1].problems == ("the release is gone",)
    with pytest.raises(ReleaseNotFound):
        trace_release(copied, child.id)


def _garble_shard(settings: Settings, release: Release) -> None:
    file = next(
        one for one in version_files(settings, release.data_version) if one.path.endswith(".npy")
    )
    file.cached.chmod(0o644)
    file.cached.write_bytes(b"garbled")


def _lose_version(settings: Settings, release: Release) -> None:
    (settings.data_dir / "versions.json").unlink()


def _lose_index(settings: Settings, release: Release) -> None:
    version_file(settings, release.data_version, "index.parquet").cached.unlink()


def _garble_index(settings: Settings, release: Release) -> None:
    index = version_file(settings, release.data_version, "index.parquet").cached
    index.chmod(0o644)
    index.write_bytes(b"garbled")


def _garble_list(settings: Settings, release: Release) -> None:
    listing = listing_path(settings, release.data_version)
    listing.chmod(0o644)
    listing.write_text("[]")


def _other_patient(settings: Settings, release: Release) -> None:
    directory = settings.releases_dir / release.id
    images = pd.read_parquet(directory / IMAGES)
    images.loc[0, "patient_id"] = images["patient_id"].iloc[-1]
    images.to_parquet(directory / IMAGES, index=False)
    release.seal(directory)


def _other_file(settings: Settings, release: Release) -> None:
    directory = settings.releases_dir / release.id
    images = pd.read_parquet(directory / IMAGES)
    images.loc[0, "sha256"] = "0" * 64
    images.to_parquet(directory / IMAGES, index=False)
    release.seal(directory)


def _older_mammo(settings: Settings, release: Release) -> None:
    directory = settings.releases_dir / release.id
    (directory / IMAGES).unlink()
    release.seal(directory)


@pytest.mark.parametrize(
    ("damage", "told"),
    [
        (_garble_shard, ".npy is changed"),
        (_lose_version, "is unknown here"),
        (_lose_index, "are not on this machine"),
        (_other_file, "1 images are not in the version's index"),
        (_other_patient, "1 images are not in the version's index"),
        (_garble_index, "index.parquet is changed"),
        (_garble_list, "1 file is not what was written"),
        (_older_mammo, "made by an older mammo"),
    ],
)
def test_what_does_not_agree_is_told(
    copied: Settings, trained: TrainedRelease, damage, told: str
) -> None:
    release = Release.read(copied.releases_dir / trained.release.id)
    damage(copied, release)
    trace = trace_release(copied, release.id)
    assert not trace.whole
    assert told in " ".join(trace.steps[0].problems)
    assert json.dumps(trace.to_dict())


def test_quick_trace_misses_no_file_that_is_away(copied: Settings, trained: TrainedRelease) -> None:
    release = Release.read(copied.releases_dir / trained.release.id)
    _garble_shard(copied, release)
    assert trace_release(copied, release.id, read_all=False).whole  # as it says: it reads none
    shard = next(
        one for one in version_files(copied, release.data_version) if one.path.endswith(".npy")
    )
    shard.cached.unlink()
    trace = trace_release(copied, release.id, read_all=False)
    assert not trace.whole and trace.steps[0].problems == (f"{shard.path} is missing",)


def test_changed_release_is_not_traced(copied: Settings, trained: TrainedRelease) -> None:
    path = copied.releases_dir / trained.release.id / IMAGES
    path.write_bytes(path.read_bytes() + b"x")
    with pytest.raises(DigestMismatch):
        trace_release(copied, trained.release.id)
