"""Deflated data sets (PS3.5 A.5), and those that swell to fill the memory."""

from __future__ import annotations

import zlib

from mammo.errors import DicomTruncated, NotDicom, TooLarge

INFLATE_STEP, FREE_RATIO = 16 * 2**20, 100
"""Past two steps, what is inflated may be at most that many times the deflated bytes."""


def inflate(deflated: memoryview, max_bytes: int) -> bytes:
    """Inflate a data set without ever holding more than the limit and a step.

    Raises
    ------
    TooLarge
        It inflates to more than ``max_bytes``, or to far more than a real header does.
    NotDicom, DicomTruncated
    """
    stream, body = zlib.decompressobj(wbits=-zlib.MAX_WBITS), bytearray()
    try:
        rest: bytes | memoryview = deflated
        while not stream.eof:
            piece = stream.decompress(rest, INFLATE_STEP)
            rest = stream.unconsumed_tail
            body += piece
            _check_size(len(body), len(deflated), max_bytes)
            if not (piece or rest):  # without input zlib may still hold output
                break
    except zlib.error as error:
        raise NotDicom("the deflated data set cannot be inflated") from error
    if not stream.eof:
        raise DicomTruncated(f"the deflated data set ends early, after {len(body):,} bytes")
    return bytes(body)


def _check_size(inflated: int, deflated: int, max_bytes: int) -> None:
    if inflated > max_bytes:
        raise TooLarge(f"the data set inflates to more than {max_bytes:,} bytes")
    if inflated > 2 * INFLATE_STEP and inflated > FREE_RATIO * deflated:
        raise TooLarge(f"{deflated:,} bytes inflate to {inflated:,} and more, {FREE_RATIO} times")
