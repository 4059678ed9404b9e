"""From a quiet study to its end: what is scored, what is told, what is tried again."""

from __future__ import annotations

import shutil
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from bentos.gateway.book import Book, Study
from bentos.gateway.inbox import Inbox
from bentos.gateway.ledger import Ledger
from bentos.gateway.scoring import GIVEN_UP_AFTER, StudyScoring
from mammo.client import Screening
from mammo.contract import RefusedFile
from mammo.errors import (
    DiskFull,
    LogUnavailable,
    MammoError,
    MixedExams,
    NothingReadable,
    NotReady,
    Overloaded,
    ScoreNotFinite,
    ServiceUnreachable,
    TokenInvalid,
)
from mammo.reports.identities import original_ids_of
from mammo.reports.material import ReportMaterial, Status
from mammo.settings import Settings
from tests.gateway.images import OTHERS, image, make_home
from tests.gateway.serving import Answering, served

QUIET = 60.0
LATER = 1e10
"""A time at which everything that waits is due (Unix seconds)."""


class Desk:
    """A home with inbox, ledger and scoring; ``service`` may be set by a test."""

    def __init__(self, settings: Settings) -> None:
        self.settings, self.inbox = settings, Inbox(settings)
        self.ledger, self.book = Ledger(settings.gateway_book), Book(settings.gateway_book)

    def take(self, *files: bytes) -> None:
        assert all(self.inbox.take(one, "SENDER").is_kept for one in files)

    def step(self, service: Any, now: float = LATER) -> bool:
        return StudyScoring(self.settings, self.ledger, service).step(now)

    @property
    def study(self) -> Study:
        (line,) = self.book.studies().studies
        return self.book.study(line.study)


@pytest.fixture
def desk(tmp_path: Path) -> Iterator[Desk]:
    made = Desk(make_home(tmp_path, dicom_quiet_seconds=QUIET, image_days=0))
    yield made
    made.ledger.close()
    made.inbox.close()


@pytest.fixture(scope="module")
def home(tmp_path_factory: pytest.TempPathFactory) -> Settings:
    """The service's home; it is not the gateway's, its key is."""
    home = tmp_path_factory.mktemp("service")
    return Settings(home=home, image_days=0, given_key=KEY, _env_file=None)


@pytest.fixture(scope="module")
def service(home: Settings) -> Iterator[Screening]:
    """A real release, served."""
    with served(home) as one:
        yield one


KEY = "00112233445566778899aabbccddeeff"
FOUR = [image(number) for number in (1, 2, 3, 4)]


def test_a_study_is_scored_when_it_is_quiet(desk: Desk, service: Screening) -> None:
    desk.take(*FOUR)
    first = desk.study.line
    arrived = desk.ledger.next_due(QUIET)
    assert arrived is not None
    assert not desk.step(service, arrived - 1)
    assert (first.state, desk.study.line.state) == ("receiving", "receiving")
    assert desk.step(service, arrived + 1)
    line = desk.study.line
    assert (line.state, line.code, line.version, line.images) == ("scored", None, 1, 4)
    assert line.score is not None
    assert line.release == "r-20260301-aaaaaaaa"
    assert not desk.step(service), "there is nothing more to do"


def test_the_answer_and_the_book_call_the_study_alike(tmp_path: Path, service: Screening) -> None:
    desk = Desk(make_home(tmp_path, given_key=KEY))
    desk.take(*FOUR)
    desk.step(service)
    line, images = desk.study.line, {one.image for one in desk.study.images}
    answer = desk.ledger.scoring(line.study, 1)[0].answer
    assert answer is not None
    assert line.exam == line.study
    assert {one["image_id"] for one in answer["views"]} == images


def test_a_late_view_is_scored_again_with_the_others(desk: Desk, service: Screening) -> None:
    asked = Answering(real=service)
    desk.take(*FOUR[:3])
    desk.step(asked)
    assert (desk.study.line.state, desk.study.line.code) == ("partly", "MISSING_VIEW")
    desk.take(FOUR[3])
    line = desk.study.line
    assert (line.state, line.version) == ("receiving", 1)
    assert line.score is not None, "the score of before is told until the new one is there"
    desk.step(asked)
    line = desk.study.line
    assert (line.state, line.version, [one[1] for one in asked.asked]) == ("scored", 2, [3, 4])
    assert asked.asked[0][0] != asked.asked[1][0]


def test_a_late_fifth_view_is_one_more_of_its_breast(desk: Desk, service: Screening) -> None:
    desk.take(*FOUR)
    desk.step(service)
    desk.take(image(5))
    desk.step(service)
    line = desk.study.line
    assert (line.state, line.version, line.images) == ("scored", 2, 5)
    answer = desk.ledger.scoring(line.study, 2)[0].answer
    assert answer is not None
    assert [one["pooled"] for one in answer["views"]].count(False) == 1


