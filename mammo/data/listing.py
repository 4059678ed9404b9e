"""The nouns of ingest: what a source lists and what reading one item gives."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from datetime import datetime
from pathlib import Path
from typing import TYPE_CHECKING

from mammo.errors import ReadError
from mammo.exam import Finding, Mammogram
from mammo.preprocess import StoredImage

if TYPE_CHECKING:
    import pandas as pd


@dataclass(frozen=True, slots=True)
class Labels:
    """What is known of the image's breast; None is unlabelled, never negative.

    ``density`` is a letter: A to D (ACR), or F, G, D (mini-MIAS). ``birads`` is
    the assessment of the breast, 0 to 6 (ACR BI-RADS); ``difficult`` a negative
    that was hard to call. ``published_split`` is the part that the set's makers
    put the patient in ("training", "test"). ``findings`` are boxes in pixels of
    the original image.
    """

    density: str | None = None
    cancer: bool | None = None
    abnormal: bool | None = None
    birads: int | None = None
    biopsied: bool | None = None
    invasive: bool | None = None
    difficult: bool | None = None
    published_split: str | None = None
    known_at: datetime | None = None
    findings: tuple[Finding, ...] = ()


@dataclass(frozen=True, slots=True)
class SourceItem:
    """One file of a source and what the source's table says about it.

    ``facts`` may hold original identifiers; it stays out of ``repr`` so that no
    log shows them.
    """

    path: Path = field(repr=False)
    labels: Labels = Labels()
    facts: tuple[tuple[str, str], ...] = field(default=(), repr=False)


@dataclass(frozen=True)
class Listing:
    """The items of a source, and what of it could not be listed.

    ``missing`` are names of files that the source's table has and the disk
    lacks; ``unlisted`` those on the disk that no row names, which are therefore
    not read; ``unentered`` the folders that were not looked into and ``refused``
    the rows of the table that were left out (path of the table), each with why.
    """

    items: tuple[SourceItem, ...]
    missing: tuple[str, ...] = ()
    unentered: tuple[tuple[Path, ReadError], ...] = field(default=(), repr=False)
    refused: tuple[tuple[Path, ReadError], ...] = field(default=(), repr=False)
    unlisted: tuple[str, ...] = ()
    remarks: tuple[str, ...] = ()  # sentences on rows and images that were taken nevertheless


@dataclass(frozen=True, eq=False)
class Reading:
    """One item, read: pseudonymous facts, stored pixels, labels.

    ``header`` is the de-identified header as DICOM JSON (PS3.18 annex F), ``{}``
    for a source that has none.
    """

    mammogram: Mammogram
    image: StoredImage
    labels: Labels
    header: str = "{}"


@dataclass(frozen=True, slots=True)
class ReadOptions:
    """What reading needs from the installation: key of pseudonyms, site, size limit.

    ``reduce`` is the power of two by which JPEG 2000 is decoded smaller, 0 or 1.
    """

    key: bytes = field(repr=False)
    site: str
    max_bytes: int = 200 * 2**20
    reduce: int = 0


@dataclass(frozen=True, slots=True)
class Source:
    """One kind of data set: how its files are listed, and how one is read.

    ``tabulate`` gives index rows from the set's table alone, of a folder or table
    and the key of pseudonyms (:mod:`mammo.data.sources.tabulate`); None: no table.
    """

    name: str
    summary: str
    list_source: Callable[[Path], Listing]
    read_item: Callable[[SourceItem, ReadOptions], Reading]
    tabulate: Callable[[Path, bytes], pd.DataFrame] | None = None
