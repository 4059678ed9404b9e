"""From a logit to a probability: the one place where it happens.

    probability = sigmoid(curve(scale * logit + offset))

Every curve is strictly increasing, so a calibration never changes the order of
two breasts and a threshold on the probability recalls whom the same threshold
on the logit recalls. Without a curve the calibration is a line (Platt, or
temperature where the offset is 0). The parts of a curve are plain numbers: they
live in the manifest of a release, under its digest.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict, dataclass, fields, replace
from typing import Any, Self

import numpy as np
from numpy.typing import ArrayLike

BETA = "beta"
KNOTS = "knots"


@dataclass(frozen=True, slots=True)
class BetaCurve:
    """Beta calibration: ``c + b * softplus(x) - a * softplus(-x)``, a and b > 0.

    With s = sigmoid(x) that is ``c + a * ln(s) - b * ln(1 - s)``, equation 5 of
    Kull, Silva Filho and Flach (2017, doi:10.1214/17-EJS1338SI): the slope runs
    from ``a`` on the far left to ``b`` on the far right. a = b = 1, c = 0 is the
    identity.
    """

    a: float
    b: float
    c: float
    kind: str = BETA

    def __post_init__(self) -> None:
        if not (np.isfinite([self.a, self.b, self.c]).all() and min(self.a, self.b) > 0):
            raise ValueError(
                f"a beta curve needs a > 0 and b > 0, all finite; "
                f"found a {self.a!r}, b {self.b!r}, c {self.c!r}"
            )

    def apply(self, x: ArrayLike) -> np.ndarray:
        """Return the curve at ``x``, float64, its shape."""
        at = np.asarray(x, float)
        return np.asarray(self.c + self.b * np.logaddexp(0.0, at) - self.a * np.logaddexp(0.0, -at))

    def raised(self, by: float) -> Self:
        """Return the curve with ``by`` added to its logit."""
        return replace(self, c=self.c + by)


@dataclass(frozen=True, slots=True)
class KnotCurve:
    """Straight lines between the knots (x, z), in logits; the form of isotonic calibration.

    Beyond the first and the last knot it rises by ``tail`` per unit: data end
    there, and what has not been seen must not become more certain.
    """

    x: tuple[float, ...]
    z: tuple[float, ...]
    tail: float
    kind: str = KNOTS

    def __post_init__(self) -> None:
        object.__setattr__(self, "x", tuple(map(float, self.x)))  # JSON gives lists
        object.__setattr__(self, "z", tuple(map(float, self.z)))
        rising = bool((np.diff(self.x) > 0).all() and (np.diff(self.z) > 0).all())
        finite = bool(np.isfinite([*self.x, *self.z, self.tail]).all())
        if not (self.x and len(self.x) == len(self.z) and rising and finite and self.tail > 0):
            raise ValueError(
                f"a knot curve needs as many x as z, both strictly increasing, and a tail > 0; "
                f"found {len(self.x)} x, {len(self.z)} z, tail {self.tail!r}"
            )

    def apply(self, x: ArrayLike) -> np.ndarray:
        """Return the curve at ``x``, float64, its shape."""
        at = np.asarray(x, float)
        beyond = at - np.clip(at, self.x[0], self.x[-1])
        return np.asarray(np.interp(at, self.x, self.z) + self.tail * beyond)

    def raised(self, by: float) -> Self:
        """Return the curve with ``by`` added to its logit."""
        return replace(self, z=tuple(value + by for value in self.z))


Curve = BetaCurve | KnotCurve
_KINDS: dict[str, type[BetaCurve] | type[KnotCurve]] = {BETA: BetaCurve, KNOTS: KnotCurve}


def curve_from_dict(values: Mapping[str, Any] | Curve | None) -> Curve | None:
    """Build a curve from its JSON; None stays None. ValueError on an unknown kind or key."""
    if values is None or isinstance(values, BetaCurve | KnotCurve):
        return values
    kind = _KINDS.get(str(values.get("kind")))
    if kind is None:
        raise ValueError(
            f"unknown kind of curve {values.get('kind')!r}; allowed: {', '.join(_KINDS)}"
        )
    allowed = {field.name for field in fields(kind)}
    if set(values) != allowed:
        raise ValueError(f"a {kind.__name__} has {sorted(allowed)}; found {sorted(values)}")
    return kind(**values)


def curve_to_dict(curve: Curve) -> dict[str, Any]:
    """Return the curve as JSON-able data, its ``kind`` with it."""
    return {key: list(v) if isinstance(v, tuple) else v for key, v in asdict(curve).items()}


def calibrated_logit(
    logit: ArrayLike, scale: float, offset: float, curve: Curve | None = None
) -> np.ndarray:
    """Return the logit of the calibrated probability, float64, the shape of ``logit``."""
    line = np.asarray(scale * np.asarray(logit, float) + offset)
    return line if curve is None else curve.apply(line)


def sigmoid(logit: ArrayLike) -> np.ndarray:
    """Return 1 / (1 + exp(-logit)), float64; small probabilities keep their digits."""
    at = np.asarray(logit, float)
    return np.asarray(np.exp(np.minimum(at, 0.0)) / (1.0 + np.exp(-np.abs(at))))
