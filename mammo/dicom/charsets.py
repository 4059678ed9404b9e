"""Specific Character Set (0008,0005): from its defined terms to text (PS3.3 C.12.1.1.2).

A character set that is named wrongly or not at all is common, and no reason to
refuse an image: what is meant is guessed, and the file gets the quality code
CHARSET_INVALID. pydicom's own conversion would warn, and quote the element.
"""

from __future__ import annotations

import re
import struct
from collections.abc import Iterator, Sequence
from dataclasses import dataclass

from pydicom.charset import CODES_TO_ENCODINGS, python_encoding

ESCAPE = b"\x1b"
DEFINED = {
    name: "ascii" if name in ("", "ISO_IR 6", "ISO 2022 IR 6") else encoding
    for name, encoding in python_encoding.items()
}
"""Defined term -> Python's name; pydicom reads the default repertoire as Latin-1."""
MISSPELLED = {"UTF-8": "utf-8", "UTF8": "utf-8", "UTF 8": "utf-8", "LATIN1": "latin-1"}
HEADER_BYTES = 2**18
"""How far character sets are looked for; the header's large values come behind."""
LONGEST_VALUE = 1024
UNSPOKEN = b"l1"
"""Python's, not DICOM's name of Latin-1: pydicom takes it without a word."""
STATEFUL = ("iso2022_jp", "iso2022_jp_2")
"""Encodings that read the escape sequences themselves."""
_FRAGMENTS = re.compile(rb"^[^\x1b]+|\x1b[^\x1b]*")
_DELIMITER = re.compile(rb"[\\^=\r\n\f\t]")
"""Where the first character set begins anew (PS3.5 6.1.2.5.3)."""


@dataclass(frozen=True, slots=True)
class Charset:
    """Python names of the character sets of a data set, and whether all terms are defined."""

    encodings: tuple[str, ...] = ("ascii",)
    valid: bool = True

    def decode(self, raw: bytes) -> tuple[str, bool]:
        """Return the text, and whether it was written in these character sets.

        What does not decode is read as UTF-8 or else as Latin-1, which never fails.
        """
        if raw.isascii() and ESCAPE not in raw:
            return raw.decode("ascii"), True
        try:
            if ESCAPE in raw:
                fragments = _FRAGMENTS.findall(raw)
                return "".join(_decode_fragment(one, self.encodings[0]) for one in fragments), True
            return raw.decode(self.encodings[0]), True
        except (LookupError, ValueError):
            return _guess(raw), False


def find_charset(terms: Sequence[str]) -> Charset:
    """Return the character sets of the values of Specific Character Set."""
    found = [_find_encoding(term) for term in terms or ("",)]
    encodings = tuple(encoding for encoding, _ in found if encoding)
    return Charset(encodings or ("ascii",), all(valid for _, valid in found))


def hide_unknown_terms(
    body: bytes, start: int, implicit: bool, little: bool, known: Sequence[tuple[int, int]] = ()
) -> bytes:
    """Return the bytes of a data set with unknown character sets overwritten.

    pydicom looks the terms up while it parses, also in items, and warns and logs
    those that it does not know: they may be anybody's name. What stands there
    afterwards is no defined term either, but no reason for it to speak. The
    bytes are copied only where something is found. ``known`` are place and length
    of the elements that were met (a wrong length may swallow what follows); what
    only looks like one is overwritten where it is text.
    """
    changed = bytearray()
    met = set(known)
    for place, length in (*known, *_list_values(body, start, implicit, little)):
        value = body[place : place + length]
        if _is_unknown(value) and ((place, length) in met or _is_text(value)):
            changed = changed or bytearray(body)
            changed[place : place + length] = UNSPOKEN.ljust(length)
    return bytes(changed) if changed else body


def _list_values(
    body: bytes, start: int, implicit: bool, little: bool
) -> Iterator[tuple[int, int]]:
    """Yield place and length of every value of Specific Character Set, in items too."""
    order = "<" if little else ">"
    tag, limit = struct.pack(f"{order}HH", 0x0008, 0x0005), min(start + HEADER_BYTES, len(body))
    while 0 <= (start := body.find(tag, start, limit)) <= len(body) - 8:
        vr, short = struct.unpack_from(f"{order}2sH", body, start + 4)
        (long,) = struct.unpack_from(f"{order}L", body, start + 4)
        length = long if implicit else short
        start += 8
        if (implicit or vr == b"CS") and 2 <= length <= min(LONGEST_VALUE, len(body) - start):
            yield start, length


def _is_unknown(value: bytes) -> bool:
    """True where a term means no character set."""
    terms = value.decode("latin-1").rstrip("\0 ").split("\\")
    return not all(_find_encoding(term.strip())[0] for term in terms)


def _is_text(value: bytes) -> bool:
    return all(byte >= 0x20 for byte in value.rstrip(b"\0"))


def _find_encoding(term: str) -> tuple[str, bool]:
    """Return Python's name of a term, empty for none, and whether the term is defined."""
    if term in DEFINED:
        return DEFINED[term], True
    spaced = re.sub(r"[ _-]+", " ", term.upper()).strip()
    meant = DEFINED.get(spaced.replace("ISO IR", "ISO_IR", 1), "") or MISSPELLED.get(spaced, "")
    return meant, False


def _decode_fragment(raw: bytes, first: str) -> str:
    """Decode what follows one escape sequence (PS3.5 6.1.2.5); ``first`` is value 1's encoding.

    Raises
    ------
    ValueError
        The sequence is none of DICOM's, or the bytes are not in its character set.
    """
    if not raw.startswith(ESCAPE):
        return raw.decode(first)
    escape = raw[: 4 if raw[1:3] in (b"$(", b"$)") else 3]
    if escape not in CODES_TO_ENCODINGS:
        raise ValueError("unknown escape sequence")
    encoding = CODES_TO_ENCODINGS[escape]
    if encoding in STATEFUL:
        return raw.decode(encoding)
    text = raw[len(escape) :]
    end = _DELIMITER.search(text)
    split = end.start() if end else len(text)
    return text[:split].decode(encoding) + text[split:].decode(first)


def _guess(raw: bytes) -> str:
    try:
        return raw.decode("utf-8")
    except UnicodeDecodeError:
        return raw.decode("latin-1")
