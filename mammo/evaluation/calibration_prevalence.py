"""From the prevalence of the calibration set to that of the women who will be screened.

Sets for research hold many cancers: of ten exams one, not one in two hundred. A
probability fitted there is too high in screening by the ratio of the odds
(prior shift: the cancers and the healthy look as before, only their shares
change; Saerens, Latinne and Decaestecker 2002, doi:10.1162/089976602753284446).
"""

from __future__ import annotations

import numpy as np
from scipy import special

from mammo.errors import TooFewLabels
from mammo.evaluation.calibration import Calibration


def prior_shift(found: float, stated: float) -> float:
    """Return what to add to every calibrated logit, both shares inside (0, 1)."""
    for name, share in (("found", found), ("stated", stated)):
        if not 0 < share < 1:
            raise ValueError(f"a prevalence must be inside (0, 1); the {name} one is {share}")
    return float(special.logit(stated) - special.logit(found))


def at_prevalence(calibration: Calibration, found: float, stated: float) -> Calibration:
    """Return the calibration for ``stated`` prevalence, fitted at ``found``.

    Both are of the unit that is calibrated (here breasts: `breast_prevalence`).
    """
    return calibration.raised(prior_shift(found, stated))


def exam_weights(cancer: np.ndarray, stated: float) -> np.ndarray:
    """Return weights (exams,) float64 of mean 1 under which ``stated`` exams have cancer.

    ``cancer`` is bool (exams,). Raises TooFewLabels when a class is missing.
    """
    share = float(np.mean(cancer)) if len(cancer) else 0.0
    if share in (0.0, 1.0):
        raise TooFewLabels(
            f"found {int(np.sum(cancer))} exams with cancer of {len(cancer)}; both kinds are "
            "needed to weigh them for another prevalence"
        )
    prior_shift(share, stated)  # refuses a stated prevalence outside (0, 1)
    return np.where(cancer, stated / share, (1 - stated) / (1 - share))


def breast_prevalence(labels: np.ndarray, exam: np.ndarray, stated: float) -> float:
    """Return the share of breasts with cancer when ``stated`` exams have it.

    ``labels`` is bool and ``exam`` the exam's place (0 to exams - 1), both
    (breasts,): the other breast of an exam with cancer is mostly healthy, so
    the share among breasts is about half of that among exams.
    """
    cancer = np.zeros(int(exam.max()) + 1, bool)
    np.logical_or.at(cancer, exam, labels)
    return float(np.average(labels, weights=exam_weights(cancer, stated)[exam]))
