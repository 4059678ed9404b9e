"""From an episode to the release that mends it: scores at once, outcomes when they come."""

from __future__ import annotations

import shutil
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import sqlalchemy as sa

from bentos.screening.loading import VerifiedLoad
from mammo.changes.books import ChangeBooks
from mammo.continual import fit, mend, recalibrate
from mammo.continual.fit import TrainedRelease, labelled_index
from mammo.continual.mend import (
    Assignment,
    calibrated_on_outcomes,
    choose,
    claim,
    close,
    fine_tuned,
    from_scratch,
    recalibrated,
    refined,
    require_labelled,
    scanners_to_refine,
)
from mammo.continual.point_origins import set_in_service
from mammo.continual.quarantine import changed_at, exams_since_change, quarantined_exams
from mammo.continual.recalibrate import (
    calibrate_on_outcomes,
    due_refinements,
    recalibrate_release,
    recent_exams,
)
from mammo.continual.split import known_parts
from mammo.errors import TooFewLabels
from mammo.exam import Outcome
from mammo.pointer import write_pointer
from mammo.prediction_log import PredictionLog
from mammo.prediction_log.tables import GATES
from mammo.release import Release
from mammo.settings import Settings

pytestmark = pytest.mark.slow


NEW = "New/Scanner"
BEGAN = datetime(2026, 3, 1, tzinfo=UTC)


def log_exams(
    settings: Settings,
    release_id: str,
    scanner: str,
    count: int,
    *,
    first: int = 0,
    mean: float = 2.0,
    scored_at: datetime | None = None,
) -> PredictionLog:
    """Log ``count`` exams of normal logits from number ``first``, one a minute."""
    log = PredictionLog(settings.log_url).create()
    rng = np.random.default_rng(3 + first)
    for number in range(first, first + count):
        at = datetime.now(UTC) if scored_at is None else scored_at + timedelta(minutes=number)
        row = {
            "exam_id": f"E-new-{number}", "level": "exam", "laterality": None,
            "patient_id": f"P-new-{number}", "release_id": release_id, "role": "champion",
            "scanner": scanner, "software_version": "1", "site": "site-1",
            "acquired_on": None, "scored_at": at, "threshold": 0.5,
            "quality": "", "latency_ms": 1.0, "logit": float(rng.normal(mean, 1)),
            "probability": 0.5, "recall": True,
            "embedding": np.zeros(32, np.float32).tobytes(), "features": {},
        }  # fmt: skip
        breast = {"level": "breast", "embedding": None, "features": None}
        sides = [
            breast | {"laterality": "L"},
            breast | {"laterality": "R", "logit": row["logit"] - 1},
        ]
        log.append_exam([row, *(row | side for side in sides)])
    return log


@pytest.fixture
def moved(installation: Settings, trained: TrainedRelease, tmp_path: Path) -> Settings:
    """A copy of the installation's releases with a log of its own."""
    shutil.copytree(trained.directory, tmp_path / "releases" / trained.release.id)
    return Settings(home=tmp_path, mlflow_port=9, _env_file=None)


def test_mending_goes_from_episode_to_choice(moved: Settings, trained: TrainedRelease) -> None:
    """Recalibrate (once, however often it is tried), fine-tune, choose, close."""
    shutil.copytree(trained.directory.parents[1] / "data", moved.home / "data")
    pointer = {"release_id": trained.release.id, "bento_tag": "t", "release_dir": "d"}
    write_pointer(moved.pointer_path, pointer | {"previous": None, "changed_at": "now"})
    log = log_exams(moved, trained.release.id, "New/Scanner", 45)
    log.open_episode(
        "k", stratum="s", cause="acquisition", action="recalibrate_and_retrain",
        release_id=trained.release.id, evidence={"scanner": "New/Scanner"},
    )  # fmt: skip
    assignment = claim(moved, "k", "run-1", "AUTOMATION:a")
    assert assignment is not None
    made = recalibrated(moved, assignment)
    assert recalibrated(moved, assignment)["release"] == made["release"]
    tuned = fine_tuned(moved, assignment)
    result = choose(moved, assignment, [made["release"], tuned["release"]])
    assert [one["release"] for one in result["decisions"]] == [made["release"], tuned["release"]]
    close(moved, assignment, result)
    episode = log.episode("k")
    assert episode is not None and episode["status"] == "closed"
    assert episode["evidence"]["result"]["chosen"] == result["chosen"]


