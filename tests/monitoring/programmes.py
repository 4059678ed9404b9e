"""A programme made by hand: channels in their own units, embeddings, strata of any size."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field

import numpy as np

from monitoring.config import MonitorConfig
from monitoring.embedding import FEATURES
from monitoring.programme import Confirmation, ProgrammeControl, Start, Thresholds
from monitoring.strata import Stratum

CHANNELS = ("score", "missing", "contrast", "age_years")
DEFAULT = MonitorConfig()
HEIGHTS = Thresholds((25.0, 9.0), 9.0)
"""What alerts in tens of exams of 1 SD; the log of the evidence that confirms."""
NEVER = Thresholds((np.inf, np.inf), np.inf)


@dataclass(frozen=True)
class Stream:
    """Exams in the order of scoring, as `ProgrammeControl.take` wants them."""

    values: np.ndarray
    phi: np.ndarray
    strata: np.ndarray
    draws: np.ndarray

    def __len__(self) -> int:
        return len(self.values)

    def __getitem__(self, part: slice) -> Stream:
        return Stream(self.values[part], self.phi[part], self.strata[part], self.draws[part])


@dataclass
class Programme:
    """Strata named ``site/scanner/version`` with so many reference exams each."""

    sizes: Mapping[str, int]
    config: MonitorConfig = DEFAULT
    channels: tuple[str, ...] = CHANNELS
    seed: int = 1
    how: Mapping[str, dict[str, bool]] = field(default_factory=dict)

    def __post_init__(self) -> None:
        self.rng = np.random.default_rng(self.seed)
        self.starts = {name: self.start(name, size) for name, size in self.sizes.items()}

    def exams(self, count: int) -> np.ndarray:
        """Return normal, whole, heavy-tailed and correlated columns by turns, (count, C)."""
        columns = [self.rng.standard_normal(count) for _ in self.channels]
        for at in range(1, len(columns)):
            made = (
                (columns[at] > 1.0).astype(float),
                np.exp(columns[at] + 0.5 * columns[0]),
                np.round(60 + 8 * columns[at]),
            )
            columns[at] = made[(at - 1) % 3]
        return np.column_stack(columns)

    def features(self, count: int, shift: float = 0.0) -> np.ndarray:
        return (self.rng.standard_normal((count, FEATURES)) + shift) / 8

    def start(self, name: str, size: int) -> Start:
        phi = self.features(size)
        centre = phi.mean(axis=0) if size else np.zeros(FEATURES)
        share = max(size, 1) / max(sum(self.sizes.values()), 1)
        width = len(self.channels)
        return Start(
            Stratum(*name.split("/")),
            self.exams(size),
            np.zeros(width),
            phi - centre,
            centre,
            np.arange(size) // 2,
            share,
            order=np.arange(size) * len(self.sizes) + len(name),
            **self.how.get(name, {}),
        )

    def control(self, thresholds: Thresholds = HEIGHTS, **how: bool) -> ProgrammeControl:
        starts = list(self.starts.values())
        return ProgrammeControl.start(self.channels, starts, thresholds, self.config, **how)

    def resumed(self, data: dict[str, object]) -> ProgrammeControl:
        known = {one.stratum: one for one in self.starts.values()}
        return ProgrammeControl.from_dict(data, known.__getitem__, self.config)

    def stream(
        self,
        count: int,
        *moved: str,
        shift: float = 0.0,
        channel: int = 0,
        phi: float = 0.0,
        only: tuple[str, ...] = (),
    ) -> Stream:
        """Return exams of all strata in turn; those ``moved`` begin with a shift (SD)."""
        names = list(self.starts)
        used = [names.index(one) for one in only or names]
        strata = np.array(used)[np.arange(count) % len(used)]
        stream = Stream(
            self.exams(count),
            self.features(count),
            strata,
            self.rng.uniform(1e-9, 1.0, (count, len(self.channels))),
        )
        hit = np.array([any(names[at].startswith(one) for one in moved) for at in strata], bool)
        stream.values[hit, channel] += shift
        stream.phi[hit] += phi / 8
        return stream


def feed(control: ProgrammeControl, stream: Stream, **how: bool) -> list[Confirmation]:
    return control.take(stream.values, stream.phi, stream.strata, stream.draws, **how)


def arrays_of(control: ProgrammeControl) -> dict[str, np.ndarray]:
    """Return every number of the control."""
    return {**control.base._asdict(), **control.charts._asdict()}
