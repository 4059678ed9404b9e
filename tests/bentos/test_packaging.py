from __future__ import annotations

import shutil
import sys
from dataclasses import replace
from pathlib import Path

import pytest

from bentos.screening import packaging
from bentos.screening.loading import VerifiedLoad
from bentos.screening.packaging import (
    find_packaged,
    list_packaged,
    package_release,
    pinned_requirements,
    sign_packaged,
)
from mammo.errors import DigestMismatch, PackagingFailed, ReleaseNotFound, SignatureInvalid
from mammo.exam import OperatingPoint
from mammo.release import FOR_TRAINING, Release
from mammo.screening import Screener
from mammo.settings import Settings
from mammo.signing import signing_key
from tests.bentos.deploying import pack
from tests.bentos.releases import write_release


def test_everything_served_is_pinned() -> None:
    pins = pinned_requirements()
    names = {pin.split("==")[0] for pin in pins}
    assert {"bentoml", "fastapi", "onnxruntime", "pydicom", "starlette", "uvicorn"} <= names
    assert not {"mammo", "torch", "prefect", "mlflow", "pytorch-lightning"} & names
    assert all("==" in pin for pin in pins)
    assert len(names) == len(pins)


def test_store_is_searched_by_release_and_tag(settings: Settings) -> None:
    assert list_packaged(settings) == []
    tags = [pack(settings, release) for release in ("r-1", "r-2")]
    assert [one.tag for one in list_packaged(settings)] == tags
    assert find_packaged(settings, "r-1").tag == find_packaged(settings, tags[0]).tag == tags[0]
    assert find_packaged(settings).release_id == "r-2"
    with pytest.raises(ReleaseNotFound, match=r"packaged: r-1, r-2\). `mammo package r-3`"):
        find_packaged(settings, "r-3")


def test_folder_without_a_release(settings: Settings, tmp_path: Path) -> None:
    with pytest.raises(ReleaseNotFound, match=r"manifest.json is missing"):
        package_release(tmp_path, settings)


def test_installed_copy_cannot_build_the_wheel(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.setattr(packaging, "ROOT", tmp_path)
    with pytest.raises(PackagingFailed, match="Package where the checkout is"):
        packaging._build_wheel(tmp_path)


def test_failed_build_says_its_last_words(tmp_path: Path) -> None:
    with pytest.raises(PackagingFailed, match=r"ended with 1: .*No module named nothing_here"):
        packaging._run([sys.executable, "-m", "nothing_here", "build"], tmp_path)


def test_unsigned_or_foreign_release_is_not_packaged(settings: Settings) -> None:
    directory = write_release(settings.releases_dir, "r-20260301-aaaaaaaa")
    (directory / "signature.json").unlink()
    with pytest.raises(SignatureInvalid, match=r"`mammo sign r-20260301-aaaaaaaa` signs it"):
        package_release(directory, settings)
    elsewhere = write_release(settings.home / "elsewhere" / "releases", "r-20260302-bbbbbbbb")
    with pytest.raises(SignatureInvalid, match=r"signed with key .*; trusted are"):
        package_release(elsewhere, settings)


def embed(settings: Settings, directory: Path) -> Path:
    """Put a real release into the store as a build leaves it: without what training reads."""
    release = Release.read(directory)
    pack(settings, release.id)
    embedded = find_packaged(settings, release.id).release_dir
    for name in ("manifest.json", *(one for one in release.files if one not in FOR_TRAINING)):
        shutil.copy2(directory / name, embedded / name)
    return embedded


def test_bento_serves_without_what_training_reads_and_with_who_made_it(
    settings: Settings,
) -> None:
    embedded = embed(settings, write_release(settings.releases_dir, "r-20260301-aaaaaaaa"))
    assert not (embedded / "patients.parquet").exists()
    assert not (embedded / "weights.safetensors").exists()
    load = VerifiedLoad(settings)
    with pytest.raises(SignatureInvalid, match="is not signed"):
        load(embedded)
    sign_packaged("r-20260301-aaaaaaaa", settings)
    assert load(embedded).release.id == "r-20260301-aaaaaaaa"


def test_what_serving_reads_may_not_be_missing(settings: Settings) -> None:
    embedded = embed(settings, write_release(settings.releases_dir, "r-20260301-aaaaaaaa"))
    sign_packaged("r-20260301-aaaaaaaa", settings)
    (embedded / "reference.parquet").unlink()
    with pytest.raises(DigestMismatch, match=r"reference.parquet .* has SHA-256 missing"):
        VerifiedLoad(settings)(embedded)
    with pytest.raises(DigestMismatch, match=r"patients.parquet .* has SHA-256 missing"):
        Release.read(embedded, verify=True)


def test_training_file_that_is_there_is_checked(settings: Settings) -> None:
    embedded = embed(settings, write_release(settings.releases_dir, "r-20260301-aaaaaaaa"))
    sign_packaged("r-20260301-aaaaaaaa", settings)
    (embedded / "patients.parquet").write_bytes(b"others")
    with pytest.raises(DigestMismatch, match=r"patients.parquet of release"):
        VerifiedLoad(settings)(embedded)


def test_key_in_a_bento_counts_for_that_bento_in_a_home_without_keys(
    settings: Settings, tmp_path: Path
) -> None:
    embedded = embed(settings, write_release(settings.releases_dir, "r-20260301-aaaaaaaa"))
    sign_packaged("r-20260301-aaaaaaaa", settings)
    alone = settings.model_copy(update={"home": tmp_path / "alone"})
    assert VerifiedLoad(alone, embedded=embedded)(embedded).release.id == "r-20260301-aaaaaaaa"
    with pytest.raises(SignatureInvalid, match="trusted are none"):
        VerifiedLoad(alone)(embedded)
    other = shutil.copytree(embedded, tmp_path / "other")
    with pytest.raises(SignatureInvalid, match="trusted are none"):
        VerifiedLoad(alone, embedded=embedded)(other)
    signing_key(alone.keys_dir)
    with pytest.raises(SignatureInvalid, match=r"signed with key \w+; trusted are \w+\."):
        VerifiedLoad(alone, embedded=embedded)(embedded)


def test_manifest_that_was_exchanged_with_its_digest(settings: Settings) -> None:
    """All digests fit, as anybody can make them fit; the signature does not."""
    directory = write_release(settings.releases_dir, "r-20260301-aaaaaaaa")
    point = OperatingPoint("*", 1.0, 0.0, 0.99, 0.1)
    release = replace(Release.read(directory), operating_points={"*": point})
    release.seal(directory)
    Screener.load(directory)
    with pytest.raises(SignatureInvalid, match="does not fit its id and digest"):
        VerifiedLoad(settings)(directory)
    off = settings.model_copy(update={"require_signature": False})
    assert VerifiedLoad(off)(directory).release.operating_point("x").threshold == 0.99


def test_changed_release_is_not_signed(settings: Settings) -> None:
    directory = write_release(settings.releases_dir, "r-20260301-aaaaaaaa")
    (directory / "card.md").write_text("better than it is")
    with pytest.raises(DigestMismatch, match=r"card.md of release"):
        sign_packaged("r-20260301-aaaaaaaa", settings)


def test_changed_file_is_refused(settings: Settings) -> None:
    directory = write_release(settings.releases_dir, "r-20260301-aaaaaaaa")
    (directory / "card.md").write_text("better than it is")
    with pytest.raises(DigestMismatch, match=r"card.md of release r-20260301-aaaaaaaa"):
        package_release(directory, settings)
