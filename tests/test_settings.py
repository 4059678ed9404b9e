"""Settings: one key for all who ask, and nothing made before it is asked for."""

from __future__ import annotations

import base64
import stat
import traceback
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest
from pydantic import SecretStr

from mammo.errors import SettingsInvalid
from mammo.settings import Settings, fingerprint, read_settings

KEY = "00112233445566778899aabbccddeeff"


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


@pytest.mark.parametrize(
    "text",
    [
        *(KEY, KEY.upper(), f" {KEY}\n"),
        base64.b64encode(bytes.fromhex(KEY)).decode(),
        base64.urlsafe_b64encode(bytes.fromhex(KEY)).decode().rstrip("="),
    ],
)
def test_a_given_key_goes_before_the_file(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, text: str
) -> None:
    monkeypatch.setenv("MAMMO_PSEUDONYM_KEY", text)
    settings = Settings(home=tmp_path / "home", _env_file=None)
    assert settings.pseudonym_key() == bytes.fromhex(KEY)
    assert not settings.home.exists()


@pytest.mark.parametrize(
    "text",
    [
        *("correct horse battery staple", KEY[:30], "0" * 64, "c2hvcnQ=", "a" * 40),
        "geheim-1234-ünïcode",
    ],
)
def test_a_bad_key_is_refused_and_never_quoted(tmp_path: Path, text: str) -> None:
    settings = Settings(home=tmp_path, given_key=SecretStr(text), _env_file=None)
    with pytest.raises(SettingsInvalid, match=r"MAMMO_PSEUDONYM_KEY is no key: .*") as e:
        settings.pseudonym_key()
    told = "".join(traceback.format_exception(e.value))
    assert text not in told and not any(word in told for word in text.split())


def test_an_empty_key_variable_is_none(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("MAMMO_PSEUDONYM_KEY", "")
    assert len(Settings(home=tmp_path, _env_file=None).pseudonym_key()) == 32


def test_a_damaged_key_file_is_refused(tmp_path: Path) -> None:
    (tmp_path / "pseudonym.key").write_bytes(b"short")
    with pytest.raises(SettingsInvalid, match="holds 5 bytes, and a key has at least 16"):
        Settings(home=tmp_path, _env_file=None).pseudonym_key()


def test_another_key_than_the_stores_is_refused(tmp_path: Path) -> None:
    first = Settings(home=tmp_path, _env_file=None)
    first.check_pseudonym_key()
    first.check_pseudonym_key()
    written = (tmp_path / "data" / "pseudonym.fingerprint").read_bytes()
    other = Settings(home=tmp_path, given_key=SecretStr(KEY), _env_file=None)
    with pytest.raises(SettingsInvalid, match="differs from the one that the store was made with"):
        other.check_pseudonym_key()
    assert (tmp_path / "data" / "pseudonym.fingerprint").read_bytes() == written
    assert fingerprint(first.pseudonym_key()) == written.decode().strip()


def test_no_dump_or_repr_holds_a_secret(tmp_path: Path) -> None:
    url = "postgresql+psycopg://mammo:pa55word@db/mammo"
    settings = Settings(
        home=tmp_path, database_url=SecretStr(url), given_key=SecretStr(KEY), _env_file=None
    )
    shown = f"{settings!r} {settings} {settings.model_dump()} {settings.model_dump_json()}"
    assert "pa55word" not in shown and KEY not in shown
    assert settings.log_url == url
    assert Settings(**settings.model_dump(mode="json"), _env_file=None).home == tmp_path


def test_children_in_other_folders_know_who_may_call(tmp_path: Path) -> None:
    given = {"host": "0.0.0.0", "auth": "on", "token": SecretStr("mammo_x")}
    settings = Settings(home=tmp_path, **given, _env_file=None)
    children = settings.child_environment()
    names = ("MAMMO_HOST", "MAMMO_AUTH", "MAMMO_TOKEN")
    assert [children[name] for name in names] == ["0.0.0.0", "on", "mammo_x"]
    assert "mammo_x" not in f"{settings!r} {settings.model_dump_json()}"


def test_children_inherit_the_secrets(tmp_path: Path) -> None:
    given = {"database_url": SecretStr("sqlite:///x.db"), "given_key": SecretStr(KEY)}
    children = Settings(home=tmp_path, **given, _env_file=None).child_environment()
    assert (children["MAMMO_DATABASE_URL"], children["MAMMO_PSEUDONYM_KEY"]) == (
        "sqlite:///x.db",
        KEY,
    )


def test_a_secret_may_be_a_file(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """As container engines hand secrets in; the variable itself goes before its file."""
    (tmp_path / "url").write_text("postgresql://mammo:geheim@db/mammo\n")
    (tmp_path / "key").write_text(f"{KEY}\n")
    monkeypatch.setenv("MAMMO_DATABASE_URL_FILE", str(tmp_path / "url"))
    monkeypatch.setenv("MAMMO_PSEUDONYM_KEY_FILE", str(tmp_path / "key"))
    monkeypatch.delenv("MAMMO_DATABASE_URL", raising=False)
    settings = Settings(home=tmp_path / "home", _env_file=None)
    assert settings.log_url == "postgresql+pg8000://mammo:geheim@db/mammo"
    assert settings.own_key() == bytes.fromhex(KEY)
    assert "geheim" not in repr(settings)
    monkeypatch.setenv("MAMMO_DATABASE_URL", "postgresql://other@db/mammo")
    assert "other@" in Settings(_env_file=None).log_url


def test_a_secret_file_that_is_not_there(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("MAMMO_TOKEN_FILE", str(tmp_path / "absent"))
    with pytest.raises(SettingsInvalid, match=r"^MAMMO_TOKEN_FILE names a file that cannot be"):
        read_settings()


def test_servers_on_other_machines(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("MAMMO_MLFLOW_ADDRESS", "http://mlflow:5000/")
    monkeypatch.setenv("MAMMO_PREFECT_ADDRESS", "http://prefect:4200")
    monkeypatch.setenv("MAMMO_PREFECT_DATABASE_URL", "postgresql://p:q@db/prefect")
    settings = Settings(home=tmp_path, _env_file=None)
    assert settings.mlflow_url == "http://mlflow:5000"
    assert settings.prefect_api_url == "http://prefect:4200/api"
    assert settings.service_url == "http://127.0.0.1:3000"
    given = settings.child_environment()["PREFECT_SERVER_DATABASE_CONNECTION_URL"]
    assert given == "postgresql+asyncpg://p:q@db/prefect"
