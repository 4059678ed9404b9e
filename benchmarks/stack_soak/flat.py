"""Whether a series is flat, and whether what has to grow grows evenly."""

from __future__ import annotations

from dataclasses import asdict, dataclass

import numpy as np

from benchmarks.chaos.memory import resampled
from benchmarks.stack_soak.prometheus import Series

ALLOWED_AN_HOUR = 0.1
WARM_UP = 0.2


@dataclass(frozen=True)
class Slope:
    """Growth an hour with its 95 % interval, and the median level, in the series' unit."""

    an_hour: float
    low: float
    high: float
    level: float

    @property
    def is_flat(self) -> bool:
        """True where an hour may add a tenth of the level at most, the interval included."""
        return self.high <= ALLOWED_AN_HOUR * self.level

    def to_dict(self) -> dict[str, float | bool]:
        """Return it as plain data."""
        return asdict(self) | {"flat": self.is_flat}


def measure_slope(series: Series, *, seed: int = 1) -> Slope:
    """Fit a line after the warm-up, the first fifth.

    Neighbouring samples resemble each other: the interval is a moving-block bootstrap of the
    residuals (Künsch 1989). Raises ValueError with fewer than 20 samples.
    """
    kept = series.seconds >= WARM_UP * series.seconds.max()
    hours, values = series.seconds[kept] / 3600, series.values[kept]
    if len(hours) < 20:
        raise ValueError(f"{len(hours)} samples after the warm-up; at least 20 are needed")
    slope, begin = np.polyfit(hours, values, 1)
    fitted = slope * hours + begin
    slopes = [np.polyfit(hours, fitted + one, 1)[0] for one in resampled(values - fitted, seed)]
    low, high = np.percentile(slopes, [2.5, 97.5])
    return Slope(float(slope), float(low), float(high), float(np.median(values)))


@dataclass(frozen=True)
class Growth:
    """What is kept of each exam: growth by exam in the first and the second half, in KiB."""

    first_kib: float
    second_kib: float

    @property
    def is_even(self) -> bool:
        """True where later exams take a tenth (or a KiB) more than earlier ones at most."""
        return self.second_kib <= self.first_kib + max(1.0, ALLOWED_AN_HOUR * self.first_kib)

    def to_dict(self) -> dict[str, float | bool]:
        """Return it as plain data."""
        return asdict(self) | {"even": self.is_even}


def measure_growth(series: Series, exams_a_second: float) -> Growth:
    """Return what an exam adds to a series in MiB, in each half after the warm-up.

    Raises ValueError with fewer than 20 samples.
    """
    kept = series.seconds >= WARM_UP * series.seconds.max()
    seconds, mib = series.seconds[kept], series.values[kept]
    if len(seconds) < 20:
        raise ValueError(f"{len(seconds)} samples after the warm-up; at least 20 are needed")
    halves = (slice(None, len(seconds) // 2), slice(len(seconds) // 2, None))
    first, second = (
        float(np.polyfit(seconds[half], mib[half], 1)[0]) * 1024 / exams_a_second for half in halves
    )
    return Growth(first, second)
