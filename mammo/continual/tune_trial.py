"""What a trial does: train folds, judge breasts out of fold, keep what was said of them.

The scores are kept under a digest of configuration and data, so that the best
and the default can be held against each other on the same patients later; a
configuration that was scored before is not trained again.
"""

from __future__ import annotations

import hashlib
import json
import os
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

from mammo.continual.folds import OutOfFold, grow_out_of_fold
from mammo.continual.network import fit_network, view_logits
from mammo.continual.score import score_breast_logits
from mammo.continual.scores import pooled_views
from mammo.continual.split import Parts
from mammo.continual.start import start_network
from mammo.continual.trunk import KeptMaps
from mammo.continual.tune_study import Tell
from mammo.data.index import target_values
from mammo.errors import SourceInvalid
from mammo.evaluation.metrics import roc_auc
from mammo.models.config import TrainConfig

FACTS = ("image_id", "sha256", "patient_id")


def training_only(parts: Parts) -> Parts:
    """Return the parts with the training patients alone, to be folded anew."""
    nobody = parts.holdout.iloc[:0]
    folds = pd.Series(dtype="int64")
    return replace(parts, holdout=nobody, golden=parts.golden.iloc[:0], folds=folds)


def data_digest(rows: pd.DataFrame, target: str) -> str:
    """Return who and what is judged, as a number and a digest that names nobody."""
    facts = rows[list(FACTS)].astype(str).assign(label=target_values(rows, target).astype(str))
    told = facts.sort_values("image_id").to_csv(index=False)
    patients = rows["patient_id"].nunique()
    return f"{patients} patients, {hashlib.sha256(told.encode()).hexdigest()[:12]}"


@dataclass(frozen=True, eq=False)
class FoldObjective:
    """AUC of breasts out of fold, for settings over ``base``; ``parts`` hold training patients.

    ``kept`` is the folder of scores: a table a configuration, a row a breast.
    """

    base: TrainConfig
    parts: Parts
    shards_dir: Path
    kept: Path
    maps: KeptMaps = field(default_factory=KeptMaps)

    def __call__(self, params: dict[str, Any], tell: Tell) -> float:
        """Return the AUC, telling that of the folds so far after each."""
        breasts = self.scores(params, tell)
        return _auc(breasts)

    def settle(self, params: dict[str, Any]) -> TrainConfig:
        """Return the configuration with these settings; SourceInvalid where they do not go."""
        return TrainConfig.from_dict(self.base.to_dict() | params)

    def scores(self, params: dict[str, Any], tell: Tell | None = None) -> pd.DataFrame:
        """Return one row a breast as `score_breast_logits`, kept or by training the folds."""
        config = self.settle(params)
        place = self.kept / f"{self._key(config)}.parquet"
        if place.is_file():
            return pd.read_parquet(place)
        breasts = self._train(config, tell or (lambda done, auc: None))
        _write(breasts, place)
        return breasts

    def _train(self, config: TrainConfig, tell: Tell) -> pd.DataFrame:
        breasts = None
        growing = grow_out_of_fold(config, self.parts, self.shards_dir, kept=self.maps)
        for done, estimate in enumerate(growing, start=1):
            breasts = _breasts(estimate, config)
            tell(done, _auc(breasts))
        if breasts is None:
            raise SourceInvalid("folds is 1; allowed for tuning are 2 and more")
        return breasts

    def _key(self, config: TrainConfig) -> str:
        facts = [config.to_dict(), data_digest(self.parts.train, config.target)]
        return hashlib.sha256(json.dumps(facts, sort_keys=True).encode()).hexdigest()[:24]


def _breasts(estimate: OutOfFold, config: TrainConfig) -> pd.DataFrame:
    """Return the breasts whose views a fold has scored."""
    scored = ~np.isnan(estimate.logits[0])
    views = pooled_views(estimate.rows[scored], estimate.logits[0][scored], config.aggregation)
    return score_breast_logits(views, config.target)


def _auc(breasts: pd.DataFrame) -> float:
    return roc_auc(breasts["label"].astype(int), breasts["logit"])


def _write(breasts: pd.DataFrame, place: Path) -> None:
    """Write whole or not at all: another worker may read."""
    place.parent.mkdir(parents=True, exist_ok=True)
    draft = place.with_suffix(f".{os.getpid()}.tmp")
    breasts.to_parquet(draft, index=False)
    draft.replace(place)


def score_holdout(config: TrainConfig, parts: Parts, shards_dir: Path) -> pd.DataFrame:
    """Train on all training patients and return the holdout's breasts, one a row."""
    net, _ = start_network(config)
    fit_network(net, parts.train, shards_dir, config)
    logits = view_logits(net, parts.holdout, shards_dir, config)
    views = pooled_views(parts.holdout, logits, config.aggregation)
    return score_breast_logits(views, config.target)
