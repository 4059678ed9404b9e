"""What comes in while a backup is taken: nothing in it names what is not in it."""

from __future__ import annotations

import shutil
from collections.abc import Callable
from contextlib import closing
from pathlib import Path

import pytest

from bentos.gateway.book import Book
from bentos.gateway.inbox import Inbox
from mammo.backup import restore_backup, take_backup
from mammo.models.tracking import mlflow_client
from mammo.pointer import read_pointer, write_pointer
from mammo.release import Release
from mammo.settings import Settings
from tests.bentos.releases import write_release
from tests.gateway.images import image

pytestmark = pytest.mark.slow
SPOOLED = b'{"request": "q-1"}\n'


@pytest.fixture
def settings(tmp_path: Path) -> Settings:
    """An installation in service, with a spool, which is copied first."""
    made = Settings(home=tmp_path / "home", mlflow_port=9, _env_file=None)
    deploy(made, "r-1")
    made.spool_dir.mkdir()
    (made.spool_dir / "waiting.jsonl").write_bytes(SPOOLED)
    return made


def deploy(settings: Settings, name: str) -> None:
    """Put a release into service in the order that a deployment keeps: it, then the pointer."""
    folder = write_release(settings.releases_dir, name)
    write_pointer(settings.pointer_path, {"release_id": name, "release_dir": str(folder)})


def receive(settings: Settings, number: int) -> None:
    """An image over DICOM."""
    with closing(Inbox(settings)) as inbox:
        assert inbox.take(image(number), "SENDER").status == "stored"


class During:
    """A progress bar that lets something happen when the ``turn``-th file has been copied."""

    def __init__(self, turn: int, happens: Callable[[], None]) -> None:
        self.turn, self.happens, self.seen = turn, happens, 0

    def __call__(self, stage: str, done: int, total: int) -> None:
        self.seen += 1
        if self.seen == self.turn:
            self.happens()


def restored(settings: Settings, backup: Path) -> None:
    shutil.rmtree(settings.home)
    restore_backup(settings, backup)


@pytest.mark.parametrize("turn", range(1, 9))
def test_a_release_is_deployed_meanwhile(turn: int, settings: Settings, tmp_path: Path) -> None:
    """Whichever the pointer names, that release is whole in the backup."""
    bar = During(turn, lambda: deploy(settings, "r-2"))
    take_backup(settings, tmp_path / "backup", progress=bar)
    assert bar.seen >= turn, "it was deployed"
    restored(settings, tmp_path / "backup")
    pointer = read_pointer(settings.pointer_path)
    assert pointer is not None
    name = str(pointer["release_id"])
    assert name == ("r-2" if turn == 1 else "r-1"), "the pointer is copied second"
    assert Release.read(settings.releases_dir / name, verify=True).id == name


def test_the_first_release_is_deployed_after_the_pointer_was_looked_for(
    settings: Settings, tmp_path: Path
) -> None:
    settings.pointer_path.unlink()
    bar = During(2, lambda: deploy(settings, "r-2"))
    take_backup(settings, tmp_path / "backup", progress=bar)
    restored(settings, tmp_path / "backup")
    assert read_pointer(settings.pointer_path) is None, "as it was when the backup began"


def test_an_image_and_a_run_come_in_meanwhile(settings: Settings, tmp_path: Path) -> None:
    """The book's images and the runs' artifacts are those that the databases name."""
    place = (settings.home / "mlflow" / "artifacts").as_uri()
    client = mlflow_client(settings)
    experiment = client.create_experiment("night", artifact_location=place)
    runs = []
    receive(settings, 1)

    def come_in() -> None:
        receive(settings, 2)
        run = client.create_run(experiment).info.run_id
        client.log_text(run, "a card", "card.md")
        runs.append(run)

    take_backup(settings, tmp_path / "backup", progress=During(1, come_in))
    restored(settings, tmp_path / "backup")
    again = mlflow_client(settings)
    (card,) = again.list_artifacts(runs[0])
    assert Path(again.download_artifacts(runs[0], card.path)).read_text() == "a card"
    (study,) = Book(settings.gateway_book).studies().studies
    assert study.images == 2
    inbox = settings.gateway_dir / "inbox"
    assert len([one for one in inbox.rglob("*") if one.is_file()]) == 2


@pytest.mark.parametrize(
    ("path", "written", "copied"),
    [
        ("images/x/headers.jsonl", b'{"a": 1}\n{"b": 2}', b'{"a": 1}\n{"b": 2}'),
        ("results/one.jsonl", b'{"a": 1}', b'{"a": 1}'),
        ("spool/refused.jsonl", b'{"a": 1}\n{"b', b'{"a": 1}\n'),
        ("audit/audit.jsonl", b'{"a": 1}\n{"b', b'{"a": 1}\n'),
        ("audit/audit.jsonl", b'{"a": 1}\n', b'{"a": 1}\n'),
    ],
)
def test_half_lines_are_cut_where_lines_are_appended(
    path: str, written: bytes, copied: bytes, tmp_path: Path
) -> None:
    """A finished file may lack the newline at its end, and is copied as it is."""
    settings = Settings(home=tmp_path / "home", _env_file=None)
    (settings.home / path).parent.mkdir(parents=True)
    (settings.home / path).write_bytes(written)
    backup = take_backup(settings, tmp_path / "backup").folder
    assert (backup / "home" / path).read_bytes() == copied
