"""BI-RADS categories and densities as the tables of public sets write them."""

from __future__ import annotations

from collections.abc import Iterable

CATEGORIES: dict[str, int | None] = {
    "": None, "0": 0, "1": 1, "2": 2, "3": 3, "4": 4, "4a": 4, "4b": 4, "4c": 4,
    "4A": 4, "4B": 4, "4C": 4, "5": 5, "6": 6,
}  # fmt: skip
"""Cell -> assessment category; the subdivisions of 4 are 4 in the index (ACR BI-RADS 2013)."""
DENSITIES: dict[str, str | None] = {
    "": None, "0": None, "1": "A", "2": "B", "3": "C", "4": "D",
}  # fmt: skip
"""ACR density of the editions before 2013, I to IV, in letters; 0 is none that was given."""
_CONCERN = (1, 2, 3, 0, 4, 5, 6)
"""Categories by concern: 0, recalled for more images, is above what is (probably) benign."""


def worst_category(categories: Iterable[int | None]) -> int | None:
    """Return the category of most concern; None where none was given.

    What radiologists do with the images of one breast: the breast has the
    category of its most suspicious one.
    """
    given = [category for category in categories if category is not None]
    return max(given, key=_CONCERN.index) if given else None
