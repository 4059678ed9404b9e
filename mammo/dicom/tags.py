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
from functools import cached_property
from itertools import islice
from typing import Any

import numpy as np
from numpy.typing import NDArray
from pydicom.datadict import tag_for_keyword
from pydicom.dataelem import DataElement, RawDataElement, convert_raw_data_element
from pydicom.dataset import Dataset
from pydicom.errors import BytesLengthException
from pydicom.sequence import Sequence

from mammo.dicom.charsets import Charset, find_charset

PARSE_ERRORS = (
    *(AttributeError, EOFError, LookupError, NotImplementedError, OSError, OverflowError),
    *(RecursionError, TypeError, ValueError, struct.error, BytesLengthException),
)
"""What pydicom lets through from a damaged header."""


class Tags:
    """The elements of one data set by keyword."""

    def __init__(
        self, dataset: Dataset, little_endian: bool = True, charset: Charset | None = None
    ) -> None:
        self._dataset = dataset
        self._order = "<" if little_endian else ">"
        self._outer_charset = charset
        self._items: dict[int, tuple[Tags, ...]] = {}

    @property
    def dataset(self) -> Dataset:
        """The data set itself, for those who walk all of it."""
        return self._dataset

    @property
    def little_endian(self) -> bool:
        """True unless the binary values are big endian."""
        return self._order == "<"

    @cached_property
    def charset(self) -> Charset:
        """The character sets of the texts: its own, or those of the data set around it."""
        raw = self.raw("SpecificCharacterSet")
        if not raw and self._outer_charset is not None:
            return self._outer_charset
        return find_charset([part.strip() for part in raw.decode("latin-1").split("\\")])

    def __contains__(self, keyword: str) -> bool:
        tag = tag_for_keyword(keyword)
        return tag is not None and tag in self._dataset

    def raw(self, keyword: str) -> bytes:
        """Return the value's bytes; empty when absent, empty or a sequence."""
        element = self._find(keyword)
        if isinstance(element, RawDataElement):
            return element.value or b""
        # pydicom converts Pixel Representation itself, when it parses a sequence beside it
        if element is None or element.VR not in ("US", "SS"):
            return b""
        values = [element.value] if isinstance(element.value, int) else element.value or ()
        return struct.pack(
            f"{self._order}{len(values)}{'H' if element.VR == 'US' else 'h'}", *values
        )

    def vr(self, keyword: str) -> str:
        """Return the VR written in the file; empty when absent or implicit."""
        element = self._find(keyword)
        return (element.VR or "") if element is not None else ""

    def _find(self, keyword: str) -> RawDataElement | DataElement | None:
        tag = tag_for_keyword(keyword)
        return None if tag is None else self._dataset.get_item(tag, keep_deferred=True)

    def texts(self, keyword: str) -> tuple[str, ...]:
        """Return the values of a text element, stripped; empty ones stay in their place."""
        raw = self.raw(keyword)
        if not raw:
            return ()
        # decoded before it is split: in some character sets a backslash is half a letter
        text, _ = self.charset.decode(raw)
        return tuple(part.strip(" \0\r\n\t") for part in text.split("\\"))

    def is_decodable(self, keyword: str) -> bool:
        """True unless an element's text is not in the data set's character sets."""
        return self.charset.decode(self.raw(keyword))[1]

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
        return iter(()) if tag is None else self.items_at(tag)

    def items_at(self, tag: int) -> Iterator[Tags]:
        """Yield the items of a sequence known by its tag."""
        if tag not in self._items:
            self._items[tag] = tuple(self._convert_items(tag))
        return iter(self._items[tag])

    def _convert_items(self, tag: int) -> Iterator[Tags]:
        """Convert a sequence beside the data set.

        Indexing the data set would store the result in it, and convert its
        Pixel Representation as well, which then is raw no more.
        """
        element = self._dataset.get_item(tag, keep_deferred=True)
        try:
            if isinstance(element, RawDataElement):
                element = convert_raw_data_element(element)
            items = list(element.value) if isinstance(element.value, Sequence) else []
        except PARSE_ERRORS:
            return
        for item in items:
            yield Tags(item, self.little_endian, self.charset)

    def in_frame(self, keyword: str) -> Tags:
        """Return the data set that holds an element of the first frame.

        That is this one, or of an enhanced object the functional group macro
        with the element, per frame before shared (PS3.3 C.7.6.16); this one
        where no other holds it.
        """
        if keyword in self:
            return self
        return next((macro for macro in self._macros if keyword in macro), self)

    @cached_property
    def _macros(self) -> tuple[Tags, ...]:
        groups = (
            next(self.items(f"{kind}FunctionalGroupsSequence"), None)
            for kind in ("PerFrame", "Shared")
        )
        return tuple(
            macro
            for group in groups
            if group is not None
            for keyword in group._dataset.dir()
            for macro in islice(group.items(keyword), 1)
        )

    def private_creators(self, group: int) -> tuple[str, ...]:
        """Return who reserved blocks of a private group, from (gggg,0010-00FF), in upper case."""
        found = (
            self._dataset.get_item(tag, keep_deferred=True)
            for tag in list(self._dataset.keys())  # iterating itself would convert every value
            if tag.group == group and 0x10 <= tag.element <= 0xFF
        )
        return tuple(
            (element.value or b"").decode("latin-1").strip(" \0").upper()
            for element in found
            if isinstance(element, RawDataElement)
        )


def _to_number(text: str) -> float | None:
    try:
        number = float(text)
    except ValueError:
        return None
    return number if math.isfinite(number) else None
