"""A retraining that is run again after a kill undoes nothing that was decided meanwhile."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from bentos.screening import deployment
from bentos.screening.change_record import Why
from bentos.screening.deployment import deploy_release, rollback, stop_challenger
from flows import retrain
from mammo.continual import mend
from mammo.continual.mend import Assignment
from mammo.pointer import read_pointer
from mammo.prediction_log import PredictionLog
from mammo.release import write_json
from mammo.settings import Settings
from tests.bentos.conftest import make_release
from tests.bentos.deploying import accept, own_settings, pack

PASSED = {"gate": {"passed": True}}
OPTIONS: dict[str, Any] = {"wait": False, "check": accept}
Act = Callable[[Settings], object]
STEP_ONE = Assignment("k", "recalibrate_and_retrain", "New/Scanner", Path("r-1"))


def put(release: str, reason: str = "drift", key: str | None = "k", **stage: Any) -> Act:
    """Return the deployment of a release, as a run or a person does it."""
    why = Why(reason, key)
    return lambda settings: deploy_release(release, settings, why=why, **stage, **OPTIONS)


def taken_back(reason: str, by: str) -> Act:
    return lambda settings: rollback(settings, why=Why(reason, "k", by), **OPTIONS)


def ended(reason: str) -> Act:
    return lambda settings: stop_challenger(settings, why=Why(reason, "k"), wait=False)


def killed_rollback(settings: Settings) -> None:
    """Killed between pointer and record."""
    with pytest.MonkeyPatch.context() as patch, pytest.raises(ZeroDivisionError):
        patch.setattr(deployment, "write_change", lambda *_: 1 / 0)
        taken_back("harm", "guard")(settings)


def killed_deployment(settings: Settings) -> None:
    """The episode's own: the pointer tells of it, no record does."""
    with pytest.MonkeyPatch.context() as patch, pytest.raises(ZeroDivisionError):
        patch.setattr(deployment, "write_change", lambda *_: 1 / 0)
        put("r-2")(settings)


def refused_deployment(settings: Settings) -> None:
    """A worker could not load it: the pointer stays where it was, nothing is recorded."""
    with pytest.raises(ZeroDivisionError):
        deploy_release("r-2", settings, why=Why("drift", "k"), wait=False, check=lambda _: 1 / 0)


SHADOW = put("r-2", stage="shadow")
BY_GUARD, BY_PERSON = taken_back("harm", "guard"), taken_back("rollback", "anna")


