"""Which candidates meet the gate, in which order, and what is put into service."""

from __future__ import annotations

import threading
from pathlib import Path
from typing import Any

import pytest

from flows import retrain
from mammo.continual import mend
from mammo.continual.mend import Assignment
from mammo.pointer import write_pointer
from mammo.settings import Settings

NEW = "New/Scanner"
PASSED, REFUSED = {"gate": {"passed": True}}, {"gate": {"passed": False}}


class State:
    def is_failed(self) -> bool:
        return False


class Loop:
    """The tasks of the flow without Prefect, and what they were asked."""

    def __init__(self, *passing: str) -> None:
        self.passing = set(passing)
        self.judged: list[list[str]] = []
        self.served: list[tuple[str, str, str | None]] = []
        self.cards: list[str] = []
        self.events: list[str] = []
        self.scratch = 0
        self.closed: dict[str, Any] = {}

    def choose(self, _settings: Any, _assignment: Any, names: list[str]) -> dict[str, Any]:
        self.judged.append(names)
        chosen = next((one for one in names if one in self.passing), None)
        return {"chosen": chosen, "decisions": names}

    def train_from_scratch(self, *_args: Any) -> dict[str, Any]:
        self.scratch += 1
        return {"release": "r-scratch"}

    def put_into_service(self, release: str, reason: str, key: str | None) -> None:
        self.served.append((release, reason, key))
        self.events.append(f"serve {release}")

    def write_cards(self, _settings: Any, release: str, *, return_state: bool) -> State:
        assert return_state  # a card that fails stops nothing
        self.cards.append(release)
        self.events.append(f"card {release}")
        return State()

    def close(self, _settings: Any, _assignment: Any, result: dict[str, Any]) -> None:
        self.closed = result


@pytest.fixture
def settings(tmp_path: Path) -> Settings:
    return Settings(home=tmp_path, _env_file=None)


def play(
    loop: Loop,
    settings: Settings,
    monkeypatch: pytest.MonkeyPatch,
    scanner: str | None = NEW,
    asked: str | None = None,
    key: str | None = "k",
) -> dict[str, Any]:
    """Run the flow's own body on the loop's tasks; ``asked`` is why a person must approve."""
    action = "recalibrate_and_retrain" if scanner else "retrain"
    assignment = Assignment("k", action, scanner, Path("r-1"))
    again = [{"release": "r-outcomes"}] if scanner else []
    plain = {
        "read_settings": lambda: settings,
        "approved": lambda *_: asked is None,
        "claim": lambda *_: assignment,
        "recalibrate_scanner": lambda _: [{"release": "r-scores", **REFUSED}],
        "wait_for_outcomes": lambda *_, **__: State(),
        "ingest": lambda: None,
        "validate": lambda: None,
        "calibrate_on_outcomes": lambda *_: again,
        "fine_tune": lambda *_: {"release": "r-tuned"},
        "choose": loop.choose,
        "train_from_scratch": loop.train_from_scratch,
        "put_into_service": loop.put_into_service,
        "write_cards": loop.write_cards,
        "close": loop.close,
    }
    for name, function in plain.items():
        monkeypatch.setattr(retrain, name, function)
    return retrain.retrain.fn(key, "drift")


CANDIDATES = ["r-scores", "r-outcomes", "r-tuned"]


@pytest.mark.parametrize("passing", [("r-outcomes", "r-tuned"), ("r-tuned",), ("r-scores",)])
def test_the_least_invasive_that_passes_goes_into_service(
    passing: tuple[str, ...], settings: Settings, monkeypatch: pytest.MonkeyPatch
) -> None:
    loop = Loop(*passing, "r-scratch")
    result = play(loop, settings, monkeypatch)
    assert loop.judged == [CANDIDATES]
    assert (result["chosen"], loop.scratch) == (passing[0], 0)
    assert loop.served == [(passing[0], "drift", "k")]
    assert loop.closed["chosen"] == passing[0]
    # every one that was judged has a card with the verdict, before anybody is asked about it
    assert loop.events == [*(f"card {one}" for one in CANDIDATES), f"serve {passing[0]}"]


