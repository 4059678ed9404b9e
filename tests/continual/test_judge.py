"""The gate on real releases: who may be judged, what a look costs, what is kept of it."""

from __future__ import annotations

import shutil
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from pydantic import SecretStr

from mammo.continual import judge
from mammo.continual.approval import approve, needs_approval
from mammo.continual.fit import TrainedRelease, labelled_index
from mammo.continual.golden_set import UNSEEN, account_of, read_golden_set
from mammo.continual.infrastructure import infrastructure_checks
from mammo.continual.judge import earlier_champions, judge_candidates
from mammo.continual.judged_scores import JudgedScores, periods_of
from mammo.continual.split import known_parts
from mammo.continual.trace import IMAGES
from mammo.data.index import write_index
from mammo.errors import ApproverNotAllowed, GateRefused, NotJudged, TooFewLabels
from mammo.evaluation.gate import decide
from mammo.evaluation.ledger import Spending
from mammo.evaluation.verdict import GateDecision
from mammo.models.tracking import MODEL_NAME, mlflow_client, register_release
from mammo.prediction_log import PredictionLog
from mammo.release import OWN_FILES, REGISTRY, Release
from mammo.settings import Settings
from mammo.tokens import TokenStore

pytestmark = pytest.mark.slow


@pytest.fixture
def court(installation: Settings, trained: TrainedRelease, tmp_path: Path) -> Settings:
    """The installation with its store, its keys and a champion, and books of its own."""
    for name in ("data", "keys"):
        shutil.copytree(installation.home / name, tmp_path / name)
    shutil.copytree(trained.directory, tmp_path / "releases" / trained.release.id)
    return Settings(home=tmp_path, mlflow_port=9, _env_file=None)


def challenger(
    settings: Settings, champion: Path, name: str = "r-2", change: Callable[[Path], object] = Path
) -> Path:
    """A sealed copy of the champion under another name, changed before it is sealed."""
    directory = settings.releases_dir / name
    shutil.copytree(champion, directory, ignore=shutil.ignore_patterns(*OWN_FILES[1:]))
    change(directory)
    release = replace(Release.read(directory), id=name, parent=champion.name)
    release.seal(directory, settings.keys_dir)
    return directory


def champion_of(settings: Settings) -> Path:
    return next(settings.releases_dir.glob("r-20*"))


def teach_golden_images(directory: Path) -> None:
    """The challenger was trained on the sealed images, under other patients' names."""
    images = pd.read_parquet(directory / IMAGES)
    images.loc[images["part"] == "golden", "part"] = "train"
    images.to_parquet(directory / IMAGES, index=False)


def calibrate_on_golden_patients(directory: Path) -> None:
    patients = pd.read_parquet(directory / "patients.parquet")
    patients.loc[patients["part"] == "golden", "part"] = "holdout"
    patients.to_parquet(directory / "patients.parquet", index=False)


@pytest.mark.parametrize("teach", [teach_golden_images, calibrate_on_golden_patients])
def test_one_that_learnt_from_the_golden_set_is_refused_unseen(
    court: Settings, teach: Callable[[Path], None]
) -> None:
    champion = champion_of(court)
    leaked = challenger(court, champion, change=teach)
    decision = judge_candidates(court, champion, [leaked])[0]
    assert decision.failed == [UNSEEN]
    assert "Train it anew with the golden_fraction" in decision.clauses[0].text
    assert [one["alpha"] for one in PredictionLog(court.log_url).gates()] == [0.0]


def test_each_look_spends_once(court: Settings) -> None:
    """Another challenger spends what the ledger allows; the same one again spends nothing."""
    champion = champion_of(court)
    first, second = (challenger(court, champion, name) for name in ("r-2", "r-3"))
    decisions = judge_candidates(court, champion, [first, second, first])
    assert [one.ledger["number"] for one in decisions] == [1, 2, 3]
    assert decisions[2].alpha == decisions[0].alpha
    config = judge.gate_config(judge.read_run_config(champion))
    own = config.ledger_total * config.ledger_share
    assert decisions[0].alpha == pytest.approx(own)
    # the first passed (it is the champion's equal), so what it spent came back
    assert decisions[0].passed
    assert decisions[0].clause("golden_auc_non_inferior").value == 0.0
    assert decisions[1].alpha == pytest.approx(own)
    assert decisions[1].ledger["spent"] == 0
    gates = PredictionLog(court.log_url).gates()
    assert [one["alpha"] for one in gates] == [decisions[0].alpha, decisions[1].alpha, 0.0]
    # no verdict is written over: what a change record tells of a gate stays true
    assert [one["decision"] for one in gates] == [one.to_dict() for one in decisions]