def test_recalibration_changes_one_scanner_only(moved: Settings, trained: TrainedRelease) -> None:
    log_exams(moved, trained.release.id, "New/Scanner", 40)
    parent = moved.releases_dir / trained.release.id
    release, directory = recalibrate_release(moved, parent, "New/Scanner")
    VerifiedLoad(moved)(directory)
    before, after = trained.release.operating_points, release.operating_points
    assert {name: after[name] for name in before} == before
    assert set(after) - set(before) == {"New/Scanner"}
    assert (directory / "model.onnx").read_bytes() == (parent / "model.onnx").read_bytes()


def test_recalibration_takes_no_scores_of_another_way_to_join_views(
    moved: Settings, trained: TrainedRelease
) -> None:
    """The same network under another aggregation gives an exam another logit."""
    parent = moved.releases_dir / trained.release.id
    by_maximum = moved.releases_dir / "r-by-maximum"
    shutil.copytree(parent, by_maximum)
    replace(trained.release, id="r-by-maximum", aggregation="max").seal(by_maximum)
    log_exams(moved, "r-by-maximum", "New/Scanner", 40)
    with pytest.raises(TooFewLabels, match="0 exams of scanner New/Scanner are logged"):
        recalibrate_release(moved, parent, "New/Scanner")


def test_a_scanner_that_is_not_in_the_log_is_named(
    quick: Settings, trained: TrainedRelease
) -> None:
    parent = quick.releases_dir / trained.release.id
    with pytest.raises(TooFewLabels, match="0 exams of scanner Never/Seen are logged"):
        recalibrate_release(quick, parent, "Never/Seen", since=BEGAN)


def test_recalibration_needs_exams(moved: Settings, trained: TrainedRelease) -> None:
    log_exams(moved, trained.release.id, "New/Scanner", 5)
    with pytest.raises(TooFewLabels, match="5 exams of scanner New/Scanner are logged; 40 are"):
        recalibrate_release(moved, moved.releases_dir / trained.release.id, "New/Scanner")


def test_episode_is_claimed_by_one_run_only(moved: Settings, trained: TrainedRelease) -> None:
    pointer = {"release_id": trained.release.id, "bento_tag": "t", "release_dir": "d"}
    write_pointer(moved.pointer_path, pointer | {"previous": None, "changed_at": "now"})
    log = PredictionLog(moved.log_url).create()
    log.open_episode(
        "k", stratum="s", cause="acquisition", action="recalibrate_and_retrain",
        release_id=trained.release.id, evidence={"scanner": "New/Scanner"},
    )  # fmt: skip
    first = claim(moved, "k", "run-1", "AUTOMATION:a")
    assert first is not None and first.recalibrates and first.scanner == "New/Scanner"
    assert claim(moved, "k", "run-2", "AUTOMATION:a") is None
    assert claim(moved, "k", "run-1", "AUTOMATION:a") == first
    episode = log.episode("k")
    assert episode is not None
    assert (episode["status"], episode["started_by"]) == ("acting", "AUTOMATION:a")


def test_a_run_taken_for_dead_does_not_close_its_successors_episode(
    moved: Settings, trained: TrainedRelease
) -> None:
    pointer = {"release_id": trained.release.id, "bento_tag": "t", "release_dir": "d"}
    write_pointer(moved.pointer_path, pointer | {"previous": None, "changed_at": "now"})
    log = PredictionLog(moved.log_url).create()
    log.open_episode("k", stratum="s", cause="concept", action="retrain", release_id="r-1")
    first = claim(moved, "k", "run-1", "AUTOMATION:a")
    log.update_episode("k", status="open")  # the reconciler took the run for dead
    second = claim(moved, "k", "run-2", "DEPLOYMENT")
    assert first is not None and second is not None
    close(moved, first, {"chosen": "r-first"})
    episode = log.episode("k")
    assert episode is not None and episode["status"] == "acting"
    close(moved, second, {"chosen": "r-second"})
    episode = log.episode("k")
    assert episode is not None and episode["status"] == "closed"
    assert episode["evidence"]["result"]["chosen"] == "r-second"


