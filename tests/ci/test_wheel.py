"""The published wheel, unpacked away from the checkout, does what its pages say."""

from __future__ import annotations

import json
import os
import re
import subprocess
import sys
import zipfile
from pathlib import Path

import pytest

from tests.ci.workflows import ROOT

CARRIED = ("configs", "deploy/azure")
SHOWN = """
import json
from bentos.screening.rollout_policy import DEFAULT
from flows.azure_specs import find_spec
from mammo.changes.plan_file import PLAN_PATH
from mammo.models.config import config_names
from mammo.changes.plan_file import plan_from
import mammo
plan_from(PLAN_PATH)
print(json.dumps([mammo.__file__, config_names(), str(find_spec("pipeline")), str(DEFAULT)]))
"""
UNPUBLISHED = re.compile(r"\bmammo\[[a-z]|pip install[^\n`]*['\" ]mammo(?:['\" \n]|$)")


@pytest.fixture(scope="module")
def installed(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The wheel's files as a site-packages has them."""
    folder = tmp_path_factory.mktemp("wheel")
    build = [sys.executable, "-m", "hatchling", "build", "-t", "wheel", "-d", str(folder)]
    subprocess.run(build, cwd=ROOT, capture_output=True, check=True)
    (wheel,) = folder.glob("*.whl")
    with zipfile.ZipFile(wheel) as archive:
        archive.extractall(folder / "site-packages")
    return folder / "site-packages"


def run(installed: Path, *words: str) -> subprocess.CompletedProcess[str]:
    """Run Python with the wheel's packages before the checkout's, in another folder."""
    home = installed.parent / "home"
    inside = os.environ | {"PYTHONPATH": str(installed), "MAMMO_HOME": str(home)}
    where = {"cwd": installed.parent, "env": inside, "capture_output": True, "text": True}
    return subprocess.run([sys.executable, *words], check=False, **where)


def test_it_carries_each_file_that_is_no_code(installed: Path) -> None:
    for name in CARRIED:
        wanted = sorted(one.relative_to(ROOT) for one in (ROOT / name).rglob("*.y*ml"))
        here = installed / "mammo" / "project"
        assert wanted == sorted(one.relative_to(here) for one in (here / name).rglob("*.y*ml"))
        assert len(wanted) >= 11
    tops = {one.name for one in installed.iterdir() if not one.name.endswith(".dist-info")}
    assert tops == {"mammo", "flows", "bentos", "monitoring", "data_checks"}, "nobody else's names"


def test_it_finds_them_there(installed: Path) -> None:
    done = run(installed, "-c", SHOWN)
    assert done.returncode == 0, done.stderr
    where, configs, spec, policy = json.loads(done.stdout)
    assert {"default", "demo", "rsna"} <= set(configs)
    assert all(one.startswith(str(installed)) for one in (where, spec, policy))
    assert Path(spec).is_file() and Path(policy).is_file()


@pytest.mark.slow
@pytest.mark.parametrize(
    "line",
    ["submit pipeline --dry-run", f"deploy --dry-run --image ghcr.io/x/y@sha256:{'ab' * 32}"],
)
def test_azure_is_handed_what_the_wheel_carries(installed: Path, line: str) -> None:
    pytest.importorskip("azure.ai.ml", reason="azure-ai-ml is not installed: make azure-check")
    done = run(installed, "-m", "flows.cli", "azure", *line.split(), "--json")
    assert done.returncode == 0, done.stderr
    assert json.loads(done.stdout)


def test_nobody_is_told_to_install_a_name_that_is_not_ours() -> None:
    """The project is on no registry: whoever takes the name there would run code in the house."""
    pages = [*(ROOT / "docs").rglob("*.md"), ROOT / "README.md", ROOT / "CHANGELOG.md"]
    code = [one for name in ("mammo", "flows", "bentos") for one in (ROOT / name).rglob("*.py")]
    told = [one for one in (*pages, *code) if UNPUBLISHED.search(one.read_text())]
    assert [str(one.relative_to(ROOT)) for one in told] == []