@pytest.fixture
def settings(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Settings:
    """r-1 is in service; r-2 (scores) and r-3 (outcomes) are an episode's; a run deploys them."""
    settings = own_settings(tmp_path)
    for release in ("r-1", "r-2", "r-3"):
        pack(settings, release)
        place = settings.releases_dir / release / "manifest.json"
        write_json(place, make_release(release).to_dict())
    put("r-1", "first", None)(settings)
    plain = {
        "read_settings": lambda: settings,
        "needs_approval": lambda *_: None,
        "approved": lambda *_: True,
        "recalibrate": lambda *_: {"release": "r-2", **PASSED},
        # the packed releases are of a kind whose clause does not know the flow's own reason
        "put_into_service": lambda name, _reason, key: put(name, "drift", key)(settings),
        "log_cards": lambda *_: None,
    }
    for name, function in plain.items():
        monkeypatch.setattr(retrain, name, function)
    return settings


def act(settings: Settings, acts: tuple[Act, ...]) -> None:
    for one in acts:
        one(settings)


def serving(settings: Settings) -> str:
    return str((read_pointer(settings.pointer_path) or {})["release_id"])


@pytest.mark.parametrize(
    ("before", "serves"),
    [
        ((), "r-2"),
        ((refused_deployment,), "r-2"),
        ((put("r-2"),), "r-2"),
        ((put("r-2"), BY_GUARD), "r-1"),
        ((put("r-2"), BY_PERSON), "r-1"),
        ((put("r-2"), killed_rollback), "r-1"),
        ((put("r-2"), put("r-3")), "r-3"),
        ((put("r-3", key="another"),), "r-2"),
        ((SHADOW, ended("harm")), "r-1"),
    ],
    ids=[
        "first time", "refused before", "served", "harmed", "taken back by a person",
        "rollback without record", "set by outcomes since", "another episode's since",
        "harmed in its trial",
    ],
)  # fmt: skip
def test_step_one_is_done_once(settings: Settings, before: tuple[Act, ...], serves: str) -> None:
    act(settings, before)
    retrain.recalibrate_scanner.fn(STEP_ONE)
    assert serving(settings) == serves


@pytest.mark.parametrize(
    ("before", "told"),
    [
        ((), "rollout"),
        ((put("r-2"), BY_GUARD), "taken back"),
        ((put("r-2"), BY_PERSON), "taken back"),
        ((put("r-2"), killed_rollback), "taken back"),
        ((SHADOW, ended("harm")), "taken back"),
        ((SHADOW, ended("stopped")), "taken back"),
        ((SHADOW, ended("refused")), "rollout"),
        ((put("r-2"), BY_GUARD, put("r-2", "manual", None)), "rollout"),
        ((put("r-2"), BY_GUARD, BY_PERSON), "rollout"),
        ((put("r-2"), put("r-3", key="another")), "superseded"),
        ((put("r-2"), put("r-3", "drift", None)), "superseded"),
        ((put("r-2"), put("r-1", "manual", None)), "superseded"),
        ((put("r-2"), BY_GUARD, put("r-2", "manual", None), put("r-3")), "superseded"),
        ((put("r-3", key="another"),), "rollout"),
    ],
    ids=[
        "new", "harmed", "taken back by a person", "rollback without record",
        "harmed in its trial", "trial ended by a person", "trial refused by a worker",
        "put back by a person", "rollback undone", "another episode's since", "refined since",
        "the one before deployed again", "set by outcomes since", "new beside another episode's",
    ],
)  # fmt: skip
def test_what_was_taken_back_or_superseded_stays_out(
    settings: Settings, before: tuple[Act, ...], told: str
) -> None:
    act(settings, before)
    was = serving(settings)
    assert retrain.let_into_service(settings, "r-2", "drift", "k") == told
    assert serving(settings) == ("r-2" if told == "rollout" else was)


def begun(settings: Settings) -> None:
    """An episode was taken on by a run that made r-2 from r-1; then its process died."""
    log = PredictionLog(settings.log_url).create()
    log.open_episode(
        "k", stratum="s", cause="acquisition", action="recalibrate_and_retrain",
        release_id="r-1", evidence={"scanner": "New/Scanner"},
    )  # fmt: skip
    first = mend.claim(settings, "k", "run-1", "test")
    assert first is not None and first.champion.name == "r-1" and first.recalibrates
    made = {"release": "r-2"}
    assert mend._once(settings, first, "recalibrated", lambda: made) == made
    log.update_episode("k", status="open")


@pytest.mark.parametrize(
    ("since", "champion", "sets_point"),
    [
        ((), "r-1", True),
        ((put("r-2"),), "r-1", True),
        ((killed_deployment,), "r-1", True),
        ((put("r-2"), BY_GUARD), "r-1", True),
        ((put("r-2"), put("r-3", key="another"), BY_PERSON), "r-1", True),
        ((put("r-3", key="another"),), "r-3", True),
        ((put("r-2"), put("r-3", key="another")), "r-3", False),
        ((put("r-2"), put("r-3", "drift", None)), "r-3", False),
        ((put("r-2"), BY_GUARD, put("r-3", "manual", None)), "r-3", False),
    ],
    ids=[
        "nothing", "its own point", "its own point without record", "its own taken back",
        "another's taken back", "another's before its own", "another's over its own", "refined",
        "a person's over its own taken back",
    ],
)  # fmt: skip
def test_an_episode_goes_on_with_what_serves(
    settings: Settings, since: tuple[Act, ...], champion: str, sets_point: bool
) -> None:
    """What it made from r-1 lacks the point that another episode has set since."""
    begun(settings)
    act(settings, since)
    again = mend.claim(settings, "k", "run-2", "test")
    assert again is not None
    assert (again.champion.name, again.recalibrates) == (champion, sets_point)
    kept = mend._once(settings, again, "recalibrated", lambda: {"release": "r-new"})
    assert kept["release"] == ("r-2" if champion == "r-1" else "r-new")


def test_a_run_that_comes_back_has_the_same_to_do(settings: Settings) -> None:
    begun(settings)
    act(settings, (put("r-2"), put("r-3", key="another")))
    again = mend.claim(settings, "k", "run-2", "test")
    assert again is not None and again == mend.claim(settings, "k", "run-2", "test")
    put("r-2", "manual", "k")(settings)  # a step of its own that was killed after it
    assert again == mend.claim(settings, "k", "run-2", "test")


def test_an_episode_does_not_go_on_from_another_s_that_was_taken_back(settings: Settings) -> None:
    begun(settings)
    act(settings, (put("r-2"), put("r-3", key="another")))
    assert mend.claim(settings, "k", "run-2", "test") is not None
    PredictionLog(settings.log_url).update_episode("k", status="open")
    BY_GUARD(settings)
    again = mend.claim(settings, "k", "run-3", "test")
    assert again is not None and (again.champion.name, again.recalibrates) == ("r-2", False)


def test_the_gate_is_not_asked_about_what_was_taken_back(
    settings: Settings, monkeypatch: pytest.MonkeyPatch
) -> None:
    act(settings, (put("r-2"), BY_GUARD))
    judged: list[list[str]] = []

    def choose(_settings: Any, _assignment: Any, names: list[str]) -> dict[str, Any]:
        judged.append(names)
        return {"chosen": names[0], "decisions": []}

    monkeypatch.setattr(retrain, "choose", choose)
    made = [{"release": "r-2"}, {"release": "r-3"}]
    assert retrain.meet_gate(settings, STEP_ONE, made)["chosen"] == "r-3"
    assert judged == [["r-3"]]


def test_with_all_candidates_taken_back_one_is_trained_from_scratch(
    settings: Settings, monkeypatch: pytest.MonkeyPatch
) -> None:
    act(settings, (put("r-2"), BY_GUARD))
    monkeypatch.setattr(retrain, "train_from_scratch", lambda *_: {"release": "r-3"})
    monkeypatch.setattr(retrain, "choose", lambda _s, _a, names: {"chosen": names[0]})
    assert retrain.meet_gate(settings, STEP_ONE, [{"release": "r-2"}])["chosen"] == "r-3"


def test_an_episode_without_outcomes_claims_no_release_that_was_taken_back(
    settings: Settings, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(retrain, "close", lambda *_: None)
    made = [{"release": "r-2", **PASSED}]
    act(settings, (put("r-2"),))
    assert retrain.close_without_outcomes(settings, STEP_ONE, made)["chosen"] == "r-2"
    BY_GUARD(settings)
    assert retrain.close_without_outcomes(settings, STEP_ONE, made)["chosen"] is None
