"""Mutations that know DICOM: elements, lengths, markers; the rest of the file stays sound."""

from __future__ import annotations

import random
import struct
import zlib
from collections.abc import Callable
from functools import lru_cache

from mammo.dicom.header import CODECS

from .seeds import read_seeds

DEFLATED = b"1.2.840.10008.1.2.1.99"
PIXELS = (b"\xe0\x7f\x10\x00", b"\x7f\xe0\x00\x10")
INTERESTING = (0, 1, 2, 3, 7, 8, 12, 16, 17, 24, 40, 255, 256, 4095, 32767, 32768, 65535)
INTERESTING_LONG = (*INTERESTING, 2**24, 2**31 - 1, 2**31, 0xFFFFFFFE, 0xFFFFFFFF)
WORD_TAGS = (0x0002, 0x0010, 0x0011, 0x0100, 0x0101, 0x0102, 0x0103, 0x0120, 0x3002)
"""Of group 0028: samples, rows, columns, the bits, the sign, padding, LUT descriptor."""
TEXTS = (b"MONOCHROME1", b"MONOCHROME2", b"RGB", b"MG", b"CT", b"FOR PROCESSING", b"L", b"R", b"B",
         b"CC", b"MLO", b"SIGMOID", b"LINEAR_EXACT", b"1e400", b"nan", b"-0", b"1\\2\\3",
         b"ISO 2022 IR 87", b"ISO_IR 999", b"\x1b$B", b"\\" * 50, b"INVERSE")  # fmt: skip
MARKERS = (0xC0, 0xC1, 0xC3, 0xC4, 0xD8, 0xD9, 0xDA, 0xDB, 0xDD, 0xF7, 0xF8, 0x4F, 0x51, 0x52, 0x53,
           0x5C, 0x90, 0x93)  # fmt: skip
HEAD_OF_STREAM = 180
"""Bytes of a codestream in which its markers are."""


@lru_cache(maxsize=256)
def find_elements(data: bytes) -> tuple[tuple[int, int, int], ...]:
    """Return start, value and end of each top-level element, as far as they make sense."""
    if data[128:132] != b"DICM":
        return ()
    found, place, order = [], 132, "<"
    while place + 12 <= len(data) and len(found) < 400:
        (group,) = struct.unpack_from(f"{order}H", data, place)
        if data[place : place + 4] in PIXELS:
            found.append((place, place + 8, len(data)))
            break
        if group == 0x0800:
            order = ">"
        vr = data[place + 4 : place + 6]
        if not vr.isalpha():
            value, (length,) = place + 8, struct.unpack_from(f"{order}L", data, place + 4)
        elif vr in (b"OB", b"OW", b"SQ", b"UN", b"UT"):
            value, (length,) = place + 12, struct.unpack_from(f"{order}L", data, place + 8)
        else:
            value, (length,) = place + 8, struct.unpack_from(f"{order}H", data, place + 6)
        end = value + length
        if end > len(data):
            break
        found.append((place, value, end))
        place = end
    return tuple(found)


def mutate(data: bytes, rng: random.Random) -> bytes:
    """Return a file with one to four things wrong."""
    if DEFLATED in data[:400] and rng.random() < 0.8:
        return _mutate_deflated(data, rng)
    for _ in range(rng.choice((1, 1, 1, 2, 2, 3, 4))):
        data = rng.choice(MUTATIONS)(data, rng)
    return data


def mutate_stream(stream: bytes, rng: random.Random) -> bytes:
    """Return a codestream with one to four things wrong."""
    for _ in range(rng.choice((1, 1, 1, 2, 2, 3, 4))):
        stream = rng.choice(STREAM_MUTATIONS)(stream, rng)
    return stream


def _mutate_deflated(data: bytes, rng: random.Random) -> bytes:
    start = data.index(DEFLATED) + len(DEFLATED)
    try:
        body = zlib.decompressobj(-15).decompress(data[start:], 2**20)
    except zlib.error:
        return _bytes(data, rng)
    packer = zlib.compressobj(1, zlib.DEFLATED, -15)
    # a prefix makes the inflated body look like a file, for find_elements
    body = mutate(bytes(128) + b"DICM" + body, rng)[132:]
    return data[:start] + packer.compress(body) + packer.flush()


def _bytes(data: bytes, rng: random.Random, start: int = 0, end: int | None = None) -> bytes:
    end = len(data) if end is None else min(end, len(data))
    if end <= start:
        return data
    changed = bytearray(data)
    for _ in range(rng.choice((1, 1, 2, 4, 8))):
        place = rng.randrange(start, end)
        changed[place] = rng.choice(
            (0, 0xFF, 0x7F, 0x80, changed[place] ^ 1 << rng.randrange(8), rng.randrange(256))
        )
    return bytes(changed)


def _cut(data: bytes, rng: random.Random) -> bytes:
    return data[: rng.randrange(len(data) + 1)]


def _remove_or_repeat(data: bytes, rng: random.Random) -> bytes:
    if len(data) < 2:
        return data
    start = rng.randrange(len(data))
    piece = data[start : start + rng.choice((1, 2, 4, 8, 16, 64, 200))]
    if rng.random() < 0.5:
        return data[:start] + data[start + len(piece) :]
    return data[:start] + piece * rng.choice((2, 3, 20)) + data[start + len(piece) :]