@pytest.mark.parametrize(
    ("cause", "action"), [("acquisition", "recalibrate_and_retrain"), ("prevalence", "retrain")]
)
def test_a_question_that_a_person_sends_is_acted_on(
    moved: Settings, trained: TrainedRelease, cause: str, action: str
) -> None:
    in_service(moved, trained.release.id)
    log = PredictionLog(moved.log_url).create()
    log.open_episode(
        "q", stratum="s", cause=cause, action="ask", release_id=trained.release.id,
        evidence={"scanner": NEW},
    )  # fmt: skip
    assignment = claim(moved, "q", "run-1", "USER:me")
    assert assignment is not None and (assignment.action, assignment.scanner) == (action, NEW)


def test_retraining_waits_for_outcomes(moved: Settings, trained: TrainedRelease) -> None:
    log = log_exams(moved, trained.release.id, "New/Scanner", 4)
    assignment = Assignment("k", "retrain", "New/Scanner", trained.directory)
    with pytest.raises(TooFewLabels, match="0 exams of New/Scanner have an outcome"):
        require_labelled(moved, assignment, 3)
    now = datetime.now(UTC)
    log.add_outcomes([Outcome(f"E-new-{i}", i == 0, now, "pathology") for i in range(3)])
    assert require_labelled(moved, assignment, 3) == 3


class Verdict:
    """A gate's decision that says no more than that it was asked."""

    def to_dict(self) -> dict[str, Any]:
        return {"passed": True}


@pytest.fixture
def quick(moved: Settings, monkeypatch: pytest.MonkeyPatch) -> Settings:
    """`moved` without MLflow's registry and the gate, which other tests go through."""
    monkeypatch.setattr(recalibrate, "register_release", lambda *_args: None)
    monkeypatch.setattr(mend, "judge_candidates", lambda *_args: [Verdict()])
    return moved


def in_service(
    settings: Settings,
    release_id: str,
    previous: dict[str, str] | None = None,
    episode_key: str | None = None,
) -> None:
    place = {"release_id": release_id, "bento_tag": "t", "release_dir": "d"}
    moved = place | {"stage": "champion", "episode_key": episode_key}
    pointer = place | {"previous": previous, "changed_at": "now", "moved": moved}
    write_pointer(settings.pointer_path, pointer)


def test_what_is_mended_is_what_serves_when_the_work_begins(
    quick: Settings, trained: TrainedRelease
) -> None:
    """Two scanners drifted under one release: the second keeps the first one's new point."""
    for name in ("r-2", "r-3"):
        shutil.copytree(quick.releases_dir / trained.release.id, quick.releases_dir / name)
    log = PredictionLog(quick.log_url).create()
    log.open_episode(
        "k", stratum="s", cause="acquisition", action="recalibrate_and_retrain",
        release_id=trained.release.id, evidence={"scanner": NEW},
    )  # fmt: skip
    in_service(quick, "r-2")  # mended for the other scanner meanwhile
    first = claim(quick, "k", "run-1", "AUTOMATION:a")
    assert first is not None and first.champion.name == "r-2"
    # what this work itself has put into service, before it was killed
    in_service(quick, "r-3", previous={"release_id": "r-2"}, episode_key="k")
    assert claim(quick, "k", "run-1", "AUTOMATION:a") == first


@pytest.mark.parametrize(
    ("evidence", "exams"),
    [
        (None, 0),
        ({}, 0),
        ({"control": {"exams": 90, "change_at": 60, "codes": []}}, 30),
        ({"control": {"exams": 90, "change_at": 60, "codes": ["SCANNER_NEW"]}}, 90),
        ({"control": {"exams": 90, "change_at": None, "codes": ["BASELINE_LEARNT"]}}, 90),
    ],
)
def test_exams_since_the_change(evidence: dict[str, Any] | None, exams: int) -> None:
    assert exams_since_change({"evidence": evidence}) == exams


