"""The arithmetic of the audit log: lines that vouch for each other, and what broke them."""

from __future__ import annotations

import hashlib
import hmac
import json
from collections.abc import Iterable, Iterator
from dataclasses import asdict, dataclass
from typing import Any, Literal, NamedTuple, Self

from mammo.errors import SettingsInvalid

Break = Literal["changed", "removed", "reordered", "repeated", "replaced", "cut off"]
HASH_DIGITS = 64


class Head(NamedTuple):
    """The end of a chain: the number of its last line and that line's hash."""

    seq: int
    hash: str

    def __str__(self) -> str:
        return f"{self.seq}:{self.hash}"

    @classmethod
    def parse(cls, text: str) -> Self:
        """Read ``SEQ:HASH``.

        Raises
        ------
        SettingsInvalid
            It is something else.
        """
        seq, _, digits = text.strip().partition(":")
        right = len(digits) == HASH_DIGITS and not digits.strip("0123456789abcdef")
        if not (seq.isascii() and seq.isdigit() and right):
            raise SettingsInvalid(
                "a head is a line number, a colon and 64 hexadecimal digits, as "
                f"`mammo audit head` prints it; this text of {len(text)} characters is none"
            )
        return cls(int(seq), digits)


START = Head(0, "0" * HASH_DIGITS)
"""The head of an empty log."""


@dataclass(frozen=True, slots=True)
class AuditReport:
    """What verifying found: ``broken_line`` (from 1) is the first that is wrong, and ``how``."""

    lines: int
    head: Head
    broken_line: int | None = None
    how: Break | None = None
    message: str = "every line follows from the one before"

    @property
    def intact(self) -> bool:
        """True where nothing is broken."""
        return self.how is None

    def to_dict(self) -> dict[str, Any]:
        """Return the report as JSON knows it; ``head`` as ``SEQ:HASH``."""
        return asdict(self) | {"head": str(self.head), "intact": self.intact}


def sign(entry: dict[str, Any], after: Head, key: bytes) -> dict[str, Any]:
    """Return the entry as the line after ``after``: numbered, with ``prev`` and ``hash``."""
    placed = entry | {"seq": after.seq + 1, "prev": after.hash}
    return placed | {"hash": _hash(placed, key)}


def to_line(entry: dict[str, Any]) -> bytes:
    """Return the one text of an entry: keys in order, ASCII, no spaces, a newline."""
    return json.dumps(entry, sort_keys=True, separators=(",", ":")).encode() + b"\n"


def read_line(line: bytes, key: bytes) -> dict[str, Any] | None:
    """Return the entry of a line, or None where that is not what was written."""
    try:
        entry = json.loads(line)
        whole = isinstance(entry, dict) and to_line(entry) == line
        return entry if whole and _is_signed(entry, key) else None
    except (ValueError, RecursionError):
        return None


def head_of(line: bytes, seq: int, key: bytes) -> Head:
    """Return the head after a line; one that was tampered with is followed all the same.

    The log goes on, and verifying names the line.
    """
    entry = read_line(line, key)
    if entry is None:
        return Head(seq, hmac.new(key, line, hashlib.sha256).hexdigest())
    return Head(entry["seq"], entry["hash"])


def check_chain(lines: Iterable[bytes], key: bytes, expected: Head | None = None) -> AuditReport:
    """Verify lines (each with its newline) from the first on; end at the first broken one."""
    head, rest = START, iter(lines)
    if expected is not None and expected.seq == 0 and expected != START:
        return _broken(head, "replaced", "the head that was kept is not of an empty log")
    for line in rest:
        entry = read_line(line, key)
        if entry is None:
            return _unreadable(head, line)
        if (entry["seq"], entry["prev"]) != (head.seq + 1, head.hash):
            return _misplaced(head, entry, rest, key)
        head = Head(entry["seq"], entry["hash"])
        if expected is not None and head.seq == expected.seq and head != expected:
            return _broken(
                Head(head.seq - 1, entry["prev"]),
                "replaced",
                f"line {head.seq} holds, and is not the line whose head was kept: the chain was "
                "written anew with the key",
            )
    if expected is not None and expected.seq > head.seq:
        return _broken(
            head,
            "cut off",
            f"the log ends after line {head.seq}, and a head of line {expected.seq} was kept: "
            f"lines {head.seq + 1} to {expected.seq} were cut off",
        )
    return AuditReport(head.seq, head)


def _unreadable(head: Head, line: bytes) -> AuditReport:
    number = head.seq + 1
    if not line.endswith(b"\n"):
        return _broken(
            head,
            "cut off",
            f"line {number} is half a line of {len(line)} bytes: its writer was killed, or the "
            "end was cut off",
        )
    return _broken(head, "changed", f"line {number} is not what was written")


def _misplaced(head: Head, entry: dict[str, Any], rest: Iterator[bytes], key: bytes) -> AuditReport:
    """Say how a line that is genuine came to a place where it does not belong."""
    number, seq = head.seq + 1, entry["seq"]
    if seq < number:
        return _broken(head, "repeated", f"line {number} is line {seq} again")
    if seq == number:
        return _broken(
            head, "replaced", f"line {number} is genuine, and follows another line {head.seq}"
        )
    later = (read_line(line, key) for line in rest)
    if any(one is not None and one["seq"] == number for one in later):
        return _broken(
            head, "reordered", f"line {seq} stands where line {number} belongs, which comes later"
        )
    one = f"line {number} was"
    lost = one if seq == number + 1 else f"lines {number} to {seq - 1} were"
    return _broken(head, "removed", f"{lost} removed: line {seq} follows line {head.seq}")


def _broken(head: Head, how: Break, message: str) -> AuditReport:
    return AuditReport(head.seq, head, head.seq + 1, how, message)


def _is_signed(entry: dict[str, Any], key: bytes) -> bool:
    stated = entry.get("hash")
    unsigned = {name: value for name, value in entry.items() if name != "hash"}
    placed = isinstance(entry.get("seq"), int) and isinstance(entry.get("prev"), str)
    return (
        placed
        and isinstance(stated, str)
        and hmac.compare_digest(stated.encode(), _hash(unsigned, key).encode())
    )


def _hash(entry: dict[str, Any], key: bytes) -> str:
    return hmac.new(key, to_line(entry), hashlib.sha256).hexdigest()
