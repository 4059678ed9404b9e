"""Compare with the other breast: an `ExamHead` solved from what views say when held out.

Radiologists read both breasts side by side. A score that is high in both is her
tissue and no finding; of a property of the patient, such as density, the other
breast is a second measurement. Two numbers say which: the weight of a breast's
own logit and that of its difference to the other's, by logistic regression.
"""

from __future__ import annotations

import copy
from collections.abc import Iterator
from typing import cast

import numpy as np
import pandas as pd
import torch
from numpy.typing import NDArray
from sklearn.linear_model import LogisticRegression
from sklearn.metrics import log_loss
from sklearn.model_selection import StratifiedGroupKFold
from torch import Tensor, nn

from mammo.breast_logits import OTHER
from mammo.continual.places import INNER_FOLDS, fit_places
from mammo.data.index import target_values
from mammo.models.breast_net import ViewNet
from mammo.models.config import TrainConfig
from mammo.models.exam_head import ExamHead
from mammo.preferred import suitable_rows

Array = NDArray[np.float64]


def fit_comparison(
    net: ViewNet, maps: Tensor, rows: pd.DataFrame, config: TrainConfig
) -> tuple[ExamHead, dict[str, float]]:
    """Return the head, and how it was solved: log loss per breast of view logits alone and of it.

    ``maps`` are `trunk_maps` of ``rows``. Each view's logit comes from a rule
    that was solved without its patient: those of the finished network would
    promise more than they keep.
    """
    rows = rows.reset_index(drop=True)
    logits = held_out_logits(net, maps, rows, config)
    own, difference, labels = _breasts(rows, logits, config)
    both = np.column_stack([own, difference])
    joined = LogisticRegression().fit(both, labels)
    alone = LogisticRegression().fit(own[:, None], labels)
    own_weight, difference_weight = (float(one) for one in joined.coef_[0])
    head = linear_head(net, own_weight, difference_weight, float(joined.intercept_[0]))
    told = {
        "own": own_weight,
        "difference": difference_weight,
        "breasts": float(len(labels)),
        "loss_alone": float(log_loss(labels, alone.predict_proba(own[:, None])[:, 1])),
        "loss_compared": float(log_loss(labels, joined.predict_proba(both)[:, 1])),
    }
    return head, told


def held_out_logits(net: ViewNet, maps: Tensor, rows: pd.DataFrame, config: TrainConfig) -> Array:
    """Return the logit of each row (N,), by rules solved without its patient."""
    scorer = copy.deepcopy(net).eval()
    labels = target_values(rows, config.target).to_numpy(dtype=int)
    logits = np.zeros(len(rows))
    for train, held in _inner_folds(labels, rows["patient_id"].to_numpy(), config.seed):
        fit_places(scorer, maps[torch.from_numpy(train)], rows.iloc[train], config)
        with torch.inference_mode():
            logits[held] = scorer.top(maps[torch.from_numpy(held), 0].float()).double().numpy()
    return logits


def _inner_folds(
    labels: NDArray[np.int64], patients: NDArray[np.object_], seed: int
) -> Iterator[tuple[NDArray[np.int64], NDArray[np.int64]]]:
    folds = StratifiedGroupKFold(INNER_FOLDS, shuffle=True, random_state=seed)
    yield from folds.split(labels, labels, patients)


def _breasts(
    rows: pd.DataFrame, logits: Array, config: TrainConfig
) -> tuple[Array, Array, NDArray[np.int64]]:
    """Return own logit, difference to the other breast (0 without one) and label, a breast each."""
    frame = rows[["exam_id", "laterality"]].assign(
        logit=logits, label=target_values(rows, config.target)
    )
    pooled = np.asarray(suitable_rows(rows.to_dict("records")), dtype=bool)
    breasts = frame[pooled].groupby(["exam_id", "laterality"], sort=True)
    mean, label = breasts["logit"].mean(), breasts["label"].max()
    across = [(exam, OTHER.get(side, "")) for exam, side in mean.index]
    other = mean.reindex(pd.MultiIndex.from_tuples(across)).to_numpy()
    own = mean.to_numpy()
    return own, np.where(np.isnan(other), 0.0, own - other), label.to_numpy(dtype=np.int64)


@torch.no_grad()
def linear_head(net: ViewNet, own: float, difference: float, offset: float) -> ExamHead:
    """Return a head whose logit is ``own * a + difference * (a - b) + offset``.

    a is the mean logit of a breast's views and b that of the other breast; the
    difference counts 0 where there is none. It needs no layer of its own: with
    GELU, g(x) - g(-x) = x.
    """
    head = ExamHead.from_view_head(net, "exam")
    describe, first, last = (
        cast(nn.Linear, at) for at in (head.describe[1], head.judge[0], head.judge[-1])
    )
    for parameter in (*first.parameters(), *last.parameters()):
        parameter.zero_()
    described = describe.out_features  # the logit stands behind these, in the mean
    summary = 2 * (described + 1)
    for unit, (column, weight) in enumerate(
        [(described, own - 1.0), (summary + described, difference)]
    ):
        for sign, row in ((1.0, 2 * unit), (-1.0, 2 * unit + 1)):
            first.weight[row, column] = sign
            last.weight[0, row] = sign * weight
    last.bias.fill_(offset)
    return head.eval()
