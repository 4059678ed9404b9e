"""The weights of the joint score: what they recover, and what they leave as it was."""

from __future__ import annotations

import numpy as np
import pytest

from mammo.continual.joint_fit import fit_joint
from mammo.detection.carried import mark_logit


def drawn(
    count: int, classifier: float, detector: float, seed: int = 0
) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Return logits, best scores and labels of breasts whose log-odds are known."""
    rng = np.random.default_rng(seed)
    logits, scores = rng.normal(0, 1.5, count), rng.uniform(0.01, 0.99, count)
    odds = classifier * logits + detector * np.log(scores / (1 - scores)) - 0.5
    return logits, scores, (rng.random(count) < 1 / (1 + np.exp(-odds))).astype(int)


@pytest.mark.parametrize(("classifier", "detector"), [(1.0, 0.5), (0.3, 1.2), (0.8, 0.0)])
def test_known_weights_are_found(classifier: float, detector: float) -> None:
    joint, told = fit_joint(*drawn(20_000, classifier, detector))
    assert joint.classifier == pytest.approx(classifier, abs=0.06)
    assert joint.detector == pytest.approx(detector, abs=0.06)
    assert joint.offset == pytest.approx(-0.5, abs=0.08)
    assert told.loss_joint <= told.loss_alone + 1e-9
    assert told.breasts == 20_000


def test_a_detector_that_speaks_against_cancer_is_not_heard() -> None:
    logits, scores, labels = drawn(2_000, 1.0, -0.8)
    joint, _ = fit_joint(logits, scores, labels)
    assert joint.detector == 0.0
    # its silence leaves the ranking to the classifier
    told = [joint.logit(float(one), float(best)) for one, best in zip(logits, scores, strict=True)]
    assert (np.argsort(told) == np.argsort(logits)).all()


def test_few_breasts_move_the_weights_little() -> None:
    logits, scores, labels = drawn(12, 1.0, 1.0, seed=5)
    labels = (scores > np.median(scores)).astype(int)  # the detector is never wrong by chance
    joint, _ = fit_joint(logits, scores, labels)
    spread = np.std([mark_logit(float(one)) for one in scores])
    assert 0 < joint.detector * spread < 3  # unbounded without the prior


def test_a_detector_that_never_marks_changes_no_order() -> None:
    logits, _, labels = drawn(200, 1.0, 0.0)
    joint, _ = fit_joint(logits, np.zeros(200), labels)
    ranks = [joint.logit(float(one), 0.0) for one in logits]
    assert (np.argsort(ranks) == np.argsort(logits)).all() and joint.classifier > 0


def test_one_class_is_refused() -> None:
    with pytest.raises(ValueError, match="one class"):
        fit_joint([0.1, 0.2], [0.5, 0.5], [0, 0])
