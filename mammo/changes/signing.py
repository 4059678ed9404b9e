"""Records that vouch for each other: numbered, each with the hash of the one before, signed.

The signature (Ed25519, RFC 8032) is over a context of its own and the record's canonical JSON
without the signature: keys in order, ASCII, no spaces, a newline. A record's hash is the SHA-256
of the same text with the signature. Records written before records were signed have neither: the
``before`` of the first signed one is the SHA-256 of all their texts in order.
"""

from __future__ import annotations

import base64
import hashlib
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from cryptography.exceptions import InvalidSignature
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey

from mammo.audit_chain import to_line
from mammo.signing import ALGORITHM, PRIVATE_KEY, Trusted, key_name, signing_key, trusted_keys

CONTEXT = b"mammo change record 1\n"
"""Begins what is signed: a signature of a release is none for a record."""
OWN_KEYS = "records"
"""Folder below the keys for an installation that signs no releases.

It may trust the key that a Bento carries, which counts only where the home trusts none: a key
made beside it would end that.
"""

Record = dict[str, Any]


def record_key(keys_dir: Path) -> Ed25519PrivateKey:
    """Return the installation's key for records: the one of releases, or one of their own.

    Raises what `mammo.signing.signing_key` raises.
    """
    signs_releases = (keys_dir / PRIVATE_KEY).exists()
    return signing_key(keys_dir if signs_releases else keys_dir / OWN_KEYS)


def keys_of_records(keys_dir: Path) -> Trusted:
    """Return the public keys whose records this installation trusts."""
    return trusted_keys(keys_dir) | trusted_keys(keys_dir / OWN_KEYS)


def hash_of(record: Mapping[str, Any]) -> str:
    """Return the SHA-256 of a whole record, hexadecimal: what the next one holds."""
    return hashlib.sha256(to_line(dict(record))).hexdigest()


def follows(before: Sequence[Mapping[str, Any]]) -> str | None:
    """Return the ``before`` of a record after these: None where there are none."""
    if not before:
        return None
    if is_signed(before[-1]):
        return hash_of(before[-1])
    return hashlib.sha256(b"".join(to_line(dict(one)) for one in before)).hexdigest()


def is_signed(record: Mapping[str, Any]) -> bool:
    """Whether it has a signature at all; whether that holds, `check_signature` says."""
    return bool(record.get("signature"))


def sealed(record: Record, before: Sequence[Mapping[str, Any]], key: Ed25519PrivateKey) -> Record:
    """Return the record as the one after ``before``: numbered from 1, chained, signed."""
    placed = record | {"number": len(before) + 1, "before": follows(before)}
    return placed | {
        "signature": {
            "algorithm": ALGORITHM,
            "key": key_name(key.public_key()),
            "signature": base64.b64encode(key.sign(_message(placed))).decode(),
        }
    }


def check_signature(record: Mapping[str, Any], trusted: Trusted) -> str | None:
    """Return what is wrong with a record's signature, or None."""
    signature = record["signature"]
    said = {name: signature.get(name) for name in ("algorithm", "key", "signature")}
    if said["algorithm"] != ALGORITHM:
        return f"it is signed by {said['algorithm']!r}; only {ALGORITHM} is known"
    public = trusted.get(str(said["key"]))
    if public is None:
        known = ", ".join(sorted(trusted)) or "none"
        return f"it is signed with key {said['key']}, which is not trusted; trusted are {known}"
    try:
        given = base64.b64decode(str(said["signature"]), validate=True)
        public.verify(given, _message(record))
    except (InvalidSignature, ValueError):
        return "its signature does not fit: it was edited after it was signed"
    return None


def _message(record: Mapping[str, Any]) -> bytes:
    unsigned = {name: value for name, value in record.items() if name != "signature"}
    return CONTEXT + to_line(unsigned)
