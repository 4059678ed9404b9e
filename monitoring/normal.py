"""The normal quantile and the tail of the KS distance, for machine code."""

from __future__ import annotations

import math

import numpy as np

from monitoring.conformal import Floats
from monitoring.machine_code import compiled

_A = np.array(
    [
        3.3871328727963666080e0,
        1.3314166789178437745e2,
        1.9715909503065514427e3,
        1.3731693765509461125e4,
        4.5921953931549871457e4,
        6.7265770927008700853e4,
        3.3430575583588128105e4,
        2.5090809287301226727e3,
    ]
)
_B = np.array(
    [
        1.0,
        4.2313330701600911252e1,
        6.8718700749205790830e2,
        5.3941960214247511077e3,
        2.1213794301586595867e4,
        3.9307895800092710610e4,
        2.8729085735721942674e4,
        5.2264952788528545610e3,
    ]
)
_C = np.array(
    [
        1.42343711074968357734e0,
        4.63033784615654529590e0,
        5.76949722146069140550e0,
        3.64784832476320460504e0,
        1.27045825245236838258e0,
        2.41780725177450611770e-1,
        2.27238449892691845833e-2,
        7.74545014278341407640e-4,
    ]
)
_D = np.array(
    [
        1.0,
        2.05319162663775882187e0,
        1.67638483018380384940e0,
        6.89767334985100004550e-1,
        1.48103976427480074590e-1,
        1.51986665636164571966e-2,
        5.47593808499534494600e-4,
        1.05075007164441684324e-9,
    ]
)


@compiled
def _ratio(above: Floats, below: Floats, at: float) -> float:
    top, bottom = above[7], below[7]
    for place in range(6, -1, -1):
        top = top * at + above[place]
        bottom = bottom * at + below[place]
    return float(top / bottom)


@compiled
def quantile(p: float) -> float:
    """Return the standard normal quantile of p, 1e-9 < p < 1 - 1e-9 to 1e-9 or better.

    Wichura (1988), *Algorithm AS 241*, PPND16, without its far tail (p < 1.4e-11),
    which no rank among 10,000 exams reaches.
    """
    q = p - 0.5
    if abs(q) <= 0.425:
        return q * _ratio(_A, _B, 0.180625 - q * q)
    tail = p if q < 0 else 1.0 - p
    far = math.sqrt(-math.log(max(tail, 1.4e-11)))
    value = _ratio(_C, _D, far - 1.6)
    return -value if q < 0 else value


@compiled
def distance_p(distance: float, size: int) -> float:
    """Return the p-value of a one-sample KS distance (two-sided) of ``size`` values.

    Kolmogorov's series with Stephens' correction of the sample size (1970,
    doi:10.1111/j.2517-6161.1970.tb00821.x), within 0.025 from 10 values on.
    """
    root = math.sqrt(size)
    scaled = (root + 0.12 + 0.11 / root) * distance
    if scaled < 0.2:
        return 1.0
    total = 0.0
    for term in range(1, 101):
        part = math.exp(-2.0 * term * term * scaled * scaled)
        total += part if term % 2 else -part
        if part < 1e-12:
            break
    return min(max(2.0 * total, 0.0), 1.0)
