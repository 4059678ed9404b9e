"""The data sets that can be ingested, one reader each."""

from __future__ import annotations

from pathlib import Path

from mammo.data.listing import Listing, Source
from mammo.data.sources import (
    cbis_ddsm,
    cmmd,
    dicom_folder,
    dicomweb,
    inbreast,
    mini_mias,
    rsna,
    vindr,
)
from mammo.errors import SourceInvalid, SourceNotFound

SOURCES: dict[str, Source] = {
    source.name: source
    for source in (
        dicom_folder.SOURCE,
        rsna.SOURCE,
        mini_mias.SOURCE,
        cbis_ddsm.SOURCE,
        inbreast.SOURCE,
        cmmd.SOURCE,
        vindr.SOURCE,
        dicomweb.SOURCE,
    )
}
"""Readers by the name used in `mammo ingest --source NAME`."""


def find_source(name: str) -> Source:
    """Return the reader of that name.

    Raises
    ------
    SourceInvalid
        There is none.
    """
    try:
        return SOURCES[name]
    except KeyError:
        allowed = ", ".join(sorted(SOURCES))
        raise SourceInvalid(f"source {name!r} is unknown; allowed are {allowed}") from None


def list_items(name: str, directory: Path) -> Listing:
    """List a data set's files with their labels; nothing is decoded.

    Raises
    ------
    SourceNotFound
        The folder does not exist, or holds no file of the set.
    SourceInvalid
        Its table lacks columns, or the source is unknown.
    """
    source = find_source(name)
    if not directory.exists():
        raise SourceNotFound(f"the folder {directory} does not exist: check the path")
    if not directory.is_dir():
        raise SourceNotFound(f"{directory} is a file; source {name!r} reads a folder")
    listing = source.list_source(directory)
    if not listing.items:
        lost = f"; its table names {len(listing.missing)} that are missing" * bool(listing.missing)
        if listing.refused:
            lost += f"; {len(listing.refused)} rows were left out: {listing.refused[0][1].message}"
        if listing.unentered:
            lost = (
                f"; {len(listing.unentered)} folders below it were not entered, or it itself: "
                f"{listing.unentered[0][1].message}"
            )
        raise SourceNotFound(
            f"the folder {directory} holds no file that source {name!r} could read{lost}"
        )
    return listing
