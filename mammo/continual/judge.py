"""Bring releases before the gate: score both on exams neither was trained on, and decide.

    decision = judge_release(settings, "r-20261122-1a2b3c4d")

The golden set is the sealed patients of the scanners known so far; the newest
window is the labelled exams of the scanner in question (``focus``) that no
candidate was trained on. Every look at the golden set is counted and spends of the
ledger (`mammo.continual.golden_set`). The verdict is kept in the log's ``gates``, which
decides what may be deployed; for people also beside the release (gate.json) and as
tags on its MLflow version, passed or refused.
"""

from __future__ import annotations

import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

from mammo.continual.fit import RUN_CONFIG, gate_config, labelled_index
from mammo.continual.golden_set import (
    UNSEEN,
    GoldenSet,
    leak_into,
    ledger_entry,
    newest_rows,
    open_look,
    read_golden_set,
)
from mammo.continual.infrastructure import infrastructure_checks
from mammo.continual.judged_scores import JudgedScores, as_scored, inference_latency_ms
from mammo.continual.split import trained_patients
from mammo.data.index import target_values
from mammo.errors import GateRefused
from mammo.evaluation.choice import Choice, choose
from mammo.evaluation.gate import decide
from mammo.evaluation.metrics import require_classes, roc_auc
from mammo.evaluation.verdict import Check, Clause, GateConfig, GateDecision, Scored
from mammo.models.config import TrainConfig
from mammo.models.tracking import own_version, tag_version
from mammo.pointer import read_pointer
from mammo.prediction_log import PredictionLog
from mammo.release import DEFAULT_SCANNER, MANIFEST, Release, find_release, write_json
from mammo.settings import Settings

GATE_FILE = "gate.json"
EARLIER = 3
"""Releases that were in service before, besides the first, that a challenger is held against."""


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
    """Judge several candidates against one champion on the same exams, in their order.

    A candidate that learnt from the golden set is refused without a look at it.
    """
    court = _open_court(settings, champion, candidates, focus)
    return [court.judge(one) for one in candidates]


def choose_candidate(
    settings: Settings, champion: Path, candidates: Sequence[Path], *, focus: str | None = None
) -> tuple[list[GateDecision], Choice]:
    """Judge as `judge_candidates` does, and choose among those that passed.

    Candidates come least invasive first (`mammo.evaluation.choice`).
    """
    court = _open_court(settings, champion, candidates, focus)
    decisions = [court.judge(one) for one in candidates]
    return decisions, court.choose(decisions, candidates)


def _open_court(
    settings: Settings, champion: Path | None, candidates: Sequence[Path], focus: str | None
) -> _Court:
    """Gather golden set and newest window, of which no release compared has learnt."""
    # the champion's rules: a challenger does not bring its own margins
    rules = champion or candidates[0]
    config = read_run_config(rules)
    _require_same_target(config, candidates)
    index = labelled_index(settings)
    golden = read_golden_set(index, config.target, rules)
    everyone = [*candidates, *([champion] if champion is not None else [])]
    seen = {patient for one in everyone for patient in trained_patients(one)}
    newest = newest_rows(index, config.target, rules, seen, focus)
    _require_classes(golden, config)
    return _Court(settings, config, golden, newest, champion)


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


def _require_classes(golden: GoldenSet, config: TrainConfig) -> None:
    """Raise TooFewLabels before anything is spent on a set that no gate could judge by."""
    exams = target_values(golden.rows, config.target).groupby(golden.rows["exam_id"]).max()
    least = gate_config(config).min_per_class
    require_classes(exams.eq(1).to_numpy(dtype=bool), least, "exams in the golden set")


