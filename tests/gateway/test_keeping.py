"""How long received files are kept, and what is swept."""

from __future__ import annotations

import os
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from bentos.gateway.book import Book
from bentos.gateway.inbox import Inbox
from bentos.gateway.keeping import DAY_SECONDS, sweep_inbox
from bentos.gateway.ledger import Ledger, Outcome
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
