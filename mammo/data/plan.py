"""The plan of an ingest: which files of a source are new, divided into jobs."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field, replace
from pathlib import Path

import mammo
from mammo.data import staging
from mammo.data.digests import FileDigests
from mammo.data.durable import storing, sweep_drafts
from mammo.data.listing import SourceItem
from mammo.data.quarantine import QuarantineRecord, find_record, is_for_good, refusal
from mammo.data.sources.registry import list_items
from mammo.data.store import known_files, read_store_config
from mammo.errors import FileVanished, ReadError, SourceInvalid
from mammo.killable import Limits
from mammo.preprocess import PreprocessConfig
from mammo.reading import read_limits
from mammo.settings import Settings

SHARD_SIZE = 64
"""Images of a shard: 16 MB at 512 x 256, some seconds of work."""


@dataclass(frozen=True)
class ShardJob:
    """The files of one shard; self-contained, so that any process can do it."""

    name: str
    source: str
    items: tuple[tuple[str, SourceItem], ...] = field(repr=False)
    config: PreprocessConfig
    home: Path
    site: str
    max_bytes: int
    limits: Limits

    @property
    def settings(self) -> Settings:
        """The installation's settings, as far as a job needs them."""
        return Settings(home=self.home, site=self.site)

    @property
    def read_under(self) -> str:
        """The limits as they stand in the report on a file."""
        return told_limits(self.limits, self.max_bytes)


@dataclass(frozen=True)
class IngestPlan:
    """What is to be done.

    ``found`` counts the files listed, ``known`` those already in the index,
    ``duplicates`` repeated files within the source, ``missing`` the files that
    the source's table names and the disk lacks, ``unlisted`` those that the table
    does not name, ``remarks`` sentences on what was taken nevertheless; ``refused``
    are reports on files that had been refused before, on rows of the table that
    were left out, and on what could not be opened.
    """

    source: str
    settings: Settings = field(repr=False)
    config: PreprocessConfig
    jobs: list[ShardJob]
    found: int
    known: int
    duplicates: int
    missing: tuple[str, ...]
    unlisted: tuple[str, ...]
    remarks: tuple[str, ...]
    refused: tuple[QuarantineRecord, ...]


def plan_ingest(
    source: str,
    directory: Path,
    settings: Settings,
    config: PreprocessConfig,
    shard_size: int | None = None,
) -> IngestPlan:
    """List a source and make one job per ``shard_size`` new files (`SHARD_SIZE` by default).

    Raises
    ------
    SourceNotFound, SourceInvalid
        See `mammo.data.sources.registry.list_items`; also when the store was prepared
        with another configuration.
    SettingsInvalid
        The key of pseudonyms is not the store's.
    StoreReadOnly, DiskFull
        The store cannot be written to.
    """
    size = SHARD_SIZE if shard_size is None else shard_size
    if size < 1:
        raise ValueError(f"shard_size is {size}; at least 1 is needed")
    listing = list_items(source, Path(directory))
    _require_same_config(settings, config)
    with storing(settings.home):
        settings.check_pseudonym_key()
    staging.sweep(settings)
    sweep_drafts(settings.quarantine_dir)
    new: dict[str, SourceItem] = {}
    unread = (*listing.unentered, *listing.refused)
    refused = [refusal(place, error, sha256="", source=source) for place, error in unread]
    counts = {"known": 0, "duplicates": 0}
    listed = list(_with_digests(listing.items, settings, source, refused))
    known = known_files(settings, {sha256 for sha256, _ in listed})
    for sha256, item in listed:
        record = _refused_before(settings, sha256)
        if sha256 in known:
            counts["known"] += 1
        elif sha256 in new:
            counts["duplicates"] += 1
        elif record is not None:
            refused.append(replace(record, file=item.path.name))
        else:
            new[sha256] = item
    jobs = _make_jobs(source, list(new.items()), settings, config, size)
    return IngestPlan(
        source, settings, config, jobs, len(listing.items), **counts,
        missing=listing.missing, unlisted=listing.unlisted, remarks=listing.remarks,
        refused=tuple(refused),
    )  # fmt: skip


def _make_jobs(
    source: str,
    items: list[tuple[str, SourceItem]],
    settings: Settings,
    config: PreprocessConfig,
    shard_size: int,
) -> list[ShardJob]:
    groups = (items[start : start + shard_size] for start in range(0, len(items), shard_size))
    return [
        ShardJob(
            name=_job_name(source, group, settings, config),
            source=source,
            items=tuple(group),
            config=config,
            home=settings.home,
            site=settings.site,
            max_bytes=settings.max_file_mb * 2**20,
            limits=read_limits(settings),
        )
        for group in groups
    ]


def _job_name(
    source: str,
    items: list[tuple[str, SourceItem]],
    settings: Settings,
    config: PreprocessConfig,
) -> str:
    told = [(sha256, repr(item.labels), item.facts) for sha256, item in items]
    parts = [mammo.__version__, source, settings.site, config.to_dict(), told]
    return hashlib.sha256(json.dumps(parts, default=str).encode()).hexdigest()[:24]


def _with_digests(
    items: Iterable[SourceItem], settings: Settings, source: str, refused: list[QuarantineRecord]
) -> Iterator[tuple[str, SourceItem]]:
    """Yield each item with its SHA-256; a file that cannot be opened goes to ``refused``."""
    digests = FileDigests.load(settings.data_dir / "digests.json")
    for item in items:
        try:
            sha256 = digests.digest(item.path)
        except OSError as error:
            refused.append(refusal(item.path, unopened(error), sha256="", source=source))
        else:
            yield sha256, item
    digests.save()


def unopened(error: OSError) -> ReadError:
    """Return the refusal of a file that was listed and cannot be opened."""
    if isinstance(error, FileNotFoundError):
        return FileVanished("the file was removed after it was listed; nothing of it was kept")
    return ReadError(
        f"the file cannot be read ({error.strerror}): see to its rights and its disk; "
        "the next ingest tries it again"
    )


def read_under(settings: Settings) -> str:
    """Return the limits as they stand in the report on a file."""
    return told_limits(read_limits(settings), settings.max_file_mb * 2**20)


def told_limits(limits: Limits, max_bytes: int) -> str:
    """Return the limits as text, for reports."""
    return f"{limits.seconds:g} s, {limits.memory_mb} MB, file of {max_bytes / 2**20:g} MB"


def _refused_before(settings: Settings, sha256: str) -> QuarantineRecord | None:
    """Return the report on a file that this version of the reader has refused for good.

    What failed in an unforeseen way is tried again, and under other limits everything is.
    """
    record = find_record(settings.quarantine_dir, sha256)
    if record is None or record.reader != mammo.__version__ or not is_for_good(record):
        return None
    return record if record.limits == read_under(settings) else None


def _require_same_config(settings: Settings, config: PreprocessConfig) -> None:
    stored = read_store_config(settings)
    if stored is not None and stored != config:
        raise SourceInvalid(
            f"the store holds images prepared at {stored.height}x{stored.width} and these would "
            f"be at {config.height}x{config.width}, or other settings differ: ingest with the "
            "store's settings, set another MAMMO_HOME, or remove the store to prepare all anew"
        )
