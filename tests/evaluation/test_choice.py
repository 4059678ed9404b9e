from dataclasses import replace

import numpy as np
import pytest
from scipy import stats

from mammo.evaluation.choice import choose
from mammo.evaluation.gate import GateConfig, Scored

CONFIG = replace(GateConfig.demo(), resamples=400)


def window(exams: int, positive: int, auc: float, seed: int = 3) -> Scored:
    """A window whose exams share their noise: a better release is better on the same exams."""
    labels = np.arange(exams) < positive
    noise = np.random.default_rng(seed).normal(size=exams)
    scores = noise + np.sqrt(2) * stats.norm.ppf(auc) * labels
    return Scored(labels, np.arange(exams).astype(str), None, scores)


POINT, TUNED, SCRATCH = "r-point", "r-tuned", "r-scratch"


@pytest.mark.parametrize(
    ("aucs", "target", "chosen", "says"),
    [
        # nothing is lost: the point alone, although the others are better
        ({POINT: 0.80, TUNED: 0.95}, 0.70, POINT, "nothing is lost"),
        # a loss, and training wins it back
        ({POINT: 0.70, TUNED: 0.92}, 0.92, TUNED, "it is taken"),
        # a loss that training does not mend
        ({POINT: 0.80, TUNED: 0.79}, 0.92, POINT, "better with a chance of"),
        # the same order of exams: half a chance, never preferred
        ({POINT: 0.80, TUNED: 0.80}, 0.92, POINT, "chance of 50%"),
        # mended by the second: the third is not asked
        ({POINT: 0.70, TUNED: 0.92, SCRATCH: 0.97}, 0.85, TUNED, "nothing is lost"),
        # the second does not mend, the third does
        ({POINT: 0.70, TUNED: 0.70, SCRATCH: 0.95}, 0.92, SCRATCH, SCRATCH),
    ],
)
def test_the_least_invasive_that_mends_the_loss(aucs, target, chosen, says) -> None:
    found = choose(
        list(aucs), {name: window(80, 30, auc) for name, auc in aucs.items()}, target, CONFIG
    )
    assert found.chosen == chosen
    assert says in found.text
    assert set(found.auc) == set(aucs)


@pytest.mark.parametrize(
    ("passed", "newest", "target", "chosen"),
    [
        ([], {}, 0.9, None),
        ([POINT, TUNED], {}, 0.9, POINT),
        ([POINT, TUNED], {POINT: window(80, 30, 0.7)}, 0.9, POINT),
        ([POINT, TUNED], {POINT: window(20, 3, 0.6), TUNED: window(20, 3, 0.99)}, 0.9, POINT),
        ([POINT, TUNED], {POINT: window(80, 30, 0.7), TUNED: window(80, 30, 0.9)}, None, POINT),
    ],
    ids=["none passed", "no window", "half a window", "three cancers", "no champion"],
)
def test_without_a_window_to_compare_on_the_first(passed, newest, target, chosen) -> None:
    assert choose(passed, newest, target, CONFIG).chosen == chosen
