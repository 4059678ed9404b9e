"""Typed access to the raw elements of a data set, tolerant of bad values.

Values are taken from the raw bytes: pydicom's own conversion warns with the
value in the text, and the values here may name a patient. A malformed value
reads as absent.
"""

from __future__ import annotations

import math
import struct
from collections.abc import Iterator
from datetime import date, datetime
from typing import Any

import numpy as np
from numpy.typing import NDArray
from pydicom.datadict import tag_for_keyword
from pydicom.dataelem import RawDataElement
from pydicom.dataset import Dataset
from pydicom.sequence import Sequence

PARSE_ERRORS = (
    *(AttributeError, EOFError, LookupError, NotImplementedError, OSError, OverflowError),
    *(RecursionError, TypeError, ValueError, struct.error),
)
"""What pydicom lets through from a damaged header."""


class Tags:
    """The elements of one data set by keyword."""

    def __init__(self, dataset: Dataset, little_endian: bool = True) -> None:
        self._dataset = dataset
        self._order = "<" if little_endian else ">"

    def raw(self, keyword: str) -> bytes:
        """Return the value's bytes; empty when absent, empty or a sequence."""
        tag = tag_for_keyword(keyword)
        element = None if tag is None else self._dataset.get_item(tag, keep_deferred=True)
        return (element.value or b"") if isinstance(element, RawDataElement) else b""

    def texts(self, keyword: str) -> tuple[str, ...]:
        """Return the values of a text element, stripped; empty ones stay in their place."""
        raw = self.raw(keyword)
        try:
            text = raw.decode("utf-8")
        except UnicodeDecodeError:
            text = raw.decode("latin-1")
        return tuple(part.strip(" \0\r\n\t") for part in text.split("\\")) if raw else ()

    def text(self, keyword: str) -> str:
        """Return the first value of a text element; empty when absent."""
        return next(iter(self.texts(keyword)), "")

    def code(self, keyword: str) -> str:
        """Return the first value of a code string, in upper case."""
        return self.text(keyword).upper()

    def numbers(self, keyword: str) -> tuple[float | None, ...]:
        """Return the values of a DS or IS element; None for what is no finite number."""
        return tuple(_to_number(text) for text in self.texts(keyword))

    def number(self, keyword: str) -> float | None:
        """Return the first value of a DS or IS element."""
        return next(iter(self.numbers(keyword)), None)

    def words(self, keyword: str, *, signed: bool = False) -> NDArray[Any]:
        """Return the 16-bit values of a US, SS or OW element; empty when malformed."""
        raw = self.raw(keyword)
        return np.frombuffer(raw[: len(raw) // 2 * 2], f"{self._order}{'i' if signed else 'u'}2")

    def word(self, keyword: str, *, signed: bool = False) -> int | None:
        """Return the first 16-bit value of a US or SS element."""
        words = self.words(keyword, signed=signed)
        return int(words[0]) if words.size else None

    def day(self, keyword: str) -> date | None:
        """Return a DA value, or the day of a DT value."""
        try:
            return datetime.strptime(self.text(keyword).replace(".", "")[:8], "%Y%m%d").date()
        except ValueError:
            return None

    def items(self, keyword: str) -> Iterator[Tags]:
        """Yield the items of a sequence."""
        tag = tag_for_keyword(keyword)
        if tag is None or tag not in self._dataset:
            return
        try:
            value = self._dataset[tag].value
        except PARSE_ERRORS:
            return
        for item in value if isinstance(value, Sequence) else ():
            yield Tags(item, self._order == "<")


def _to_number(text: str) -> float | None:
    try:
        number = float(text)
    except ValueError:
        return None
    return number if math.isfinite(number) else None
