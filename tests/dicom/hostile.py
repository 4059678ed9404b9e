"""Files made to do harm, or broken in ways that harm: what each is, made by code."""

from __future__ import annotations

import struct
import zlib
from collections.abc import Callable, Iterator

from .builders import draw_pixels, make_file

EXPLICIT, IMPLICIT = "1.2.840.10008.1.2.1", "1.2.840.10008.1.2"
BIG_ENDIAN, DEFLATED = "1.2.840.10008.1.2.2", "1.2.840.10008.1.2.1.99"
JPEGLS, JPEG2000, RLE = (
    "1.2.840.10008.1.2.4.80",
    "1.2.840.10008.1.2.4.90",
    "1.2.840.10008.1.2.5",
)
SMALL = draw_pixels(12, rows=33, columns=21)
UNDEFINED = 0xFFFFFFFF
ITEM, ITEM_END, SEQUENCE_END = ((0xFFFE, end) for end in (0xE000, 0xE00D, 0xE0DD))
PLACE = (0x0008, 0x1115)
"""Where hostile elements go: Referenced Series Sequence, before all that is read."""


def element(
    tag: tuple[int, int], vr: str, value: bytes, length: int | None = None, order: str = "<"
) -> bytes:
    """Return an element; VR "" is implicit; ``length`` may lie."""
    length = len(value) if length is None else length
    if not vr:
        return struct.pack(f"{order}HHL", *tag, length) + value
    head = struct.pack(f"{order}HH", *tag) + vr.encode()
    if vr in ("OB", "OW", "SQ", "UN", "UT", "OF"):
        return head + struct.pack(f"{order}HL", 0, length) + value
    return head + struct.pack(f"{order}H", length & 0xFFFF) + value


def nest(depth: int, vr: str, undefined: bool) -> bytes:
    """Return sequences inside each other, ``depth`` of them."""
    inner = element((0x0008, 0x0104), "LO" if vr else "", b"innermost ")
    for _ in range(depth):
        if undefined:
            item = element(ITEM, "", inner, UNDEFINED) + element(ITEM_END, "", b"")
            end = element(SEQUENCE_END, "", b"")
            inner = element(PLACE, vr, item, UNDEFINED) + end
        else:
            inner = element(PLACE, vr, element(ITEM, "", inner))
    return inner


def plant(planted: bytes, syntax: str = EXPLICIT) -> bytes:
    """Return a sound mammogram with bytes before Rows' group, where group 0010 begins."""
    data = make_file(SMALL, syntax)
    order = ">" if syntax == BIG_ENDIAN else "<"
    start = data.index(struct.pack(f"{order}HH", 0x0010, 0x0010))
    return data[:start] + planted + data[start:]


def with_preamble(start: bytes, syntax: str = EXPLICIT) -> bytes:
    data = make_file(SMALL, syntax)
    return start.ljust(128, b"\0") + data[128:]


def portable_executable() -> bytes:
    """Return a preamble as a real program has it: MZ, and at 60 where PE is."""
    start = bytearray(b"MZ" + bytes(126))
    struct.pack_into("<L", start, 60, 1024)
    return with_preamble(bytes(start))


def deflate(body: bytes, level: int = 9) -> bytes:
    packer = zlib.compressobj(level, zlib.DEFLATED, -15)
    return packer.compress(body) + packer.flush()


def deflated_with(body: bytes) -> bytes:
    """Return a file whose deflated data set is ``body``, which is deflated already."""
    data = make_file(SMALL, DEFLATED)
    return data[: data.index(DEFLATED.encode()) + len(DEFLATED)] + body


def bomb(megabytes: int) -> bytes:
    packer = zlib.compressobj(9, zlib.DEFLATED, -15)
    packed = b"".join(packer.compress(bytes(2**20)) for _ in range(megabytes)) + packer.flush()
    return deflated_with(packed)


