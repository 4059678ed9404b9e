"""Strata, and what each is compared with.

A stratum is site x scanner x software version. It is compared with the smallest
part of the release's reference that holds enough exams: the same stratum, else
the same scanner, else all scanners together, then with the spread between
scanners as tolerance.
"""

from __future__ import annotations

import re
from dataclasses import dataclass

import numpy as np
import pandas as pd
from numpy.typing import NDArray
from scipy.special import ndtri

from monitoring.config import MonitorConfig
from monitoring.conformal import Floats, random_ranks

REFERENCE_LIMIT = 2000
"""Reference exams that an exam is ranked among; more would only cost time."""


@dataclass(frozen=True)
class Stratum:
    """The exams of one site, scanner and software version."""

    site: str
    scanner: str
    software_version: str

    @property
    def name(self) -> str:
        """What people read; parts that are not part of the stratum or empty are left out."""
        parts = (self.site, self.scanner, self.software_version)
        return " · ".join(part for part in parts if part) or "all exams"

    @property
    def slug(self) -> str:
        """What keys and file names hold."""
        return re.sub(r"[^a-z0-9.]+", "-", self.name.lower()).strip("-")


@dataclass(frozen=True)
class Baseline:
    """Reference channel values (n, C), tolerance (C,) in SD, and codes that say what they are.

    Codes: ``SCANNER_NEW`` (not in the reference), ``SCANNER_THIN`` (too few of its
    exams), ``VERSION_NEW`` (known scanner, unknown software version),
    ``REFERENCE_SMALL`` (all scanners together are too few to tell their dependence).
    """

    values: Floats
    tolerance: Floats
    codes: tuple[str, ...]
    rows: pd.Index


def strata_of(frame: pd.DataFrame, config: MonitorConfig) -> list[Stratum]:
    """Return the stratum of each exam; columns outside ``config.strata`` are empty."""
    rows, found = group_strata(frame, config)
    return [found[row] for row in rows]


def group_strata(
    frame: pd.DataFrame, config: MonitorConfig
) -> tuple[NDArray[np.int64], list[Stratum]]:
    """Return the strata in order of their first exam, and each exam's place among them, (n,).

    Few strata among many exams: each is made once.
    """
    if frame.empty:
        return np.zeros(0, np.int64), []
    names = ("site", "scanner", "software_version")
    place = np.zeros(len(frame), np.int64)
    texts: list[tuple[str, ...]] = [()]
    for name in names:
        column = frame[name].fillna("").astype(str) if name in config.strata else None
        codes, values = pd.factorize(column) if column is not None else (0, np.array([""]))
        place, known = pd.factorize(place * len(values) + codes)
        pairs = [divmod(int(at), len(values)) for at in known]
        texts = [(*texts[before], str(values[now])) for before, now in pairs]
    return place.astype(np.int64), [Stratum(*text) for text in texts]


def choose_baseline(
    stratum: Stratum, reference: pd.DataFrame, values: Floats, config: MonitorConfig
) -> Baseline:
    """Return what the stratum is compared with; ``values`` are the reference's channels."""
    scanner = (reference["scanner"].fillna("").astype(str) == stratum.scanner).to_numpy()
    own = scanner & _matches(reference, "site", stratum.site)
    own &= _matches(reference, "software_version", stratum.software_version)
    codes = ["VERSION_NEW"] if is_new_version(stratum, reference) else []
    for part in (own, scanner):
        if part.sum() >= config.min_reference:
            return _baseline(reference, values, part, np.zeros(values.shape[1]), codes)
    codes.append("SCANNER_THIN" if scanner.any() else "SCANNER_NEW")
    if len(reference) < config.min_reference:
        codes.append("REFERENCE_SMALL")
    everything = np.ones(len(reference), dtype=bool)
    spread = between_scanners(values, reference["scanner"].fillna(""), config)
    return _baseline(reference, values, everything, spread, codes)


def is_new_version(stratum: Stratum, reference: pd.DataFrame) -> bool:
    """True when the reference knows this scanner's software versions, and not this one."""
    same = reference[reference["scanner"] == stratum.scanner]
    known = set(same["software_version"].fillna("").astype(str)) - {""}
    version = stratum.software_version
    return bool(version) and bool(known) and version not in known


def between_scanners(values: Floats, scanners: pd.Series, config: MonitorConfig) -> Floats:
    """Return how far apart known scanners lie, (C,), in SD of the pooled normal scores.

    The SD of the scanners' means less what chance gives, at most ``max_tolerance``;
    zero where fewer than two scanners are known.
    """
    n = len(values)
    scores = ndtri((random_ranks(values, np.random.default_rng(config.seed)) + 0.5) / n)
    groups = pd.DataFrame(scores).groupby(scanners.to_numpy())
    means, sizes = groups.mean().to_numpy(), groups.size().to_numpy()
    if len(means) < 2:
        return np.zeros(values.shape[1])
    variance = means.var(axis=0, ddof=1) - (1 / sizes).mean()
    return np.asarray(np.sqrt(np.clip(variance, 0.0, config.max_tolerance**2)))


def _matches(reference: pd.DataFrame, column: str, value: str) -> np.ndarray:
    if not value or column not in reference:
        return np.ones(len(reference), dtype=bool)
    return (reference[column].fillna("").astype(str) == value).to_numpy()


def _baseline(
    reference: pd.DataFrame, values: Floats, part: np.ndarray, tolerance: Floats, codes: list[str]
) -> Baseline:
    rows = np.flatnonzero(part)
    if len(rows) > REFERENCE_LIMIT:
        rows = rows[np.linspace(0, len(rows) - 1, REFERENCE_LIMIT).astype(int)]
    return Baseline(values[rows], tolerance, tuple(codes), reference.index[rows])