def test_a_gate_that_was_killed_has_spent_and_is_taken_up(
    court: Settings, monkeypatch: pytest.MonkeyPatch
) -> None:
    champion = champion_of(court)
    directory = challenger(court, champion)

    def killed(*_args: object, **_options: object) -> GateDecision:
        raise KeyboardInterrupt

    monkeypatch.setattr(judge, "decide", killed)
    with pytest.raises(KeyboardInterrupt):
        judge_candidates(court, champion, [directory])
    before = PredictionLog(court.log_url).gates()
    assert [one["passed"] for one in before] == [None]
    monkeypatch.setattr(judge, "decide", decide)
    decision = judge_candidates(court, champion, [directory])[0]
    after = PredictionLog(court.log_url).gates()
    assert [one["alpha"] for one in after] == [before[0]["alpha"]] == [decision.alpha]
    assert after[0]["passed"] == decision.passed


def test_a_verdict_marks_no_other_releases_version(
    court: Settings, caplog: pytest.LogCaptureFixture
) -> None:
    """A release of a job of Azure's names version 1 of the job's own MLflow."""
    champion = champion_of(court)
    (champion / REGISTRY).unlink()
    own = register_release(court, Release.read(champion), champion, {}, [])
    directory = challenger(court, champion)
    shutil.copy(champion / REGISTRY, directory)
    verdict = judge_candidates(court, champion, [directory])[0]
    assert [one["passed"] for one in PredictionLog(court.log_url).gates()] == [verdict.passed]
    tags = mlflow_client(court).get_model_version(MODEL_NAME, own.version).tags
    assert tags == {"release": champion.name}
    assert f"version {own.version} is not of {directory.name}" in caplog.text
    judge_candidates(court, None, [champion])
    tags = mlflow_client(court).get_model_version(MODEL_NAME, own.version).tags
    assert set(tags) == {"release", "gate", "gate_summary"}


def test_a_golden_set_too_small_is_told_before_anything_is_spent(court: Settings) -> None:
    champion = champion_of(court)
    index = labelled_index(court)
    golden = read_golden_set(index, "cancer", champion)
    few = index["patient_id"].isin(golden.patients[2:])
    write_index(index[~few], court.index_path)
    with pytest.raises(TooFewLabels, match="golden set"):
        judge_candidates(court, champion, [challenger(court, champion)])
    assert PredictionLog(court.log_url).gates() == []


def drop_scanner(release: Release) -> Release:
    points = dict(release.operating_points)
    del points[next(name for name in points if name != "*")]
    return replace(release, operating_points=points)


def spoil_point(release: Release) -> Release:
    points = {k: replace(v, scale=-v.scale) for k, v in release.operating_points.items()}
    return replace(release, operating_points=points)


@pytest.mark.parametrize(
    ("change", "failed"),
    [(lambda one: one, []), (drop_scanner, ["scanners"]), (spoil_point, ["operating points"])],
)
def test_a_release_must_work_as_a_part(
    court: Settings, change: Callable[[Release], Release], failed: list[str]
) -> None:
    champion = champion_of(court)
    directory = challenger(court, champion)
    change(Release.read(directory)).seal(directory, court.keys_dir)
    checks = infrastructure_checks(court, directory, Release.read(champion))
    assert [one.name for one in checks if not one.passed] == failed


def test_a_release_that_was_changed_or_is_unsigned_fails_its_checks(court: Settings) -> None:
    champion = champion_of(court)
    directory = challenger(court, champion)
    (directory / "signature.json").unlink()
    (directory / "card.md").write_text("better than it is")
    checks = infrastructure_checks(court, directory, None)
    assert [one.name for one in checks if not one.passed] == ["whole", "signed", "loads"]


def test_kept_scores_are_the_scores(court: Settings) -> None:
    """The second look at the same exams reads what the first one kept, bit for bit."""
    champion = champion_of(court)
    golden = read_golden_set(labelled_index(court), "cancer", champion)
    fresh, kept = (JudgedScores(court, champion, golden.rows, None, "cancer") for _ in range(2))
    assert len(list((court.home / "gate").glob("*.parquet"))) == 1
    pd.testing.assert_frame_equal(fresh.golden, kept.golden)
    for path in (court.home / "gate").glob("*.parquet"):
        path.write_bytes(path.read_bytes()[:100])  # a power cut
    again = JudgedScores(court, champion, golden.rows, None, "cancer")
    pd.testing.assert_frame_equal(fresh.golden, again.golden)


