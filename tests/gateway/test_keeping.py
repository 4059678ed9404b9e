"""How long received files are kept, and what is swept."""

from __future__ import annotations

import os
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any, BinaryIO

import pytest

from bentos.gateway import inbox as inbox_module
from bentos.gateway.book import Book
from bentos.gateway.inbox import Inbox
from bentos.gateway.keeping import DAY_SECONDS, sweep_inbox
from bentos.gateway.ledger import Ledger, Outcome
from mammo.data.durable import write_file
from mammo.errors import MammoError
from mammo.settings import Settings
from tests.gateway.images import STUDY, image, make_home

NOW = time.time()
LATER = NOW + 31 * DAY_SECONDS


@pytest.fixture
def settings(tmp_path: Path) -> Settings:
    return make_home(tmp_path)


@pytest.fixture
def ledger(settings: Settings) -> Iterator[Ledger]:
    with Ledger(settings.gateway_book) as ledger:
        yield ledger


@pytest.fixture
def inbox(settings: Settings) -> Iterator[Inbox]:
    made = Inbox(settings)
    yield made
    made.close()


def files_of(settings: Settings) -> list[Path]:
    return [one for one in (settings.gateway_dir / "inbox").rglob("*") if one.is_file()]


def finish(ledger: Ledger, *, reported: bool) -> str:
    """Bring every study that is there to its end."""
    ledger.settle(LATER, 0)
    work = ledger.claim(LATER)
    assert work is not None
    ledger.finish(work, Outcome("failed", "MIXED_EXAMS"), NOW)
    if reported:
        ledger.set_reported(work.study, 1, None)
    return work.study


def test_files_of_a_study_that_is_over_go_after_their_days(
    inbox: Inbox, ledger: Ledger, settings: Settings
) -> None:
    inbox.take(image(1), "SENDER")
    inbox.take(image(1, BitsStored=11), "SENDER")
    study = finish(ledger, reported=True)
    assert sweep_inbox(settings, ledger, NOW + 29 * DAY_SECONDS) == 0
    assert sweep_inbox(settings, ledger, LATER) == 2
    assert files_of(settings) == []
    assert len(Book(settings.gateway_book).study(study).images) == 1, "the book keeps the row"
    assert inbox.take(image(1), "SENDER").status == "stored", "it may come again"
    assert Book(settings.gateway_book).study(study).line.state == "receiving"


@pytest.mark.parametrize("reported", [None, False])
def test_files_that_are_still_needed_stay(
    reported: bool | None, inbox: Inbox, ledger: Ledger, settings: Settings
) -> None:
    inbox.take(image(1), "SENDER")
    if reported is not None:
        finish(ledger, reported=reported)
    assert sweep_inbox(settings, ledger, LATER) == 0
    assert len(files_of(settings)) == 1


def test_what_nobody_acknowledged_goes_after_a_day(
    inbox: Inbox, ledger: Ledger, settings: Settings
) -> None:
    inbox.take(image(1), "SENDER")
    (known,) = files_of(settings)
    orphan, young = (known.with_name(f"I-{one}.dcm") for one in ("0", "1"))
    for one in (orphan, young):
        one.write_bytes(b"left over")
    for one in (known, orphan):
        os.utime(one, (NOW - 2 * DAY_SECONDS,) * 2)
    assert sweep_inbox(settings, ledger, NOW) == 1
    assert sorted(files_of(settings)) == sorted((known, young))
    assert STUDY not in str(known)


def test_what_a_killed_stow_wrote_half_goes_while_the_gateway_runs(
    ledger: Ledger, inbox: Inbox, settings: Settings
) -> None:
    program = (
        "import os, sys; from pathlib import Path; from mammo.data.durable import write_file;"
        "write_file(Path(sys.argv[1], 'S', 'I.dcm'),"
        " lambda stream: (stream.write(b'half'), os._exit(9)), Path(sys.argv[1]))"
    )
    run = subprocess.run([sys.executable, "-c", program, str(inbox.folder)], check=False)
    assert (run.returncode, len(files_of(settings))) == (9, 1)

    def sweep(stream: BinaryIO) -> None:
        sweep_inbox(settings, ledger, NOW)
        stream.write(b"whole")

    write_file(inbox.folder / "S" / "J.dcm", sweep, inbox.folder)
    assert [one.read_bytes() for one in files_of(settings)] == [b"whole"]


def once_before(first: Callable[[], object], then: Callable[..., Any]) -> Callable[..., Any]:
    """Return ``then``, before whose first call ``first`` is done."""
    left = [first]

    def both(*given: Any, **named: Any) -> Any:
        if left:
            left.pop()()
        return then(*given, **named)

    return both


def once_after(then: Callable[[], object], first: Callable[..., Any]) -> Callable[..., Any]:
    """Return ``first``, after whose first call ``then`` is done."""
    left = [then]

    def both(*given: Any, **named: Any) -> Any:
        answer = first(*given, **named)
        if left:
            left.pop()()
        return answer

    return both


