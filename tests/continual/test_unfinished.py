"""A retraining without an episode that dies: the next run goes on where it was, once."""

from __future__ import annotations

from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

from mammo.continual import mend
from mammo.continual.mend import Assignment
from mammo.continual.unfinished import Unfinished, unfinished
from mammo.models.config import TrainConfig
from mammo.pointer import write_pointer
from mammo.prediction_log import PredictionLog
from mammo.release import write_json
from mammo.settings import Settings

LABELS = "labels:r-1:1"


def seal(settings: Settings, name: str) -> None:
    folder = settings.releases_dir / name
    folder.mkdir(parents=True)
    write_json(folder / "manifest.json", {"id": name})


@pytest.fixture
def settings(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Settings:
    """r-1 in service; a training seals r-2, then r-3 and so on, without any network."""
    settings = Settings(home=tmp_path)
    seal(settings, "r-1")
    write_pointer(settings.pointer_path, {"release_id": "r-1"})
    made = iter(range(2, 9))

    def train(settings: Settings, **_: Any) -> Any:
        name = f"r-{next(made)}"
        seal(settings, name)
        return SimpleNamespace(to_dict=lambda: {"release": name})

    monkeypatch.setattr(mend, "train_release", train)
    monkeypatch.setattr(mend, "read_run_config", lambda _: TrainConfig())
    return settings


def claim(settings: Settings, run: str, work: str | None = None) -> Assignment:
    taken = mend.claim(settings, None, run, "test", work)
    assert taken is not None
    return taken


@pytest.mark.parametrize(
    ("first", "second", "candidates"),
    [
        (LABELS, LABELS, ["r-2", "r-2"]),  # the reconciler's next attempt
        (None, "run-1", ["r-2", "r-2"]),  # the same for a scheduled one, by its first run
        (LABELS, None, ["r-2", "r-2"]),  # the monthly one came first
    ],
)
def test_what_a_dead_run_had_made_is_not_made_again(
    settings: Settings, first: str | None, second: str | None, candidates: list[str]
) -> None:
    runs = [("run-1", first), ("run-2", second)]
    made = [mend.fine_tuned(settings, claim(settings, *one)) for one in runs]
    assert [one["release"] for one in made] == candidates
    assert unfinished(settings) == Unfinished(first or "run-1", "run-2")


def test_one_that_ended_is_not_gone_on_with(settings: Settings) -> None:
    first = claim(settings, "run-1", LABELS)
    assert mend.fine_tuned(settings, first)["release"] == "r-2"
    mend.close(settings, first, {"chosen": None})
    assert unfinished(settings) is None
    assert mend.fine_tuned(settings, claim(settings, "run-2"))["release"] == "r-3"


@pytest.mark.parametrize("where", ["champion", "challenger", "taken back"])
def test_one_whose_release_came_to_service_is_over(settings: Settings, where: str) -> None:
    """Its run died between the deployment and its last line."""
    mend.fine_tuned(settings, claim(settings, "run-1", LABELS))
    assert unfinished(settings) == Unfinished(LABELS, "run-1")
    if where == "champion":
        write_pointer(settings.pointer_path, {"release_id": "r-2"})
    elif where == "challenger":
        beside = {"release_id": "r-2", "stage": "shadow"}
        write_pointer(settings.pointer_path, {"release_id": "r-1", "challenger": beside})
    else:
        PredictionLog(settings.log_url).add_change("r-2", {"stage": "stopped", "reason": "harm"})
    assert unfinished(settings) is None
    assert mend.claim(settings, None, "run-2", "test", LABELS) is None
    assert claim(settings, "run-3").run == "run-3", "the next one is a work of its own"


@pytest.mark.parametrize(
    ("records", "over"),
    [
        (["refused"], False),  # killed in `deploy`: it was never on trial, as `taken_back` has it
        (["refused", "refused"], False),
        (["shadow", "refused"], True),
        (["refused", "shadow"], True),
        (["refused", "harm"], True),
        (["manual"], True),
    ],
)
def test_a_trial_that_a_worker_refused_is_begun_again(
    settings: Settings, records: list[str], over: bool
) -> None:
    """No outcome is new after its training: over, the candidate would never be tried."""
    assert mend.fine_tuned(settings, claim(settings, "run-1", LABELS))["release"] == "r-2"
    for one in records:
        stage = "shadow" if one == "shadow" else "stopped"
        PredictionLog(settings.log_url).add_change("r-2", {"stage": stage, "reason": one})
    assert (unfinished(settings) is None) is over
    again = mend.claim(settings, None, "run-2", "test", LABELS)
    assert (again is None) is over
    if again is not None:
        assert mend.fine_tuned(settings, again)["release"] == "r-2"


def test_one_whose_champion_was_replaced_begins_anew(settings: Settings) -> None:
    """Between the two runs an episode gave a scanner its point: r-2 would take it away again."""
    mend.fine_tuned(settings, claim(settings, "run-1", LABELS))
    seal(settings, "r-new-point")
    write_pointer(settings.pointer_path, {"release_id": "r-new-point"})
    again = claim(settings, "run-2", LABELS)
    assert (again.champion.name, again.run) == ("r-new-point", LABELS)
    assert mend.fine_tuned(settings, again)["release"] == "r-3"
    assert mend.fine_tuned(settings, claim(settings, "run-3", LABELS))["release"] == "r-3"


def test_an_episode_is_not_among_them(settings: Settings) -> None:
    log = PredictionLog(settings.log_url).create()
    log.open_episode("k", stratum="s", cause="concept", action="retrain", release_id="r-1")
    assert mend.claim(settings, "k", "run-1", "test") is not None
    assert unfinished(settings) is None