def test_only_exams_since_the_change_set_the_point(
    quick: Settings, trained: TrainedRelease
) -> None:
    parent = quick.releases_dir / trained.release.id
    log_exams(quick, trained.release.id, NEW, 60, mean=0.0, scored_at=BEGAN)
    log = log_exams(quick, trained.release.id, NEW, 45, first=60, mean=5.0, scored_at=BEGAN)
    control = {"exams": 100, "change_at": 60, "codes": []}
    log.open_episode(
        "k", stratum="s", cause="acquisition", action="recalibrate_and_retrain",
        release_id=trained.release.id, evidence={"scanner": NEW, "control": control},
    )  # fmt: skip
    assignment = Assignment("k", "recalibrate_and_retrain", NEW, parent)
    episode = log.episode("k")
    assert episode is not None
    since = changed_at(log, episode)
    assert since == BEGAN + timedelta(minutes=65), "the last 40 of the 105 there are"
    assert len(recent_exams(quick, parent, NEW, since)) == 40
    made = recalibrated(quick, assignment)
    release = Release.read(quick.releases_dir / made["release"])
    assert release.metrics["aligned"][NEW]["exams"] == 40
    point = release.operating_points[NEW]
    recent = recent_exams(quick, parent, NEW, since)["logit"]
    rate = np.mean([point.recalls(one) for one in recent])
    assert rate == pytest.approx(point.target_recall_rate, abs=0.2)
    before = trained.release.operating_points["*"]
    assert np.mean([before.recalls(one) for one in recent]) == 1.0, "all recalled until then"


def test_a_point_is_set_nearer_when_the_exams_have_doubled(
    quick: Settings, trained: TrainedRelease
) -> None:
    log = log_exams(quick, trained.release.id, NEW, 40, scored_at=BEGAN)
    _, first = recalibrate_release(quick, quick.releases_dir / trained.release.id, NEW, since=BEGAN)
    in_service(quick, first.name)
    assert scanners_to_refine(quick) == [] and refined(quick, NEW) is None
    log_exams(quick, first.name, NEW, 40, first=40, scored_at=BEGAN)
    assert scanners_to_refine(quick) == [NEW]
    log.open_episode("a", stratum="s", cause="concept", action="retrain", release_id="r")
    log.update_episode("a", status="acting")
    assert scanners_to_refine(quick) == [], "a run is about to bring a release of its own"
    log.update_episode("a", status="closed")
    made = refined(quick, NEW)
    assert made is not None and made["scanner"] == NEW
    release = Release.read(quick.releases_dir / made["release"])
    assert (release.parent, release.metrics["aligned"][NEW]["exams"]) == (first.name, 80)
    assert due_refinements(quick, quick.releases_dir / release.id) == {}


@pytest.mark.parametrize("ended", ["rolled back", "refused"])
def test_a_point_that_was_not_to_stay_is_not_set_from_the_same_exams(
    quick: Settings, trained: TrainedRelease, ended: str
) -> None:
    log_exams(quick, trained.release.id, NEW, 40, scored_at=BEGAN)
    _, first = recalibrate_release(quick, quick.releases_dir / trained.release.id, NEW, since=BEGAN)
    in_service(quick, first.name)
    log_exams(quick, first.name, NEW, 40, first=40, scored_at=BEGAN)
    made = refined(quick, NEW)
    assert made is not None and scanners_to_refine(quick) == [NEW], "it did not come into service"
    if ended == "rolled back":
        back = {"at": "2", "release": first.name, "previous": made["release"], "rollback": True}
        ChangeBooks(quick.log_url).write_once("2", lambda _: back)
    else:
        refused = GATES.insert().values(
            key="k", account=1, golden="g", challenger=made["release"], challenger_digest="d",
            champion=first.name, at=BEGAN, alpha=0.0, passed=False,
        )  # fmt: skip
        with sa.create_engine(quick.log_url).begin() as connection:
            connection.execute(refused)
    assert scanners_to_refine(quick) == [] and refined(quick, NEW) is None
    log_exams(quick, first.name, NEW, 80, first=80, scored_at=BEGAN)
    assert scanners_to_refine(quick) == [NEW]


