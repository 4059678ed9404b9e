"""Where a DICOM file begins, and what else a file may begin like (PS3.10 section 7.1)."""

from __future__ import annotations

import struct

from mammo.dicom.nesting import names_vr
from mammo.errors import ExecutablePreamble, NotDicom

PREAMBLE_END = 132
"""Bytes of the preamble and of the prefix DICM."""
PROGRAMS = {
    b"MZ": "a Windows program",
    b"\x7fELF": "a Linux program",
    b"\xfe\xed\xfa\xce": "a macOS program",
    b"\xfe\xed\xfa\xcf": "a macOS program",
    b"\xce\xfa\xed\xfe": "a macOS program",
    b"\xcf\xfa\xed\xfe": "a macOS program",
    b"\xca\xfe\xba\xbe": "a macOS or Java program",
    b"\xbe\xba\xfe\xca": "a macOS program",
    b"#!": "a script",
}
OTHER_FORMATS = {
    b"\x89PNG": "a PNG picture",
    b"\xff\xd8\xff": "a JPEG picture",
    b"\xff\x4f\xff\x51": "a JPEG 2000 codestream",
    b"GIF8": "a GIF picture",
    b"BM": "a BMP picture",
    b"II*\0": "a TIFF picture",
    b"MM\0*": "a TIFF picture",
    b"%PDF": "a PDF document",
    b"PK\x03\x04": "a ZIP archive",
    b"\x1f\x8b": "a gzip archive",
    b"\x93NUMPY": "a NumPy array",
    **PROGRAMS,
}


def find_start(data: bytes) -> int:
    """Return where the first element is: after the prefix DICM, or at the beginning.

    Raises
    ------
    ExecutablePreamble
        The preamble begins a program; allowed are zeros, a TIFF header (files of
        dual personality) and whatever else no system runs.
    NotDicom
    """
    if data[128:132] == b"DICM":
        if program := _begins_like(data, PROGRAMS):
            raise ExecutablePreamble(
                f"the 128 bytes before DICM begin {program}; allowed are zeros or a TIFF header"
            )
        return PREAMBLE_END
    if data[:4] == b"DICM":  # the preamble was cut off, the prefix was not
        return 4
    if _is_plausible(data):
        return 0
    found = _begins_like(data, OTHER_FORMATS)
    looks = f"; it looks like {found}" if found else ""
    raise NotDicom(f"the file has no DICM prefix and does not begin with a DICOM element{looks}")


def _begins_like(data: bytes, formats: dict[bytes, str]) -> str:
    return next((name for magic, name in formats.items() if data.startswith(magic)), "")


def _is_plausible(data: bytes) -> bool:
    """True if the bytes begin with a likely first element: group 0002 or 0008."""
    if len(data) < 16:
        return False
    if data[:2] in (b"\0\x02", b"\0\x08") and names_vr(data, 4):  # big endian
        return data[2:4] <= b"\x01\0"
    group, element, implicit_length = struct.unpack_from("<HHL", data)
    if group not in (0x0002, 0x0008) or element > 0x0100:
        return False
    return data[4:6] in (b"UL", b"OB", b"UI", b"CS", b"LO", b"DA", b"SH") or implicit_length <= 1024
