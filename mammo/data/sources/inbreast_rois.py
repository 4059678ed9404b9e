"""The outlines of INbreast: property lists (Apple plist) exported from OsiriX.

``Images`` > ``ROIs`` > ``Name`` and ``Point_px``, texts such as
``(1234.560000, 789.010000)`` in pixels from the top left. A calcification is
often one point. Names come in several spellings.
"""

from __future__ import annotations

import math
import plistlib
import re
from pathlib import Path
from typing import Any
from xml.parsers.expat import ExpatError

from mammo.data.sources.masks import outline_box
from mammo.errors import MaskInvalid
from mammo.exam import Finding

KINDS = {
    "mass": "mass",
    "calcification": "calcification",
    "calcifications": "calcification",
    "cluster": "cluster",
    "spiculated region": "spiculated-region",
    "espiculated region": "spiculated-region",
    "distortion": "distortion",
    "asymmetry": "asymmetry",
    "assymetry": "asymmetry",
    "asimmetry": "asymmetry",
}
"""Name of a region, in lower case -> kind of finding; any other is ``unnamed``."""
MAX_BYTES = 50 * 2**20
_POINT = re.compile(r"\s*\(\s*([-+.\deE]+)\s*,\s*([-+.\deE]+)\s*\)\s*")


def read_outlines(path: Path) -> tuple[Finding, ...]:
    """Read the regions of one image, unclipped; one without points is left out.

    Raises
    ------
    MaskInvalid
        It is no such list, or a point is none; the message names the region.
    """
    try:
        if path.stat().st_size > MAX_BYTES:
            raise MaskInvalid(f"{path.name} has over {MAX_BYTES >> 20} MB")
        told = plistlib.loads(path.read_bytes())
    except (OSError, ValueError, TypeError, ExpatError, AttributeError, IndexError) as error:
        raise MaskInvalid(
            f"{path.name} is no readable property list ({type(error).__name__}): the image is "
            "kept without its findings; take the file anew from the set"
        ) from error
    try:
        regions = [region for image in told["Images"] for region in image["ROIs"]]
    except (KeyError, TypeError) as error:
        raise MaskInvalid(f"{path.name} has no list of regions (Images > ROIs)") from error
    found = (_finding(path, number, region) for number, region in enumerate(regions, 1))
    return tuple(one for one in found if one is not None)


def _finding(path: Path, number: int, region: Any) -> Finding | None:
    try:
        points = [_point(text) for text in region.get("Point_px", [])]
    except (AttributeError, TypeError, ValueError) as error:
        raise MaskInvalid(
            f"region {number} of {path.name} has a point that is none: allowed is (x, y) in "
            "pixels; the image is kept without its findings"
        ) from error
    if not points:
        return None
    kind = KINDS.get(str(region.get("Name", "")).strip().lower(), "unnamed")
    return Finding(*outline_box(points), kind)


def _point(text: str) -> tuple[float, float]:
    match = _POINT.fullmatch(text)
    if match is None:
        raise ValueError("no point")
    x, y = float(match[1]), float(match[2])
    if not (math.isfinite(x) and math.isfinite(y)):
        raise ValueError("no finite point")
    return x, y