def test_outcomes_move_the_probability_and_nobody_who_is_recalled(
    quick: Settings, trained: TrainedRelease
) -> None:
    parent = quick.releases_dir / trained.release.id
    log = log_exams(quick, trained.release.id, NEW, 60, scored_at=BEGAN)
    _, aligned = recalibrate_release(quick, parent, NEW, since=BEGAN)
    with pytest.raises(TooFewLabels, match="no exam of scanner New/Scanner has an outcome yet"):
        calibrate_on_outcomes(quick, parent, aligned, NEW)
    now = datetime.now(UTC)
    log.add_outcomes([Outcome(f"E-new-{n}", False, now, "registry") for n in range(60)])
    release, directory = calibrate_on_outcomes(quick, parent, aligned, NEW)
    VerifiedLoad(quick)(directory)
    before = Release.read(aligned).operating_points[NEW]
    after = release.operating_points[NEW]
    logits = np.linspace(-3, 7, 400)
    assert [after.recalls(x) for x in logits] == [before.recalls(x) for x in logits]
    lower = [after.probability(x) < before.probability(x) for x in (-1.0, 1.0, 3.0)]
    assert all(lower), "nobody had cancer: the risk is less than was said"
    assert release.metrics["calibrated_on_outcomes"]["exams"] == 60
    assert release.metrics["aligned"] == {}, "it is refined from scores no more"
    assert release.metrics["points_by_outcomes"][NEW]["before"]["exams"] == 60
    card = (directory / "card.md").read_text()
    assert card.startswith(f"# Release {release.id}\n") and "outcomes of 60 exams" in card
    assert f"Of release {trained.release.id}, which has the same network" in card
    _, again = recalibrate_release(quick, directory, NEW, since=BEGAN)
    assert set_in_service(Release.read(again))[NEW].startswith("scores of 60 exams")


def test_an_episode_of_all_scanners_has_no_point_to_set(
    quick: Settings, trained: TrainedRelease
) -> None:
    parent = quick.releases_dir / trained.release.id
    everybody = Assignment("k", "retrain", None, parent)
    assert calibrated_on_outcomes(quick, everybody, None) is None
    unknown = Assignment("k", "retrain", NEW, parent)
    assert calibrated_on_outcomes(quick, unknown, None) is None


def test_from_scratch_keeps_who_is_sealed(moved: Settings, trained: TrainedRelease) -> None:
    shutil.copytree(trained.directory.parents[1] / "data", moved.home / "data")
    parent = moved.releases_dir / trained.release.id
    made = from_scratch(moved, Assignment(None, "retrain", None, parent))
    release = Release.read(moved.releases_dir / made["release"], verify=True)
    assert (release.kind, release.parent) == ("trained", None)
    assert known_parts(moved.releases_dir / release.id) == known_parts(parent)
    assert "release" not in release.trained_on.split("weights from")[1]
    result = choose(moved, Assignment(None, "retrain", None, parent), [release.id])
    assert [one["release"] for one in result["decisions"]] == [release.id]


def test_nothing_is_learnt_from_exams_in_quarantine(
    quick: Settings, trained: TrainedRelease
) -> None:
    parent = quick.releases_dir / trained.release.id
    log = log_exams(quick, trained.release.id, NEW, 60, scored_at=BEGAN)
    log_exams(quick, trained.release.id, "Other/Scanner", 5, first=60, scored_at=BEGAN)
    assert quarantined_exams(log) == set()
    control = {"exams": 50, "change_at": 45, "codes": []}
    log.open_episode(
        "f", stratum="s", cause="data_fault", action="quarantine", release_id=trained.release.id,
        evidence={"scanner": NEW, "site": "site-1", "software_version": "1", "control": control},
    )  # fmt: skip
    log.update_episode("f", opened_at=BEGAN + timedelta(minutes=62))
    broken = {f"E-new-{number}" for number in range(55, 60)}
    assert quarantined_exams(log) == broken, "the last five, and all that come"
    log_exams(quick, trained.release.id, NEW, 10, first=65, scored_at=BEGAN)
    later = {f"E-new-{number}" for number in range(65, 75)}
    assert quarantined_exams(log) == broken | later
    log.update_episode("f", status="closed", closed_at=BEGAN + timedelta(minutes=70))
    ended = quarantined_exams(log)
    assert ended == broken | {f"E-new-{number}" for number in range(65, 70)}
    known = set(recent_exams(quick, parent, NEW, BEGAN)["exam_id"])
    assert known == {f"E-new-{number}" for number in range(75)} - ended - {
        f"E-new-{number}" for number in range(60, 65)
    }


def test_the_index_leaves_out_exams_in_quarantine(
    installation: Settings, monkeypatch: pytest.MonkeyPatch
) -> None:
    index = labelled_index(installation)
    one = index["exam_id"].iloc[0]
    monkeypatch.setattr(fit, "quarantined_exams", lambda _log: {one})
    assert set(index["exam_id"]) - set(labelled_index(installation)["exam_id"]) == {one}
