"""Tokens of the service: kept as digests, recognised at once, revoked at once."""

from __future__ import annotations

import json
import stat
from concurrent.futures import ProcessPoolExecutor
from multiprocessing import get_context
from pathlib import Path

import pytest

from mammo.errors import TokenNameInvalid, TokenNameTaken, TokensUnreadable, TokenUnknown
from mammo.tokens import PREFIX, TokenStore


@pytest.fixture
def store(tmp_path: Path) -> TokenStore:
    return TokenStore(tmp_path / "home" / "tokens.json")


def test_a_token_is_found_by_its_secret_and_kept_as_a_digest(
    store: TokenStore, tmp_path: Path
) -> None:
    secret = store.add("pacs", ["read", "predict"])
    path = tmp_path / "home" / "tokens.json"
    assert secret.startswith(PREFIX) and len(secret) == len(PREFIX) + 43
    assert secret not in path.read_text()
    assert stat.S_IMODE(path.stat().st_mode) == 0o600
    found = TokenStore(path).find(secret)
    assert found is not None and (found.name, found.roles) == ("pacs", ("predict", "read"))
    assert "sha256" not in found.to_dict()
    assert store.find(secret[:-1]) is None
    assert store.find(found.sha256) is None
    assert store.find("") is None


def test_a_revoked_token_is_refused_at_once_by_every_reader(store: TokenStore) -> None:
    secret, kept = store.add("pacs", ["predict"]), store.add("ris", ["read"])
    reader = TokenStore(store._path)
    assert reader.find(secret) is not None
    assert store.revoke("pacs").name == "pacs"
    assert reader.find(secret) is None and reader.find(kept) is not None
    with pytest.raises(TokenUnknown, match="`mammo token list` shows them"):
        store.revoke("pacs")


def test_the_last_token_revoked_leaves_the_store(store: TokenStore) -> None:
    assert not store.exists() and store.list() == ()
    store.add("pacs", ["predict"])
    store.revoke("pacs")
    assert store.exists() and store.list() == ()


@pytest.mark.parametrize("name", ["", "local", "Jane Doe", "-x", "a/b", "x" * 65, "é", "a\n"])
def test_names_that_no_token_may_have(store: TokenStore, name: str) -> None:
    with pytest.raises(TokenNameInvalid, match="name the system, no person"):
        store.add(name, ["read"])
    assert not store.exists()


@pytest.mark.parametrize("roles", [[], ["admin"], ["read", "root"]])
def test_roles_that_no_token_may_have(store: TokenStore, roles: list[str]) -> None:
    with pytest.raises(TokenNameInvalid, match="predict, read, outcomes, operate, approve"):
        store.add("pacs", roles)


def test_a_name_is_given_once(store: TokenStore) -> None:
    store.add("pacs", ["read"])
    with pytest.raises(TokenNameTaken, match="revoke it first"):
        store.add("pacs", ["predict"])


@pytest.mark.parametrize(
    "text",
    [
        "",
        "[]",
        "{",
        '{"version": 2, "tokens": []}',
        '{"version": 1, "tokens": [{"name": "x", "roles": ["root"], "made_at": "", "sha256": ""}]}',
        '{"version": 1, "tokens": [{"name": "x", "roles": ["read"]}]}',
    ],
)
def test_a_damaged_store_lets_nobody_in(store: TokenStore, text: str) -> None:
    secret = store.add("pacs", ["read"])
    store._path.write_text(text)
    with pytest.raises(TokensUnreadable, match=r"tokens\.json cannot be read"):
        store.find(secret)
    with pytest.raises(TokensUnreadable):  # and is not written over
        store.add("ris", ["read"])
    assert store._path.read_text() == text


def test_a_store_that_others_may_write_lets_nobody_in(store: TokenStore) -> None:
    secret = store.add("pacs", ["read"])
    assert store.find(secret) is not None
    store._path.chmod(0o620)
    with pytest.raises(TokensUnreadable, match="chmod 600"):
        store.find(secret)


def _add(path: str, name: str) -> str:
    return TokenStore(Path(path)).add(name, ["predict"])


def test_processes_that_add_at_once_lose_no_token(store: TokenStore) -> None:
    names = [f"system-{i}" for i in range(12)]
    with ProcessPoolExecutor(3, mp_context=get_context("fork")) as pool:
        secrets = list(pool.map(_add, [str(store._path)] * 12, names))
    assert {store.find(secret).name for secret in secrets} == set(names)  # type: ignore[union-attr]
    assert len(json.loads(store._path.read_text())["tokens"]) == 12


def test_a_secret_made_elsewhere_is_admitted_and_replaces_the_one_before(
    store: TokenStore,
) -> None:
    kept, first, second = store.add("pacs", ["read"]), "a" * 32, "b" * 32
    assert store.admit("caller", ["predict", "read"], first)
    assert not store.admit("caller", ["predict", "read"], first)
    assert store.admit("caller", ["predict", "read"], second)
    found = store.find(second)
    assert found is not None and (found.name, found.roles) == ("caller", ("predict", "read"))
    assert store.find(first) is None and store.find(kept) is not None
    assert second not in store._path.read_text()


def test_a_secret_that_could_be_guessed_is_not_admitted(store: TokenStore) -> None:
    with pytest.raises(TokenNameInvalid, match="has 31 characters, and one has 32 or more") as e:
        store.admit("caller", ["predict"], "x" * 31)
    assert "x" * 31 not in str(e.value) and not store.exists()
