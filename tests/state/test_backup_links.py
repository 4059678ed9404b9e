"""Links in a home, and what a backup makes of them: no state is a link alone."""

from __future__ import annotations

import errno
import os
import shutil
from pathlib import Path
from typing import Any

import pytest

from mammo.backup import restore_backup, take_backup
from mammo.backup.contents import find_contents
from mammo.backup.home_copy import HomeCopy
from mammo.errors import BackupExists, BackupInvalid, HomeNotEmpty, StoreReadOnly
from mammo.prediction_log import PredictionLog
from mammo.settings import Settings
from tests.prediction_log.rows import scoring

pytestmark = pytest.mark.slow


@pytest.fixture
def settings(tmp_path: Path) -> Settings:
    """A home with a log, data of which a shard is there twice, and a key."""
    settings = Settings(home=tmp_path / "home", _env_file=None)
    shard = settings.data_dir / "store" / "0.npy"
    (settings.home / "keys").mkdir(parents=True)
    (settings.data_dir / "cache").mkdir(parents=True)
    shard.parent.mkdir()
    shard.write_bytes(bytes(range(256)))
    (settings.data_dir / "cache" / "ab").hardlink_to(shard)
    (settings.data_dir / "store" / "latest").symlink_to("../cache/ab")
    (settings.home / "keys" / "signing.key").write_text("secret")
    log = PredictionLog(settings.log_url).create()
    log.append_scoring("q-0", scoring("E-0"))
    log.close()
    return settings


@pytest.mark.parametrize("moved", ["log.db", "data", "data/cache", "keys/signing.key"])
def test_what_lies_on_another_disk_is_in_the_backup(
    settings: Settings, tmp_path: Path, moved: str
) -> None:
    disk = tmp_path / "disk"
    disk.mkdir()
    before = contents_of(settings.home)
    (settings.home / moved).rename(disk / "moved")
    (settings.home / moved).symlink_to(disk / "moved")
    taken = take_backup(settings, tmp_path / "backup")
    assert taken.manifest.rows["log"]["predictions"] == 3
    assert taken.manifest.secrets == ("keys/signing.key",)
    shutil.rmtree(disk)
    shutil.rmtree(settings.home)
    restore_backup(settings, tmp_path / "backup")
    assert contents_of(settings.home) == before
    assert not (settings.home / moved).is_symlink()


def contents_of(home: Path) -> dict[str, bytes]:
    whole = (one for one in home.rglob("*") if one.is_file() and not one.name.startswith("log.db"))
    return {str(one.relative_to(home)): one.read_bytes() for one in whole}


@pytest.mark.parametrize("target", ["releases/r", "releases/r/weights", "data/store/0.npy"])
def test_a_link_back_from_another_disk_is_what_it_leads_to(
    settings: Settings, tmp_path: Path, target: str
) -> None:
    """There "../.." is another folder than it is in the restored home."""
    (settings.home / "releases" / "r").mkdir(parents=True)
    (settings.home / "releases" / "r" / "weights").write_bytes(b"w")
    disk = tmp_path / "a" / "b" / "data"
    disk.parent.mkdir(parents=True)
    settings.data_dir.rename(disk)
    settings.data_dir.symlink_to(disk)
    (disk / "r").symlink_to(f"../../../home/{target}")
    before = contents_of(settings.home / target) or (settings.home / target).read_bytes()
    take_backup(settings, tmp_path / "backup")
    shutil.rmtree(settings.home)
    shutil.rmtree(tmp_path / "a")
    restore_backup(settings, tmp_path / "backup")
    back = settings.data_dir / "r"
    assert (contents_of(back) or back.read_bytes()) == before
    take_backup(settings, tmp_path / "second")


@pytest.mark.parametrize(
    ("at", "target"),
    [("latest", "data/store/0.npy"), ("data/store/now", "0.npy"), ("gone", "data/none")],
)
def test_links_within_the_home_stay_links(
    settings: Settings, tmp_path: Path, at: str, target: str
) -> None:
    (settings.home / at).symlink_to(target)
    take_backup(settings, tmp_path / "backup")
    assert str((tmp_path / "backup" / "home" / at).readlink()) == target
    assert (tmp_path / "backup" / "home" / "data" / "store" / "latest").is_symlink()


@pytest.mark.parametrize(
    "target", ["/mnt/not-mounted/mlflow", "..", "/", "itself"], ids=["gone", "above", "/", "loop"]
)
def test_a_link_that_cannot_be_followed_is_refused(
    settings: Settings, tmp_path: Path, target: str
) -> None:
    link = settings.home / "mlflow"
    link.symlink_to(tmp_path / "loop" if target == "itself" else target)
    (tmp_path / "loop").mkdir()
    (tmp_path / "loop" / "again").symlink_to(tmp_path / "loop")
    with pytest.raises(BackupInvalid, match=r"mlflow.* leads out of MAMMO_HOME.*--without mlflow"):
        take_backup(settings, tmp_path / "backup")
    assert not (tmp_path / "backup").exists()
    take_backup(settings, tmp_path / "backup", without=["mlflow"])