def big_endian_meta(syntax: str) -> bytes:
    """Return a file whose File Meta Information is in big endian, as old writers made it."""
    data = make_file(SMALL, syntax)
    swapped, place = bytearray(), 132
    while (tag := struct.unpack_from("<HH", data, place))[0] == 2:
        vr = data[place + 4 : place + 6].decode()
        long = vr in ("OB", "UN")
        (length,) = struct.unpack_from("<L" if long else "<H", data, place + (8 if long else 6))
        start = place + (12 if long else 8)
        value = data[start : start + length]
        swapped += element(tag, vr, value[::-1] if vr == "UL" else value, order=">")
        place = start + length
    return data[:132] + bytes(swapped) + data[place:]


def lying_meta_length(length: int) -> bytes:
    data = bytearray(make_file(SMALL))
    struct.pack_into("<L", data, 140, length)
    return bytes(data)


def with_pixels(items: list[bytes], syntax: str = JPEGLS, end: bool = True) -> bytes:
    """Return a file whose encapsulated Pixel Data has these items' bytes."""
    data = make_file(SMALL, syntax)
    start = data.index(b"\xe0\x7f\x10\0OB") + 12
    return data[:start] + b"".join(items) + (element(SEQUENCE_END, "", b"") if end else b"")


def resized(rows: int, columns: int, syntax: str = EXPLICIT) -> bytes:
    return make_file(SMALL, syntax, Rows=rows, Columns=columns)


def patched_stream(syntax: str, old: bytes, new: bytes) -> bytes:
    data = make_file(SMALL, syntax)
    start = data.index(b"\xe0\x7f\x10\0OB")
    assert old in data[start:]
    return data[:start] + data[start:].replace(old, new, 1)


def huge_jpeg2000() -> bytes:
    """Return a codestream whose SIZ segment names 65535 x 65535 pixels, in a header that agrees."""
    data = patched_stream(
        JPEG2000,
        struct.pack(">LL", SMALL.shape[1], SMALL.shape[0]),
        struct.pack(">LL", 65535, 65535),
    )
    return data.replace(
        element((0x28, 0x10), "US", struct.pack("<H", 33)),
        element((0x28, 0x10), "US", struct.pack("<H", 65535)),
    ).replace(
        element((0x28, 0x11), "US", struct.pack("<H", 21)),
        element((0x28, 0x11), "US", struct.pack("<H", 65535)),
    )


def _deep_cases() -> Iterator[tuple[str, str, Callable[[], bytes]]]:
    for syntax, vr in ((EXPLICIT, "SQ"), (EXPLICIT, "UN"), (IMPLICIT, "")):
        for undefined in (True, False):
            kind = f"{vr or 'implicit'} {'un' if undefined else ''}defined length"
            for depth, code in ((12, ""), (16, ""), (17, "NESTED_TOO_DEEP"),
                                (240, "NESTED_TOO_DEEP"), (900, "NESTED_TOO_DEEP"),
                                (2_000, "NESTED_TOO_DEEP")):  # fmt: skip
                if vr == "UN" and depth > 12:  # what is inside UN is implicit: made below
                    continue
                if not undefined and depth > 900:  # lengths make it slow to build
                    continue
                yield (
                    f"{depth} sequences deep, {kind}",
                    code,
                    lambda d=depth, v=vr, u=undefined, s=syntax: plant(nest(d, v, u), s),
                )


def _in_un(depth: int, undefined: bool) -> bytes:
    inner = nest(depth - 1, "", undefined)
    item = element(ITEM, "", inner)
    if undefined:
        return plant(
            element((0x0009, 0x1010), "UN", item, UNDEFINED) + element(SEQUENCE_END, "", b"")
        )
    return plant(element((0x0009, 0x1010), "UN", item))


_SQ = element(PLACE, "SQ", b"")
_SHORT_ITEM = element(ITEM, "", element((0x8, 0x104), "LO", b"ab"))

