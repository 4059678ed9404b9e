"""`mammo predict` tells what the release says: scores, reserves, boxes."""

from __future__ import annotations

import hashlib
import json
import shutil
from pathlib import Path

import pytest
from typer.testing import CliRunner, Result

from flows import cli_files, cli_model
from flows.cli import app
from mammo.client import Screening
from mammo.contract import ScoredExam
from mammo.settings import Settings
from tests.canary import FAMILY, GIVEN
from tests.heat_release import one_exam, write_heat_release

pytestmark = pytest.mark.slow


@pytest.fixture(scope="module")
def release(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_heat_release(tmp_path_factory.mktemp("home") / "releases", "r-light")


@pytest.fixture(scope="module")
def exam(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("exam")
    one_exam(folder)
    return folder / "train_images"


def predict(release: Path, exam: Path, *more: str) -> Result:
    home = {"MAMMO_HOME": str(release.parents[1]), "COLUMNS": "200", "TERM": "dumb"}
    line = ["predict", str(exam), "--release", str(release), *more]
    return CliRunner(env=home).invoke(app, line)


def test_json_is_the_answer_of_the_service(release: Path, exam: Path) -> None:
    done = predict(release, exam, "--json")
    assert done.exit_code == 0, done.stderr
    answer = json.loads(done.stdout)
    assert answer["abstention"] == ["UNKNOWN_SCANNER"] and answer["scale"] is None
    assert answer["operating_point"]["threshold"] == answer["threshold"]
    assert [view["view"] for view in answer["views"]] == ["CC", "MLO"] * 2
    box = next(view for view in answer["views"] if view["findings"])["findings"][0]
    assert box["x_min"] < box["x_max"] and box["source"] == "heat" and 0 < box["share"] <= 1


def test_the_tables_hold_every_view_with_its_boxes(release: Path, exam: Path) -> None:
    answer = json.loads(predict(release, exam, "--json").stdout)
    told = predict(release, exam).stdout
    assert "UNKNOWN_SCANNER" in told and "findings in pixels of the original" in told
    for view in answer["views"]:
        for box in view["findings"]:
            text = f"x {box['x_min']:.0f}-{box['x_max']:.0f}, y {box['y_min']:.0f}"
            assert text in told.replace("\n", " ")
    for breast in answer["breasts"]:
        assert f"{breast['probability']:.4g}" in told


NAMED = f"{FAMILY}^{GIVEN}.dcm"
COMMANDS = {
    "predict": ["predict", "EXAM", "--release", "RELEASE"],
    "detect": ["detect", "files", "EXAM", "--release", "RELEASE"],
}


@pytest.fixture
def named_exam(exam: Path, tmp_path: Path) -> Path:
    """The exam, and a torn file that is named after its patient."""
    folder = tmp_path / "exam"
    shutil.copytree(exam, folder)
    whole = next(folder.rglob("*.dcm")).read_bytes()
    (folder / NAMED).write_bytes(whole[:1000])
    return folder


def run(name: str, release: Path, exam: Path, *more: str) -> Result:
    places = {"EXAM": str(exam), "RELEASE": str(release)}
    home = {"MAMMO_HOME": str(release.parents[1]), "COLUMNS": "400", "TERM": "dumb"}
    line = [places.get(word, word) for word in COMMANDS[name]]
    return CliRunner(env=home).invoke(app, [*line, *more])


@pytest.mark.parametrize("more", [("--json",), ()], ids=["json", "pipe"])
@pytest.mark.parametrize("name", COMMANDS)
def test_a_refused_file_is_told_by_its_digest_where_the_output_may_be_a_log(
    name: str, more: tuple[str, ...], release: Path, named_exam: Path
) -> None:
    done = run(name, release, named_exam, *more)
    assert done.exit_code == 0, done.output
    assert FAMILY not in done.output + done.stderr
    digest = hashlib.sha256((named_exam / NAMED).read_bytes()).hexdigest()
    assert digest in done.output
    assert names_below(release.parents[1]) == []


def names_below(home: Path) -> list[str]:
    """Return the files of a home that hold the planted name, or are called by it."""
    files = [one for one in home.rglob("*") if one.is_file()]
    return [one.name for one in files if FAMILY.encode() in one.name.encode() + one.read_bytes()]


def test_at_a_terminal_the_caller_reads_the_name(
    release: Path, named_exam: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(cli_files, "may_name_files", lambda *, as_json: True)
    assert NAMED in run("predict", release, named_exam).output


@pytest.mark.parametrize("name", COMMANDS)
def test_a_file_that_cannot_be_opened_leaves_no_name_in_the_logs(
    name: str, release: Path, named_exam: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    real = Path.read_bytes

    def locked(path: Path) -> bytes:
        if path.name == NAMED:
            raise PermissionError(13, "Permission denied", str(path))
        return real(path)

    monkeypatch.setattr(Path, "read_bytes", locked)
    done = run(name, release, named_exam)
    monkeypatch.undo()
    assert done.exit_code == 2 and FAMILY not in done.output + done.stderr
    assert "SOURCE_INVALID: file 5 of 5 cannot be read: Permission denied" in done.stderr
    assert names_below(release.parents[1]) == []
    gone = run(name, release, named_exam / f"{FAMILY}.dcm")
    assert FAMILY not in gone.output + gone.stderr and "not found: path 1 of 1" in gone.stderr


@pytest.mark.parametrize(
    ("told", "named", "expected"),
    [
        ("1.dcm", False, "digest"),
        (NAMED, False, cli_model.IN_A_ZIP),
        (NAMED, True, NAMED),
    ],
    ids=["a file", "in a ZIP", "in a ZIP, at a terminal"],
)
def test_a_service_is_given_numbers_and_its_answer_told_alike(
    release: Path, exam: Path, told: str, named: bool, expected: str,
    monkeypatch: pytest.MonkeyPatch,
) -> None:  # fmt: skip
    answer = ScoredExam.model_validate_json(predict(release, exam, "--json").stdout)
    refused = {"position": 1, "file": told, "code": "NOT_DICOM", "message": "no DICOM"}
    full = ScoredExam.model_validate(answer.model_dump() | {"refused": [refused]})
    given: list[object] = []

    def score(_self: Screening, files: list[bytes]) -> ScoredExam:
        given.extend(files)
        return full

    monkeypatch.setattr(Screening, "score", score)
    settings = Settings(home=release.parents[1], _env_file=None)
    said = cli_model.ask_service("http://x/", [("digest", b"1")], settings, named=named)
    assert given == [b"1"] and said["refused"][0]["file"] == expected


def test_what_a_service_does_not_know_is_told_as_not_known(
    release: Path, exam: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    answer = json.loads(predict(release, exam, "--json").stdout)
    for reserves, told in ((None, "not known"), ([], "-"), (["SATURATED"], '["SATURATED"]')):
        full = ScoredExam.model_validate(answer | {"abstention": reserves})
        monkeypatch.setattr(Screening, "score", lambda *_, full=full: full)
        done = predict(release, exam, "--url", "http://x/")
        line = next(one for one in done.stdout.splitlines() if "abstention" in one)
        assert line.split("abstention")[1].strip(" │|") == told
