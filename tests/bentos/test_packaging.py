from __future__ import annotations

import sys
from pathlib import Path

import pytest

from bentos.screening import packaging
from bentos.screening.packaging import (
    find_packaged,
    list_packaged,
    package_release,
    pinned_requirements,
)
from mammo.errors import DigestMismatch, PackagingFailed, ReleaseNotFound
from mammo.settings import Settings
from tests.bentos.releases import write_release
from tests.bentos.test_deployment import pack


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


def test_changed_file_is_refused(settings: Settings) -> None:
    directory = write_release(settings.releases_dir, "r-20260301-aaaaaaaa")
    (directory / "card.md").write_text("better than it is")
    with pytest.raises(DigestMismatch, match=r"card.md of release r-20260301-aaaaaaaa"):
        package_release(directory, settings)
