"""The pipeline's `register` where the gate passes, and the house that takes the release in."""

from __future__ import annotations

import json
import shutil
import sys
from pathlib import Path

import pytest
from typer.testing import CliRunner, Result

from bentos.screening.embedded import check_embedded
from flows.cli import app
from mammo.prediction_log import PredictionLog
from mammo.release import Release
from mammo.settings import Settings
from mammo.signing import PRIVATE_KEY, PUBLIC_KEY, signing_key
from tests.azure.components import run_component
from tests.bentos.releases import write_release

pytestmark = pytest.mark.slow
ROOT = Path(__file__).parents[2]
RELEASE = "r-20260301-aaaaaaaa"
PASSES = f"""#!{sys.executable}
import sys
from mammo.release import Release, find_release
from mammo.settings import read_settings
from tests.bentos.judging import judge
_, command, name, _ = sys.argv
assert command == "gate"
settings = read_settings()
judge(settings, name, Release.read(find_release(settings.releases_dir, name)).digest)
"""


@pytest.fixture
def registered(tmp_path: Path) -> Path:
    """What a job leaves whose gate passed: ``release`` and ``home``."""
    trained = tmp_path / "trained"
    directory = write_release(trained / "releases", RELEASE)
    for name in ("registry.json", "gate.json"):
        (directory / name).write_text('{"version": "1"}')
    (trained / "trained.json").write_text(json.dumps({"release": RELEASE}))
    for name in ("data/shards/1.bin", "mlflow/mlflow.db"):
        (trained / name).parent.mkdir(parents=True)
        (trained / name).write_bytes(b"kept")
    programs = tmp_path / "programs"
    programs.mkdir()
    (programs / "mammo").write_text(PASSES)
    (programs / "mammo").chmod(0o755)
    report = tmp_path / "report"
    report.mkdir()
    (report / "model.md").write_text("card")
    inputs = {"trained": trained, "report": report}
    run_component("register", inputs, tmp_path / "out", programs=programs, PYTHONPATH=str(ROOT))
    return tmp_path / "out"


def at(home: Path, line: str) -> Result:
    return CliRunner(env={"MAMMO_HOME": str(home)}).invoke(app, line.split())


def test_the_verdict_comes_out_with_the_release(registered: Path) -> None:
    release, home = registered / "release", registered / "home"
    assert (release / "report" / "model.md").read_text() == "card"
    digest = Release.read(release, verify=True).digest
    # what counts in the job alone: a house's MLflow has another version 1
    here = {"registry.json", "gate.json", "signature.json"}
    kept = {one.name for one in (home / "releases" / RELEASE).iterdir()}
    assert here <= kept and kept - here == {one.name for one in release.iterdir()} - {"report"}
    own = Settings(home=home, _env_file=None)  # type: ignore[call-arg]
    verdict = PredictionLog(own.log_url).create().verdict_on(digest)
    assert verdict is not None and verdict["passed"] is True
    assert Release.read(home / "releases" / RELEASE, verify=True).digest == digest
    assert (home / "mlflow" / "mlflow.db").is_file()
    assert not (home / "data").exists()  # the pixels are in what `train` left


def test_a_first_release_becomes_an_image_of_the_house(registered: Path, tmp_path: Path) -> None:
    """As docs/azure.md tells: the job's books, the house's key."""
    house, got = tmp_path / "house", registered / "home"
    signing_key(house / "keys")
    for name in (PRIVATE_KEY, PUBLIC_KEY):
        shutil.copyfile(house / "keys" / name, got / "keys" / name)
    refused = at(got, f"release context {RELEASE} {tmp_path / 'context'}")
    assert refused.exit_code == 1 and "SIGNATURE_INVALID" in refused.output
    for line in (f"sign {RELEASE}", f"release context {RELEASE} {tmp_path / 'context'}"):
        done = at(got, line)
        assert done.exit_code == 0, done.output
    told = check_embedded(tmp_path / "context" / "release", house / "keys")
    assert told["release"] == RELEASE and told["permit"].startswith("C1: First release")


def test_a_house_with_books_of_its_own_judges_itself(registered: Path, tmp_path: Path) -> None:
    """The release alone brings no verdict with it."""
    house = tmp_path / "house"
    shutil.copytree(registered / "release", house / "releases" / RELEASE)
    assert at(house, f"sign {RELEASE}").exit_code == 0
    refused = at(house, f"release context {RELEASE} {tmp_path / 'context'}")
    assert "NOT_JUDGED" in refused.output and not (tmp_path / "context").exists()