def _insert(data: bytes, rng: random.Random) -> bytes:
    place = rng.randrange(len(data) + 1)
    return data[:place] + rng.randbytes(rng.choice((1, 2, 4, 8, 30))) + data[place:]


def _element(data: bytes, rng: random.Random) -> tuple[int, int, int]:
    elements = find_elements(data)
    return rng.choice(elements) if elements else (0, 0, len(data))


def _length(data: bytes, rng: random.Random) -> bytes:
    """Give an element another length."""
    start, value, _ = _element(data, rng)
    if value - start == 12 or not data[start + 4 : start + 6].isalpha():
        place, size, number = value - 4, 4, rng.choice(INTERESTING_LONG)
    else:
        place, size, number = value - 2, 2, rng.choice(INTERESTING)
    if place < 0:
        return data
    return (
        data[:place] + number.to_bytes(size, rng.choice(("little", "big"))) + data[place + size :]
    )


def _representation(data: bytes, rng: random.Random) -> bytes:
    start, _, _ = _element(data, rng)
    vr = rng.choice((b"SQ", b"UN", b"OB", b"UT", b"US", b"LO", b"\0\0", b"ZZ", b"aa"))
    return data[: start + 4] + vr + data[start + 6 :]


def _drop_element(data: bytes, rng: random.Random) -> bytes:
    start, _, end = _element(data, rng)
    return data[:start] + data[end:]


def _move_element(data: bytes, rng: random.Random) -> bytes:
    start, _, end = _element(data, rng)
    place, _, _ = _element(data, rng)
    return data[:place] + data[start:end] + data[place:]


def _borrow_element(data: bytes, rng: random.Random) -> bytes:
    """Put an element of another seed into this file."""
    other = rng.choice(read_seeds())[1]
    start, _, end = _element(other, rng)
    place, _, _ = _element(data, rng)
    return data[:place] + other[start:end] + data[place:]


def _value(data: bytes, rng: random.Random) -> bytes:
    """Give an element's value other bytes of the same length."""
    _, value, end = _element(data, rng)
    text = rng.choice(TEXTS)
    new = rng.randbytes(end - value) if rng.random() < 0.3 else text.ljust(end - value)
    return data[:value] + new[: end - value] + data[end:]


def _word(data: bytes, rng: random.Random) -> bytes:
    """Change a number of the Image Pixel module."""
    tag = rng.choice(WORD_TAGS)
    for order in "<>":
        place = data.find(struct.pack(f"{order}HH", 0x0028, tag), 132)
        if place >= 0:
            number = struct.pack(f"{order}H", rng.choice(INTERESTING))
            return data[: place + 8] + number + data[place + 10 :]
    return data


def _syntax(data: bytes, rng: random.Random) -> bytes:
    """Name another transfer syntax of the same length, where there is one."""
    start = data.find(b"1.2.840.10008.1.2", 132, 600)
    for other in rng.sample(sorted(CODECS), len(CODECS)):
        padded = other.encode() + b"\0" * (len(other) % 2)
        if data[start + len(padded) : start + len(padded) + 1] in (b"\x02", b"\x08", b"\0"):
            return data[:start] + padded + data[start + len(padded) :]
    return data


def _in_stream(data: bytes, rng: random.Random) -> bytes:
    """Mutate what Pixel Data holds."""
    start = max(data.rfind(pixels) for pixels in PIXELS)
    if start < 0:
        return _bytes(data, rng)
    head = min(len(data), start + 28)  # element, offset table and item
    return data[:head] + rng.choice(STREAM_MUTATIONS)(data[head:], rng)


def _bytes_in_head(data: bytes, rng: random.Random) -> bytes:
    return _bytes(data, rng, 0, HEAD_OF_STREAM)


def _marker(data: bytes, rng: random.Random) -> bytes:
    """Put a marker, with a length after it, near the beginning."""
    place = rng.randrange(min(len(data), HEAD_OF_STREAM) + 1)
    marker = bytes((0xFF, rng.choice(MARKERS)))
    if rng.random() < 0.5:
        marker += struct.pack(">H", rng.choice(INTERESTING))
    kept = place + len(marker) * rng.randrange(2)
    return data[:place] + marker + data[kept:]


def _number(data: bytes, rng: random.Random) -> bytes:
    """Put an interesting number near the beginning."""
    size = rng.choice((1, 2, 4))
    place = rng.randrange(max(1, min(len(data), HEAD_OF_STREAM) - size))
    number = rng.choice(INTERESTING_LONG) % 256**size
    return (
        data[:place] + number.to_bytes(size, rng.choice(("big", "little"))) + data[place + size :]
    )


Mutation = Callable[[bytes, random.Random], bytes]
STREAM_MUTATIONS: tuple[Mutation, ...] = (
    *(_bytes, _bytes_in_head, _bytes_in_head, _marker, _number, _number),
    *(_remove_or_repeat, _insert, _cut),
)
MUTATIONS: tuple[Mutation, ...] = (
    *(_bytes, _cut, _remove_or_repeat, _insert, _length, _length, _representation),
    *(_drop_element, _move_element, _borrow_element, _value, _value, _word, _word, _syntax),
    *(_in_stream, _in_stream, _in_stream, _in_stream),
)