def test_a_view_that_comes_while_the_study_is_scored(desk: Desk, service: Screening) -> None:
    class Slow(Answering):
        def score(self, files: Any, *, key: str | None = None) -> Any:
            if not self.asked:
                desk.take(FOUR[3])
            return super().score(files, key=key)

    slow = Slow(real=service)
    desk.take(*FOUR[:3])
    desk.step(slow)
    assert (desk.study.line.state, desk.study.line.version) == ("receiving", 1)
    _, images = desk.ledger.scoring(desk.study.line.study, 1)
    assert len(images) == 3, "the reports of that scoring are about what was scored"
    desk.step(slow)
    assert (desk.study.line.state, desk.study.line.version) == ("scored", 2)


@pytest.mark.parametrize(
    ("kind", "state", "code"),
    [
        ("CT", "partly", "NOT_MAMMOGRAPHY"),
        ("tomosynthesis", "partly", "TOMOSYNTHESIS"),
        ("for processing", "scored", None),
        ("report", "scored", None),
    ],
)
def test_others_beside_the_views(
    kind: str, state: str, code: str | None, desk: Desk, service: Screening
) -> None:
    sop_class, own = OTHERS[kind]
    desk.take(*FOUR, image(5, sop_class=sop_class))
    asked = Answering(real=service)
    desk.step(asked)
    assert asked.asked[0][1] == 4, "what its class tells apart is not sent to be scored"
    assert (desk.study.line.state, desk.study.line.code) == (state, code)
    assert [one.code for one in desk.study.images] == [None] * 4 + [own]


@pytest.mark.parametrize("kind", OTHERS)
def test_nothing_to_score_is_told_without_asking(kind: str, desk: Desk) -> None:
    sop_class, code = OTHERS[kind]
    desk.take(image(sop_class=sop_class))
    asked = Answering()
    assert desk.step(asked)
    assert (desk.study.line.state, desk.study.line.code, asked.asked) == ("failed", code, [])
    assert desk.study.line.text


def test_a_report_that_comes_back_starts_no_scoring(desk: Desk, service: Screening) -> None:
    desk.take(*FOUR)
    desk.step(service)
    desk.take(image(6, sop_class=OTHERS["report"][0]))
    assert not desk.step(Answering())
    assert (desk.study.line.state, desk.study.line.version) == ("scored", 1)


def test_a_file_of_another_kind_is_left_out_by_the_service(desk: Desk, service: Screening) -> None:
    foot = image(5, sop_class="1.2.840.10008.5.1.4.1.1.1", Modality="CR", BodyPartExamined="FOOT")
    desk.take(*FOUR, foot)
    desk.step(service)
    assert (desk.study.line.state, desk.study.line.code) == ("partly", "NOT_MAMMOGRAPHY")
    assert [one.code for one in desk.study.images][-1] == "NOT_MAMMOGRAPHY"
    answer = desk.ledger.scoring(desk.study.line.study, 1)[0].answer
    assert answer is not None
    assert [one["file"] for one in answer["refused"]] == ["5"], "no name of a file on this disk"


class Killed:
    """A service that was killed once it had logged the answer, and is asked again."""

    def __init__(self, real: Screening, home: Settings) -> None:
        self.real, self.home = real, home

    def score(self, files: Any, *, key: str) -> Any:
        self.real.score(files, key=key)
        shutil.rmtree(self.home.results_dir)
        return self.real.score(files, key=key)


def test_what_was_left_out_is_told_after_a_kill(
    desk: Desk, service: Screening, home: Settings
) -> None:
    foot = image(5, sop_class="1.2.840.10008.5.1.4.1.1.1", Modality="CR", BodyPartExamined="FOOT")
    desk.take(*FOUR, foot)
    desk.step(Killed(service, home))
    assert (desk.study.line.state, desk.study.line.code) == ("partly", "NOT_MAMMOGRAPHY")
    assert [one.code for one in desk.study.images][-1] == "NOT_MAMMOGRAPHY"
    answer = desk.ledger.scoring(desk.study.line.study, 1)[0].answer
    assert answer is not None and answer["views"] == []
    material = ReportMaterial.of_answer(answer, original_ids_of([*FOUR, foot]))
    assert material.status is Status.PARTLY
    assert [one.code for one in material.refused] == ["NOT_MAMMOGRAPHY"]


def refused(*codes: str) -> NothingReadable:
    told = [
        RefusedFile(position=place, file="x", code=code, message="no")
        for place, code in enumerate(codes, 1)
    ]
    return NothingReadable("None of the files could be read.", told)


