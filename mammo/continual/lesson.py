"""The rows of one training, how often each is drawn, and what holds the network.

    lesson = plan_lesson(config, train_rows, parent=champion, focus="Phantom Draco/D4")
    fit_network(net, lesson, shards_dir, config)
    lesson.selection()         # which images, in which part, with which weight

New are the rows of the ``focus`` scanner or, without one, those that the parent was
not trained on; all others are old. What becomes of the old ones is the strategy's.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from pathlib import Path

import numpy as np
import pandas as pd

from mammo.continual.selection import REPLAY, known_images, selected_rows, selection_table
from mammo.continual.strategy import STRATEGIES, Hold, Strategy, hold_nothing
from mammo.continual.watch import watched_rows
from mammo.data.index import target_values
from mammo.data.replay import replay_rows, sampling_weights
from mammo.errors import TooFewLabels
from mammo.models.config import TrainConfig


@dataclass(frozen=True, eq=False)
class Lesson:
    """The rows of one training, how often each is drawn, and what holds the network.

    ``weights`` (rows,) float64 are the probabilities of a draw, zero for those
    ``watched`` (rows,) bool, who say when it is enough; ``replayed`` (rows,) bool are
    old rows that are drawn again. ``hold`` is called once, before the first step; it
    measures on the rows ``known``, as many as ``elastic_images`` says.
    """

    rows: pd.DataFrame
    weights: np.ndarray
    replayed: np.ndarray
    watched: np.ndarray
    hold: Hold = hold_nothing
    known: pd.DataFrame = field(default_factory=pd.DataFrame)

    def selection(self) -> pd.DataFrame:
        """Return image_id, sha256, part (focus or replay) and weight, a row an image."""
        return selection_table(self.rows, self.replayed, self.weights)

    def counts(self) -> dict[str, int]:
        """Return how many images are new and how many are replayed."""
        replayed = int(self.replayed.sum())
        return {"focus": len(self.rows) - replayed, "replay": replayed}


def plan_lesson(
    config: TrainConfig,
    rows: pd.DataFrame,
    *,
    parent: Path | None = None,
    focus: str | None = None,
) -> Lesson:
    """Choose the rows of a training and what holds the network.

    Parameters
    ----------
    rows
        The labelled rows of the training part.
    parent
        The release that the weights come from; None is always from scratch.
    focus
        The scanner to learn. One that has no rows is as none.

    Raises
    ------
    TooFewLabels
        What is left to train on has one class only.
    """
    strategy = STRATEGIES["scratch" if parent is None else config.retraining]
    new = np.ones(len(rows), dtype=bool)
    if strategy.from_parent and parent is not None:
        focus = focus if focus in set(rows["scanner"]) else None
        new = _new_rows(rows, known_images(parent, rows), focus)
    chosen = new | _drawn_again(strategy, config, rows, ~new)
    _require_classes(strategy, config, rows[chosen])
    kept, watched = rows[chosen], watched_rows(rows[chosen], config)
    weights = np.zeros(len(kept))
    weights[~watched] = _weights(config, kept[~watched], focus)
    known = _known_rows(config, rows, new, parent)
    hold = strategy.hold(config, known)
    return Lesson(kept, weights, ~new[chosen], watched, hold, known)


def repeat_lesson(
    config: TrainConfig, rows: pd.DataFrame, table: pd.DataFrame, *, parent: Path | None = None
) -> Lesson:
    """Return the lesson of a release's selection, whatever has come since.

    ``config``, ``parent`` and ``table`` (`read_selection`) are those of the release.
    Raises SourceInvalid when the rows lack an image of it.
    """
    strategy = STRATEGIES["scratch" if parent is None else config.retraining]
    kept = selected_rows(rows, table)
    replayed = kept.pop("part").eq(REPLAY).to_numpy(dtype=bool)
    weights = kept.pop("weight").to_numpy(dtype=np.float64)
    new = rows.index.isin(kept.index[~replayed])
    known = _known_rows(config, rows, new, parent)
    hold = strategy.hold(config, known)
    return Lesson(kept, weights, replayed, watched_rows(kept, config), hold, known)


def _new_rows(rows: pd.DataFrame, known: np.ndarray, focus: str | None) -> np.ndarray:
    """Return (N,) bool; all rows are new where none would be."""
    new = ~known if focus is None else rows["scanner"].eq(focus).to_numpy(dtype=bool)
    return new if new.any() else np.ones(len(rows), dtype=bool)


def _drawn_again(
    strategy: Strategy, config: TrainConfig, rows: pd.DataFrame, old: np.ndarray
) -> np.ndarray:
    """Return (N,) bool, True for the old rows that a strategy draws."""
    if not strategy.replays:
        return np.zeros(len(rows), dtype=bool)
    chosen = old.copy()
    chosen[old] = _some(config, rows[old], config.replay_images)
    return chosen


def _some(config: TrainConfig, rows: pd.DataFrame, count: int) -> np.ndarray:
    labels = target_values(rows, config.target).to_numpy(dtype=float)
    return replay_rows(rows, labels, count, seed=config.seed)


def _known_rows(
    config: TrainConfig, rows: pd.DataFrame, new: np.ndarray, parent: Path | None
) -> pd.DataFrame:
    """Return some of the rows that the parent was trained on and that are not new."""
    if parent is None:
        return rows[:0]
    old = known_images(parent, rows) & ~new
    known = rows[old if old.any() else ~new]
    return known[_some(config, known, config.elastic_images)]


def _weights(config: TrainConfig, rows: pd.DataFrame, focus: str | None) -> np.ndarray:
    return sampling_weights(
        target_values(rows, config.target).to_numpy(dtype=float),
        rows["scanner"].to_numpy(),
        positive_share=config.positive_share,
        focus=focus,
        replay_share=config.replay_share,
    )


def _require_classes(strategy: Strategy, config: TrainConfig, rows: pd.DataFrame) -> None:
    labels = target_values(rows, config.target).eq(1)
    if labels.any() and not labels.all():
        return
    raise TooFewLabels(
        f"retraining: {strategy.name} would train on {len(rows)} images, {int(labels.sum())} of "
        f"them positive for {config.target}; at least one of each class is needed. Wait for more "
        "outcomes, or set retraining: replay, which draws the old images again"
    )