HOSTILE: list[tuple[str, str, Callable[[], bytes]]] = [
    *_deep_cases(),
    ("16 deep inside UN of undefined length", "", lambda: _in_un(16, True)),
    ("240 deep inside UN of undefined length", "NESTED_TOO_DEEP", lambda: _in_un(240, True)),
    ("240 deep inside UN of defined length", "NESTED_TOO_DEEP", lambda: _in_un(240, False)),
    ("240 deep in big endian", "NESTED_TOO_DEEP", lambda: plant(
        b"".join(
            element(PLACE, "SQ", b"", UNDEFINED, ">") + element(ITEM, "", b"", UNDEFINED, ">")
            for _ in range(240)), BIG_ENDIAN)),
    ("240 deep in File Meta Information", "NESTED_TOO_DEEP", lambda: (
        bytes(128) + b"DICM" + b"".join(
            element((0x2, 0x102), "SQ", b"", UNDEFINED) + element(ITEM, "", b"", UNDEFINED)
            for _ in range(240)))),
    ("240 deep in a deflated data set", "NESTED_TOO_DEEP", lambda: deflated_with(
        deflate(nest(240, "SQ", True)))),
    ("sequences opened 240 times and never closed", "NESTED_TOO_DEEP", lambda: plant(b"".join(
        element(PLACE, "SQ", b"", UNDEFINED) + element(ITEM, "", b"", UNDEFINED)
        for _ in range(240)))),
    # number of elements
    ("90,000 empty items in a sequence", "", lambda: plant(
        element(PLACE, "SQ", element(ITEM, "", b"") * 90_000))),
    ("110,000 empty items in a sequence", "TOO_LARGE", lambda: plant(
        element(PLACE, "SQ", element(ITEM, "", b"") * 110_000))),
    ("110,000 empty items, undefined length", "TOO_LARGE", lambda: plant(
        element(PLACE, "SQ", element(ITEM, "", b"") * 110_000, UNDEFINED))),
    ("110,000 elements", "TOO_LARGE", lambda: plant(b"".join(
        element((0x0009, number % 65536), "LO", b"") for number in range(110_000)))),
    ("70,000 fragments", "TOO_LARGE", lambda: with_pixels([element(ITEM, "", b"")] * 70_000)),
    # texts
    *((f"8 MB of backslashes in {name}", "TOO_LARGE", lambda t=tag, s=syntax, v=vr: _before_pixels(
        element(t, v, b"\\" * 2**23), s))
      for name, tag, syntax, vr in (
          ("Image Type", (0x8, 0x8), IMPLICIT, ""), ("Patient ID", (0x10, 0x20), IMPLICIT, ""),
          ("Window Center, as UT", (0x28, 0x1050), EXPLICIT, "UT"))),
    ("8 MB of backslashes in a code of a sequence", "TOO_LARGE", lambda: plant(
        element((0x54, 0x220), "", element(ITEM, "", element((0x8, 0x100), "", b"\\" * 2**23))),
        IMPLICIT)),
    ("60,000 values in Window Center", "", lambda: _before_pixels(
        element((0x28, 0x1050), "", b"\\" * 60_000), IMPLICIT)),
    ("2 MB of private text", "", lambda: _before_pixels(
        element((0x29, 0x1010), "UT", b"\\" * 2**21))),
    # executable preambles
    ("preamble of a Windows program", "EXECUTABLE_PREAMBLE", portable_executable),
    ("preamble MZ alone", "EXECUTABLE_PREAMBLE", lambda: with_preamble(b"MZ")),
    ("preamble of a Linux program", "EXECUTABLE_PREAMBLE", lambda: with_preamble(b"\x7fELF\2\1\1")),
    *((f"preamble of a Mach-O program {magic.hex()}", "EXECUTABLE_PREAMBLE",
       lambda m=magic: with_preamble(m))
      for magic in (b"\xfe\xed\xfa\xce", b"\xfe\xed\xfa\xcf", b"\xce\xfa\xed\xfe",
                    b"\xcf\xfa\xed\xfe", b"\xca\xfe\xba\xbe")),
    ("preamble of a script", "EXECUTABLE_PREAMBLE",
     lambda: with_preamble(b"#!/bin/sh\nrm -r ~\n")),
    ("preamble of a program, deflated", "EXECUTABLE_PREAMBLE",
     lambda: with_preamble(b"MZ", DEFLATED)),
    ("preamble of a TIFF file, little endian", "", lambda: with_preamble(b"II*\0\x08\0\0\0")),
    ("preamble of a TIFF file, big endian", "", lambda: with_preamble(b"MM\0*\0\0\0\x08")),
    ("preamble of spaces", "", lambda: with_preamble(b" " * 128)),
    ("a program and no DICM", "NOT_DICOM", lambda: b"MZ" + bytes(500)),
    # group lengths and where things begin
    ("no preamble and no prefix", "", lambda: make_file(SMALL)[132:]),
    ("no preamble", "", lambda: make_file(SMALL)[128:]),
    ("no File Meta Information", "", lambda: make_file(SMALL)[_data_set():]),
    ("no File Meta Information, big endian", "", lambda: _without_meta(BIG_ENDIAN)),
    ("no File Meta Information, implicit", "", lambda: _without_meta(IMPLICIT)),
    *((f"File Meta Information in big endian, {name}", "", lambda s=syntax: big_endian_meta(s))
      for name, syntax in (
          ("explicit", EXPLICIT), ("big endian", BIG_ENDIAN), ("JPEG-LS", JPEGLS))),
    ("meta group length 0", "", lambda: lying_meta_length(0)),
    ("meta group length beyond the file", "", lambda: lying_meta_length(0xFFFFFFF0)),
    ("group length of 0010 lies", "", lambda: plant(
        element((0x0010, 0), "UL", struct.pack("<L", 2**31)))),
    # lengths that lie
    ("an element longer than the file", "DICOM_TRUNCATED", lambda: plant(
        element((0x0009, 0x1001), "OB", b"ab", 2**31))),
    ("a text longer than the file", "DICOM_TRUNCATED", lambda: plant(
        element((0x0009, 0x1001), "UT", b"ab", 0xFFFFFFFE))),
    ("a sequence longer than the file", "DICOM_TRUNCATED", lambda: plant(
        element(PLACE, "SQ", _SHORT_ITEM, 2**30))),
    ("an item longer than its sequence", "", lambda: plant(
        element(PLACE, "SQ", element(ITEM, "", element((8, 0x104), "LO", b"ab"), 5000)))),
    ("an item longer than the file, undefined sequence", "DICOM_TRUNCATED", lambda: plant(
        element(PLACE, "SQ", element(ITEM, "", b"", 2**30), UNDEFINED))),
    ("an element longer than its item", "", lambda: plant(
        element(PLACE, "SQ", element(ITEM, "", element((8, 0x104), "LO", b"ab", 60_000))))),
    ("an item shorter than its elements", "", lambda: plant(
        element(PLACE, "SQ", element(ITEM, "", element((8, 0x104), "LO", b"ab"), 4)))),
    ("a sequence without items", "", lambda: plant(element(PLACE, "SQ", b"junkjunkjunk"))),
    ("undefined sequence without a delimiter", "DICOM_TRUNCATED", lambda: plant(
        element(PLACE, "SQ", b"", UNDEFINED))),
    ("UN of undefined length without a delimiter", "DICOM_TRUNCATED", lambda: plant(
        element((9, 0x1001), "UN", b"opaque bytes, no items", UNDEFINED))),
    ("OB of undefined length without a delimiter", "DICOM_TRUNCATED", lambda: plant(
        element((9, 0x1001), "OB", b"opaque bytes", UNDEFINED))),
    ("a delimiter where no sequence is open", "NOT_DICOM", lambda: plant(
        element(ITEM_END, "", b""))),
    ("Pixel Data states 4 GB", "DICOM_TRUNCATED", lambda: _pixel_length(0xFFFFFFFE)),
    ("Pixel Data states 2 bytes", "DICOM_TRUNCATED", lambda: _pixel_length(2)),
    ("Pixel Data of undefined length, native", "DICOM_TRUNCATED", lambda: _pixel_length(UNDEFINED)),
    # encapsulated pixel data
    ("no fragment", "DICOM_TRUNCATED", lambda: with_pixels([], end=False)),
    ("an empty offset table alone", "PIXELS_UNREADABLE", lambda: with_pixels(
        [element(ITEM, "", b"")])),
    ("a fragment beyond the file", "DICOM_TRUNCATED", lambda: with_pixels(
        [element(ITEM, "", b""), element(ITEM, "", b"\xff\xd8", 2**31)])),
    ("a fragment of undefined length", "DICOM_TRUNCATED", lambda: with_pixels(
        [element(ITEM, "", b""), element(ITEM, "", b"\xff\xd8", UNDEFINED)])),
    ("an offset table of nonsense", "", lambda: _offset_table()),
    # sizes
    ("65,535 x 65,535 pixels, native", "TOO_LARGE", lambda: resized(65535, 65535)),
    ("65,535 x 65,535 pixels, RLE", "TOO_LARGE", lambda: resized(65535, 65535, RLE)),
    ("65,535 x 65,535 pixels, JPEG 2000 agrees", "TOO_LARGE", huge_jpeg2000),
    ("8,192 x 8,192 pixels stated, 33 x 21 there", "DICOM_TRUNCATED", lambda: resized(8192, 8192)),
    ("8,192 x 8,192 pixels stated, RLE of 33 x 21", "PIXELS_UNREADABLE",
     lambda: resized(8192, 8192, RLE)),
    ("8,192 x 8,192 pixels stated, JPEG-LS of 33 x 21", "PIXELS_UNREADABLE",
     lambda: resized(8192, 8192, JPEGLS)),
    # deflate
    ("a deflate bomb of 210 MB", "TOO_LARGE", lambda: bomb(210)),
    ("a deflate bomb of 60 MB, 1,000 times", "TOO_LARGE", lambda: bomb(60)),
    ("a deflated data set cut short", "DICOM_TRUNCATED", lambda: make_file(SMALL, DEFLATED)[:-30]),
    ("a deflated data set of noise", "NOT_DICOM", lambda: deflated_with(b"\xff" * 400)),
    ("nothing deflated", "DICOM_TRUNCATED", lambda: deflated_with(b"")),
    ("bytes after the deflated data set", "", lambda: make_file(SMALL, DEFLATED) + b"junk" * 9),
    # names that are paths
    ("a UID that is a path", "", lambda: make_file(SMALL, SOPInstanceUID="../../../../etc/passwd")),
    ("a study UID that is a path", "", lambda: make_file(SMALL, StudyInstanceUID="/etc/shadow")),
    ("a patient ID that is a path", "", lambda: make_file(SMALL, PatientID="..\\..\\x")),
    ("a transfer syntax that is a path", "UNSUPPORTED_SYNTAX", lambda: make_file(SMALL).replace(
        element((2, 0x10), "UI", EXPLICIT.encode() + b"\0"),
        element((2, 0x10), "UI", b"../../../../etc/passwd"))),
]  # fmt: skip
"""Name, expected code ("" is: read), and the file."""


def _data_set(syntax: str = EXPLICIT) -> int:
    order = ">" if syntax == BIG_ENDIAN else "<"
    return make_file(SMALL, syntax).index(struct.pack(f"{order}HH", 0x0008, 0x0016))


def _before_pixels(planted: bytes, syntax: str = EXPLICIT) -> bytes:
    """Return a mammogram with an element after all others, where it replaces its namesake."""
    data = make_file(SMALL, syntax)
    start = data.rindex(b"\xe0\x7f\x10\0")
    return data[:start] + planted + data[start:]


def _without_meta(syntax: str) -> bytes:
    return make_file(SMALL, syntax)[_data_set(syntax) :]


def _pixel_length(length: int) -> bytes:
    data = bytearray(make_file(SMALL))
    struct.pack_into("<L", data, data.index(b"\xe0\x7f\x10\0OW") + 8, length)
    return bytes(data)


def _offset_table() -> bytes:
    data = make_file(SMALL, JPEGLS)
    start = data.index(b"\xe0\x7f\x10\0OB") + 12
    (length,) = struct.unpack_from("<L", data, start + 4)
    table = element(ITEM, "", b"\xff" * 40)
    return data[:start] + table + data[start + 8 + length :]
