from __future__ import annotations

import json
from pathlib import Path

import pytest
from PIL import Image

from mammo import describe, describe_folder
from mammo.dicom.phantom_bad import write_bad_files
from mammo.quality import REFUSALS
from mammo.settings import Settings

from . import dying
from .test_cli import invoke

pytestmark = pytest.mark.slow


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """An exam of four phantoms and the bad files beside it."""
    from mammo.dicom.phantom import write_phantoms

    place = tmp_path_factory.mktemp("exam")
    write_phantoms(place / "good", exams=1, scanner=["aurora"], seed=5)
    write_bad_files(place / "bad", seed=5)
    return place


def _good(folder: Path) -> Path:
    return sorted((folder / "good").rglob("*.dcm"))[0]


def test_a_file_is_told_and_drawn(settings: Settings, folder: Path, tmp_path: Path) -> None:
    picture = tmp_path / "view.png"
    result = invoke(f"inspect {_good(folder)} --png {picture}")
    assert result.exit_code == 0, result.output
    assert "Image Laterality (0020,0062)" in result.stdout and "drawn: " in result.stderr
    assert Image.open(picture).format == "PNG"


@pytest.mark.parametrize("name", ["ct.dcm", "truncated.dcm", "constant.dcm"])
def test_a_refused_file_has_status_2_and_a_picture(
    settings: Settings, folder: Path, tmp_path: Path, name: str
) -> None:
    picture, file = tmp_path / "view.png", folder / "bad" / name
    result = invoke(f"inspect {file} --png {picture} --json")
    told = json.loads(result.stdout)
    assert (result.exit_code, told["readable"]) == (2, False)
    assert told["refusal"]["advice"] == REFUSALS[told["refusal"]["code"]][1]
    assert Image.open(picture).width > 600
    assert f"refused: {told['refusal']['code']}" in invoke(f"inspect {file}").stdout


def test_a_crash_of_the_codec_is_a_code(
    settings: Settings, folder: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(describe, "inspect_file", dying.crash)
    picture = tmp_path / "view.png"
    result = invoke(f"inspect {_good(folder)} --png {picture} --json")
    told = json.loads(result.stdout)
    assert (result.exit_code, told["refusal"]["code"]) == (2, "DECODER_CRASHED")
    assert Image.open(picture).width > 600


def test_a_folder_is_a_table(settings: Settings, folder: Path) -> None:
    told = json.loads(invoke(f"inspect {folder} --json").stdout)
    (exam,) = told["exams"]
    views = {image["view"]: image["preferred"] for image in exam["images"]}
    assert views == dict.fromkeys(("L CC", "L MLO", "R CC", "R MLO"), True)
    assert sum(told["codes"].values()) == len(told["refused"]) == 12
    shown = invoke(f"inspect {folder}").stdout
    assert "preferred" in shown and "1 FOR_PROCESSING" in shown


def test_a_crash_in_a_folder_leaves_the_rest(
    settings: Settings, folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(describe_folder, "read_whole", dying.crash)
    result = invoke(f"inspect {folder / 'good'} --json")
    assert (result.exit_code, json.loads(result.stdout)["codes"]) == (2, {"DECODER_CRASHED": 4})


def test_tables_fit_100_columns(settings: Settings, folder: Path) -> None:
    from typer.testing import CliRunner

    from flows.cli import app

    for target in (_good(folder), folder / "bad" / "ct.dcm", folder):
        run = CliRunner(env={"COLUMNS": "100", "TERM": "dumb"}).invoke(
            app, ["inspect", str(target)]
        )
        assert max(len(line) for line in run.stdout.splitlines()) <= 100


@pytest.mark.parametrize(
    ("line", "text"),
    [
        ("inspect {folder} --png a.png", "--png draws one file"),
        ("inspect {file} --png {folder}/none/a.png", "there is no folder none"),
        ("inspect {folder}/none", "there is no file none"),
    ],
)
def test_wrong_uses_are_told(settings: Settings, folder: Path, line: str, text: str) -> None:
    result = invoke(line.format(folder=folder, file=_good(folder)))
    assert result.exit_code == 2 and text in result.stderr


def test_an_empty_folder_is_told(settings: Settings, tmp_path: Path) -> None:
    (tmp_path / "empty").mkdir()
    result = invoke(f"inspect {tmp_path / 'empty'}")
    assert result.exit_code == 2 and "SOURCE_NOT_FOUND" in result.stderr
