"""Who made a release: an Ed25519 signature (RFC 8032) over its id and digest.

    <home>/keys/signing.key     this installation's private key, PEM, mode 0600
    <home>/keys/signing.pub     its public half; every other *.pub here is trusted, too
    <release>/signature.json    beside the manifest, outside the digest
    <bento>/release/signer.pub  the public key of the signature in a Bento

The digest says that a release is whole, and anybody can compute it. The
signature says that it comes from a holder of a trusted private key. To serve a
release made elsewhere, that installation's ``signing.pub`` is put into ``keys``
under another name, by a person who knows where it came from.

A Bento carries the public key of its own release, so that it serves alone where
there is no home. That protects against damage, and against a release that
was exchanged without the key; it does not protect against one who can change the
Bento, since the code that checks lies in the same Bento. It counts only where the
home trusts no key; a home with keys trusts these alone. The image of a release has the
house's key beside the release, from who built it: there it counts, not the carried one.
"""

from __future__ import annotations

import base64
import hashlib
import json
import os
from dataclasses import asdict, dataclass, replace
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from cryptography.exceptions import InvalidSignature
from cryptography.hazmat.primitives import serialization as wire
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey, Ed25519PublicKey

from mammo.errors import SignatureInvalid
from mammo.pseudonym_key import write_once

SIGNATURE = "signature.json"
SIGNER = "signer.pub"
PRIVATE_KEY, PUBLIC_KEY = "signing.key", "signing.pub"
ALGORITHM = "Ed25519"
CONTEXT = b"mammo release 1"
"""Begins what is signed: a signature for another purpose is none for a release."""


@dataclass(frozen=True)
class Signature:
    """The content of signature.json; ``signature`` is base64, ``key`` a `key_name`."""

    release: str
    digest: str
    algorithm: str
    key: str
    signature: str
    signed_at: str


def sign_release(directory: Path, release_id: str, digest: str, keys_dir: Path) -> Signature:
    """Sign a sealed release with this installation's key, which is made when there is none.

    Raises
    ------
    SignatureInvalid
        The private key is there and cannot be read as one.
    StoreReadOnly, DiskFull
        The key cannot be made.
    """
    private = signing_key(keys_dir)
    signature = Signature(
        release_id,
        digest,
        ALGORITHM,
        key_name(private.public_key()),
        base64.b64encode(private.sign(_message(release_id, digest))).decode(),
        datetime.now(UTC).isoformat(),
    )
    draft = directory / f".{SIGNATURE}.{os.getpid()}"
    with draft.open("w") as stream:
        json.dump(asdict(signature), stream, indent=1)
        stream.flush()
        os.fsync(stream.fileno())
    draft.replace(directory / SIGNATURE)
    return signature


def require_signature(directory: Path, release_id: str, digest: str, trusted: Trusted) -> Signature:
    """Return the release's signature when a trusted key made it over this id and digest.

    What the file itself says of id and digest is for people, and not believed.

    ``digest`` must be one that was computed, not only read.

    Raises
    ------
    SignatureInvalid
        It has none, it is another's, it was made by a key that is not trusted, or
        it does not fit.
    """
    path = directory / SIGNATURE
    if not path.is_file():
        raise SignatureInvalid(
            f"Release {release_id} is not signed. If it was made here, `mammo sign {release_id}` "
            "signs it; MAMMO_REQUIRE_SIGNATURE=false serves unsigned releases."
        )
    signature = replace(_read(path, release_id), release=release_id, digest=digest)
    public = trusted.get(signature.key)
    if public is None:
        raise SignatureInvalid(
            f"Release {release_id} was signed with key {signature.key}; trusted are "
            f"{', '.join(sorted(trusted)) or 'none'}. If you know who made it, put that "
            "installation's signing.pub into the keys folder of MAMMO_HOME under another name."
        )
    try:
        public.verify(
            base64.b64decode(signature.signature, validate=True), _message(release_id, digest)
        )
    except (InvalidSignature, ValueError) as error:
        raise SignatureInvalid(
            f"The signature of release {release_id} does not fit its id and digest: one of them "
            "was changed after it was signed. Take the release from where it was made again."
        ) from error
    return signature


Trusted = dict[str, Ed25519PublicKey]
"""Public keys by `key_name`."""


def trusted_keys(keys_dir: Path, carried: Path | None = None) -> Trusted:
    """Return the public keys that this installation trusts.

    ``carried`` is the key inside a Bento, which counts where ``keys_dir`` has
    none. Raises SignatureInvalid for a file that is no Ed25519 public key.
    """
    paths = sorted(keys_dir.glob("*.pub"))
    if not paths and carried is not None and carried.is_file():
        paths = [carried]
    keys = [_read_public(path) for path in paths]
    return {key_name(key): key for key in keys}


def signing_key(keys_dir: Path) -> Ed25519PrivateKey:
    """Return this installation's private key, made with mode 0600 on first use.

    Processes that race end with one key. Raises what `sign_release` raises.
    """
    path = keys_dir / PRIVATE_KEY
    if not path.exists():
        keys_dir.mkdir(parents=True, exist_ok=True, mode=0o700)
        write_once(path, _private_bytes(Ed25519PrivateKey.generate()))
    try:
        key = wire.load_pem_private_key(path.read_bytes(), password=None)
    except (ValueError, TypeError) as error:
        raise SignatureInvalid(f"{path.name} is no private key in PEM.") from error
    if not isinstance(key, Ed25519PrivateKey):
        raise SignatureInvalid(f"{path.name} is not an Ed25519 key; releases are signed with one.")
    if not (keys_dir / PUBLIC_KEY).exists():
        write_once(keys_dir / PUBLIC_KEY, public_bytes(key.public_key()))
    return key


def public_bytes(key: Ed25519PublicKey) -> bytes:
    """Return a public key as PEM (SubjectPublicKeyInfo, RFC 8410)."""
    return key.public_bytes(wire.Encoding.PEM, wire.PublicFormat.SubjectPublicKeyInfo)


def key_name(key: Ed25519PublicKey) -> str:
    """Return the first 16 hex digits of the SHA-256 of the raw public key."""
    return hashlib.sha256(key.public_bytes_raw()).hexdigest()[:16]


def _private_bytes(key: Ed25519PrivateKey) -> bytes:
    return key.private_bytes(wire.Encoding.PEM, wire.PrivateFormat.PKCS8, wire.NoEncryption())


def _message(release_id: str, digest: str) -> bytes:
    return b"\n".join((CONTEXT, release_id.encode(), digest.encode()))


def _read(path: Path, release_id: str) -> Signature:
    try:
        content: dict[str, Any] = json.loads(path.read_text())
        signature = Signature(**{name: str(value) for name, value in content.items()})
    except (ValueError, TypeError, AttributeError) as error:
        raise SignatureInvalid(
            f"{SIGNATURE} of release {release_id} cannot be read. `mammo sign {release_id}` signs "
            "a release that was made here again."
        ) from error
    if signature.algorithm != ALGORITHM:
        raise SignatureInvalid(
            f"Release {release_id} is signed by {signature.algorithm!r}; only {ALGORITHM} is known."
        )
    return signature


def _read_public(path: Path) -> Ed25519PublicKey:
    try:
        key = wire.load_pem_public_key(path.read_bytes())
    except (ValueError, TypeError) as error:
        raise SignatureInvalid(f"{path.name} is no public key in PEM; remove it.") from error
    if not isinstance(key, Ed25519PublicKey):
        raise SignatureInvalid(f"{path.name} is no Ed25519 key; remove it.")
    return key