@pytest.mark.parametrize(
    "number",
    [errno.ENOTCONN, errno.ESTALE, errno.EIO, errno.EHOSTDOWN],
    ids=lambda number: errno.errorcode[number],
)
@pytest.mark.parametrize("target", ["{disk}", "../disk", "../disk/mlflow"])
def test_a_link_to_a_disk_that_does_not_answer_is_named(
    settings: Settings, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, number: int, target: str
) -> None:
    (tmp_path / "disk" / "mlflow").mkdir(parents=True)
    (settings.home / "mlflow").symlink_to(target.format(disk=tmp_path / "disk"))
    (settings.home / "within").symlink_to("mlflow/runs")
    take_backup(settings, tmp_path / "before", without=["mlflow"])
    behind_a_link = Path.stat

    def dead(path: Path, *, follow_symlinks: bool = True) -> os.stat_result:
        if follow_symlinks and path in (settings.home / "mlflow", settings.home / "within"):
            raise OSError(number, os.strerror(number), str(path))
        return behind_a_link(path, follow_symlinks=follow_symlinks)

    monkeypatch.setattr(Path, "stat", dead)
    with pytest.raises(BackupInvalid, match=r"^mlflow leads out.*--without mlflow"):
        take_backup(settings, tmp_path / "backup")
    with pytest.raises(HomeNotEmpty):
        restore_backup(settings, tmp_path / "before")
    take_backup(settings, tmp_path / "backup", without=["mlflow"])


@pytest.mark.parametrize("at", ["old", "data/old"])
def test_a_backup_does_not_hold_itself_through_a_link(
    settings: Settings, tmp_path: Path, at: str
) -> None:
    (tmp_path / "disk" / "night").mkdir(parents=True)
    (settings.home / at).symlink_to(tmp_path / "disk")
    told = rf"^{at} in MAMMO_HOME leads to the place of this backup.*hold itself.*--without {at}\)"
    with pytest.raises(BackupExists, match=told):
        take_backup(settings, tmp_path / "disk" / "night" / "first")
    take_backup(settings, tmp_path / "disk" / "night" / "first", without=[at])


def test_an_inode_that_was_given_to_another_file_is_copied(
    settings: Settings, tmp_path: Path
) -> None:
    """What was copied and removed frees its inode; a shard that is linked twice may get it."""
    draft = tmp_path / "draft"
    (draft / "home" / "data" / "store").mkdir(parents=True)
    (draft / "home" / "data" / "cache").mkdir()
    copy = HomeCopy(settings, settings.home, draft, lambda size: None)
    shard = next(one for one in find_contents(settings.home) if one.path == "data/store/0.npy")
    copy._copy(shard)
    (settings.data_dir / "cache" / "ab").unlink()
    (settings.data_dir / "cache" / "ab").write_bytes(bytes(256))
    later = next(one for one in find_contents(settings.home) if one.path == "data/cache/ab")
    reused = list(later.status)[:10]
    reused[1:4] = shard.status.st_ino, shard.status.st_dev, 2
    stamp = {"st_mtime_ns": shard.status.st_mtime_ns + 1}
    copy._copy(type(later)(later.path, later.kind, os.stat_result(reused, stamp)))
    assert [one.kind for one in copy.entries] == ["file", "file"]
    assert (draft / "home" / "data" / "cache" / "ab").read_bytes() == bytes(256)


@pytest.mark.parametrize("path", ["data/cache/ab", "log.db", "data/store", "keys/signing.key"])
def test_what_may_not_be_read_is_named(
    settings: Settings, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, path: str
) -> None:
    """Root may read all: the refusal is the kernel's as an account meets it."""
    closed = settings.home / path
    plain_open, plain_scandir = Path.open, os.scandir

    def refuse(place: str | Path | int) -> None:
        if not isinstance(place, int) and Path(place) == closed:
            raise PermissionError(errno.EACCES, os.strerror(errno.EACCES), str(place))

    def opened(place: Path, *arguments: Any, **named: Any) -> Any:
        refuse(place)
        return plain_open(place, *arguments, **named)

    def scanned(place: str | Path | int) -> Any:
        refuse(place)
        return plain_scandir(place)

    monkeypatch.setattr(Path, "open", opened)
    monkeypatch.setattr(os, "scandir", scanned)
    with pytest.raises(BackupInvalid, match=f"^{path} in MAMMO_HOME cannot be read"):
        take_backup(settings, tmp_path / "backup")
    assert not (tmp_path / "backup").exists()


def test_a_place_that_may_not_be_written_is_told_as_such(
    settings: Settings, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def refused(self: Path, mode: int = 0o777, **_: Any) -> None:
        raise PermissionError(errno.EACCES, os.strerror(errno.EACCES), str(self))

    monkeypatch.setattr(Path, "mkdir", refused)
    with pytest.raises(StoreReadOnly, match="cannot be written to"):
        take_backup(settings, tmp_path / "backup")
