"""A disk that is full or read-only: the kernel's own refusals, and going on afterwards."""

from __future__ import annotations

import errno
import fcntl
import os
import shutil
import sqlite3
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import BinaryIO

import pytest

from mammo.data import plan as plan_module
from mammo.data.durable import storing, sweep_drafts, write_file, write_text
from mammo.data.index import read_index
from mammo.data.ingest import ingest
from mammo.data.quarantine import put_in_quarantine
from mammo.data.shards import open_shard
from mammo.data.version import current_version
from mammo.errors import DataError, DiskFull, StoreReadOnly
from mammo.preprocess import PreprocessConfig
from mammo.settings import Settings

from .mixed import REFUSED, write_mixed

pytestmark = pytest.mark.slow

ROOT = Path(__file__).parents[2]
StoreFiles = Callable[[Settings], dict[str, bytes]]


def mount(*arguments: str) -> None:
    done = subprocess.run(["mount", *arguments], capture_output=True, text=True, check=False)
    if done.returncode:
        pytest.skip(f"cannot mount here: {done.stderr.strip()}")


@pytest.fixture
def small_disk(tmp_path: Path) -> Iterator[Path]:
    """A file system of 4 MB of its own; skips where this user may not mount one."""
    if sys.platform != "linux" or shutil.which("mount") is None:
        pytest.skip("only Linux has tmpfs")
    folder = tmp_path / "disk"
    folder.mkdir()
    mount("-t", "tmpfs", "-o", "size=4m", "tmpfs", str(folder))
    yield folder
    subprocess.run(["umount", "--lazy", str(folder)], check=True)


CONFIG = PreprocessConfig(height=64, width=32)


