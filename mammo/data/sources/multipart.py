"""The one part of a multipart/related answer, as it streams in (RFC 2046 section 5.1)."""

from __future__ import annotations

from collections.abc import Iterable, Iterator

from mammo.data.download_retry import Passing

HEAD_BYTES = 2**16
"""What may stand before the part's body: a preamble and its headers."""


class Broken(Passing):
    """The answer itself is not as the standard says; the archive as such is there."""


def single_part(chunks: Iterable[bytes], boundary: str) -> Iterator[bytes]:
    """Yield the body of the only part; nothing larger than a chunk is held.

    Raises
    ------
    Broken
        The answer ends before its closing delimiter, has no part, or more than one.
    """
    source = iter(chunks)
    delimiter = b"\r\n--" + boundary.encode("latin-1")
    held = _skip(bytearray(b"\r\n"), delimiter, source)
    if held[:2] == b"--":
        raise Broken("the multipart answer has no part")
    held = _skip(held, b"\r\n\r\n", source)
    while (at := held.find(delimiter)) < 0:
        sure = max(len(held) - len(delimiter) + 1, 0)
        yield bytes(held[:sure])
        del held[:sure]
        held += _more(source)
    yield bytes(held[:at])
    del held[: at + len(delimiter)]
    while len(held) < 2:
        held += _more(source)
    if held[:2] != b"--":
        raise Broken("the answer has more than the one instance that was asked for")
    rest = 0
    for chunk in source:  # a connection whose answer was read to its end is used again
        rest += len(chunk)
        if rest > HEAD_BYTES:
            return


def _skip(held: bytearray, mark: bytes, source: Iterator[bytes]) -> bytearray:
    """Drop what stands up to and with ``mark``."""
    while (at := held.find(mark)) < 0:
        if len(held) > HEAD_BYTES:
            raise Broken("the multipart answer has no delimiter where it should begin")
        held += _more(source)
    return held[at + len(mark) :]


def _more(source: Iterator[bytes]) -> bytes:
    try:
        return next(source)
    except StopIteration:
        raise Broken("the multipart answer ends before its closing delimiter") from None
