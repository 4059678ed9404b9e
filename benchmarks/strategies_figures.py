"""Average AUC, forgetting and what was learnt, with intervals over patients.

With A[k, d] the AUC on scanner d after step k, of T steps (Lopez-Paz and Ranzato 2017,
arXiv:1706.08840; Chaudhry et al. 2018, arXiv:1801.10112):

    average      mean over d of A[T, d]
    learnt       mean over the new scanners of A[d, d]: at once, after their own step
    lost         mean over the old scanners of A[d, d] - A[T, d]: since they were learnt
    forgetting   the same from the best of A[d..T-1, d]; never kinder than ``lost``

All are of the mean over seeds; patients are drawn within scanner and class, the same
for every strategy.
"""

from __future__ import annotations

import json
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Self

import numpy as np
import pandas as pd

from mammo.evaluation.draws import PatientDraws
from mammo.evaluation.ranking import auc, rank_rows

RESAMPLES = 2000
BOUNDS = (2.5, 97.5)


@dataclass(frozen=True, eq=False)
class Chain:
    """One strategy with one seed: ``scores`` (steps, exams), and the cost of each step."""

    name: str
    seed: int
    scores: np.ndarray
    costs: list[dict[str, float]]

    def write(self, path: Path) -> None:
        """Keep it."""
        path.parent.mkdir(parents=True, exist_ok=True)
        facts = json.dumps({"name": self.name, "seed": self.seed, "costs": self.costs})
        np.savez(path, scores=self.scores, facts=np.array(facts))

    @classmethod
    def read(cls, path: Path) -> Self:
        """Read what `write` kept."""
        with np.load(path) as held:
            return cls(scores=held["scores"], **json.loads(str(held["facts"])))


def figures(chains: list[Chain], exams: pd.DataFrame, domains: tuple[str, ...]) -> dict[str, Any]:
    """Return each strategy's figures with 95 % intervals, as JSON values.

    ``exams`` has patient_id, domain and label (0 or 1) of the columns of the scores.
    """
    names = list(dict.fromkeys(one.name for one in chains))
    held = {name: [one for one in chains if one.name == name] for name in names}
    tables = {name: _matrices(held[name], exams, domains) for name in names}
    return {
        "domains": list(domains),
        "seeds": len(held[names[0]]),
        "test": _counts(exams, domains),
        "resamples": RESAMPLES,
        "strategies": {name: _told(*tables[name], held[name], exams, domains) for name in names},
        "beside_replay": {
            name: _intervals(_columns(tables[name][0]) - _columns(tables["replay"][0]))
            for name in names
            if name != "replay" and "replay" in names
        },
    }


def _counts(exams: pd.DataFrame, domains: tuple[str, ...]) -> dict[str, dict[str, int]]:
    groups = {name: exams[exams["domain"] == name] for name in domains}
    return {
        name: {"exams": len(one), "cancers": int(one["label"].sum())}
        for name, one in groups.items()
    }


def _matrices(
    chains: list[Chain], exams: pd.DataFrame, domains: tuple[str, ...]
) -> tuple[np.ndarray, np.ndarray]:
    """Return AUC of every resample, mean over seeds, and of each seed with every patient once.

    (1 + resamples, steps, domains), the first being all patients once; (seeds, steps, domains).
    """
    found = np.stack([_of_chain(one, exams, domains) for one in chains])
    return found.mean(axis=0), found[:, 0]


def _of_chain(chain: Chain, exams: pd.DataFrame, domains: tuple[str, ...]) -> np.ndarray:
    columns = []
    for domain in domains:
        rows = exams["domain"].eq(domain).to_numpy()
        labels, patients = exams["label"].to_numpy()[rows] == 1, exams["patient_id"][rows]
        draws = PatientDraws.of(patients, labels, resamples=RESAMPLES, seed=0)
        code = draws.codes(patients)
        steps = []
        for scores in chain.scores[:, rows]:
            if np.isnan(scores).any():  # not met yet
                steps.append(np.full(1 + RESAMPLES, np.nan))
                continue
            table = rank_rows(labels, scores, code).table(lambda at: auc(at)[:, np.newaxis])
            steps.append(np.concatenate([draws.once(table), draws.draw(table)[:, 0]]))
        columns.append(np.stack(steps, axis=1))
    return np.stack(columns, axis=2)


def _columns(auc_of: np.ndarray) -> np.ndarray:
    """Return average, learnt, lost, forgetting of AUC (..., steps, domains): (..., 4)."""
    last, own = auc_of[..., -1, :], np.diagonal(auc_of, axis1=-2, axis2=-1)
    old = range(auc_of.shape[-1] - 1)
    best = np.stack([auc_of[..., d:-1, d].max(axis=-1) for d in old], axis=-1)
    return np.stack(
        [
            last.mean(axis=-1),
            own[..., 1:].mean(axis=-1),
            (own[..., :-1] - last[..., :-1]).mean(axis=-1),
            (best - last[..., :-1]).mean(axis=-1),
        ],
        axis=-1,
    )


FIGURES = ("average", "learnt", "lost", "forgetting")


def _intervals(columns: np.ndarray) -> dict[str, list[float]]:
    """Return [value, low, high] of each figure from (1 + resamples, figures)."""
    low, high = np.percentile(columns[1:], BOUNDS, axis=0)
    return {
        name: [float(columns[0, i]), float(low[i]), float(high[i])]
        for i, name in enumerate(FIGURES)
    }


def _told(
    auc_of: np.ndarray,
    seeds: np.ndarray,
    chains: list[Chain],
    exams: pd.DataFrame,
    domains: tuple[str, ...],
) -> dict[str, Any]:
    costs = [pd.DataFrame(one.costs).sum() for one in chains]
    last, own = auc_of[:, -1], np.diagonal(auc_of, axis1=1, axis2=2)
    lost = np.stack([np.percentile(own - last, bound, axis=0) for bound in BOUNDS])
    return _intervals(_columns(auc_of)) | {
        "auc": [[None if np.isnan(v) else round(float(v), 4) for v in row] for row in auc_of[0]],
        "lost_of_each": {
            name: [float((own - last)[0, i]), float(lost[0, i]), float(lost[1, i])]
            for i, name in enumerate(domains[:-1])
        },
        "of_seeds": _columns(seeds).round(4).tolist(),
        "cost": {name: float(np.mean([one[name] for one in costs])) for name in costs[0].index},
    }
