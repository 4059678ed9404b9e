"""The site's secret for pseudonyms: decoded, made once, kept, and told apart.

The key file and the store's fingerprint are written whole and flushed to the
disk: a key that is lost gives every patient a second pseudonym.
"""

from __future__ import annotations

import base64
import binascii
import contextlib
import errno
import hashlib
import hmac
import os
import re
import secrets
import shutil
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path

from mammo.errors import DiskFull, SettingsInvalid, StoreReadOnly

MIN_KEY_BYTES = 16
KEY_NAME, FINGERPRINT_NAME = "pseudonym.key", "pseudonym.fingerprint"
DRAFT, DRAFT_SECONDS = ".pseudonym.", 3600.0
"""How drafts begin, and after what time nobody writes one any more."""
NO_LINKS = frozenset((errno.ENOTSUP, errno.EOPNOTSUPP, errno.EPERM, errno.ENOSYS))
FULL = frozenset((errno.ENOSPC, errno.EDQUOT, errno.EFBIG))
READ_ONLY = frozenset((errno.EROFS, errno.EACCES, errno.EPERM))


def fingerprint(key: bytes) -> str:
    """Return what tells keys apart and gives none away, 32 hexadecimal digits."""
    return hmac.new(key, b"mammo: fingerprint of the key", hashlib.sha256).hexdigest()[:32]


def decode_key(text: str) -> bytes:
    """Decode hexadecimal digits, else base64 in either alphabet; the text is never quoted.

    Raises
    ------
    SettingsInvalid
        It is neither, or too short, or no random bytes.
    """
    with contextlib.suppress(binascii.Error, ValueError):
        if re.fullmatch(r"(?:[0-9A-Fa-f]{2})+", text):
            key = bytes.fromhex(text)
        else:
            plain = text.translate(str.maketrans("-_", "+/")).rstrip("=")
            key = base64.b64decode(plain + "=" * (-len(plain) % 4), validate=True)
        # a word or zeros are no secret: even 16 random bytes have 12 different ones or more
        if len(key) >= MIN_KEY_BYTES and len(set(key)) >= MIN_KEY_BYTES // 2:
            return key
    raise SettingsInvalid(
        f"MAMMO_PSEUDONYM_KEY is no key: it needs at least {MIN_KEY_BYTES} random bytes in "
        "hexadecimal digits or base64; make one with `openssl rand -hex 32`"
    )


def read_or_make_key(home: Path) -> bytes:
    """Return the key in ``home``, made on first use.

    Raises
    ------
    SettingsInvalid
        The file holds too few bytes.
    StoreReadOnly, DiskFull
        It cannot be read, or made.
    """
    path = home / KEY_NAME
    with _storing(home):
        if not path.exists():
            write_once(path, secrets.token_bytes(32))
        return _read_key(path)


def find_fingerprint(home: Path, data: Path, index: Path) -> str:
    """Return the fingerprint of the key that the store was made with; empty where none is known.

    A store without a record of it comes from a time when there was only the key file.

    Raises
    ------
    StoreReadOnly
        This user may not read it.
    """
    with _storing(data):
        with contextlib.suppress(FileNotFoundError):
            return (data / FINGERPRINT_NAME).read_text(errors="replace").strip()
        if index.exists() and (home / KEY_NAME).exists():
            return fingerprint(_read_key(home / KEY_NAME))
    return ""


def require_key(key: bytes, known: str) -> None:
    """Raise SettingsInvalid unless the key is the one of a known fingerprint."""
    if not hmac.compare_digest(known.encode(), fingerprint(key).encode()):
        raise SettingsInvalid(
            "the pseudonym key differs from the one that the store was made with, and the "
            "same patient would get a second pseudonym: set MAMMO_PSEUDONYM_KEY back (or "
            "unset it to use the key file), or set another MAMMO_HOME"
        )


def write_once(path: Path, content: bytes) -> None:
    """Write a file of mode 0600 whole, unless another process has made it first.

    Raises
    ------
    StoreReadOnly, DiskFull
        The folder cannot take it.
    """
    with _storing(path.parent):
        path.parent.mkdir(parents=True, exist_ok=True)
        sweep_drafts(path.parent)
        handle, draft = tempfile.mkstemp(dir=path.parent, prefix=DRAFT)  # mode 0600
        try:
            _write(handle, content)
            _place(Path(draft), path, content)
        finally:
            Path(draft).unlink(missing_ok=True)


def sweep_drafts(folder: Path) -> None:
    """Remove what writers that were killed have left in a folder; a draft is a key, too."""
    for draft in folder.glob(f"{DRAFT}*"):
        with contextlib.suppress(OSError):
            if time.time() - draft.stat().st_mtime > DRAFT_SECONDS:
                draft.unlink()


def _read_key(path: Path) -> bytes:
    key = path.read_bytes()
    for _ in range(20):  # without links, another process makes the file before it fills it
        if key:
            break
        time.sleep(0.05)
        key = path.read_bytes()
    if len(key) < MIN_KEY_BYTES:
        raise SettingsInvalid(
            f"the key file {path.name} holds {len(key)} bytes, and a key has at least "
            f"{MIN_KEY_BYTES}: restore it from a backup, or the pseudonyms change"
        )
    return key


def _write(handle: int, content: bytes) -> None:
    with os.fdopen(handle, "wb") as stream:
        stream.write(content)
        stream.flush()
        os.fsync(stream.fileno())


def _place(draft: Path, path: Path, content: bytes) -> None:
    """Give the draft its name unless that is taken; where there are no links, write again."""
    with contextlib.suppress(FileExistsError):
        try:
            path.hardlink_to(draft)
        except OSError as error:
            if error.errno not in NO_LINKS:
                raise
            handle = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
            try:
                _write(handle, content)
            except BaseException:
                path.unlink()  # half a key would be taken for one
                raise


@contextlib.contextmanager
def _storing(folder: Path) -> Iterator[None]:
    """Give the kernel's refusals their codes (`mammo.data.durable` does it for the store)."""
    try:
        yield
    except OSError as error:
        reason = os.strerror(error.errno or 0)
        if error.errno in FULL:
            place = next(one for one in (folder, *folder.absolute().parents) if one.exists())
            raise DiskFull(
                f"{folder} cannot take the pseudonym key ({reason}; "
                f"{shutil.disk_usage(place).free / 2**20:,.0f} MB are free): make room or raise "
                "the limit, then run the same command again"
            ) from error
        if error.errno in READ_ONLY:
            raise StoreReadOnly(
                f"{folder} cannot be written to ({reason}): mount it writable, give this user the "
                "right to write and read, or set another MAMMO_HOME; the pseudonym key is there"
            ) from error
        raise
