"""What yes-or-no exams say of a share, at any look: e-values by betting, from two counts.

Someone who doubts that a share is at most ``limit`` bets on every exam, at odds that would
be fair if the share were the limit; the capital is an e-value (Waudby-Smith & Ramdas 2024,
*Estimating means of bounded random variables by betting*, JRSS B 86:1-27). It exceeds
1 / alpha at any time, however often one looks, with probability at most alpha (Ville). The
bets are mixed over all shares beyond the limit with the arcsine density (the mixture of
Krichevsky & Trofimov), which for yes-or-no exams has a closed form in the two counts. So
the order of the exams does not matter, nothing has to be remembered between looks, and a
look that is repeated says the same.
"""

from __future__ import annotations

import math

from scipy.optimize import brentq
from scipy.special import betainc, betaincc, betaln, xlog1py, xlogy

PRIOR = 0.5
"""Both parameters of the arcsine density."""


def log_e_above(hits: int, exams: int, limit: float) -> float:
    """Return the log e-value against "the share is at most ``limit``".

    Parameters
    ----------
    hits
        Exams with the property, 0 to ``exams``.
    limit
        In (0, 1); valid for the share of each exam given those before it.
    """
    return _log_mixture(hits, exams, limit, above=True)


def log_e_below(hits: int, exams: int, limit: float) -> float:
    """Return the log e-value against "the share is at least ``limit``"."""
    return _log_mixture(hits, exams, limit, above=False)


def share_interval(hits: int, exams: int, alpha: float) -> tuple[float, float]:
    """Return the confidence interval of the share that holds at all looks at once.

    The shares whose two-sided e-value is below 1 / alpha; (0, 1) before the first exam.
    """
    if exams == 0:
        return 0.0, 1.0
    mixture = betaln(hits + PRIOR, exams - hits + PRIOR) - betaln(PRIOR, PRIOR)

    def excess(share: float) -> float:
        return float(mixture - _log_likelihood(hits, exams, share) + math.log(alpha))

    best, edge = hits / exams, 1e-12
    low = 0.0 if hits == 0 else float(brentq(excess, edge, best))
    high = 1.0 if hits == exams else float(brentq(excess, best, 1 - edge))
    return low, high


def _log_mixture(hits: int, exams: int, limit: float, *, above: bool) -> float:
    """Integrate the likelihood over the shares on one side of the limit, over that at it."""
    a, b = hits + PRIOR, exams - hits + PRIOR
    tail = betaincc if above else betainc
    beyond = float(tail(a, b, limit) / tail(PRIOR, PRIOR, limit))
    if beyond == 0.0:  # too little for a float: the other side is as good as certain
        return -math.inf
    mixture = betaln(a, b) - betaln(PRIOR, PRIOR) + math.log(beyond)
    return float(mixture - _log_likelihood(hits, exams, limit))


def _log_likelihood(hits: int, exams: int, share: float) -> float:
    return float(xlogy(hits, share) + xlog1py(exams - hits, -share))
