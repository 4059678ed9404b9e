"""Make several graphs of one network, hold each against it, and pick the fastest that keeps up.

    table = export_candidates(net, judged, config, folder, calibration=images)
    table.chosen                  # "onnx_int8", say: its file is folder / "onnx_int8.onnx"

Every graph scores the same images of patients that were neither trained on nor
used to calibrate it. What a graph loses is told in logits of views, and as the
change of the AUC of breasts with an interval that resamples patients. Its speed
is CPU time per view on one thread, all graphs in turns.
"""

from __future__ import annotations

from collections.abc import Sequence
from functools import partial
from pathlib import Path

import numpy as np

from mammo.export.graphs import FineTune, GraphMaker, Scorer, eager_scorer
from mammo.export.latency import measure_latency, one_thread
from mammo.export.settings import ExportConfig
from mammo.export.verdict import ExportTable, Images, Judged, auc_of, choose, judge
from mammo.models.breast_net import ViewNet

EAGER = "eager"


def export_candidates(
    net: ViewNet,
    judged: Judged,
    config: ExportConfig,
    folder: Path,
    *,
    calibration: Sequence[np.ndarray],
    fine_tune: FineTune | None = None,
) -> ExportTable:
    """Write every candidate of ``config`` into ``folder`` and judge it.

    Parameters
    ----------
    net
        In evaluation mode; left as it is.
    calibration
        Images (1, H, W) of the training patients, for int8.
    fine_tune
        Trains a pruned copy in place; needed for pruned candidates.

    Raises
    ------
    ParityError
        None of the candidates that a release can carry passes.
    SourceInvalid
        The architecture cannot be pruned.
    """
    height, width = judged.images.image(0).shape[1:]
    maker = GraphMaker(net, folder, height, width, config, calibration, fine_tune)
    scorers = {EAGER: eager_scorer(net)} | {name: maker.make(name) for name in config.candidates}
    with one_thread():
        logits = {name: _score(scorer, judged.images) for name, scorer in scorers.items()}
    first = judged.images.image(0)[np.newaxis]
    ways = {name: partial(scorer, first) for name, scorer in scorers.items()}
    latency = measure_latency(ways, config.latency_turns)
    candidates = tuple(
        judge(name, maker.path(name), logits[EAGER], logits[name], latency[name], judged, config)
        for name in config.candidates
    )
    breasts = judged.breasts(logits[EAGER])
    return ExportTable(
        candidates, choose(candidates).name, latency[EAGER].ms, auc_of(breasts, "0"), maker.plan
    )


def _score(scorer: Scorer, images: Images) -> np.ndarray:
    """Return a logit an image, (N,) float64; one by one, as the latency is measured."""
    parts = [scorer(images.image(item)[np.newaxis]) for item in range(len(images))]
    return np.concatenate(parts).astype(np.float64)
