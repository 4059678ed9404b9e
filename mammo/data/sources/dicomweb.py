"""New mammograms from a hospital's archive: what came since a watermark, into a spool.

QIDO-RS has no question for "what is new". So studies are asked for by StudyDate from
the watermark less an overlap on, and what is known is passed over by a keyed hash of
its SOP Instance UID (0008,0018). A study that arrives late is found as long as its
date lies within the overlap; ``since`` asks further back. The watermark moves only
over days of which everything is on the disk.

It may be killed anywhere: a file is in the spool whole or not at all, is entered
after it is there, and a file that was not entered yet is written again.
"""

from __future__ import annotations

import io
import zlib
from collections.abc import Iterator
from dataclasses import asdict, dataclass, field
from datetime import UTC, date, datetime, timedelta
from pathlib import Path
from typing import TYPE_CHECKING, Any, BinaryIO

from mammo.data.digests import FileDigests
from mammo.data.download_retry import Patience
from mammo.data.download_set import Advance, at_work
from mammo.data.durable import make_folder, storing, sweep_drafts, write_file
from mammo.data.listing import Source
from mammo.data.quarantine import find_record
from mammo.data.sources.dicom_folder import list_dicom, read_dicom
from mammo.data.sources.dicomweb_archive import Archive, find_address, is_uid, text_of, texts_of
from mammo.data.sources.dicomweb_state import FetchState
from mammo.data.sources.multipart import Broken
from mammo.errors import FileVanished, NotDicom, ReadError, TooLarge

if TYPE_CHECKING:
    from mammo.settings import Settings

OVERLAP_DAYS = 7
STATE = ".dicomweb"
STUDY_UID, SERIES_UID, INSTANCE_UID = "0020000D", "0020000E", "00080018"
STUDY_DATE, STUDY_INSTANCES, STUDY_MODALITIES = "00080020", "00201208", "00080061"
HEAD_BYTES = 2**16
BROKEN = "BROKEN_ANSWER"
SOURCE = Source(
    "dicomweb", "what was fetched from a DICOMweb archive, see `mammo data get dicomweb`",
    list_dicom, read_dicom,
)  # fmt: skip


@dataclass
class FetchReport:
    """What a fetch did; counts are of instances but for ``studies``.

    ``refused`` counts by code what will not be asked for again, ``failed`` what
    will. While an answer is broken the watermark stays before its day; what the
    archive lists and does not have does not hold it.
    """

    directory: Path
    studies: int = 0
    fetched: int = 0
    known: int = 0
    bytes: int = 0
    refused: dict[str, int] = field(default_factory=dict)
    failed: dict[str, int] = field(default_factory=dict)
    watermark: date | None = None

    def to_dict(self) -> dict[str, Any]:
        """Return the report as JSON values."""
        day = self.watermark.isoformat() if self.watermark else None
        return asdict(self) | {"directory": str(self.directory), "watermark": day}


@dataclass(frozen=True)
class _Study:
    """A study as the search tells it; ``day`` is None when it tells none that is one."""

    uid: str = field(repr=False)
    day: date | None
    instances: int | None


def spool_of(settings: Settings) -> Path:
    """Return the folder that fetched files wait in for their ingest."""
    return settings.home / "spool" / "dicomweb"


def fetch_new(
    settings: Settings,
    *,
    url: str | None = None,
    folder: Path | None = None,
    since: date | None = None,
    overlap_days: int = OVERLAP_DAYS,
    patience: Patience | None = None,
    advance: Advance = lambda stage, done, total: None,
) -> FetchReport:
    """Fetch the mammograms (Modality MG) that an archive got since the last time.

    Without ``since`` and without a watermark everything is asked for, oldest first;
    a ``since`` after the watermark asks from the watermark on, so that no day is left out.

    Raises
    ------
    SettingsInvalid
        No archive is named, or its address or token cannot be.
    ArchiveUnreachable
        It does not answer, not as PS3.18 says, or does not let us in.
    DownloadInterrupted
        Another process fetches into the same folder.
    DiskFull, StoreReadOnly
        The spool cannot take more; what came is kept.
    """
    address = find_address(settings, url)
    spool = folder or spool_of(settings)
    make_folder(spool, mode=0o700)
    key = settings.pseudonym_key()
    limit = settings.max_file_mb * 2**20
    with (
        at_work(spool),
        FetchState(spool / STATE, address.url, key) as state,
        Archive(address, patience) as archive,
    ):
        sweep_drafts(spool / STATE)
        work = _Fetch(spool, archive, state, limit, FetchReport(spool))
        work.run(_first_day(since, state.watermark(), overlap_days), advance)
        work.report.watermark = state.watermark()
    return work.report


def remove_ingested(settings: Settings, folder: Path | None = None) -> int:
    """Remove from the spool what the index or the quarantine has; return how many.

    The files hold names, and the archive has them still.
    """
    import pyarrow.compute as pc

    from mammo.data.index import read_index

    spool = folder or spool_of(settings)
    digests = FileDigests.load(settings.data_dir / "digests.json")
    files = {path: digests.digest(path) for path in sorted(spool.glob("??/*.dcm"))}
    known: set[str] = set()
    if settings.index_path.exists() and files:
        where = pc.field("sha256").isin(list(files.values()))
        known = set(read_index(settings.index_path, ["sha256"], where)["sha256"])
    done = [
        path
        for path, sha256 in files.items()
        if sha256 in known or find_record(settings.quarantine_dir, sha256) is not None
    ]
    with storing(spool):
        for path in done:
            path.unlink()
    return len(done)