@pytest.mark.parametrize(
    "order", ["swept before it is booked", "booked before it is swept", "written before"]
)
def test_an_image_that_comes_again_while_its_study_is_swept_stays(
    order: str,
    inbox: Inbox,
    ledger: Ledger,
    settings: Settings,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    inbox.take(image(1), "SENDER")
    study, told = finish(ledger, reported=True), list[str]()

    def sweep() -> int:
        return sweep_inbox(settings, ledger, LATER)

    def send() -> None:
        told.append(inbox.take(image(1), "SENDER").status)

    bookings = inbox._bookings
    if order == "swept before it is booked":
        monkeypatch.setattr(bookings, "book", once_before(sweep, bookings.book))
        send()
    elif order == "booked before it is swept":
        monkeypatch.setattr(ledger, "forget_files", once_after(send, ledger.forget_files))
        sweep()
    else:
        forget = once_after(send, ledger.forget_files)
        monkeypatch.setattr(ledger, "forget_files", forget)
        written = once_after(sweep, inbox_module.write_file)
        monkeypatch.setattr(inbox_module, "write_file", written)
        sweep()
    assert told == ["stored"]
    assert [one.read_bytes() for one in files_of(settings)] == [image(1)]
    assert Book(settings.gateway_book).study(study).line.state == "receiving"
    work = ledger.settle(LATER, 0) and ledger.claim(LATER)
    assert work and (settings.gateway_dir / "inbox" / work.images[0].file).exists()


def test_an_orphan_that_is_swept_before_it_is_booked_is_written_again(
    inbox: Inbox, ledger: Ledger, settings: Settings, monkeypatch: pytest.MonkeyPatch
) -> None:
    with monkeypatch.context() as patch, pytest.raises(KeyboardInterrupt):
        patch.setattr(inbox._bookings, "book", _killed)
        inbox.take(image(1), "SENDER")
    swept = list[int]()
    book = once_before(
        lambda: swept.append(sweep_inbox(settings, ledger, LATER)), inbox._bookings.book
    )
    monkeypatch.setattr(inbox._bookings, "book", book)
    assert (inbox.take(image(1), "SENDER").status, swept) == ("stored", [1])
    assert len(files_of(settings)) == 1


def test_what_is_swept_time_and_again_is_not_acknowledged(
    inbox: Inbox, ledger: Ledger, settings: Settings, monkeypatch: pytest.MonkeyPatch
) -> None:
    book = inbox._bookings.book

    def swept(*given: Any) -> Any:
        sweep_inbox(settings, ledger, LATER)
        return book(*given)

    monkeypatch.setattr(inbox._bookings, "book", swept)
    with pytest.raises(MammoError, match="went each time"):
        inbox.take(image(1), "SENDER")
    assert (files_of(settings), Book(settings.gateway_book).studies().studies) == ([], ())


def _killed(*_: object) -> None:
    raise KeyboardInterrupt


def test_a_folder_that_is_swept_before_its_next_file_is_made_again(
    inbox: Inbox, ledger: Ledger, settings: Settings, monkeypatch: pytest.MonkeyPatch
) -> None:
    inbox.take(image(1), "SENDER")
    finish(ledger, reported=True)

    def sweep() -> int:
        return sweep_inbox(settings, ledger, LATER)

    replace = once_before(sweep, Path.replace)
    monkeypatch.setattr(Path, "replace", lambda *given: replace(*given))
    assert inbox.take(image(2), "SENDER").status == "stored"
    assert [one.read_bytes() for one in files_of(settings)] == [image(2)]


def test_a_study_that_is_sent_again_keeps_its_files_for_all_its_days(
    inbox: Inbox, ledger: Ledger, settings: Settings, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Else the sweep between two of its images leaves it without the first one."""
    for number in (1, 2):
        inbox.take(image(number), "SENDER")
    study = finish(ledger, reported=True)
    monkeypatch.setattr(inbox_module.time, "time", lambda: LATER)
    told = [inbox.take(image(1), "SENDER").status]
    assert sweep_inbox(settings, ledger, LATER + 60) == 0
    told.append(inbox.take(image(2), "SENDER").status)
    assert told == ["known", "known"]
    assert Book(settings.gateway_book).study(study).line.state == "failed", "nothing is new"
    assert sweep_inbox(settings, ledger, LATER + 31 * DAY_SECONDS) == 2


def test_other_bytes_that_come_again_are_kept_again(
    inbox: Inbox, ledger: Ledger, settings: Settings, monkeypatch: pytest.MonkeyPatch
) -> None:
    other = image(1, BitsStored=11)
    for one in (image(1), other):
        inbox.take(one, "SENDER")
    study = finish(ledger, reported=True)
    assert sweep_inbox(settings, ledger, LATER) == 2
    monkeypatch.setattr(inbox_module.time, "time", lambda: LATER)
    assert inbox.take(other, "SENDER").status == "incident"
    assert [one.kept for one in Book(settings.gateway_book).study(study).incidents] == [True]
    assert sweep_inbox(settings, ledger, LATER + 2 * DAY_SECONDS) == 0
    assert [one.read_bytes() for one in files_of(settings)] == [other]


def test_an_image_whose_file_was_lost_is_scored_when_it_comes_again(
    inbox: Inbox, ledger: Ledger, settings: Settings
) -> None:
    """As where a backup was restored that had left the inbox out."""
    inbox.take(image(1), "SENDER")
    study = finish(ledger, reported=True)
    (path,) = files_of(settings)
    path.unlink()
    assert [inbox.take(image(1), "SENDER").status for _ in range(2)] == ["stored", "known"]
    assert Book(settings.gateway_book).study(study).line.state == "receiving"
    assert files_of(settings) == [path]
