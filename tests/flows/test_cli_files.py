"""Which files a command is given, and by what they are told where they may not be looked at."""

from __future__ import annotations

import json
import os
import sys
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
import typer

from flows import cli_files, cli_model
from mammo.errors import SourceInvalid, SourceNotFound
from tests.canary import FAMILY

NAME = f"{FAMILY}_ANNA"


def test_folders_stand_for_their_files(tmp_path: Path) -> None:
    (tmp_path / "exam" / "left").mkdir(parents=True)
    files = [tmp_path / "exam" / "left" / "a.dcm", tmp_path / "exam" / "b.dcm", tmp_path / "c.dcm"]
    for file in files:
        file.touch()
    given = [tmp_path / "exam", tmp_path / "c.dcm"]
    assert cli_files.list_files(given, as_json=True) == [files[1], files[0], files[2]]


def long_name(folder: Path) -> Path:
    return folder / f"{NAME * 30}.dcm"


def loop(folder: Path) -> Path:
    (folder / NAME).symlink_to(folder / NAME)
    return folder / NAME


def loop_in_a_folder(folder: Path) -> Path:
    loop(folder)
    return folder


def dangling_in_a_folder(folder: Path) -> Path:
    (folder / NAME).symlink_to(folder / "gone")
    return folder


def missing(folder: Path) -> Path:
    return folder / NAME


def below_a_file(folder: Path) -> Path:
    (folder / "file").touch()
    return folder / "file" / NAME


PLACES: dict[Callable[[Path], Path], str] = {
    long_name: "path 1 of 1 given cannot be read: File name too long",
    loop: "path 1 of 1 given cannot be read: Too many levels of symbolic links",
    loop_in_a_folder: "something in path 1 of 1 given cannot be read: Too many levels of",
    dangling_in_a_folder: "something in path 1 of 1 given cannot be read: No such file",
    missing: "not found: path 1 of 1 given",
    below_a_file: "not found: path 1 of 1 given",
}


@pytest.mark.parametrize("make", PLACES, ids=lambda one: one.__name__)
def test_no_name_in_json_and_logs_at_a_terminal_either(
    make: Callable[[Path], Path],
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    home = tmp_path / "home"
    monkeypatch.setenv("MAMMO_HOME", str(home))
    for stream in (sys.stdout, sys.stderr):
        monkeypatch.setattr(stream, "isatty", lambda: True)
    (tmp_path / "exam").mkdir()
    with pytest.raises(typer.Exit) as ended:
        cli_model.predict([make(tmp_path / "exam")], as_json=True)
    told = capsys.readouterr().err
    assert ended.value.exit_code == 2 and FAMILY not in told
    assert PLACES[make] in json.loads(told)["detail"]
    assert not [one for one in home.rglob("*") if one.name.startswith("mammo-error")]


@pytest.mark.parametrize("make", PLACES, ids=lambda one: one.__name__)
def test_a_person_at_a_terminal_reads_the_name(
    make: Callable[[Path], Path], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(sys.stdout, "isatty", lambda: True)
    with pytest.raises((SourceInvalid, SourceNotFound), match=NAME):
        cli_files.list_files([make(tmp_path)], as_json=False)


@pytest.fixture
def locked(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Path]:
    """A folder of an exam that may not be entered: by its mode, for root by a refusal."""
    folder = tmp_path / "exam" / NAME
    folder.mkdir(parents=True)
    (folder / "a.dcm").touch()
    (folder.parent / "b.dcm").touch()
    if os.geteuid() == 0:
        real = os.scandir

        def scandir(path: str) -> object:
            if Path(path) == folder:
                raise PermissionError(13, "Permission denied", str(path))
            return real(path)

        monkeypatch.setattr(os, "scandir", scandir)
    folder.chmod(0)
    yield folder
    folder.chmod(0o700)


def test_an_exam_is_not_scored_without_the_files_of_a_locked_folder(locked: Path) -> None:
    with pytest.raises(
        SourceInvalid, match=r"something in path 2 of 2 given .*: Permission"
    ) as got:
        cli_files.list_files([locked.parent / "b.dcm", locked.parent], as_json=True)
    assert FAMILY not in str(got.value) and got.value.__suppress_context__


@pytest.mark.skipif(os.geteuid() == 0, reason="root may enter any folder")
def test_a_file_in_a_locked_folder(locked: Path) -> None:
    with pytest.raises(
        SourceInvalid, match=r"^path 1 of 1 given cannot be read: Permission denied"
    ):
        cli_files.list_files([locked / f"{NAME}.dcm"], as_json=True)
