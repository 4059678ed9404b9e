"""Bring releases before the gate: score both on exams neither was trained on, and decide.

    decision = judge_release(settings, "r-20261122-1a2b3c4d")

The golden set is the sealed patients of the scanners known so far; the newest
window is the labelled exams of the scanner in question (``focus``) that no
candidate was trained on. The verdict is kept beside the release (gate.json)
and as tags on its MLflow version, passed or refused.
"""

from __future__ import annotations

import json
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

from mammo.continual.fit import RUN_CONFIG, gate_config, labelled_index
from mammo.continual.golden import golden_tensor
from mammo.continual.score import score_exams, score_views
from mammo.continual.split import known_parts, trained_patients
from mammo.data.index import target_values
from mammo.errors import GateRefused, TooFewLabels
from mammo.evaluation.gate import decide
from mammo.evaluation.verdict import GateDecision, Scored
from mammo.models.config import TrainConfig
from mammo.models.tracking import REGISTRY, tag_version
from mammo.pointer import read_pointer
from mammo.release import DEFAULT_SCANNER, Release, find_release, write_json
from mammo.screening import Screener
from mammo.settings import Settings

GATE_FILE = "gate.json"
LATENCY_ROUNDS = 5
VIEWS_PER_EXAM = 4


def judge_release(
    settings: Settings, release_id: str, *, against: str | None = None, focus: str | None = None
) -> GateDecision:
    """Judge one release against the one in service (or ``against``)."""
    challenger = find_release(settings.releases_dir, release_id)
    champion = find_release(settings.releases_dir, against) if against else in_service(settings)
    if champion is not None and champion.resolve() == challenger.resolve():
        champion = None
    return judge_candidates(settings, champion, [challenger], focus=focus)[0]


def in_service(settings: Settings) -> Path | None:
    """Return the folder of the release in service, or None before the first."""
    pointer = read_pointer(settings.pointer_path)
    if pointer is None:
        return None
    return find_release(settings.releases_dir, pointer["release_id"])


def judge_candidates(
    settings: Settings,
    champion: Path | None,
    candidates: Sequence[Path],
    *,
    focus: str | None = None,
) -> list[GateDecision]:
    """Judge several candidates against one champion on the same exams."""
    everyone = [*candidates, *([champion] if champion is not None else [])]
    trained_on = {patient for one in everyone for patient in trained_patients(one)}
    # the champion's rules: a challenger does not bring its own margins
    rules = champion or candidates[0]
    config = read_run_config(rules)
    _require_same_target(config, candidates)
    sealed = {one for one, part in known_parts(rules).items() if part == "golden"}
    golden, newest = _judging_rows(
        labelled_index(settings), config.target, sealed, trained_on, focus
    )
    before = None if champion is None else _Scores(settings, champion, golden, newest, config)
    decisions = []
    for candidate in candidates:
        after = _Scores(settings, candidate, golden, newest, config)
        decision = _decide(config, before, after)
        _keep(settings, candidate, decision)
        decisions.append(decision)
    return decisions


def read_run_config(directory: Path) -> TrainConfig:
    """Return the configuration that a release was trained with."""
    return TrainConfig.from_dict(json.loads((directory / RUN_CONFIG).read_text()))


def _require_same_target(config: TrainConfig, candidates: Sequence[Path]) -> None:
    for one in candidates:
        found = Release.read(one).target
        if found != config.target:
            raise GateRefused(
                f"{one.name} was trained for {found!r}, the release in service for "
                f"{config.target!r}: they cannot be compared."
            )


def _judging_rows(
    index: pd.DataFrame, target: str, sealed: set[str], trained_on: set[str], focus: str | None
) -> tuple[pd.DataFrame, pd.DataFrame | None]:
    """Return the sealed exams that the champion knows, and the newest of the focus scanner."""
    labelled = index[target_values(index, target).notna()]
    labelled = labelled[~labelled["patient_id"].isin(trained_on)]
    golden = labelled[labelled["patient_id"].isin(sealed)]
    if golden.empty:
        raise TooFewLabels(
            "No labelled exam of the sealed golden set is in the index: the gate cannot judge."
        )
    if focus is None:
        return golden, None
    newest = labelled[(labelled["scanner"] == focus) & ~labelled["patient_id"].isin(sealed)]
    return golden, newest


class _Scores:
    """A release's exam-level scores on the golden set and the newest window."""

    def __init__(
        self,
        settings: Settings,
        directory: Path,
        golden: pd.DataFrame,
        newest: pd.DataFrame | None,
        config: TrainConfig,
    ) -> None:
        screener = Screener.load(directory)
        self.release = screener.release
        self.latency_ms = inference_latency_ms(screener)

        def score(rows: pd.DataFrame | None) -> pd.DataFrame | None:
            if rows is None or rows.empty:
                return None
            return score_exams(
                screener, score_views(screener, rows, settings.shards_dir), config.target
            )

        self.golden = score(golden)
        self.newest = score(newest)


def inference_latency_ms(screener: Screener) -> float:
    """Return the median time of inference for an exam of four views, in ms."""
    tensor = golden_tensor(screener.release.preprocess)
    exam = np.repeat(tensor[np.newaxis], VIEWS_PER_EXAM, axis=0)
    times = []
    for _ in range(LATENCY_ROUNDS):
        started = time.perf_counter()
        screener.infer(exam)
        times.append(1000.0 * (time.perf_counter() - started))
    return float(np.median(times))


def _decide(config: TrainConfig, before: _Scores | None, after: _Scores) -> GateDecision:
    golden = _scored(None if before is None else before.golden, after.golden)
    assert golden is not None  # `_judging_rows` refuses an empty golden set
    newest = _scored(None if before is None else before.newest, after.newest)
    return decide(
        golden,
        newest,
        config=gate_config(config),
        challenger_id=after.release.id,
        champion_id=None if before is None else before.release.id,
        target_recall_rate=after.release.operating_points[DEFAULT_SCANNER].target_recall_rate,
        latency_ms=(None if before is None else before.latency_ms, after.latency_ms),
    )


def _scored(before: pd.DataFrame | None, after: pd.DataFrame | None) -> Scored | None:
    if after is None:
        return None
    old: dict[str, Any] = {"champion_scores": None}
    if before is not None:
        old = {
            "champion_scores": before["probability"].to_numpy(),
            "champion_recalled": before["recall"].to_numpy(),
            "champion_probabilities": before["probability"].to_numpy(),
        }
    return Scored(
        labels=after["label"].astype(int).to_numpy(),
        patients=after["patient_id"].to_numpy(),
        challenger_scores=after["probability"].to_numpy(),
        challenger_recalled=after["recall"].to_numpy(),
        challenger_probabilities=after["probability"].to_numpy(),
        scanner=after["scanner"].to_numpy(),
        **old,
    )


def _keep(settings: Settings, directory: Path, decision: GateDecision) -> None:
    """Keep the verdict beside the release and on its model version."""
    write_json(directory / GATE_FILE, decision.to_dict())
    registry = directory / REGISTRY
    if registry.is_file():
        verdict = "passed" if decision.passed else f"refused: {', '.join(decision.failed)}"
        version = json.loads(registry.read_text())["version"]
        tag_version(settings, version, {"gate": verdict, "gate_summary": decision.summary})


def least_invasive(decisions: Sequence[GateDecision]) -> GateDecision | None:
    """Return the first decision that passed; candidates come least invasive first."""
    return next((one for one in decisions if one.passed), None)


__all__ = ["Release", "gate_config", "judge_candidates", "judge_release", "least_invasive"]
