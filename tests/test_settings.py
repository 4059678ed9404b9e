"""Settings: one key for all who ask, and nothing made before it is asked for."""

from __future__ import annotations

import stat
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

from mammo.settings import Settings, read_settings


def test_racing_threads_get_one_key(tmp_path: Path) -> None:
    for attempt in range(20):
        settings = Settings(home=tmp_path / str(attempt), _env_file=None)
        with ThreadPoolExecutor(8) as pool:
            keys = set(pool.map(lambda one: one.pseudonym_key(), [settings] * 16))
        assert len(keys) == 1 and len(keys.pop()) == 32
        assert [path.name for path in settings.home.iterdir()] == ["pseudonym.key"]


def test_key_is_for_its_owner_only(tmp_path: Path) -> None:
    settings = Settings(home=tmp_path, _env_file=None)
    settings.pseudonym_key()
    assert stat.S_IMODE((tmp_path / "pseudonym.key").stat().st_mode) == 0o600


def test_settings_make_no_folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("MAMMO_HOME", str(tmp_path / "absent"))
    settings = read_settings()
    assert settings.log_url.endswith("absent/log.db")
    assert not settings.home.exists()
