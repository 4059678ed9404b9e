from __future__ import annotations

import itertools
import time
from pathlib import Path
from typing import Any

import pytest

from flows.demo_checks import require_closed_loop
from flows.demo_report import Recorder, summarise
from flows.demo_stream import OUTCOME_LAG_EXAMS, Background, PhantomExam, Stream
from mammo.errors import ValidationFailed
from mammo.pointer import write_pointer
from mammo.settings import Settings


@pytest.fixture
def settings(tmp_path: Path) -> Settings:
    return Settings(home=tmp_path / "home", _env_file=None)


class Offline(Stream):
    """A stream whose service answers at once with the release ``serving``."""

    serving = "r-1"

    def post_files(self, files: Any) -> dict[str, Any] | None:
        self.sent += 1
        name = next(iter(files)).stem
        return {"exam": f"E-{name}", "scanner": "A/B", "release": self.serving, "score": 0.5,
                "threshold": 0.4, "decision": "recall"}  # fmt: skip

    def post_outcome(self, record: dict[str, Any]) -> None:
        self.sent += 1
        self.posted = [*getattr(self, "posted", []), record["exam"]]


def exams(directory: Path, count: int) -> list[PhantomExam]:
    directory.mkdir(exist_ok=True)
    made = []
    for number in range(count):
        path = directory / f"{number}.dcm"
        path.touch()
        made.append(PhantomExam(str(number), (path,), {"L": number % 2 == 0}))
    return made


# the stream


def test_repeated_exams_are_requests_and_no_evidence(settings: Settings, tmp_path: Path) -> None:
    stream = Offline(settings)
    few = exams(tmp_path / "drift", 6)
    stream.send(itertools.islice(itertools.cycle(few), 24))
    assert [one["repeat"] for one in stream.scored] == [False] * 6 + [True] * 18
    assert stream.posted == [f"E-{number}" for number in range(6)]  # due although none is new
    recorder = Recorder(tmp_path, quiet=True, stream=stream)
    summary = summarise(recorder, settings)
    assert [phase["exams"] for phase in summary["phases"]] == [6]
    assert summary["requests"]["sent"] == 30
    assert summary["requests"]["repeated_exams"] == 18


def test_outcomes_lag(settings: Settings, tmp_path: Path) -> None:
    stream = Offline(settings)
    stream.send(exams(tmp_path / "drift", OUTCOME_LAG_EXAMS + 2))
    assert stream.posted == ["E-0", "E-1"]


def test_background_raises_what_ended_it(settings: Settings) -> None:
    broken = (1 / 0 for _ in range(3))
    with pytest.raises(ZeroDivisionError), Background(Offline(settings), broken, 0, 0):
        time.sleep(0.05)
    broken = (1 / 0 for _ in range(3))
    with (
        pytest.raises(ValueError, match="first") as caught,
        Background(Offline(settings), broken, 0, 0),
    ):
        raise ValueError("first")
    assert "ZeroDivisionError" in caught.value.__notes__[0]


# the last check


@pytest.fixture
def closed(settings: Settings, tmp_path: Path) -> Recorder:
    """A run in which everything held."""
    recorder = Recorder(tmp_path, quiet=True, stream=Offline(settings))
    assert recorder.stream is not None
    recorder.stream.serving = "r-2"
    recorder.stream.send(exams(tmp_path / "drift", 2))
    write_pointer(settings.pointer_path, {"release_id": "r-2"})
    recorder.real_exams = [{}, {}]
    recorder.by_dicom = {"state": "scored"}
    recorder.planted = {"DOE^JANE.dcm": "NOT_DICOM"}
    recorder.digests = {"ab" * 32: "DOE^JANE.dcm"}
    recorder.refuse([{"sha256": "ab" * 32, "code": "NOT_DICOM", "message": "no"}])
    recorder.episode = {"started_by": "AUTOMATION:x", "evidence": {"result": {"chosen": "r-2"}}}
    recorder.events = [{"at": 10, "label": "r-2", "kind": "release"}]
    recorder.live = (5, 20)
    return recorder


def test_closed_loop_passes(closed: Recorder, settings: Settings) -> None:
    require_closed_loop(closed, settings)


def refused(*passed: bool) -> dict[str, Any]:
    """An episode that ended without a choice after these verdicts."""
    result = {"chosen": None, "decisions": [{"passed": one} for one in passed]}
    return {"started_by": "AUTOMATION:x", "evidence": {"result": result}}


def test_a_gate_that_refuses_all_closes_the_loop(closed: Recorder, settings: Settings) -> None:
    closed.episode = refused(False, False)
    require_closed_loop(closed, settings)


@pytest.mark.parametrize(
    ("changes", "told"),
    [
        ({"episode": refused()}, "the gate chose no release"),
        ({"episode": refused(False, True)}, "the gate chose no release"),
        ({"real_exams": [{}]}, "1 of 2 real exams were scored"),
        ({"by_dicom": {}}, "the exam sent by DICOM is not sent"),
        ({"by_dicom": {"state": "failed"}}, "the exam sent by DICOM is failed"),
        ({"quarantined": []}, "quarantine holds []"),
        ({"planted": {}, "quarantined": []}, "no bad file was planted"),
        ({"episode": {}}, "retraining was started by nobody, no automation; the gate chose no"),
        ({"live": (10, 20)}, "no release was swapped in while"),
        ({"live": (5, 10)}, "no release was swapped in while"),
        ({"stream": None}, "no request was sent"),
        (
            {"episode": {"started_by": "USER:me", "evidence": {"result": {"chosen": "r-3"}}}},
            "started by USER:me, no automation; r-3 was chosen and the pointer names r-2; "
            "r-3 was chosen and the last exam was answered by r-2",
        ),
    ],
)
def test_open_loop_is_told(
    closed: Recorder, settings: Settings, changes: dict[str, Any], told: str
) -> None:
    for name, value in changes.items():
        setattr(closed, name, value)
    with pytest.raises(ValidationFailed) as caught:
        require_closed_loop(closed, settings)
    assert told in str(caught.value)


def test_failed_request_is_told(closed: Recorder, settings: Settings) -> None:
    assert closed.stream is not None
    closed.stream.failed, closed.stream.errors = 1, ["/v1/exams: 500"]
    with pytest.raises(ValidationFailed, match="1 of 2 requests failed, first /v1/exams: 500"):
        require_closed_loop(closed, settings)
