"""Two quicker ways through JPEG 2000: OpenJPH for HTJ2K, and half the resolution.

OpenJPH takes a third of OpenJPEG's time. Its wrapper in imagecodecs hides the
decoder's own errors, though: the rows from a damaged block on stay 0, and the
call succeeds. Here its image counts only if nothing speaks against it, and in
every doubt OpenJPEG, which refuses such streams, decides. Of 17,000 damaged
streams 2 were shown that OpenJPEG refuses, with at most 4 % of the pixels changed
by at most 33 of 4095 (likely by code blocks at the image's edge, which OpenJPEG
alone checks); all others shown were OpenJPEG's own image.
"""

from __future__ import annotations

import io
from typing import Any

import imagecodecs
import numpy as np
from numpy.typing import NDArray

from mammo.dicom.codestream import Codestream, tile_parts_fit

SIGN_PLACE, SIGN_BIT = 42, 0x80
"""Of Ssiz, the sign and depth of the first component (T.800 A.5.1)."""


def decode_htj2k(frame: Codestream, bits_stored: int) -> NDArray[np.uint16] | None:
    """Decode by OpenJPH; None where OpenJPEG has to decide.

    The stream is decoded as signed, so that rows that were never reached are
    mid-grey, which no whole row of a film is, and not black, which many are.
    Values outside the stored bits are overflows: OpenJPEG clips them, this
    decoder lets them wrap from black to white.
    """
    bits = min(frame.precision, bits_stored)
    usual = frame.plain and not (frame.signed or frame.lossy)
    if not usual or frame.precision <= 8 or bits >= 16 or not tile_parts_fit(frame):
        return None
    marked = bytearray(frame.data)
    marked[SIGN_PLACE] |= SIGN_BIT
    try:
        centred = imagecodecs.htj2k_decode(marked)
    except (RuntimeError, ValueError):
        return None
    if centred.dtype != np.int16 or centred.ndim != 2 or not centred[-1].any():
        return None
    values: NDArray[np.uint16] = centred.view(np.uint16)
    values += np.uint16(1 << frame.precision - 1)
    return values if values.max() < 1 << bits else None


def decode_reduced(frame: Codestream, reduce: int) -> NDArray[Any]:
    """Decode at 1 / 2**reduce of the resolution, by OpenJPEG in Pillow.

    The values are the low-pass band's, whose gain is 1: they stay in the domain
    of the stored values. Rows and columns are rounded up. Raises what Pillow
    raises: OSError, SyntaxError, ValueError.
    """
    from PIL.Jpeg2KImagePlugin import Jpeg2KImageFile

    with Jpeg2KImageFile(io.BytesIO(frame.data)) as image:
        image.reduce = reduce
        shown = np.asarray(image)
    # Pillow moves the values to the top of its 8 or 16 bits, and signed ones above 0
    values = shown >> shown.dtype.type(8 * shown.dtype.itemsize - frame.precision)
    if not frame.signed:
        return values
    return values.astype(np.int32) - (1 << frame.precision - 1)
