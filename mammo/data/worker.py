"""What one file of a source costs: read, de-identify, prepare.

`prepare_file` is what a killable process runs; it imports no more than it needs.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from mammo.data.listing import ReadOptions, SourceItem
from mammo.data.rows import index_row
from mammo.data.shards import Pixels
from mammo.data.sources.registry import find_source
from mammo.errors import FileChanged
from mammo.preprocess import PreprocessConfig, prepare


@dataclass(frozen=True, eq=False)
class PreparedFile:
    """One image on its way into a shard.

    ``pixels`` is (height, width) uint16, ``row`` its row of the index but for its
    place, ``header`` its de-identified header as DICOM JSON.
    """

    row: dict[str, Any]
    pixels: Pixels
    header: str


def prepare_file(
    source: str, item: SourceItem, sha256: str, options: ReadOptions, config: PreprocessConfig
) -> PreparedFile:
    """Read and prepare one file of a source.

    Raises
    ------
    ReadError
        It cannot become a mammogram.
    FileChanged
        The bytes that were read are not those that were listed.
    """
    reading = find_source(source).read_item(item, options)
    if reading.mammogram.sha256 != sha256:
        raise FileChanged(changed())
    prepared = prepare(reading.image, config)
    row = index_row(reading, prepared, sha256=sha256, source=source)
    return PreparedFile(row, prepared.pixels, reading.header)


def changed() -> str:
    """Return what is said of a file that changed while it was ingested."""
    return "the file changed after it was listed: the next ingest reads it as it is then"
