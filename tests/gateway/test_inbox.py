"""Bytes to disk, then a row, then the answer; and what is not taken."""

from __future__ import annotations

import errno
import resource
import stat
import threading
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from bentos.gateway import inbox as inbox_module
from bentos.gateway.book import Book
from bentos.gateway.inbox import Inbox
from mammo.settings import Settings
from tests.gateway.images import OTHERS, PATIENT, STUDY, image, make_home


@pytest.fixture
def settings(tmp_path: Path) -> Settings:
    return make_home(tmp_path)


@pytest.fixture
def inbox(settings: Settings) -> Iterator[Inbox]:
    made = Inbox(settings)
    yield made
    made.close()


def files_of(settings: Settings) -> list[Path]:
    return sorted((settings.gateway_dir / "inbox").glob("*/*.dcm"))


def test_the_bytes_are_kept_as_they_came(inbox: Inbox, settings: Settings) -> None:
    data = image()
    assert inbox.take(data, "SENDER").status == "stored"
    (path,) = files_of(settings)
    assert path.read_bytes() == data
    modes = [stat.S_IMODE(one.stat().st_mode) for one in (settings.gateway_dir, path.parents[1])]
    assert modes == [0o700, 0o700]
    assert stat.S_IMODE(settings.gateway_book.stat().st_mode) == 0o600


def test_the_book_names_nobody(inbox: Inbox, settings: Settings) -> None:
    inbox.take(image(), "SENDER")
    inbox.take(image(BitsStored=11), "SENDER")
    inbox.take(b"no DICOM", "SENDER")
    kept = b"".join(one.read_bytes() for one in settings.gateway_dir.glob("gateway.sqlite*"))
    named = (STUDY, PATIENT, "secret-id", "19510203")
    assert not [one for one in named if one.encode() in kept]
    paths = [str(one) for one in settings.gateway_dir.rglob("*")]
    assert not [one for one in paths if STUDY in one]


def test_the_same_bytes_again_change_nothing(inbox: Inbox, settings: Settings) -> None:
    before = [inbox.take(image(), "SENDER").status, Book(settings.gateway_book).studies()]
    assert inbox.take(image(), "OTHER").status == "known"
    assert [before[0], Book(settings.gateway_book).studies()] == before


def test_the_same_uid_with_other_bytes_is_an_incident(inbox: Inbox, settings: Settings) -> None:
    first, other = image(), image(BitsStored=11)
    statuses = [inbox.take(one, "SENDER").status for one in (first, other, other, first)]
    assert statuses == ["stored", "incident", "incident", "known"]
    (line,) = Book(settings.gateway_book).studies(incident=True).studies
    study = Book(settings.gateway_book).study(line.study)
    assert [(one.code, one.kept) for one in study.incidents] == [("SAME_UID_OTHER_BYTES", True)]
    assert [one.image for one in study.images] == [study.incidents[0].image]
    assert sorted(one.read_bytes() for one in files_of(settings)) == sorted((first, other))


def test_a_uid_that_moved_to_another_study_shows_in_both(inbox: Inbox, settings: Settings) -> None:
    inbox.take(image(), "SENDER")
    inbox.take(image(StudyInstanceUID=f"{STUDY}.77"), "SENDER")
    lines = Book(settings.gateway_book).studies().studies
    assert [(one.images, one.incident) for one in lines] == [(0, True), (1, False)]


@pytest.mark.parametrize("kind", OTHERS)
def test_other_objects_are_kept_and_told(kind: str, inbox: Inbox, settings: Settings) -> None:
    sop_class, code = OTHERS[kind]
    assert inbox.take(image(sop_class=sop_class), "SENDER").status == "stored"
    (line,) = Book(settings.gateway_book).studies().studies
    assert [one.code for one in Book(settings.gateway_book).study(line.study).images] == [code]


@pytest.mark.parametrize(
    ("data", "code"),
    [
        (b"", "EMPTY_FILE"),
        (b"%PDF-1.4 no DICOM at all" * 20, "NOT_DICOM"),
        (image()[:400], "NOT_DICOM"),
        (image(StudyInstanceUID=None), "NOT_DICOM"),
        (image(SOPInstanceUID=None), "NOT_DICOM"),
        (image() + b"\0" * 2**20, "TOO_LARGE"),
    ],
    ids=["empty", "PDF", "cut in its header", "no study", "no instance", "too large"],
)
def test_what_cannot_be_filed_is_refused_and_told(data: bytes, code: str, tmp_path: Path) -> None:
    settings = make_home(tmp_path, dicom_max_mb=1)
    inbox = Inbox(settings)
    taken = inbox.take(data, "SENDER")
    assert (taken.status, taken.code, taken.is_kept) == ("refused", code, False)
    assert not files_of(settings)
    assert Book(settings.gateway_book).counts()["receiving"] == 0
    inbox.close()


