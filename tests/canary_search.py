"""The search for the canary: every byte of every file, unpacked, and every text."""

from __future__ import annotations

import base64
import gzip
import io
import sqlite3
import zipfile
import zlib
from collections.abc import Iterator
from pathlib import Path

import pyarrow.parquet as pq

from tests.canary import TOKENS

ENCODINGS = ("utf-8", "utf-16-le", "utf-16-be", "euc_jp", "shift_jis")


def find_tokens(content: bytes | str) -> set[str]:
    """Return the tokens that a text or a file's bytes hold, in any case and encoding."""
    data = content.encode(errors="surrogateescape") if isinstance(content, str) else content
    lower = data.lower()
    found = {token for token, needles in _NEEDLES.items() if any(one in lower for one in needles)}
    return found | {
        token for token, needles in _EXACT.items() if any(one in data for one in needles)
    }


def search_tree(root: Path, *, spared: tuple[str, ...] = ()) -> dict[str, set[str]]:
    """Return the tokens found by file below a folder; names of files and folders count.

    ``spared`` are folders below the root that are left out.
    """
    found: dict[str, set[str]] = {}
    for path in sorted(root.rglob("*")):
        name = str(path.relative_to(root))
        if name.startswith(spared) and spared:
            continue
        tokens = find_tokens(name)
        for content in _contents(path) if path.is_file() else ():
            tokens |= find_tokens(content)
        if tokens:
            found[name] = tokens
    return found


def _contents(path: Path) -> Iterator[bytes | str]:
    """Yield the raw bytes of a file, and what is packed inside."""
    data = path.read_bytes()
    yield data
    if data.startswith(b"PAR1"):
        table = pq.read_table(path)
        yield f"{table.schema} {table.schema.metadata} {pq.ParquetFile(path).metadata}"
        yield table.to_pandas().to_csv()
    elif data.startswith(b"SQLite format 3"):
        with sqlite3.connect(f"file:{path}?mode=ro", uri=True) as database:
            yield "\n".join(database.iterdump())
    elif data.startswith(b"PK"):
        with zipfile.ZipFile(io.BytesIO(data)) as archive:
            for name in archive.namelist():
                yield name
                yield archive.read(name)
    elif data.startswith(b"\x1f\x8b"):
        yield gzip.decompress(data)
    elif data[:1] == b"\x78":  # zlib, as git and DVC keep objects
        try:
            yield zlib.decompress(data)
        except zlib.error:
            return


def _base64_cores(data: bytes) -> set[bytes]:
    """Return what base64 of any text around makes of these bytes, without the rims."""
    return {base64.b64encode(bytes(shift) + data)[4 * (shift > 0) : -4] for shift in range(3)}


_NEEDLES = {
    token: {
        *(token.lower().encode(code, "ignore") for code in ENCODINGS),
        token.encode().hex().encode(),
    }
    - {b""}
    for token in TOKENS
}
_EXACT = {
    token: {
        *_base64_cores(token.encode()),
        token.encode("iso2022_jp", "ignore").removeprefix(b"\x1b$B").removesuffix(b"\x1b(B"),
    }
    - {b""}
    for token in TOKENS
}
