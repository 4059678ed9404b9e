"""The files of a multipart/form-data body (RFC 7578), without a copy that is not needed.

python-multipart finds the boundaries; what it points at is kept as it came and
joined once. Starlette's own parser copies each byte three times more, which is
a quarter of the time of an uncompressed exam (docs/service_speed.md), and takes
a body that breaks off in the middle of a file for one that has fewer files.
"""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

from python_multipart.exceptions import FormParserError
from python_multipart.multipart import MultipartParser, parse_options_header

from bentos.screening.received import Arriving
from mammo.errors import BodyIncomplete, RequestError, TooLarge

if TYPE_CHECKING:  # it is there for type checkers alone
    from python_multipart.multipart import MultipartCallbacks

MAX_FIELDS = 64
MAX_FIELD_BYTES = 2**20
"""Of all parts together that are no files: they are read past."""


class Multipart:
    """Takes the body chunk by chunk; parts without a file name are passed over.

    ``content_type`` is the request's header, which names the boundary.
    """

    def __init__(
        self, content_type: str, folder: Path, max_file_bytes: int, max_files: int
    ) -> None:
        self._folder, self._max_file_bytes, self._max_files = folder, max_file_bytes, max_files
        self._files: list[Arriving] = []
        self._whole: list[Arriving] = []
        self._current: Arriving | None = None
        self._field = self._value = self._disposition = b""
        self._fields = self._field_bytes = 0
        self._ended = False
        boundary = parse_options_header(content_type)[1].get(b"boundary")
        if not boundary:
            raise RequestError("The multipart body is malformed: its type names no boundary.")
        try:
            self._parser = MultipartParser(boundary, self._callbacks())
        except FormParserError as error:
            raise RequestError("The multipart body is malformed: bad boundary.") from error

    @property
    def held_bytes(self) -> int:
        """How much of the body is in memory."""
        return sum(one.held_bytes for one in self._files)

    def feed(self, chunk: bytes) -> None:
        """Take the next chunk. Raises RequestError where it is malformed, and TooLarge."""
        try:
            self._parser.write(chunk)
        except FormParserError as error:
            raise RequestError("The multipart body is malformed: it cannot be parsed.") from error

    def spill(self) -> None:
        """Move the file that is coming to disk. Raises DiskFull."""
        if self._current is not None:
            self._current.spill()

    def whole(self) -> list[Arriving]:
        """Return the files that became whole since the last call."""
        whole, self._whole = self._whole, []
        return whole

    def finish(self) -> list[Arriving]:
        """Return the files in order. Raises BodyIncomplete when the last boundary never came."""
        if not self._ended:
            raise BodyIncomplete(
                "The multipart body ends before its last boundary; nothing was scored. "
                "Send it again."
            )
        files, self._files = self._files, []
        return files

    def close(self) -> None:
        """Throw away what is here still, and the parser, which calls this object: a cycle."""
        for one in self._files:
            one.close()
        self._files, self._whole, self._current = [], [], None
        self._parser.callbacks = {}

    def _callbacks(self) -> MultipartCallbacks:
        return {
            "on_part_begin": self._begin_part,
            "on_header_field": self._add_to_field,
            "on_header_value": self._add_to_value,
            "on_header_end": self._end_header,
            "on_headers_finished": self._end_headers,
            "on_part_data": self._add_data,
            "on_part_end": self._end_part,
            "on_end": self._end,
        }

    def _begin_part(self) -> None:
        self._current, self._disposition = None, b""

    def _add_to_field(self, data: bytes, start: int, end: int) -> None:
        self._field += data[start:end]

    def _add_to_value(self, data: bytes, start: int, end: int) -> None:
        self._value += data[start:end]

    def _end_header(self) -> None:
        if self._field.lower() == b"content-disposition":
            self._disposition = self._value
        self._field = self._value = b""

    def _end_headers(self) -> None:
        kind, options = parse_options_header(self._disposition)
        if kind != b"form-data" or b"name" not in options:
            raise RequestError("The multipart body is malformed: a part has no name.")
        if b"filename" not in options:
            self._count_field()
            return
        if len(self._files) == self._max_files:
            raise TooLarge(f"The request has more than the {self._max_files} files that are read.")
        name = options[b"filename"].decode("utf-8", "replace")
        self._current = Arriving(name, self._max_file_bytes, self._folder)
        self._files.append(self._current)

    def _count_field(self) -> None:
        self._fields += 1
        if self._fields > MAX_FIELDS:
            raise RequestError(f"The multipart body has more than {MAX_FIELDS} fields.")

    def _add_data(self, data: bytes, start: int, end: int) -> None:
        if self._current is not None:
            self._current.write(data[start:end], f"File {len(self._files)}")
            return
        self._field_bytes += end - start
        if self._field_bytes > MAX_FIELD_BYTES:
            raise TooLarge("The multipart body's fields that are no files are above 1 MB.")

    def _end_part(self) -> None:
        if self._current is not None:
            self._whole.append(self._current)
        self._current = None

    def _end(self) -> None:
        self._ended = True