class _Court:
    """The material that one champion's challengers are judged on; scored when first needed."""

    def __init__(
        self,
        settings: Settings,
        config: TrainConfig,
        golden: GoldenSet,
        newest: pd.DataFrame | None,
        champion: Path | None,
    ) -> None:
        self.settings, self.target = settings, config.target
        self.rules: GateConfig = gate_config(config)
        self.golden, self.newest, self.champion = golden, newest, champion
        self._scored: dict[Path, JudgedScores] = {}
        self._latency_ms: dict[Path, float] = {}

    def judge(self, candidate: Path) -> GateDecision:
        """Return the verdict on one candidate, and keep it."""
        release = Release.read(candidate)
        champion = None if self.champion is None else Release.read(self.champion)
        leak = leak_into(self.settings, candidate, self.golden)
        # a first release is compared with nobody; one that leaked is not looked at
        spends = champion is not None and leak is None
        row = open_look(self.settings, self.golden, release, champion, self.rules, spends=spends)
        entry = ledger_entry(self.settings, row, self.rules)
        if leak is not None:
            decision = refused_unseen(release.id, champion, leak, entry)
        else:
            checks = infrastructure_checks(self.settings, candidate, champion)
            decision = self._decide(candidate, champion, entry, checks)
        _keep(self.settings, candidate, decision)
        log = PredictionLog(self.settings.log_url)
        log.settle_gate(row["key"], passed=decision.passed, decision=decision.to_dict())
        return decision

    def _decide(
        self,
        candidate: Path,
        champion: Release | None,
        entry: dict[str, Any],
        checks: Sequence[Check],
    ) -> GateDecision:
        after = self._scores(candidate)
        before = None if self.champion is None else self._scores(self.champion)
        earlier = {} if champion is None else self._earlier(candidate)
        golden = as_scored(None if before is None else before.golden, after.golden, earlier)
        assert golden is not None  # `read_golden_set` refuses an empty golden set
        newest = as_scored(None if before is None else before.newest, after.newest, {})
        point = after.release.operating_points[DEFAULT_SCANNER]
        before_ms = None if self.champion is None else self._latency(self.champion)
        return decide(
            golden,
            newest,
            config=self.rules,
            challenger_id=after.release.id,
            champion_id=None if champion is None else champion.id,
            target_recall_rate=point.target_recall_rate,
            latency_ms=(before_ms, self._latency(candidate)),
            alpha=None if champion is None else float(entry["alpha"]),
            ledger=entry,
            infrastructure=checks,
        )

    def choose(self, decisions: Sequence[GateDecision], candidates: Sequence[Path]) -> Choice:
        """Choose among the candidates that passed, on the newest window."""
        passed = [one for verdict, one in zip(decisions, candidates, strict=True) if verdict.passed]
        newest: dict[str, Scored] = {}
        for one in passed if len(passed) > 1 else []:
            scored = as_scored(None, self._scores(one).newest, {})
            newest |= {} if scored is None else {one.name: scored}
        golden = None if self.champion is None else self._scores(self.champion).golden
        target = (
            None
            if golden is None
            else roc_auc(golden["label"].astype(bool).to_numpy(), golden["probability"].to_numpy())
        )
        return choose([one.name for one in passed], newest, target, self.rules)

    def _scores(self, directory: Path) -> JudgedScores:
        if directory not in self._scored:
            scores = JudgedScores(
                self.settings, directory, self.golden.rows, self.newest, self.target
            )
            self._scored[directory] = scores
        return self._scored[directory]

    def _latency(self, directory: Path) -> float:
        if directory not in self._latency_ms:
            self._latency_ms[directory] = inference_latency_ms(self._scores(directory).screener)
        return self._latency_ms[directory]

    def _earlier(self, candidate: Path) -> dict[str, np.ndarray]:
        """Return golden scores of releases in service before, the original champion first."""
        found = {}
        for directory in earlier_champions(self.settings, self.target):
            if directory in (candidate, self.champion) or leak_into(
                self.settings, directory, self.golden
            ):
                continue
            scores = JudgedScores(self.settings, directory, self.golden.rows, None, self.target)
            found[directory.name] = scores.golden["probability"].to_numpy()
        return found


def earlier_champions(settings: Settings, target: str) -> list[Path]:
    """Return the folders of releases that were champion: the first ever, then the latest ones.

    Those whose folder is gone, or that were trained for another target, are left out.
    """
    changes = PredictionLog(settings.log_url).create().changes()
    names = [
        one["release_id"] for one in changes if one["record"].get("stage", "champion") == "champion"
    ]
    known = [settings.releases_dir / one for one in dict.fromkeys(names)]
    here = [one for one in known if (one / MANIFEST).is_file()]
    fitting = [one for one in here if Release.read(one).target == target]
    return [*fitting[:1], *fitting[1:][-EARLIER:]]


def refused_unseen(
    challenger: str, champion: Release | None, leak: str, entry: dict[str, Any]
) -> GateDecision:
    """Return the refusal of a challenger that learnt from the golden set."""
    clause = Clause(UNSEEN, False, True, None, None, None, None, leak)
    against = None if champion is None else champion.id
    return GateDecision(
        False, challenger, against, (clause,), {}, float(entry["alpha"]), ledger=entry
    )


def _keep(settings: Settings, directory: Path, decision: GateDecision) -> None:
    """Keep the verdict beside the release and on its model version, where MLflow has one."""
    write_json(directory / GATE_FILE, decision.to_dict())
    version = own_version(settings, directory, decision.release)
    if version is not None:
        verdict = "passed" if decision.passed else f"refused: {', '.join(decision.failed)}"
        tag_version(settings, version, {"gate": verdict, "gate_summary": decision.summary})


__all__ = ["Release", "choose_candidate", "gate_config", "judge_candidates", "judge_release"]
