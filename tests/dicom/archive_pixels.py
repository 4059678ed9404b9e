"""Edge cases of encoding: transfer syntaxes, bits, signs, precision."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from functools import cache, partial

import cv2
import imagecodecs
import numpy as np
from pydicom.encaps import encapsulate, get_frame
from pydicom.uid import UID

from mammo.dicom.header import CODECS

from .archive_cases import Case, exact, near
from .builders import ENCODERS, draw_pixels, make_dataset, make_file, to_bytes

EXPLICIT, JPEG_LS, JPEG_2000 = (
    "1.2.840.10008.1.2.1",
    "1.2.840.10008.1.2.4.80",
    "1.2.840.10008.1.2.4.90",
)
HTJ2K, RLE = "1.2.840.10008.1.2.4.201", "1.2.840.10008.1.2.5"
JPEG_LOSSLESS = "1.2.840.10008.1.2.4.70"
BASELINE, EXTENDED = "1.2.840.10008.1.2.4.50", "1.2.840.10008.1.2.4.51"
NEAR_LOSSLESS, LOSSY_2000 = "1.2.840.10008.1.2.4.81", "1.2.840.10008.1.2.4.91"
SYNTAX, BITS = "transfer syntax", "bits"
OTHER_SYNTAXES = {
    "1.2.840.10008.1.2.4.94": "JPIP Referenced",
    "1.2.840.10008.1.2.4.100": "MPEG-2",
    "1.2.840.10008.1.2.4.102": "MPEG-4",
    "1.2.840.10008.1.2.4.107": "HEVC",
    "1.2.840.10008.1.2.4.110": "JPEG XL Lossless",
    "1.2.840.113619.5.2": "GE Private (implicit VR, big endian pixels)",
}
CODED_AS_16 = (JPEG_LS, HTJ2K, "1.2.840.10008.1.2.4.202", "1.2.840.10008.1.2.4.203")
"""The encoders at hand write 8 or 16 bits: 12 are then a mismatch."""


def outcome(syntax: str, bits: int, *, signed: bool = False) -> str:
    """Return the expected outcome of a lossless frame."""
    unsigned_stream = signed and syntax == JPEG_2000
    odd = unsigned_stream or (syntax in CODED_AS_16 and bits == 12)
    return f"L CC{' PRECISION_MISMATCH' * odd}; exact"


@cache
def smooth(bits: int) -> np.ndarray:
    """Return a soft image, as lossy codecs are made for."""
    noise = np.random.default_rng(1).normal(0, 1, (40, 24))
    soft = cv2.GaussianBlur(noise, (0, 0), 5)
    levels = (soft - soft.min()) / (soft.max() - soft.min()) * (2**bits - 1)
    return levels.astype(np.uint16 if bits > 8 else np.uint8)


def compressed(pixels: np.ndarray, syntax: str, bits: int, stream: bytes) -> bytes:
    """Return a mammogram whose frame is this codestream."""
    dataset = make_dataset(pixels, syntax, bits)
    dataset.PixelData = encapsulate([stream])
    dataset["PixelData"].VR, dataset["PixelData"].is_undefined_length = "OB", True
    return to_bytes(dataset)


def _lossless_syntaxes() -> Iterator[Case]:
    sources = {"1.2.840.10008.1.2.4.202": HTJ2K, "1.2.840.10008.1.2.4.203": HTJ2K}
    for syntax in CODECS:
        if syntax in (BASELINE, EXTENDED, NEAR_LOSSLESS):
            continue
        encoder = {**sources, LOSSY_2000: JPEG_2000}.get(syntax)
        for bits in (8, 12, 16):
            pixels, name = draw_pixels(bits), f"{UID(syntax).name}, {bits} bits"
            if encoder is None:
                make = _native(pixels, syntax, bits)
            else:
                make = _encoded(pixels, syntax, bits, encoder)
            yield Case(SYNTAX, name, outcome(syntax, bits), make, exact(pixels))


def _native(pixels: np.ndarray, syntax: str, bits: int) -> Callable[[], bytes]:
    return lambda: make_file(pixels, syntax, bits)


def _encoded(pixels: np.ndarray, syntax: str, bits: int, encoder: str) -> Callable[[], bytes]:
    return lambda: compressed(pixels, syntax, bits, ENCODERS[encoder](pixels, bits))


def _refused_syntaxes() -> Iterator[Case]:
    for syntax in OTHER_SYNTAXES:
        name = OTHER_SYNTAXES[syntax]
        yield Case(SYNTAX, name, "UNSUPPORTED_SYNTAX", lambda uid=syntax: _named(uid))


def _named(syntax: str) -> bytes:
    """Return a file that says it has another transfer syntax."""
    dataset = make_dataset(draw_pixels(12), EXPLICIT, 12)
    dataset.PixelData = encapsulate([b"\0" * 64])
    dataset["PixelData"].VR, dataset["PixelData"].is_undefined_length = "OB", True
    data, stated = to_bytes(dataset), EXPLICIT.encode() + b"\0"
    uid = syntax.encode() + b"\0" * (len(syntax) % 2)
    element = b"\x02\0\x10\0UI"
    old = element + len(stated).to_bytes(2, "little") + stated
    assert old in data
    return data.replace(old, element + len(uid).to_bytes(2, "little") + uid)


def _lossy(bits: int, syntax: str, stream: Callable[[np.ndarray], bytes]) -> Callable[[], bytes]:
    return lambda: compressed(smooth(bits), syntax, bits, stream(smooth(bits)))


def _lossy_cases() -> Iterator[Case]:
    rows: tuple[tuple[str, int, str, int, Callable[[np.ndarray], bytes]], ...] = (
        ("JPEG Baseline", 8, BASELINE, 8, lambda a: imagecodecs.jpeg8_encode(a, level=95)),
        ("JPEG Extended", 12, EXTENDED, 80,
         lambda a: imagecodecs.jpeg8_encode(a, level=95, bitspersample=12)),
        ("JPEG-LS Near-lossless", 12, NEAR_LOSSLESS, 3,
         lambda a: imagecodecs.jpegls_encode(a, level=3)),
        ("JPEG 2000, irreversible wavelet", 12, LOSSY_2000, 80,
         lambda a: imagecodecs.jpeg2k_encode(
             a, level=60, codecformat="j2k", reversible=False, bitspersample=12)),
    )  # fmt: skip
    for name, bits, syntax, off, encode in rows:
        mismatch = " PRECISION_MISMATCH" * (syntax == NEAR_LOSSLESS)
        expected = f"L CC LOSSY_COMPRESSED{mismatch}; off by at most {off}"
        yield Case(SYNTAX, name, expected, _lossy(bits, syntax, encode), near(smooth(bits), off))


def _signed_cases() -> Iterator[Case]:
    for syntax in (EXPLICIT, "1.2.840.10008.1.2.2", *ENCODERS):
        pixels = draw_pixels(12, signed=True)
        stored = (pixels.view(np.uint16) & 0xFFF).view(np.int16)
        name = f"signed, {UID(syntax).name}"
        expected = outcome(syntax, 12, signed=True)
        yield Case(BITS, name, expected, _native(stored, syntax, 12), exact(pixels))
    for bits in (10, 14):
        pixels = draw_pixels(bits)
        yield Case(
            BITS, f"{bits} bits stored", "L CC; exact", _native(pixels, EXPLICIT, bits),
            exact(pixels),
        )  # fmt: skip


def _high_bit_cases() -> Iterator[Case]:
    for syntax in ENCODERS:
        mismatch = " PRECISION_MISMATCH" * (syntax != RLE)
        name = f"High Bit 15 of 12 bits, others set, {UID(syntax).name}"
        make = partial(_overlaid, 4, 15, syntax)
        yield Case(BITS, name, f"L CC{mismatch}; exact", make, exact(draw_pixels(12)))


def _narrow(syntax: str) -> bytes:
    """Return 12-bit values as JPEG of 12 bits in a header of 16 signed bits."""
    pixels = draw_pixels(12)
    return compressed(pixels.view(np.int16), syntax, 16, ENCODERS[syntax](pixels, 12))


def _overlaid(place: int, high_bit: int, syntax: str = EXPLICIT) -> bytes:
    """Return 12-bit pixels shifted by ``place``, with other bits set around them."""
    pixels = draw_pixels(12)
    noise = np.random.default_rng(0).integers(0, 2**16, pixels.shape, dtype=np.uint16)
    holes = np.uint16(0xFFFF ^ (0xFFF << place))
    cells = (pixels << place) | (noise & holes)
    return make_file(cells, syntax, 16, BitsStored=12, HighBit=high_bit)


def _fragmented() -> bytes:
    dataset = make_dataset(draw_pixels(12), JPEG_LS, 12)
    stream = get_frame(dataset.PixelData, 0, number_of_frames=1)
    dataset.PixelData = encapsulate([stream], fragments_per_frame=4)
    return to_bytes(dataset)


def _jp2_boxes() -> bytes:
    pixels = draw_pixels(12)
    stream = imagecodecs.jpeg2k_encode(
        pixels, level=0, codecformat="jp2", reversible=True, bitspersample=12
    )
    return compressed(pixels, JPEG_2000, 12, stream)


def _signed_stream() -> bytes:
    pixels = draw_pixels(16, signed=True)
    stream = imagecodecs.jpeg2k_encode(pixels, level=0, codecformat="j2k", reversible=True)
    return compressed(pixels, JPEG_2000, 16, stream)


def _other_precision(pixels: np.ndarray, syntax: str, coded: int) -> bytes:
    return compressed(pixels, syntax, 12, ENCODERS[syntax](pixels, coded))


TWELVE = draw_pixels(12)
CASES: tuple[Case, ...] = (
    *_lossless_syntaxes(),
    *_lossy_cases(),
    *_refused_syntaxes(),
    *_signed_cases(),
    Case(BITS, "bits above Bits Stored (an overlay)", "L CC BITS_ABOVE_STORED; exact",
         lambda: _overlaid(0, 11), exact(TWELVE)),
    Case(BITS, "High Bit 15 of 12 bits, others set", "L CC; exact",
         lambda: _overlaid(4, 15), exact(TWELVE)),
    Case(BITS, "High Bit 13 of 12 bits, others set", "L CC BITS_ABOVE_STORED; exact",
         lambda: _overlaid(2, 13), exact(TWELVE)),
    *_high_bit_cases(),
    Case(BITS, "High Bit 15 of 12 bits, codestream of 12 bits", "PIXELS_UNREADABLE",
         lambda: make_file(TWELVE, JPEG_LOSSLESS, HighBit=15)),
    Case(BITS, "codestream of 12 bits, Bits Stored 16, signed, JPEG Lossless: no sign",
         "L CC PRECISION_MISMATCH; exact", lambda: _narrow(JPEG_LOSSLESS),
         exact(TWELVE.view(np.int16))),
    Case(BITS, "codestream of 16 bits, Bits Stored 12, JPEG Lossless",
         "L CC PRECISION_MISMATCH; exact",
         lambda: _other_precision(TWELVE, JPEG_LOSSLESS, 16), exact(TWELVE)),
    Case(BITS, "codestream of 16 bits, Bits Stored 12, JPEG 2000",
         "L CC PRECISION_MISMATCH; exact",
         lambda: _other_precision(TWELVE, JPEG_2000, 16), exact(TWELVE)),
    Case(BITS, "codestream of 16 bits, 8 allocated", "PIXELS_UNREADABLE",
         lambda: compressed(draw_pixels(8), JPEG_LS, 8, ENCODERS[JPEG_LS](TWELVE, 12))),
    Case(BITS, "codestream of another size", "PIXELS_UNREADABLE",
         lambda: compressed(TWELVE, JPEG_LS, 12, ENCODERS[JPEG_LS](TWELVE[:-1], 12))),
    Case(BITS, "1 bit", "PIXELS_UNREADABLE",
         lambda: make_file(BitsAllocated=1, BitsStored=1, HighBit=0)),
    Case(BITS, "32 bits", "PIXELS_UNREADABLE",
         lambda: make_file(BitsAllocated=32, BitsStored=32, HighBit=31)),
    Case(BITS, "more stored than allocated", "PIXELS_UNREADABLE",
         lambda: make_file(BitsStored=17, HighBit=16)),
    Case(BITS, "in colour", "PIXELS_UNREADABLE",
         lambda: make_file(PhotometricInterpretation="RGB", SamplesPerPixel=3)),
    Case(BITS, "a palette", "PIXELS_UNREADABLE",
         lambda: make_file(PhotometricInterpretation="PALETTE COLOR")),
    Case(BITS, "signed codestream, JPEG 2000", "L CC; exact", _signed_stream,
         exact(draw_pixels(16, signed=True))),
    Case(BITS, "one frame in four fragments", outcome(JPEG_LS, 12), _fragmented, exact(TWELVE)),
    Case(BITS, "JP2 boxes around the codestream", "L CC; exact", _jp2_boxes, exact(TWELVE)),
    Case(BITS, "codestream cut in half", "DICOM_TRUNCATED",
         lambda: compressed(TWELVE, JPEG_LS, 12, ENCODERS[JPEG_LS](TWELVE, 12)[:700])),
    Case(BITS, "pixel data cut in half", "DICOM_TRUNCATED", lambda: make_file()[:-900]),
    Case(BITS, "no pixel data", "PIXELS_UNREADABLE", lambda: make_file(PixelData=None)),
)  # fmt: skip