@pytest.mark.parametrize(
    ("error", "code"),
    [
        (MixedExams("2 exams"), "MIXED_EXAMS"),
        (refused("FOR_PROCESSING", "FOR_PROCESSING"), "FOR_PROCESSING"),
        (refused("NOT_MAMMOGRAPHY", "DECODER_CRASHED"), "NOTHING_READABLE"),
    ],
)
def test_a_refusal_of_the_exam_is_its_end(error: MammoError, code: str, desk: Desk) -> None:
    desk.take(*FOUR[:2])
    desk.step(Answering(error))
    line = desk.study.line
    assert (line.state, line.code, line.version, line.score) == ("failed", code, 1, None)
    assert not desk.step(Answering()), "it is not asked again"
    desk.take(FOUR[2])
    assert desk.study.line.state == "receiving", "unless another image comes"


@pytest.mark.parametrize(
    "error",
    [
        ServiceUnreachable("no answer"),
        NotReady("no release"),
        LogUnavailable("away"),
        TokenInvalid("revoked"),
    ],
)
def test_a_service_that_is_away_is_waited_for(
    error: MammoError, desk: Desk, service: Screening
) -> None:
    desk.take(*FOUR)
    asked = Answering(*[error] * 30, real=service)
    now, waits = 1e10, []
    while desk.step(asked, now):
        line = desk.study.line
        if line.state == "scored":
            break
        assert (line.state, line.code) == ("waiting", error.code)
        due = desk.ledger.next_due(QUIET)
        assert due is not None
        assert not desk.step(asked, due - 0.001), "not before its time"
        waits.append(due - now)
        now = due
    assert (desk.study.line.state, len(asked.asked), desk.study.line.tries) == ("scored", 31, 0)
    assert len({key for key, _ in asked.asked}) == 1, "always the same request"
    assert 2.5 <= waits[0] <= 5.0
    assert max(waits) <= 600.0 and min(waits[10:]) >= 300.0


def test_a_service_that_is_full_says_when(desk: Desk) -> None:
    desk.take(*FOUR)
    desk.step(Answering(Overloaded("32 wait", 45)), 1e10)
    due = desk.ledger.next_due(QUIET)
    assert due == pytest.approx(1e10 + 45)


@pytest.mark.parametrize(
    ("error", "code"),
    [(ScoreNotFinite("NaN"), "SCORE_NOT_FINITE"), (RuntimeError("Secret^Name"), "INTERNAL")],
)
def test_a_fault_is_given_up_in_the_end(error: Exception, code: str, desk: Desk) -> None:
    desk.take(*FOUR)
    asked, now = Answering(*[error] * 30), 1e10
    while desk.step(asked, now):
        now += 1000
    assert len(asked.asked) == GIVEN_UP_AFTER
    line = desk.study.line
    assert (line.state, line.code, "Secret" in line.text) == ("failed", code, False)


def test_what_a_killed_gateway_was_scoring_goes_on(desk: Desk, service: Screening) -> None:
    desk.take(*FOUR)
    desk.ledger.settle(LATER, QUIET)
    claimed = desk.ledger.claim(LATER)
    assert claimed is not None
    assert desk.ledger.claim(LATER) is None, "one at a time has it"
    with Ledger(desk.settings.gateway_book) as after:
        assert after.recover() == 1
    asked = Answering(real=service)
    assert desk.step(asked)
    assert asked.asked[0][0] == claimed.key
    assert desk.study.line.version == 1


def test_a_book_that_cannot_be_written_for_a_while(
    desk: Desk, service: Screening, monkeypatch: pytest.MonkeyPatch
) -> None:
    def refuse(*_: object) -> int:
        raise DiskFull("no room")

    desk.take(*FOUR)
    asked = Answering(real=service)
    scoring = StudyScoring(desk.settings, desk.ledger, asked)
    with monkeypatch.context() as patch, pytest.raises(DiskFull):
        patch.setattr(desk.ledger, "finish", refuse)
        scoring.step(LATER)
    assert desk.study.line.state == "scoring"
    assert scoring.step(LATER)
    assert (desk.study.line.state, desk.study.line.version) == ("scored", 1)
    assert len({key for key, _ in asked.asked}) == 1, "the service answers it from its log"


def test_images_that_were_removed_are_asked_for_again(desk: Desk, service: Screening) -> None:
    desk.take(*FOUR[:3])
    desk.step(service)
    desk.ledger.set_reported(desk.study.line.study, 1, None)
    for name in desk.ledger.forget_files(LATER):
        (desk.settings.gateway_dir / "inbox" / name).unlink()
    desk.take(FOUR[3])
    desk.step(Answering())
    assert (desk.study.line.state, desk.study.line.code) == ("failed", "FILE_VANISHED")
    desk.take(*FOUR)
    desk.step(service)
    assert (desk.study.line.state, desk.study.line.version) == ("scored", 3)
