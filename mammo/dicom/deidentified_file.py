"""A whole file, de-identified: new File Meta Information, clean header, the same pixels.

Transfer syntax and coded pixels stay as they are; only texts inside a codestream
are blanked. Native pixels are cut to the image, and bits outside of Bits Stored,
where old files keep overlays, are cleared. What follows Pixel Data (padding,
signatures, private groups) goes, and so do the Basic Offset Table and the
preamble, which may hold anything (PS3.10 section 7.1).
"""

from __future__ import annotations

import struct
import zlib

import numpy as np
from pydicom._uid_dict import UID_dictionary
from pydicom.dataset import FileMetaDataset
from pydicom.filebase import DicomBytesIO
from pydicom.filewriter import write_dataset, write_file_meta_info
from pydicom.uid import (
    UID,
    DeflatedExplicitVRLittleEndian,
    DigitalMammographyXRayImageStorageForPresentation,
    ImplicitVRLittleEndian,
    RLELossless,
)

from mammo.dicom.codestream_comments import blank_comments, blank_rle_header
from mammo.dicom.deidentify import deidentify_header, keyed_uid
from mammo.dicom.file import ITEM, PIXEL_DATA, SEQUENCE_END, DicomFile, parse_file
from mammo.dicom.header import PixelLayout, read_header
from mammo.dicom.nesting import UNDEFINED_LENGTH
from mammo.dicom.tags import Tags
from mammo.errors import DicomTruncated, PixelsUnreadable

IMPLEMENTATION_UID = "2.25.227146512375094237458221837465912384756"
"""Implementation Class UID (0002,0012) of files written here."""
IMPLEMENTATION_NAME = "MAMMO"
EMPTY_OFFSET_TABLE = b"\xfe\xff\x00\xe0" + bytes(4)


def deidentify_file(data: bytes, key: bytes, max_bytes: int) -> bytes:
    """Return a DICOM file without anybody's identity in its header.

    Raises
    ------
    EmptyFile, TooLarge, NotDicom, DicomTruncated
        See :func:`mammo.dicom.file.parse_file`; whether it is a mammogram is not
        asked here (:func:`mammo.dicom.read.read_file` does).
    PixelsUnreadable
        The header does not say where native pixels end.
    """
    return write_deidentified(parse_file(data, max_bytes), key)


def write_deidentified(file: DicomFile, key: bytes) -> bytes:
    """Return a parsed file as the bytes of a de-identified one; see `deidentify_file`."""
    header = deidentify_header(file, key)
    body = DicomBytesIO()
    body.is_implicit_VR = file.syntax == ImplicitVRLittleEndian
    body.is_little_endian = file.little_endian
    write_dataset(body, header)
    content = body.getvalue() + _write_pixels(file, implicit=body.is_implicit_VR)
    if file.syntax == DeflatedExplicitVRLittleEndian:
        packer = zlib.compressobj(wbits=-zlib.MAX_WBITS)
        content = packer.compress(content) + packer.flush()
        content += bytes(len(content) % 2)
    instance = Tags(file.dataset).text("SOPInstanceUID")
    meta = _make_meta(file, header.get("SOPClassUID", ""), keyed_uid(key, instance))
    start = DicomBytesIO()
    write_file_meta_info(start, meta)
    return bytes(128) + b"DICM" + start.getvalue() + content


def _make_meta(file: DicomFile, sop_class: str, instance: str) -> FileMetaDataset:
    """Return File Meta Information (PS3.10 table 7.1-1) that names no application entity."""
    meta = FileMetaDataset()
    meta.FileMetaInformationVersion = b"\0\1"
    meta.MediaStorageSOPClassUID = UID(sop_class or _registered(file.media_class))
    meta.MediaStorageSOPInstanceUID = UID(instance)
    meta.TransferSyntaxUID = UID(file.syntax)
    meta.ImplementationClassUID = UID(IMPLEMENTATION_UID)
    meta.ImplementationVersionName = IMPLEMENTATION_NAME
    return meta


def _registered(uid: str) -> str:
    """Return a class that PS3.6 knows; of a mammogram without one it is taken to be MG's."""
    return uid if uid in UID_dictionary else DigitalMammographyXRayImageStorageForPresentation


