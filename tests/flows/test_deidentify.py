"""`mammo deidentify`: nothing to do is said, and a disk that takes nothing ends the run."""

from __future__ import annotations

import errno
import json
import os
from pathlib import Path

import pytest
from click.testing import Result
from typer.testing import CliRunner

from flows.cli import app
from mammo.settings import Settings
from tests.dicom.builders import make_file


def invoke(*words: object) -> Result:
    return CliRunner(env={"COLUMNS": "200", "TERM": "dumb"}).invoke(
        app, ["deidentify", *map(str, words), "--json"]
    )


@pytest.fixture
def exams(tmp_path: Path, settings: Settings) -> Path:
    folder = tmp_path / "exams"
    folder.mkdir()
    for number in range(3):
        name = f"1.2.3.45678.{number + 5}"
        (folder / f"{number}.dcm").write_bytes(make_file(SOPInstanceUID=name))
    return folder


def test_copies_are_made_once(exams: Path, tmp_path: Path) -> None:
    first, again = (json.loads(invoke(exams, "--to", tmp_path / "to").stdout) for _ in range(2))
    assert (first["written"], first["unchanged"], first["refused"]) == (3, 0, 0)
    assert (again["written"], again["unchanged"], again["refused"]) == (0, 3, 0)


@pytest.mark.parametrize(
    ("path", "to", "code", "text"),
    [
        ("nowhere", "to", "SOURCE_NOT_FOUND", "no file or folder"),
        ("empty", "to", "SOURCE_NOT_FOUND", "holds no file that source 'dicom' could read"),
        ("exams", "exams", "SOURCE_INVALID", "give another --to"),
        ("exams/0.dcm", ".", "SOURCE_INVALID", "give another --to"),
        ("exams", "exams/1.dcm", "SOURCE_INVALID", "--to is a file"),
    ],
)
def test_nothing_to_do_is_an_error(
    exams: Path, tmp_path: Path, path: str, to: str, code: str, text: str
) -> None:
    (tmp_path / "empty").mkdir()
    (tmp_path / "empty" / "notes.txt").write_text("no image")
    result = invoke(tmp_path / path, "--to", tmp_path / to)
    problem = json.loads(result.stderr)
    assert (problem["code"], result.exit_code, result.stdout) == (code, 2, "")
    assert text in problem["detail"]


@pytest.mark.parametrize(
    ("number", "code"),
    [
        (errno.EROFS, "STORE_READ_ONLY"),
        (errno.EACCES, "STORE_READ_ONLY"),
        (errno.ENOSPC, "DISK_FULL"),
    ],
)
def test_a_disk_that_takes_nothing_ends_the_run(
    exams: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, number: int, code: str
) -> None:
    tried = []

    def refuse(path: Path, target: Path) -> Path:
        tried.append(path)
        raise OSError(number, os.strerror(number))

    monkeypatch.setattr(Path, "replace", refuse)
    result = invoke(exams, "--to", tmp_path / "to")
    assert (json.loads(result.stderr)["code"], result.exit_code) == (code, 1)
    assert len(tried) == 1
    assert [one for one in (tmp_path / "to").rglob("*") if one.is_file()] == []


def test_another_key_than_the_stores_makes_no_copy(
    exams: Path, tmp_path: Path, settings: Settings, monkeypatch: pytest.MonkeyPatch
) -> None:
    settings.check_pseudonym_key()
    monkeypatch.setenv("MAMMO_PSEUDONYM_KEY", "00112233445566778899aabbccddeeff")
    result = invoke(exams, "--to", tmp_path / "to")
    assert json.loads(result.stderr)["code"] == "SETTINGS_INVALID"
    assert not (tmp_path / "to").exists()
