"""How deep and how many: a look at the elements' headers before pydicom parses them.

pydicom reads sequences by recursion, and so does whatever walks its result. This
walk has a stack of its own, touches no value, and is a few microseconds for each
hundred elements of a real header.
"""

from __future__ import annotations

import struct
from collections.abc import Callable
from dataclasses import dataclass

from pydicom.datadict import dictionary_VR
from pydicom.valuerep import EXPLICIT_VR_LENGTH_32

from mammo.errors import NestedTooDeep, NotDicom, TooLarge

MAX_DEPTH = 16
"""Sequences inside each other; structured reports come to about 12, mammograms to 3."""
MAX_ELEMENTS = 100_000
"""Elements and items of one header; mammograms have 100 to 500."""
Stop = Callable[[int], bool]
UNDEFINED_LENGTH = 0xFFFFFFFF
ITEM, ITEM_END, SEQUENCE_END = 0xFFFEE000, 0xFFFEE00D, 0xFFFEE0DD
CHARACTER_SET = 0x00080005
MAX_TEXT = {
    **dict.fromkeys(
        ("AE", "AS", "CS", "DA", "DS", "DT", "IS", "LO", "PN", "SH", "TM", "UI"), 2**16
    ),
    **dict.fromkeys(("LT", "ST", "UC", "UR", "UT"), 2**20),
}
"""Bytes of a text, by the dictionary's VR: a text of 60 MB of backslashes has 60 million values."""
LONG_VRS = frozenset(vr.encode() for vr in EXPLICIT_VR_LENGTH_32)
"""VRs with a length of 4 bytes after 2 reserved ones (PS3.5 section 7.1.2)."""


@dataclass(slots=True)
class _Level:
    """An open sequence, or an open data set: an item or the whole."""

    is_sequence: bool
    end: int
    implicit: bool


class NestingCheck:
    """A walk over the elements of one body, from ``start`` to the first tag that is a ``stop``.

    ``character_sets`` are place and length of each Specific Character Set met.
    """

    def __init__(self, body: bytes, start: int, implicit: bool, little: bool, stop: Stop) -> None:
        self.body, self.place, self.stop = body, start, stop
        self._header = struct.Struct("<HHL" if little else ">HHL")
        self._length = struct.Struct("<L" if little else ">L")
        self._short = struct.Struct("<H" if little else ">H")
        self._item = self._split(ITEM)
        self._levels = [_Level(False, len(body), implicit)]
        self.character_sets: list[tuple[int, int]] = []

    def run(self) -> None:
        """Walk to the end, or to where the structure makes no sense.

        Raises
        ------
        NestedTooDeep, TooLarge, NotDicom
        """
        last = len(self.body) - 8
        for _ in range(MAX_ELEMENTS):
            self._close_ended()
            if not self._levels or self.place > last:
                return
            level = self._levels[-1]
            group, element, length = self._header.unpack_from(self.body, self.place)
            tag = group << 16 | element
            step = self._step_in_sequence if level.is_sequence else self._step_in_data_set
            if not step(tag, length, level):
                return
        raise TooLarge(f"the header has more than {MAX_ELEMENTS:,} elements and items")

    def _close_ended(self) -> None:
        while self._levels and self.place >= self._levels[-1].end:
            self._levels.pop()

    def _step_in_sequence(self, tag: int, length: int, level: _Level) -> bool:
        self.place += 8
        if tag == ITEM:
            self._open(False, length, level.implicit or not names_vr(self.body, self.place + 4))
        elif tag == SEQUENCE_END:
            self._levels.pop()
        else:
            return False
        return True

    def _step_in_data_set(self, tag: int, length: int, level: _Level) -> bool:
        if tag == ITEM_END:
            if len(self._levels) == 1:
                raise NotDicom(f"a delimiter ends no sequence, at byte {self.place:,}")
            self._levels.pop()
            self.place += 8
            return True
        if len(self._levels) == 1 and self.stop(tag):
            return False
        vr = b""
        if not level.implicit and b"AA" <= self.body[self.place + 4 : self.place + 6] <= b"ZZ":
            vr = self.body[self.place + 4 : self.place + 6]
            if vr in LONG_VRS:
                if self.place + 12 > len(self.body):
                    return False
                (length,) = self._length.unpack_from(self.body, self.place + 8)
                self.place += 4
            else:
                (length,) = self._short.unpack_from(self.body, self.place + 6)
        self.place += 8
        if self._is_sequence(tag, vr, length):
            self._open(True, length, level.implicit)
            return True
        start = self.place
        found = self._skip(length)
        if tag == CHARACTER_SET:
            self.character_sets.append((start, min(self.place, len(self.body)) - start))
        if self.place - start > 2**16:
            _check_text(tag, min(self.place, len(self.body)) - start)
        return found

    def _is_sequence(self, tag: int, vr: bytes, length: int) -> bool:
        """True for SQ, and for what has no VR or UN and is one by dictionary or content."""
        if vr == b"SQ":
            return True
        if vr not in (b"", b"UN"):
            return False
        if vr and length == UNDEFINED_LENGTH:
            return True
        if self.body.startswith(self._item, self.place):
            return True
        return length == UNDEFINED_LENGTH and _is_known_sequence(tag)

    def _skip(self, length: int) -> bool:
        """Pass a value; False where its end is not in the file."""
        if length != UNDEFINED_LENGTH:
            self.place += length
            return True
        end = self.body.find(self._split(SEQUENCE_END), self.place)
        self.place = end + 8
        return end >= 0

    def _open(self, is_sequence: bool, length: int, implicit: bool) -> None:
        end = len(self.body)
        if length != UNDEFINED_LENGTH:
            end = min(end, self.place + length)
        self._levels.append(_Level(is_sequence, end, implicit))
        if len(self._levels) > 2 * MAX_DEPTH + 1:
            raise NestedTooDeep(
                f"sequences lie inside each other deeper than {MAX_DEPTH}, "
                f"at byte {self.place:,} of the header"
            )

    def _split(self, tag: int) -> bytes:
        return self._header.pack(tag >> 16, tag & 0xFFFF, 0)[:4]


def names_vr(body: bytes, place: int) -> bool:
    """True if two capital letters stand there; else the element has no VR."""
    vr = body[place : place + 2]
    return len(vr) == 2 and vr.isalpha() and vr.isupper()


def _is_known_sequence(tag: int) -> bool:
    return _known_vr(tag) == "SQ"


def _check_text(tag: int, length: int) -> None:
    most = MAX_TEXT.get(_known_vr(tag), length)
    if length > most:
        element = f"({tag >> 16:04X},{tag & 0xFFFF:04X})"
        raise TooLarge(f"the text {element} has {length:,} bytes; allowed are {most:,}")


def _known_vr(tag: int) -> str:
    try:
        return dictionary_VR(tag)
    except KeyError:
        return ""