def _write_pixels(file: DicomFile, *, implicit: bool) -> bytes:
    """Return the element Pixel Data with the value that it has in the file."""
    if file.pixel_start is None:  # what was cut off may have told whose words must go
        raise DicomTruncated("the file has no Pixel Data (7FE0,0010), or ends before it")
    order, place = "<" if file.little_endian else ">", file.pixel_start + 4
    vr = b"OW"
    if not file.implicit:
        vr, place = bytes(file.body[place : place + 2]), place + 4
    if place + 4 > len(file.body):
        raise DicomTruncated("the file ends inside the header of Pixel Data (7FE0,0010)")
    (length,) = struct.unpack_from(f"{order}L", file.body, place)
    start = place + 4
    end = _end_of_fragments(file.body, start) if length == UNDEFINED_LENGTH else start + length
    there = len(file.body) - start
    if end - start > there:
        raise DicomTruncated(
            f"Pixel Data (7FE0,0010) states {length:,} bytes, and {there:,} are there"
        )
    value = bytearray(memoryview(file.body)[start:end])
    if length == UNDEFINED_LENGTH:
        value = _clean_fragments(value, rle=file.syntax == RLELossless)
    else:
        value = _clean_native(value, file)
        length = len(value)
    tag = struct.pack(f"{order}HH", PIXEL_DATA >> 16, PIXEL_DATA & 0xFFFF)
    stated = b"" if implicit else (vr if vr in (b"OB", b"OW") else b"OW") + b"\0\0"
    return tag + stated + struct.pack(f"{order}L", length) + bytes(value)


def _clean_native(value: bytearray, file: DicomFile) -> bytearray:
    """Return native pixels without what follows the image or lies outside of Bits Stored."""
    layout, tags = read_header(file).layout, Tags(file.dataset, file.little_endian)
    frames = max(int(tags.number("NumberOfFrames") or 1), 1)
    size = layout.native_bytes * max(layout.samples, 1) * frames
    if not size or layout.bits_allocated % 8:
        raise PixelsUnreadable("Rows, Columns and Bits Allocated do not say where the image ends")
    value = value[: size + size % 2]
    value += bytes(len(value) % 2)
    return _clear_unused_bits(value, layout, "<" if file.little_endian else ">")


def _clear_unused_bits(value: bytearray, layout: PixelLayout, order: str) -> bytearray:
    """Clear the bits around Bits Stored (PS3.5 section 8.1.1); the sign is repeated above.

    A sign is repeated only up from High Bit = Bits Stored - 1, as writers do.
    """
    stored, shift = layout.bits_stored, layout.high_bit + 1 - layout.bits_stored
    spare = layout.bits_allocated - stored
    if layout.bits_allocated not in (8, 16) or not (stored and 0 <= shift <= spare and spare):
        return value
    words = np.frombuffer(value, f"{order}u{layout.sample_bytes}")
    kept = words & words.dtype.type((2**stored - 1) << shift)
    if layout.signed and not shift:
        # shifted to the top, then back arithmetically
        raised = (kept << words.dtype.type(spare)).astype(f"{order}u{layout.sample_bytes}")
        signed = raised.view(f"{order}i{layout.sample_bytes}")
        kept = signed >> signed.dtype.type(spare)
    return bytearray(kept.astype(f"{order}{kept.dtype.kind}{layout.sample_bytes}").tobytes())


def _end_of_fragments(body: bytes, place: int) -> int:
    """Return where the Sequence Delimitation Item ends (PS3.5 annex A.4)."""
    while place + 8 <= len(body):
        group, element, length = struct.unpack_from("<HHL", body, place)
        place += 8
        if (group, element) == SEQUENCE_END:
            return place
        if (group, element) != ITEM:
            break
        place += length
    raise DicomTruncated("Pixel Data (7FE0,0010) ends before its Sequence Delimitation Item")


def _clean_fragments(value: bytearray, *, rle: bool) -> bytearray:
    """Return the items with an empty offset table and without texts in the codestream.

    The codestream may be cut into several fragments.
    """
    places, place = [], 0
    while place + 8 <= len(value):
        (length,) = struct.unpack_from("<L", value, place + 4)
        places.append((place + 8, place + 8 + length))
        place += 8 + length
    fragments = places[1:-1]  # without Basic Offset Table and delimiter
    codestream = bytearray().join(value[start:end] for start, end in fragments)
    (blank_rle_header if rle else blank_comments)(codestream)
    place = 0
    for start, end in fragments:
        value[start:end] = codestream[place : place + end - start]
        place += end - start
    return bytearray(EMPTY_OFFSET_TABLE) + value[places[0][1] :]
