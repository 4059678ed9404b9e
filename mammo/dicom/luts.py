"""Look-up tables of a header: Modality LUT and VOI LUT Sequence (PS3.3 C.11.1 and C.11.2).

LUT Descriptor (0028,3002) has the number of entries (0 for 65536), the first
value mapped and the bits of an entry. What files do to it, and what is done here:

- the first value is signed where its VR is SS or the values looked up can be
  negative (Pixel Representation 1, or a Rescale Intercept below 0), whatever VR
  was written;
- 8-bit entries lie two to a word, the first in the low byte;
- the bits are wrong (GE wrote 16 for entries of 12): where the largest entry
  needs more bits than stated, or that of a VOI LUT, whose output is the whole
  range of the display, leaves three quarters of it unused, the entry's own bits
  are taken, with the code LUT_BITS_CORRECTED.

A table that is too short is left out, and the next item is tried.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from mammo.dicom.image import VoiLut
from mammo.dicom.tags import Tags

MOST_ENTRIES = 2**16
BITS = (8, 16)


@dataclass(frozen=True, eq=False)
class ReadLut:
    """The first usable table of a sequence, and what was found wrong with the sequence."""

    lut: VoiLut | None = None
    explanation: str = ""
    invalid: bool = False
    bits_corrected: bool = False


def read_lut(tags: Tags, keyword: str, *, signed: bool, full_range: bool) -> ReadLut:
    """Read a sequence of tables.

    ``signed`` tells whether the values looked up may be negative, ``full_range``
    whether the table's output is meant to fill its bits, as that of a VOI LUT is.
    """
    invalid = False
    for item in tags.items(keyword):
        lut, corrected = _read_item(item, signed, full_range)
        if lut is not None:
            return ReadLut(lut, item.code("LUTExplanation"), invalid, corrected)
        invalid = True
    return ReadLut(invalid=invalid)


def _read_item(item: Tags, signed: bool, full_range: bool) -> tuple[VoiLut | None, bool]:
    """Return a table, None where unusable, and whether its bits were corrected."""
    descriptor = item.words("LUTDescriptor")
    if descriptor.size != 3:
        return None, False
    signed = signed or item.vr("LUTDescriptor") == "SS"
    first = int(item.words("LUTDescriptor", signed=signed)[1])
    count, stated = int(descriptor[0]) or MOST_ENTRIES, int(descriptor[2])
    entries = _read_entries(item, count, stated)
    if entries is None:
        return None, False
    bits = _find_bits(int(entries.max()), stated, full_range)
    return VoiLut(first, entries, bits), bits != stated


def _read_entries(item: Tags, count: int, stated: int) -> NDArray[np.uint16] | None:
    """Return the entries, unpacked where two lie in a word; None where some are missing."""
    words: NDArray[Any] = item.words("LUTData")
    if words.size < count <= 2 * words.size and stated <= 8:
        words = words.astype("<u2").view(np.uint8)
    return words[:count].astype(np.uint16) if words.size >= count else None


def _find_bits(largest: int, stated: int, full_range: bool) -> int:
    """Return the bits of the entries: as stated, unless the largest entry makes that absurd."""
    low, high = BITS
    needed = max(low, largest.bit_length())
    most = needed + 1 if full_range and largest else high
    return stated if max(low, needed) <= stated <= min(high, most) else needed