def test_the_first_release_in_service_stays_the_measure(court: Settings) -> None:
    champion = champion_of(court)
    names = [f"r-{number}" for number in range(2, 8)]
    for name in names:
        challenger(court, champion, name)
    log = PredictionLog(court.log_url).create()
    for name, stage in [("r-2", "champion"), ("r-3", "shadow"), *((n, "champion") for n in names)]:
        log.add_change(name, {"stage": stage})
    found = [one.name for one in earlier_champions(court, "cancer")]
    assert found == ["r-2", "r-5", "r-6", "r-7"]


def test_periods_are_years() -> None:
    days = pd.Series(pd.to_datetime(["2024-03-01", None, "2025-12-31"]))
    assert list(periods_of(days)) == ["2024", "unknown", "2025"]


def test_an_account_ends_with_its_golden_set() -> None:
    rule = Spending()
    gates = [{"account": 1, "golden_patients": ["a", "b"]}, {"account": 1, "golden_patients": None}]
    assert account_of([], ["a"], rule) == (1, True)
    assert account_of(gates, ["a", "b", "c"], rule) == (1, False)
    assert account_of(gates, ["a", "c", "d"], rule) == (2, True)


# approval


@pytest.fixture
def judged(court: Settings) -> tuple[Settings, str]:
    """A challenger that passed, of which the gate asks for a person's word."""
    directory = challenger(court, champion_of(court))
    release, log = Release.read(directory), PredictionLog(court.log_url).create()
    settle(log, release, passed=True)
    return court, release.id


def settle(log: PredictionLog, release: Release, *, passed: bool) -> None:
    spent = {"account": 1, "alpha": 0.1, "golden_patients": []}
    log.open_gate(
        f"{release.id}-{passed}", lambda _: spent, golden="g", challenger=release.id,
        challenger_digest=release.digest, champion="r-1",
    )  # fmt: skip
    decision = {"approval": "power 10 %", "failed": ["latency"], "summary": "refused (latency)"}
    log.settle_gate(f"{release.id}-{passed}", passed=passed, decision=decision)


def test_the_user_of_a_machine_without_tokens_approves(judged: tuple[Settings, str]) -> None:
    settings, release_id = judged
    assert needs_approval(settings, release_id) == "power 10 %"
    told = approve(settings, release_id, reason="reread its new recalls")
    assert told["by"].startswith("local:")
    assert told["new"]
    assert needs_approval(settings, release_id) is None
    again = approve(settings, release_id, reason="another reason")
    assert (again["new"], again["reason"]) == (False, "reread its new recalls")


@pytest.mark.parametrize(
    ("roles", "given", "told"),
    [
        (["operate"], True, "needs the role approve"),
        (["approve"], False, "token with the role approve in MAMMO_TOKEN"),
        (["approve"], True, None),
    ],
)
def test_where_tokens_are_the_role_is_asked_for(
    judged: tuple[Settings, str], roles: list[str], given: bool, told: str | None
) -> None:
    settings, release_id = judged
    secret = TokenStore(settings.tokens_path).add("quality-office", roles)
    with_token = settings.model_copy(update={"token": SecretStr(secret) if given else None})
    if told is None:
        assert approve(with_token, release_id, reason="read")["by"] == "quality-office"
        return
    with pytest.raises(ApproverNotAllowed, match=told):
        approve(with_token, release_id, reason="read")
    assert needs_approval(settings, release_id) == "power 10 %"


def test_nobody_approves_what_was_refused_or_never_judged(court: Settings) -> None:
    release = Release.read(challenger(court, champion_of(court)))
    with pytest.raises(NotJudged, match="mammo gate r-2"):
        approve(court, release.id, reason="trust me")
    settle(PredictionLog(court.log_url).create(), release, passed=False)
    with pytest.raises(GateRefused, match="latency"):
        approve(court, release.id, reason="trust me")


def test_an_approval_has_a_reason(judged: tuple[Settings, str]) -> None:
    settings, release_id = judged
    with pytest.raises(ApproverNotAllowed, match="Say why"):
        approve(settings, release_id, reason=" ")


def test_golden_patients_of_the_fixture_are_some(court: Settings) -> None:
    parts = known_parts(champion_of(court))
    assert np.sum([part == "golden" for part in parts.values()]) > 5