def test_uids_of_the_command_must_be_those_of_the_object(inbox: Inbox, settings: Settings) -> None:
    taken = inbox.take(image(), "SENDER", ("1.2.3", f"{STUDY}.1"))
    assert (taken.status, taken.code) == ("refused", "IDENTITY_MISMATCH")
    (line,) = Book(settings.gateway_book).studies().studies
    assert (line.images, line.incident) == (0, True)


def test_a_disk_that_is_nearly_full_takes_nothing(tmp_path: Path) -> None:
    settings = make_home(tmp_path, dicom_free_mb=10**9)
    inbox = Inbox(settings)
    assert inbox.take(image(), "SENDER").status == "no room"
    assert not files_of(settings)
    assert Book(settings.gateway_book).studies().studies == ()
    inbox.close()


@pytest.mark.parametrize("number", [errno.ENOSPC, errno.EDQUOT, errno.EROFS])
def test_a_disk_that_refuses_is_no_success(
    number: int, inbox: Inbox, settings: Settings, monkeypatch: pytest.MonkeyPatch
) -> None:
    def refuse(*_: object) -> None:
        raise OSError(number, "no")

    monkeypatch.setattr(inbox_module, "write_file", refuse)
    assert inbox.take(image(), "SENDER").status == "no room"
    monkeypatch.undo()
    assert inbox.take(image(), "SENDER").status == "stored", "the sender tried again"
    assert len(files_of(settings)) == 1


def test_a_kernel_that_refuses_to_write_leaves_nothing_half(
    inbox: Inbox, settings: Settings
) -> None:
    large = image(PixelData=b"\0" * 200_000)
    soft, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (100_000, hard))
    try:
        assert inbox.take(large, "SENDER").status == "no room"
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, (soft, hard))
    assert [one for one in (settings.gateway_dir / "inbox").rglob("*") if one.is_file()] == []
    assert inbox.take(large, "SENDER").status == "stored"


def test_a_book_that_cannot_grow_is_no_success(inbox: Inbox, settings: Settings) -> None:
    soft, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (6_000, hard))
    try:
        assert inbox.take(image(), "SENDER").status == "no room"
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, (soft, hard))
    assert inbox.take(image(), "SENDER").status == "stored"
    (line,) = Book(settings.gateway_book).studies().studies
    assert line.images == 1


def test_a_file_that_was_written_and_not_booked_is_taken_over(
    inbox: Inbox, settings: Settings, monkeypatch: pytest.MonkeyPatch
) -> None:
    with monkeypatch.context() as patch, pytest.raises(KeyboardInterrupt):
        patch.setattr(inbox._bookings, "book", _interrupt)
        inbox.take(image(), "SENDER")
    assert (len(files_of(settings)), Book(settings.gateway_book).studies().studies) == (1, ())
    assert inbox.take(image(), "SENDER").status == "stored"
    assert len(files_of(settings)) == 1


def _interrupt(*_: object) -> None:
    raise KeyboardInterrupt


def test_a_folder_that_another_process_makes_at_that_moment_is_used(
    inbox: Inbox, settings: Settings, monkeypatch: pytest.MonkeyPatch
) -> None:
    make = Path.mkdir

    def made_just_before(folder: Path, *given: Any, **named: Any) -> None:
        if folder.parent == inbox.folder:
            make(folder, exist_ok=True)
        make(folder, *given, **named)

    monkeypatch.setattr(Path, "mkdir", made_just_before)
    assert inbox.take(image(), "SENDER").status == "stored"
    assert len(files_of(settings)) == 1


def test_the_name_of_a_folder_is_on_the_disk_before_its_first_file(
    inbox: Inbox, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Also where another process made the folder and may not have flushed it yet."""
    arrival = inbox._read(image(), "OTHER")
    (inbox.folder / arrival.file).parent.mkdir()
    flushed = list[tuple[Path, int]]()

    def flush(folder: Path) -> None:
        flushed.append((folder, len(list(folder.glob("*/*.dcm")))))

    monkeypatch.setattr(inbox_module, "sync_folder", flush)
    assert [inbox.take(image(one), "SENDER").status for one in (1, 2)] == ["stored", "stored"]
    assert flushed == [(inbox.folder, 0)]


def test_many_senders_of_the_same_images_make_one_of_each(inbox: Inbox, settings: Settings) -> None:
    files, statuses = [image(number) for number in (1, 2, 3, 4)], list[str]()

    def send() -> None:
        statuses.extend(inbox.take(one, "SENDER").status for one in files)

    threads = [threading.Thread(target=send) for _ in range(6)]
    for one in threads:
        one.start()
    for one in threads:
        one.join()
    assert (statuses.count("stored"), statuses.count("known")) == (4, 20)
    (line,) = Book(settings.gateway_book).studies().studies
    assert (line.images, line.incidents, len(files_of(settings))) == (4, 0, 4)
