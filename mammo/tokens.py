"""Bearer tokens of the service: made, listed, revoked, and recognised.

A token is 256 random bits, so a plain SHA-256 is enough to keep it: nobody can
try so many. The store holds digests alone, is written whole by one process at a
time, and is read again as soon as it changes; a revoked token is refused from
the next request on.
"""

from __future__ import annotations

import fcntl
import hashlib
import hmac
import json
import os
import re
import secrets
import stat
from collections.abc import Iterable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import asdict, dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, BinaryIO, Literal, get_args

from mammo.data.durable import make_folder, storing, sweep_drafts, write_file
from mammo.errors import TokenNameInvalid, TokenNameTaken, TokensUnreadable, TokenUnknown

Role = Literal["predict", "read", "outcomes", "operate", "approve"]
ROLES: tuple[Role, ...] = get_args(Role)
PREFIX = "mammo_"
"""How every token begins, so that scanners for secrets can find one in the wrong place."""
TOKEN_BYTES = 32
NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]{0,63}")
RESERVED = ("local", "anonymous")
"""Names that the audit log gives to callers without a token."""
VERSION = 1
LEAST_SECRET = 32
"""Characters of a secret that is given, not made: fewer could be guessed."""
OTHERS_WRITE = stat.S_IWGRP | stat.S_IWOTH


@dataclass(frozen=True, slots=True)
class Token:
    """What is kept of a token: who has it, what for, since when, and its SHA-256 in hex."""

    name: str
    roles: tuple[Role, ...]
    made_at: str
    sha256: str

    def to_dict(self) -> dict[str, Any]:
        """Return what may be shown: not the digest."""
        return {name: value for name, value in asdict(self).items() if name != "sha256"}


class TokenStore:
    """The tokens in one file; safe for several threads and processes.

    A store that has existed once counts as one, even with every token revoked:
    revoking the last token shuts the door, it does not take it off.
    """

    def __init__(self, path: Path) -> None:
        self._path = path
        self._known: tuple[tuple[int, ...], tuple[Token, ...]] | None = None  # set in one step

    def exists(self) -> bool:
        """True when a token was ever made here."""
        return os.path.lexists(self._path)

    def list(self) -> tuple[Token, ...]:
        """Return the tokens, oldest first.

        Raises
        ------
        TokensUnreadable
            The file is damaged, unreadable, or others may write to it.
        """
        try:
            found = self._path.stat()
            state = (found.st_ino, found.st_mtime_ns, found.st_size, found.st_mode)
            known = self._known
            if known is None or known[0] != state:
                known = self._known = (state, self._read(found.st_mode))
            return known[1]
        except FileNotFoundError:
            return ()
        except (OSError, ValueError, KeyError, TypeError, TokenNameInvalid) as error:
            raise TokensUnreadable(
                f"{self._path.name} cannot be read ({type(error).__name__}): give it to the user "
                "that the service runs as, restore it from a backup, or remove it and make the "
                "tokens again with `mammo token add`."
            ) from error

    def find(self, secret: str) -> Token | None:
        """Return the token of this secret, or None; takes the same time for every secret.

        Raises TokensUnreadable.
        """
        digest, found = _digest(secret), None
        for token in self.list():
            if hmac.compare_digest(token.sha256, digest):
                found = token
        return found

    def add(self, name: str, roles: Sequence[str]) -> str:
        """Make a token and return its secret, which is kept nowhere.

        Raises
        ------
        TokenNameInvalid, TokenNameTaken
            The name or a role is none, or another token has the name.
        TokensUnreadable, DiskFull, StoreReadOnly
            The store cannot be read or written.
        """
        _require_name(name)
        chosen = _known_roles(roles)
        secret = PREFIX + secrets.token_urlsafe(TOKEN_BYTES)
        made_at = datetime.now(UTC).isoformat(timespec="seconds")
        with self._alone():
            before = self.list()
            if any(one.name == name for one in before):
                raise TokenNameTaken(
                    f"A token named {name} exists; revoke it first, or choose another name."
                )
            self._write((*before, Token(name, chosen, made_at, _digest(secret))))
        return secret

    def admit(self, name: str, roles: Sequence[str], secret: str) -> bool:
        """Let in a secret that was made elsewhere; False where it is let in already.

        What had the name before is let in no more.

        Raises
        ------
        TokenNameInvalid
            The name or a role is none, or the secret is too short.
        TokensUnreadable, DiskFull, StoreReadOnly
            As `add`.
        """
        _require_name(name)
        chosen, digest = _known_roles(roles), _digest(secret)
        if len(secret) < LEAST_SECRET:
            raise TokenNameInvalid(
                f"The secret of {name} has {len(secret)} characters, and one has {LEAST_SECRET} or "
                "more at random (`openssl rand -hex 32`)."
            )
        made_at = datetime.now(UTC).isoformat(timespec="seconds")
        with self._alone():
            before = self.list()
            if any((one.name, one.roles, one.sha256) == (name, chosen, digest) for one in before):
                return False
            kept = [one for one in before if one.name != name]
            self._write((*kept, Token(name, chosen, made_at, digest)))
        return True

    def revoke(self, name: str) -> Token:
        """Remove a token; what it opened is shut from the next request on.

        Raises TokenUnknown, TokensUnreadable, DiskFull or StoreReadOnly.
        """
        with self._alone():
            before = self.list()
            gone = [one for one in before if one.name == name]
            if not gone:
                raise TokenUnknown("No token has this name; `mammo token list` shows them.")
            self._write(one for one in before if one.name != name)
        return gone[0]

    def _read(self, mode: int) -> tuple[Token, ...]:
        if mode & OTHERS_WRITE:
            raise TokensUnreadable(
                f"Others than its owner may write to {self._path.name}, and so make tokens: "
                f"look through `mammo token list` after `chmod 600 {self._path.name}`."
            )
        kept = json.loads(self._path.read_bytes())
        if kept["version"] != VERSION:
            raise ValueError("another version")
        return tuple(
            Token(str(one["name"]), _known_roles(one["roles"]), one["made_at"], one["sha256"])
            for one in kept["tokens"]
        )

    def _write(self, tokens: Iterable[Token]) -> None:
        kept = {"version": VERSION, "tokens": [asdict(one) for one in tokens]}

        def write(handle: BinaryIO) -> None:
            os.fchmod(handle.fileno(), 0o600)
            handle.write(json.dumps(kept, indent=1).encode())

        write_file(self._path, write, self._path.parent)

    @contextmanager
    def _alone(self) -> Iterator[None]:
        """Let one process at a time change the store; the lock dies with its process."""
        folder = self._path.parent
        make_folder(folder)
        with storing(folder), (folder / f".{self._path.name}.lock").open("w") as lock:
            fcntl.flock(lock, fcntl.LOCK_EX)
            sweep_drafts(folder)
            yield


def _digest(secret: str) -> str:
    return hashlib.sha256(secret.encode()).hexdigest()


def _require_name(name: str) -> None:
    if not NAME.fullmatch(name) or name in RESERVED:
        raise TokenNameInvalid(
            "A token's name is 1 to 64 letters, digits, dots, dashes or underscores, begins with "
            f"a letter or digit, and is not {' or '.join(RESERVED)}; name the system, no person."
        )


def _known_roles(roles: Iterable[str]) -> tuple[Role, ...]:
    asked = set(roles)
    if not asked or not asked <= set(ROLES):
        raise TokenNameInvalid(f"A token has one or more of the roles {', '.join(ROLES)}.")
    return tuple(role for role in ROLES if role in asked)
