"""What the first start makes: tokens for our own programs, once, and again if one is lost."""

from __future__ import annotations

import shutil
from pathlib import Path

from flows.stack_first import CALLERS, prepare
from mammo.backup import restore_backup, take_backup
from mammo.settings import Settings
from mammo.tokens import TokenStore


def test_tokens_are_made_once_and_replaced_when_lost(tmp_path: Path) -> None:
    settings, tokens = Settings(home=tmp_path / "home", _env_file=None), tmp_path / "tokens"
    tokens.mkdir()
    assert prepare(settings, tokens) == list(CALLERS)
    store = TokenStore(settings.tokens_path)
    for name, (roles, mode) in CALLERS.items():
        found = store.find((tokens / name).read_text().strip())
        assert found is not None and found.name == name and set(found.roles) == set(roles)
        assert (tokens / name).stat().st_mode & 0o777 == mode
    assert prepare(settings, tokens) == []
    lost = (tokens / "gateway").read_text().strip()
    (tokens / "gateway").unlink()
    assert prepare(settings, tokens) == ["gateway"]
    assert store.find(lost) is None, "nobody knows where the lost one is"
    assert len(store.list()) == len(CALLERS)


def test_prometheus_opens_its_file_and_lists_nothing(tmp_path: Path) -> None:
    """It runs as another user and has the folder read-only; the other tokens are not for it."""
    settings, tokens = Settings(home=tmp_path / "home", _env_file=None), tmp_path / "tokens"
    tokens.mkdir(mode=0o700)
    prepare(settings, tokens)
    assert tokens.stat().st_mode & 0o777 == 0o711
    modes = {one.name: one.stat().st_mode & 0o777 for one in tokens.iterdir()}
    assert modes == {"flows": 0o400, "gateway": 0o400, "prometheus": 0o444}


def test_a_home_restored_beside_tokens_made_anew(tmp_path: Path) -> None:
    """The store of the backup knows the names, and not what is in the files: all are replaced."""
    settings, tokens = Settings(home=tmp_path / "home", _env_file=None), tmp_path / "tokens"
    tokens.mkdir()
    prepare(settings, tokens)
    take_backup(settings, tmp_path / "backup")
    shutil.rmtree(settings.home)
    shutil.rmtree(tokens)
    tokens.mkdir()
    prepare(settings, tokens)
    restore_backup(settings, tmp_path / "backup", replace=True)
    store = TokenStore(settings.tokens_path)
    assert not any(store.find((tokens / name).read_text().strip()) for name in CALLERS)
    assert prepare(settings, tokens) == list(CALLERS)
    for name in CALLERS:
        found = store.find((tokens / name).read_text().strip())
        assert found is not None and found.name == name
    assert prepare(settings, tokens) == []


def test_files_of_two_callers_that_were_swapped(tmp_path: Path) -> None:
    settings, tokens = Settings(home=tmp_path / "home", _env_file=None), tmp_path / "tokens"
    tokens.mkdir()
    prepare(settings, tokens)
    (tokens / "flows").rename(tokens / "other")
    (tokens / "prometheus").rename(tokens / "flows")
    (tokens / "other").rename(tokens / "prometheus")
    assert prepare(settings, tokens) == ["flows", "prometheus"]
