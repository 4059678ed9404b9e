from __future__ import annotations

import json
import multiprocessing
from dataclasses import asdict, replace
from pathlib import Path

import pytest
from cryptography.hazmat.primitives.asymmetric.ec import SECP256R1, generate_private_key
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat

from mammo.errors import SignatureInvalid
from mammo.signing import (
    PRIVATE_KEY,
    PUBLIC_KEY,
    SIGNATURE,
    Signature,
    key_name,
    public_bytes,
    require_signature,
    sign_release,
    signing_key,
    trusted_keys,
)

ID, DIGEST = "r-20260301-aaaaaaaa", "ab" * 32


@pytest.fixture
def keys(tmp_path: Path) -> Path:
    return tmp_path / "keys"


def change(directory: Path, **fields: str) -> None:
    signature = json.loads((directory / SIGNATURE).read_text())
    (directory / SIGNATURE).write_text(json.dumps(signature | fields))


def test_signed_release_is_taken(tmp_path: Path, keys: Path) -> None:
    signed = sign_release(tmp_path, ID, DIGEST, keys)
    assert require_signature(tmp_path, ID, DIGEST, trusted_keys(keys)) == signed
    assert (keys / PRIVATE_KEY).stat().st_mode & 0o777 == 0o600
    assert keys.stat().st_mode & 0o777 == 0o700
    assert "PRIVATE" not in (keys / PUBLIC_KEY).read_text()


@pytest.mark.parametrize(
    ("release", "digest", "fields", "words"),
    [
        ("r-other", DIGEST, {}, "does not fit its id and digest"),
        (ID, "cd" * 32, {}, "does not fit its id and digest"),
        (ID, DIGEST, {"signature": "AAAA"}, "does not fit its id and digest"),
        (ID, DIGEST, {"signature": "no base64!"}, "does not fit its id and digest"),
        (ID, DIGEST, {"key": "0" * 16}, "signed with key 0000000000000000; trusted are"),
        (ID, DIGEST, {"algorithm": "none"}, "signed by 'none'; only Ed25519 is known"),
        (ID, DIGEST, {"more": "x"}, "cannot be read"),
    ],
)
def test_what_is_refused(
    tmp_path: Path, keys: Path, release: str, digest: str, fields: dict[str, str], words: str
) -> None:
    sign_release(tmp_path, ID, DIGEST, keys)
    change(tmp_path, **fields)
    with pytest.raises(SignatureInvalid, match=words):
        require_signature(tmp_path, release, digest, trusted_keys(keys))


def test_unsigned_release_is_told_how_to_be_signed(tmp_path: Path, keys: Path) -> None:
    with pytest.raises(SignatureInvalid, match=rf"is not signed.*`mammo sign {ID}` signs it"):
        require_signature(tmp_path, ID, DIGEST, trusted_keys(keys))


def test_foreign_release_is_served_once_its_key_is_trusted(tmp_path: Path, keys: Path) -> None:
    signing_key(keys)
    elsewhere = tmp_path / "elsewhere"
    sign_release(tmp_path, ID, DIGEST, elsewhere)
    with pytest.raises(SignatureInvalid, match=r"trusted are [0-9a-f]{16}\. If you know"):
        require_signature(tmp_path, ID, DIGEST, trusted_keys(keys))
    (keys / "hospital-b.pub").write_bytes((elsewhere / PUBLIC_KEY).read_bytes())
    require_signature(tmp_path, ID, DIGEST, trusted_keys(keys))


def test_carried_key_counts_only_where_the_home_trusts_none(tmp_path: Path, keys: Path) -> None:
    elsewhere = tmp_path / "elsewhere"
    carried = elsewhere / PUBLIC_KEY
    sign_release(tmp_path, ID, DIGEST, elsewhere)
    require_signature(tmp_path, ID, DIGEST, trusted_keys(keys, carried))
    own = key_name(signing_key(keys).public_key())
    assert set(trusted_keys(keys, carried)) == {own}


def test_another_key_cannot_take_a_trusted_name(tmp_path: Path, keys: Path) -> None:
    """The name in the file only chooses a key; the signature must be that key's."""
    own = key_name(signing_key(keys).public_key())
    signed = sign_release(tmp_path, ID, DIGEST, tmp_path / "elsewhere")
    (tmp_path / SIGNATURE).write_text(json.dumps(asdict(replace(signed, key=own))))
    with pytest.raises(SignatureInvalid, match="does not fit"):
        require_signature(tmp_path, ID, DIGEST, trusted_keys(keys))


@pytest.mark.parametrize(
    ("content", "words"),
    [
        (b"no key", "odd.pub is no public key in PEM"),
        (
            generate_private_key(SECP256R1())
            .public_key()
            .public_bytes(Encoding.PEM, PublicFormat.SubjectPublicKeyInfo),
            "odd.pub is no Ed25519 key",
        ),
    ],
    ids=["text", "another curve"],
)
def test_public_key_that_is_none(keys: Path, content: bytes, words: str) -> None:
    keys.mkdir()
    (keys / "odd.pub").write_bytes(content)
    with pytest.raises(SignatureInvalid, match=words):
        trusted_keys(keys)


def test_private_key_that_is_none_is_never_replaced(keys: Path) -> None:
    keys.mkdir()
    for content in (b"", public_bytes(Ed25519PrivateKey.generate().public_key())):
        (keys / PRIVATE_KEY).write_bytes(content)
        with pytest.raises(SignatureInvalid, match=r"signing.key is no private key"):
            signing_key(keys)
        assert (keys / PRIVATE_KEY).read_bytes() == content


def _name(keys: Path) -> str:
    return key_name(signing_key(keys).public_key())


def test_processes_that_race_end_with_one_key(keys: Path) -> None:
    with multiprocessing.get_context("forkserver").Pool(4) as pool:
        names = pool.map(_name, [keys] * 8)
    assert len(set(names)) == 1
    assert set(trusted_keys(keys)) == set(names)


def test_signature_is_of_the_kind_that_is_written(tmp_path: Path, keys: Path) -> None:
    signed = sign_release(tmp_path, ID, DIGEST, keys)
    assert Signature(**json.loads((tmp_path / SIGNATURE).read_text())) == signed
    assert (signed.release, signed.digest, signed.key) == (ID, DIGEST, _name(keys))