@pytest.fixture(autouse=True)
def small_shards(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(plan_module, "SHARD_SIZE", 4)


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Sixteen files, five of them bad ones."""
    return write_mixed(tmp_path_factory.mktemp("disk") / "in")


@pytest.fixture(scope="module")
def whole(folder: Path) -> Settings:
    """An installation after an uninterrupted ingest of four shards."""
    home = folder.with_name("whole")
    home.mkdir()
    (home / "pseudonym.key").write_bytes(b"k" * 32)
    settings = Settings(home=home, _env_file=None)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(plan_module, "SHARD_SIZE", 4)
        ingest("dicom", folder, settings, CONFIG, processes=0)
    return settings


def home_on(disk: Path, like: Settings) -> Settings:
    """Return a new installation on a disk, with another one's key."""
    (disk / "home").mkdir()
    shutil.copy(like.home / "pseudonym.key", disk / "home")
    return Settings(home=disk / "home", _env_file=None)


def assert_nothing_partial(settings: Settings) -> None:
    """No draft, no shard that is cut short, no index that names what is not there."""
    files = [path for path in settings.data_dir.rglob("*") if path.is_file()]
    assert not [path.name for path in files if path.name.startswith(".draft-")]
    for path in files:
        if path.suffix == ".npy":
            open_shard(path)
    if settings.index_path.exists():
        shards = {f"{name}.npy" for name in read_index(settings.index_path)["shard"]}
        assert shards == {path.name for path in settings.shards_dir.iterdir()}


@pytest.mark.parametrize(
    "room_kb",
    [0, 4, 40, 120, 140, 160, 250, 400, 440],
    ids=lambda room: f"{room} KB left",
)
def test_full_disk_is_named_and_the_next_run_goes_on(
    room_kb: int, small_disk: Path, whole: Settings, folder: Path,
    store_files: StoreFiles,
) -> None:  # fmt: skip
    settings, ballast = home_on(small_disk, whole), small_disk / "ballast"
    free = shutil.disk_usage(small_disk).free
    ballast.write_bytes(bytes(free - room_kb * 1024))
    with pytest.raises(DiskFull, match=r"No space left on device.*\): make room"):
        ingest("dicom", folder, settings, CONFIG, processes=0)
    assert_nothing_partial(settings)
    ballast.unlink()
    ingest("dicom", folder, settings, CONFIG, processes=0)
    assert store_files(settings) == store_files(whole)
    assert current_version(settings) == current_version(whole)
    assert list((settings.data_dir / "staging").iterdir()) == []


def test_disk_that_fills_up_at_the_quarantine(
    small_disk: Path, whole: Settings, folder: Path, store_files: StoreFiles,
    monkeypatch: pytest.MonkeyPatch,
) -> None:  # fmt: skip
    settings, ballast = home_on(small_disk, whole), small_disk / "ballast"

    def fill_and_put(*given: object) -> None:
        ballast.write_bytes(bytes(shutil.disk_usage(small_disk).free))
        put_in_quarantine(*given)

    with monkeypatch.context() as patch:
        patch.setattr("mammo.data.ingest.put_in_quarantine", fill_and_put)
        with pytest.raises(DiskFull, match="quarantine cannot take another file"):
            ingest("dicom", folder, settings, CONFIG, processes=0)
    ballast.unlink()
    report = ingest("dicom", folder, settings, CONFIG, processes=0)
    assert {record.file: record.code for record in report.quarantined} == REFUSED
    assert store_files(settings) == store_files(whole)
    assert list((settings.data_dir / "staging").iterdir()) == []


def test_read_only_disk_is_named_and_nothing_is_changed(
    small_disk: Path, whole: Settings, folder: Path, tmp_path: Path,
    store_files: StoreFiles,
) -> None:  # fmt: skip
    settings = home_on(small_disk, whole)
    mount("-o", "remount,ro", str(small_disk))
    with pytest.raises(StoreReadOnly, match=r"Read-only file system\): .*MAMMO_HOME"):
        ingest("dicom", folder, settings, CONFIG, processes=0)
    assert [path.name for path in settings.home.iterdir()] == ["pseudonym.key"]
    mount("-o", "remount,rw", str(small_disk))
    ingest("dicom", folder, settings, CONFIG, processes=0)
    assert store_files(settings) == store_files(whole)
    mount("-o", "remount,ro", str(small_disk))
    with pytest.raises(StoreReadOnly):
        ingest("dicom", write_mixed(tmp_path / "more", 20), settings, CONFIG, processes=0)
    assert store_files(settings) == store_files(whole)


LIMITED = """
import resource, sys
from pathlib import Path
from mammo.data import plan
from mammo.data.ingest import ingest
from mammo.errors import DiskFull
from mammo.preprocess import PreprocessConfig
from mammo.settings import Settings
plan.SHARD_SIZE = 4
home, source = sys.argv[1:]
resource.setrlimit(resource.RLIMIT_FSIZE, (8192, 8192))
settings = Settings(home=Path(home), _env_file=None)
try:
    ingest("dicom", Path(source), settings, PreprocessConfig(height=64, width=32), processes=0)
except DiskFull as error:
    print(error.code, error.message)
"""


def test_file_above_the_process_limit_is_named(
    whole: Settings, folder: Path, store_files: StoreFiles,
    tmp_path: Path,
) -> None:  # fmt: skip
    (tmp_path / "limited").mkdir()
    settings = home_on(tmp_path / "limited", whole)
    done = subprocess.run(
        [sys.executable, "-c", LIMITED, str(settings.home), str(folder)],
        env=os.environ | {"PYTHONPATH": str(ROOT)}, capture_output=True, text=True, check=False,
    )  # fmt: skip
    assert "DISK_FULL" in done.stdout and "File too large" in done.stdout, done.stderr
    assert_nothing_partial(settings)
    ingest("dicom", folder, settings, CONFIG, processes=0)
    assert store_files(settings) == store_files(whole)


@pytest.mark.skipif(os.geteuid() == 0, reason="root may write anywhere")
def test_folder_without_the_right_to_write_is_named(
    whole: Settings, folder: Path, tmp_path: Path
) -> None:
    (tmp_path / "closed").mkdir()
    settings = home_on(tmp_path / "closed", whole)
    settings.home.chmod(0o555)
    with pytest.raises(StoreReadOnly, match=r"Permission denied\).*right to write"):
        ingest("dicom", folder, settings, CONFIG, processes=0)
    settings.home.chmod(0o755)


# --- what the kernel says, and what is made of it


def sqlite_error(name: str) -> Exception:
    error = sqlite3.OperationalError("in SQLite's words")
    error.sqlite_errorname = name
    return error


@pytest.mark.parametrize(
    ("error", "named"),
    [
        (OSError(errno.ENOSPC, "full"), DiskFull),
        (OSError(errno.EDQUOT, "quota"), DiskFull),
        (OSError(errno.EFBIG, "too large"), DiskFull),
        (OSError(errno.EROFS, "read-only"), StoreReadOnly),
        (PermissionError(errno.EACCES, "denied"), StoreReadOnly),
        (PermissionError(errno.EPERM, "not permitted"), StoreReadOnly),
        (sqlite_error("SQLITE_FULL"), DiskFull),
        (sqlite_error("SQLITE_READONLY_DIRECTORY"), StoreReadOnly),
        (sqlite_error("SQLITE_BUSY"), None),
        (OSError(errno.EIO, "broken"), None),
        (ValueError("not the disk"), None),
    ],
    ids=lambda value: getattr(value, "__name__", str(value)),
)
@pytest.mark.parametrize("wrapped", [False, True], ids=["itself", "as a cause"])
def test_every_refusal_of_the_disk_has_a_code(
    error: Exception, named: type[DataError] | None, wrapped: bool, tmp_path: Path
) -> None:
    expected = named or (RuntimeError if wrapped else type(error))
    with pytest.raises(expected), storing(tmp_path / "not there yet"):
        if wrapped:
            raise RuntimeError("what a library makes of it") from error
        raise error


def test_draft_of_a_dead_writer_is_swept_and_one_being_written_stays(tmp_path: Path) -> None:
    left = tmp_path / ".draft-0123"
    left.write_bytes(b"half")

    def write(handle: BinaryIO) -> None:
        sweep_drafts(tmp_path)
        (draft,) = tmp_path.glob(".draft-*")
        assert draft != left
        handle.write(b"whole")

    write_file(tmp_path / "file", write, tmp_path)
    assert [path.name for path in tmp_path.iterdir()] == ["file"]
    write_text(tmp_path / "file", "newer", tmp_path)
    assert (tmp_path / "file").read_text() == "newer"


@pytest.fixture
def nfs(monkeypatch: pytest.MonkeyPatch) -> None:
    """Make an exclusive lock need a file opened for writing, as over NFS."""
    lock = fcntl.flock

    def flock(handle: BinaryIO, how: int) -> None:
        mode = fcntl.fcntl(handle, fcntl.F_GETFL) & os.O_ACCMODE
        if how & fcntl.LOCK_EX and mode == os.O_RDONLY:
            raise OSError(errno.EBADF, "Bad file descriptor")
        lock(handle, how)

    monkeypatch.setattr(fcntl, "flock", flock)


def test_drafts_are_swept_over_nfs(nfs: None, tmp_path: Path) -> None:
    (tmp_path / ".draft-0123").write_bytes(b"half")
    write_text(tmp_path / "file", "whole", tmp_path)
    sweep_drafts(tmp_path)
    assert [path.name for path in tmp_path.iterdir()] == ["file"]


@pytest.mark.parametrize(("age", "stays"), [(0, True), (7200, False)], ids=["new", "old"])
def test_link_to_a_read_only_file_is_swept_when_nobody_can_be_making_it(
    age: float, stays: bool, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def open_as_user(path: Path, mode: str = "r") -> BinaryIO:
        if "+" in mode and not path.stat().st_mode & 0o222:  # root may open anything
            raise PermissionError(errno.EACCES, "Permission denied", str(path))
        return original(path, mode)

    draft, original, now = tmp_path / ".draft-0123", Path.open, time.time()
    (tmp_path / "cached").write_bytes(b"")
    (tmp_path / "cached").chmod(0o444)
    draft.hardlink_to(tmp_path / "cached")
    monkeypatch.setattr(Path, "open", open_as_user)
    monkeypatch.setattr("mammo.data.durable.time.time", lambda: now + age)
    sweep_drafts(tmp_path)
    assert (draft.exists(), (tmp_path / "cached").exists()) == (stays, True)
