"""The key of pseudonyms: one for a store, whatever the disk does, and no other."""

from __future__ import annotations

import errno
import os
import stat
import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest
from pydantic import SecretStr

from mammo.errors import DiskFull, MammoError, SettingsInvalid, StoreReadOnly
from mammo.settings import Settings

KEY = "00112233445566778899aabbccddeeff"
OTHER = "differs from the one that the store was made with"


def fail(number: int) -> Callable[..., None]:
    def refuse(*args: object, **options: object) -> None:
        raise OSError(number, os.strerror(number))

    return refuse


def with_key(home: Path, key: str = KEY) -> Settings:
    return Settings(home=home, given_key=SecretStr(key), _env_file=None)


def make_old_store(home: Path) -> Settings:
    """A store from before fingerprints: key file and index."""
    old = Settings(home=home, _env_file=None)
    old.pseudonym_key()
    old.index_path.parent.mkdir(parents=True)
    old.index_path.write_bytes(b"")
    return old


@pytest.mark.parametrize("ask", ["check_pseudonym_key", "pseudonym_key"])
def test_an_old_store_keeps_the_key_of_its_file(tmp_path: Path, ask: str) -> None:
    old = make_old_store(tmp_path)
    for _ in range(2):  # and the refused key leaves no record of itself
        with pytest.raises(SettingsInvalid, match=OTHER):
            getattr(with_key(tmp_path), ask)()
    old.check_pseudonym_key()
    assert with_key(tmp_path, old.pseudonym_key().hex()).pseudonym_key() == old.pseudonym_key()


def test_whoever_asks_for_another_key_is_refused(tmp_path: Path) -> None:
    with_key(tmp_path).check_pseudonym_key()
    assert with_key(tmp_path).pseudonym_key() == bytes.fromhex(KEY)
    for other in (with_key(tmp_path, KEY[::-1]), Settings(home=tmp_path, _env_file=None)):
        with pytest.raises(SettingsInvalid, match=OTHER):
            other.pseudonym_key()


@pytest.mark.parametrize("number", [errno.ENOTSUP, errno.EPERM, errno.EOPNOTSUPP])
def test_a_disk_without_links_is_good_enough(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, number: int
) -> None:
    monkeypatch.setattr(os, "link", fail(number))
    settings = Settings(home=tmp_path, _env_file=None)
    with ThreadPoolExecutor(8) as pool:
        keys = set(pool.map(lambda one: one.pseudonym_key(), [settings] * 16))
    assert len(keys) == 1 and len(keys.pop()) == 32
    assert [path.name for path in tmp_path.iterdir()] == ["pseudonym.key"]
    assert stat.S_IMODE((tmp_path / "pseudonym.key").stat().st_mode) == 0o600


@pytest.mark.parametrize(
    ("name", "number", "refusal"),
    [
        ("link", errno.EROFS, StoreReadOnly),
        ("fsync", errno.ENOSPC, DiskFull),
        ("fsync", errno.EDQUOT, DiskFull),
        ("mkdir", errno.EACCES, StoreReadOnly),
        ("link", errno.EIO, OSError),
    ],
)
def test_what_the_disk_refuses_has_a_code_and_leaves_nothing(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, name: str, number: int, refusal: type
) -> None:
    monkeypatch.setattr(os, name, fail(number))
    home = tmp_path / "home"
    with pytest.raises(refusal) as told:
        Settings(home=home, _env_file=None).pseudonym_key()
    assert list(home.glob("*")) + list(home.glob(".*")) == []
    assert not isinstance(told.value, MammoError) or os.strerror(number) in told.value.message


def test_half_a_key_is_not_left_behind(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(os, "link", fail(errno.ENOTSUP))
    flushed: list[int] = []

    def fsync(handle: int) -> None:
        flushed.append(handle)
        if len(flushed) == 2:  # of the draft, then of the file in its place
            raise OSError(errno.ENOSPC, "full")

    monkeypatch.setattr(os, "fsync", fsync)
    with pytest.raises(DiskFull):
        Settings(home=tmp_path, _env_file=None).pseudonym_key()
    assert list(tmp_path.iterdir()) == []


def test_old_drafts_are_swept_and_fresh_ones_are_not(tmp_path: Path) -> None:
    settings = Settings(home=tmp_path, _env_file=None)
    settings.check_pseudonym_key()
    for folder in (tmp_path, settings.data_dir):
        for name, age in (("old", 7200), ("fresh", 60)):
            draft = folder / f".pseudonym.{name}"
            draft.write_bytes(b"a key")
            os.utime(draft, (time.time() - age,) * 2)
    settings.check_pseudonym_key()
    left = {path.name for path in tmp_path.rglob(".pseudonym.*")}
    assert left == {".pseudonym.fresh"}