def test_from_scratch_only_where_the_gate_refuses_the_others(
    settings: Settings,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    loop = Loop("r-scratch")
    result = play(loop, settings, monkeypatch)
    assert loop.judged == [CANDIDATES, [*CANDIDATES, "r-scratch"]]
    assert result["chosen"] == "r-scratch"
    assert loop.cards == [*CANDIDATES, "r-scratch"]
    assert loop.served == [("r-scratch", "drift", "k")]


def test_nothing_goes_into_service_where_the_gate_refuses_all(
    settings: Settings,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    loop = Loop()
    result = play(loop, settings, monkeypatch)
    assert (result["chosen"], loop.scratch, loop.served) == (None, 1, [])
    assert loop.closed["decisions"] == [*CANDIDATES, "r-scratch"]


def test_an_episode_of_all_scanners_is_not_recalibrated(
    settings: Settings, monkeypatch: pytest.MonkeyPatch
) -> None:
    loop = Loop("r-tuned")
    play(loop, settings, monkeypatch, scanner=None)
    assert loop.judged == [["r-tuned"]]


@pytest.mark.parametrize(
    ("made", "served"),
    [
        ({"release": "r-2", **PASSED}, [("r-2", "refine", None)]),
        ({"release": "r-asked", **PASSED}, []),
        ({"release": "r-2", **REFUSED}, []),
        (None, []),
    ],
)
def test_a_refined_point_is_served_if_the_gate_lets_it(
    made: dict[str, Any] | None,
    served: list[Any],
    settings: Settings,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    loop, why = Loop(), {"r-asked": "too few exams"}
    monkeypatch.setattr(retrain, "read_settings", lambda: settings)
    monkeypatch.setattr(retrain, "needs_approval", lambda _settings, name: why.get(name))
    monkeypatch.setattr(retrain, "find_refinements", lambda _: [NEW])
    monkeypatch.setattr(retrain, "refine_scanner", lambda *_: made)
    monkeypatch.setattr(retrain, "put_into_service", loop.put_into_service)
    monkeypatch.setattr(retrain, "write_cards", loop.write_cards)
    assert retrain.refine.fn() == [{"scanner": NEW, "made": made}]
    assert loop.served == served
    assert loop.cards == ([] if made is None else [made["release"]])


def test_a_recalibrated_release_has_its_card_once_it_serves(
    settings: Settings, monkeypatch: pytest.MonkeyPatch
) -> None:
    loop = Loop()
    monkeypatch.setattr(retrain, "read_settings", lambda: settings)
    monkeypatch.setattr(retrain, "needs_approval", lambda *_: None)
    monkeypatch.setattr(retrain, "recalibrate", lambda *_: {"release": "r-2", **PASSED})
    monkeypatch.setattr(retrain, "put_into_service", loop.put_into_service)
    monkeypatch.setattr(retrain, "write_cards", loop.write_cards)
    assignment = Assignment("k", "recalibrate_and_retrain", NEW, Path("r-1"))
    assert retrain.recalibrate_scanner.fn(assignment) == [{"release": "r-2", **PASSED}]
    # a scanner's point is not made to wait for a page
    assert loop.events == ["serve r-2", "card r-2"]


def test_nothing_goes_into_service_before_a_person_has_approved(
    settings: Settings, monkeypatch: pytest.MonkeyPatch
) -> None:
    loop = Loop("r-tuned")
    result = play(loop, settings, monkeypatch, asked="too few golden exams")
    assert (result["chosen"], result["service"]) == ("r-tuned", "awaiting approval")
    assert loop.served == []
    assert loop.closed["service"] == "awaiting approval"


@pytest.mark.parametrize(
    ("plan", "key", "skipped"),
    [
        ({"stages": ["shadow"]}, None, True),
        ({"stages": ["shadow"]}, "k", False),  # drift is met at once
        (None, None, False),  # set beside the champion by hand: the guard leads it nowhere
    ],
)
def test_a_release_on_trial_is_not_thrown_out_by_a_retraining_without_cause(
    plan: dict[str, Any] | None,
    key: str | None,
    skipped: bool,
    settings: Settings,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    loop = Loop("r-tuned")
    place = {"release_id": "r-2", "bento_tag": "b:2", "stage": "shadow", "plan": plan}
    write_pointer(settings.pointer_path, {"release_id": "r-1", "challenger": place})
    result = play(loop, settings, monkeypatch, scanner=None, key=key)
    assert (loop.judged == [], loop.served == []) == (skipped, skipped)
    told = "r-2 is on trial; `mammo trial` tells how far; another would end it"
    assert result.get("skipped") == (told if skipped else None)


def test_one_retraining_at_a_time(settings: Settings, monkeypatch: pytest.MonkeyPatch) -> None:
    """A second retraining waits for the first; a refinement comes another day."""
    loop, came = Loop("r-tuned"), []
    run = threading.Thread(target=lambda: came.append(play(loop, settings, monkeypatch)))
    with mend.alone(settings, wait=True):
        with mend.alone(settings, wait=False) as second:
            assert not second
        run.start()
        run.join(0.5)
        assert (run.is_alive(), came, loop.judged) == (True, [], [])
    run.join(30)
    assert came[0]["chosen"] == "r-tuned"
