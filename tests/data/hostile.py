"""A source whose files do to their reader what hostile files do to decoders.

Imported in the reading processes too (`KillablePool(preload=...)`), where it
takes the place of the source ``dicom``.
"""

from __future__ import annotations

import ctypes
import time
from dataclasses import replace

from mammo.data.listing import Reading, ReadOptions, SourceItem
from mammo.data.sources import dicom_folder
from mammo.data.sources.registry import SOURCES


def read_hostile(item: SourceItem, options: ReadOptions) -> Reading:
    """Crash, hang or bloat where the file says so; else read it as DICOM."""
    content = item.path.read_bytes()
    match content[:5]:
        case b"crash":
            ctypes.string_at(0)
        case b"hang!":
            time.sleep(600)
        case b"bloat":
            bytearray(8 * 2**30)
    return dicom_folder.read_dicom(item, options)


SOURCES["dicom"] = replace(dicom_folder.SOURCE, read_item=read_hostile)