def _first_day(since: date | None, watermark: date | None, overlap_days: int) -> date | None:
    """Return the day to ask from; never later than the watermark, which would pass the gap."""
    if watermark is None:
        return since
    overlap = min(timedelta(days=overlap_days), watermark - date.min)
    return min(since or date.max, watermark - overlap)


@dataclass
class _Fetch:
    """One fetch at work."""

    spool: Path
    archive: Archive
    state: FetchState
    limit: int
    report: FetchReport

    def run(self, first: date | None, advance: Advance) -> None:
        """Fetch study by study, oldest first; the watermark follows until one fails."""
        today = datetime.now(UTC).date()
        studies = sorted(self._studies(first), key=lambda study: study.day or date.min)
        whole = True
        for number, study in enumerate(studies, start=1):
            whole = self._study(study) and whole
            if whole and study.day is not None:
                # a date in the future is a mistake, and would hide what comes until then
                self.state.raise_watermark(min(study.day, today))
            advance("studies", number, len(studies))

    def _studies(self, first: date | None) -> Iterator[_Study]:
        # ModalitiesInStudy is not asked for but looked at: Orthanc 1.10 applies it after limit
        # and offset, and so tells the first page only
        asked = {"includefield": f"{STUDY_INSTANCES},{STUDY_MODALITIES}"}
        if first is not None:
            asked["StudyDate"] = f"{first:%Y%m%d}-"
        for match in self.archive.search("studies", asked):
            modalities = texts_of(match, STUDY_MODALITIES)
            if is_uid(uid := text_of(match, STUDY_UID)) and (not modalities or "MG" in modalities):
                self.report.studies += 1
                count = text_of(match, STUDY_INSTANCES)
                instances = int(count) if count.isdecimal() else None
                yield _Study(uid, _day(text_of(match, STUDY_DATE)), instances)

    def _study(self, study: _Study) -> bool:
        """Fetch one study; return False when the watermark may not pass it."""
        hashed = self.state.hash(study.uid)
        if self.state.study_is_done(hashed, study.instances):
            return True
        before = dict(self.report.failed)
        path = f"studies/{study.uid}/series"
        for series in self.archive.search(path, {"Modality": "MG"}):
            if text_of(series, "00080060") in ("MG", "") and is_uid(text_of(series, SERIES_UID)):
                self._series(f"{path}/{text_of(series, SERIES_UID)}/instances")
        if self.report.failed != before:
            return self.report.failed.get(BROKEN) == before.get(BROKEN)
        self.state.finish_study(hashed, study.instances)
        return True

    def _series(self, path: str) -> None:
        for match in self.archive.search(path, {}):
            if is_uid(uid := text_of(match, INSTANCE_UID)):
                hashed = self.state.hash(uid)
                if self.state.knows(hashed):
                    self.report.known += 1
                else:
                    self._instance(f"{path}/{uid}", uid, hashed)

    def _instance(self, path: str, uid: str, hashed: str) -> None:
        """Bring one instance to the disk and enter it, or count why not."""
        target = self.spool / hashed[:2] / f"{hashed}.dcm"

        def bring() -> None:
            with self.archive.retrieve(path) as chunks:
                write_file(target, lambda out: self._copy(chunks, out, uid), self.spool / STATE)

        try:
            self.archive.patiently(bring)
        except (Broken, FileVanished) as error:
            code = error.code if isinstance(error, ReadError) else BROKEN
            self.report.failed[code] = self.report.failed.get(code, 0) + 1
        except ReadError as error:
            self.report.refused[error.code] = self.report.refused.get(error.code, 0) + 1
            self.state.enter(hashed, error.code)
        else:
            self.report.fetched += 1
            self.report.bytes += target.stat().st_size
            self.state.enter(hashed)

    def _copy(self, chunks: Iterator[bytes], out: BinaryIO, uid: str) -> None:
        head, size = bytearray(), 0
        for chunk in chunks:
            size += len(chunk)
            if size > self.limit:
                raise TooLarge(
                    f"an instance is above {self.limit // 2**20} MB: raise MAMMO_MAX_FILE_MB"
                )
            head += chunk[: HEAD_BYTES - len(head)]
            out.write(chunk)
        require_instance(bytes(head), uid)


def require_instance(head: bytes, uid: str) -> None:
    """Refuse bytes that are no DICOM file, or another instance than was asked for.

    Raises
    ------
    NotDicom
        No ``DICM`` at byte 128 (PS3.10 section 7.1).
    Broken
        The File Meta Information names another instance.
    """
    from pydicom.errors import InvalidDicomError
    from pydicom.filereader import read_partial

    if head[128:132] != b"DICM":
        raise NotDicom("the archive sends an instance that is no DICOM file (PS3.10 section 7.1)")
    try:
        part = read_partial(io.BytesIO(head), stop_when=lambda tag, _vr, _length: tag.group > 2)
    except zlib.error:  # a deflated data set, of which only the head is here
        return
    except (InvalidDicomError, EOFError, ValueError, KeyError, AttributeError):
        raise NotDicom("the archive sends an instance whose header cannot be read") from None
    told = str(part.file_meta.get("MediaStorageSOPInstanceUID", ""))
    if told and told != uid:
        raise Broken("the archive sends another instance than the one asked for")


def _day(text: str) -> date | None:
    """Return a DICOM date (DA), None when it is none."""
    try:
        return datetime.strptime(text.replace(".", ""), "%Y%m%d").date()
    except ValueError:
        return None


__all__ = ["OVERLAP_DAYS", "SOURCE", "FetchReport", "fetch_new", "remove_ingested", "spool_of"]
