"""How a caller wants an exam to be scored: the headers of a request, read once.

``Idempotency-Key`` names the request, so that sending it again after a broken
connection changes nothing. ``Prefer`` (RFC 7240) may ask for an answer at once
and the score later (``respond-async``) and bound the wait (``wait=SECONDS``).
"""

from __future__ import annotations

import hashlib
import re
import uuid
from collections.abc import Sequence
from dataclasses import dataclass

from starlette.datastructures import Headers

from bentos.screening.upload import ReceivedFile
from mammo.errors import HeaderInvalid, IdempotencyConflict

KEY_HEADER, PREFER_HEADER = "idempotency-key", "prefer"
MAX_KEY = 200
ID_LENGTH = 32
OF_STUDY = re.compile(r"gateway-(E-[0-9a-f]{16})-")
"""How the gateway's keys begin (`bentos.gateway.ledger.StudyWork.key`)."""


@dataclass(frozen=True)
class Asked:
    """What was asked for.

    ``request_id`` is 32 hex digits, the same for the same caller and key;
    ``repeatable`` says that there was a key. ``seconds`` bounds the wait. ``study`` is the
    gateway's name of what it sends, which it lists itself.
    """

    request_id: str
    repeatable: bool
    later: bool
    seconds: float
    study: str | None = None

    @classmethod
    def read(cls, headers: Headers, caller: str, exam_seconds: float) -> Asked:
        """Read the headers of a request. Raises HeaderInvalid."""
        key = headers.get(KEY_HEADER)
        preferences = _preferences(headers.getlist(PREFER_HEADER))
        return cls(
            uuid.uuid4().hex if key is None else _name(caller, key),
            key is not None,
            "respond-async" in preferences,
            min(exam_seconds, _seconds(preferences.get("wait"), exam_seconds)),
            found[1] if (found := OF_STUDY.match(key or "")) else None,
        )


def digest_files(files: Sequence[ReceivedFile]) -> str:
    """Return the SHA-256 of the contents of files, whatever their order and names."""
    digests = sorted(one.sha256 for one in files)
    return hashlib.sha256(b"".join(digests)).hexdigest()


def require_same(before: str | None, now: str | None) -> None:
    """Raise IdempotencyConflict when a key names other files now than before; None is unknown."""
    if before not in (None, now):
        raise IdempotencyConflict(
            "This Idempotency-Key was used for other files. A key names one request: "
            "send these files under a new one."
        )


def _name(caller: str, key: str) -> str:
    """Return the id of a caller's request: callers cannot meet in each other's keys."""
    if not 0 < len(key) <= MAX_KEY or not key.isascii() or not key.isprintable():
        raise HeaderInvalid(
            f"Idempotency-Key has {len(key)} characters; allowed are 1 to {MAX_KEY} printable "
            "ASCII characters, such as a UUID."
        )
    return hashlib.sha256(f"{caller}\n{key}".encode()).hexdigest()[:ID_LENGTH]


def _preferences(lines: Sequence[str]) -> dict[str, str]:
    """Return the preferences by name; those that are not known are passed over (RFC 7240)."""
    found: dict[str, str] = {}
    for part in ",".join(lines).split(","):
        name, _, value = part.split(";")[0].partition("=")
        found.setdefault(name.strip().lower(), value.strip().strip('"'))
    return found


def _seconds(text: str | None, default: float) -> float:
    """Return the wait in seconds; what is no number is no preference (RFC 7240 section 2)."""
    if text is None or not text.isdigit() or not int(text):
        return default
    return float(text)
