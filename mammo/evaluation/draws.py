"""The patients of one or several tables, drawn together.

A statistic of patients' weights is asked of all resamples at once, so that any
number of metrics, subgroups and models comes out of one pass over the same
draws: their differences are then paired by construction.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from functools import cached_property
from typing import Self

import numpy as np
from numpy.typing import ArrayLike

from mammo.evaluation.bootstrap import CHUNK_CELLS, DEFAULT_RESAMPLES, resampled_counts

Table = Callable[[np.ndarray], np.ndarray]
"""Patients' weights (resamples, patients) to values (resamples, columns); NaN where undefined."""

KEPT_CELLS = 64_000_000
"""Draws kept from one table to the next, a byte each; more than these are drawn again."""


@dataclass(frozen=True, eq=False)
class PatientDraws:
    """Resamples of patients.

    Attributes
    ----------
    patients : str (patients,)
        Sorted, each once.
    positive : bool (patients,)
        Who has a positive row.
    resamples, seed : int
        The same seed draws the same patients.
    """

    patients: np.ndarray
    positive: np.ndarray
    resamples: int = DEFAULT_RESAMPLES
    seed: int = 0

    @classmethod
    def of(
        cls,
        patients: ArrayLike,
        labels: np.ndarray,
        *,
        resamples: int = DEFAULT_RESAMPLES,
        seed: int = 0,
    ) -> Self:
        """Take the patients of rows (rows,) and whether each has a positive row (bool)."""
        ids, code = np.unique(np.asarray(patients).astype(str), return_inverse=True)
        positive = np.zeros(len(ids), dtype=bool)
        positive[code[labels]] = True
        return cls(ids, positive, resamples, seed)

    def codes(self, patients: ArrayLike) -> np.ndarray:
        """Return the place of each row's patient, int (rows,); every one must be among them."""
        rows = np.asarray(patients).astype(str)
        code = np.searchsorted(self.patients, rows)
        found = self.patients[np.minimum(code, len(self.patients) - 1)]
        if (found != rows).any():
            raise ValueError(
                f"{int((found != rows).sum())} rows are of patients that are not drawn"
            )
        return code

    def draw(self, table: Table, *, by_class: bool = True) -> np.ndarray:
        """Return the table's values of every resample, float64 (resamples, columns).

        With ``by_class`` patients with and without a positive row are drawn
        apart: what is measured is then conditional on how many there are, as an
        AUC or a value at a stated prevalence should be. Without it prevalence
        varies as it would from one set of patients to the next.
        """
        return np.concatenate([table(counts) for counts in self._counts(by_class)])

    def _counts(self, by_class: bool) -> Iterator[np.ndarray]:
        """Yield how often each patient is drawn, float64 (chunk, patients)."""
        labels = self.positive if by_class else None
        everyone = np.arange(len(self.patients))
        if self.resamples * len(self.patients) > KEPT_CELLS:
            yield from resampled_counts(everyone, labels, self.resamples, self.seed)
            return
        kept = self._of_classes if by_class else self._of_all
        size = max(1, CHUNK_CELLS // len(self.patients))
        for start in range(0, len(kept), size):
            yield kept[start : start + size].astype(float)

    @cached_property
    def _of_classes(self) -> np.ndarray:
        return self._drawn(self.positive)

    @cached_property
    def _of_all(self) -> np.ndarray:
        return self._drawn(None)

    def _drawn(self, labels: np.ndarray | None) -> np.ndarray:
        """Draw all resamples: uint8 (resamples, patients); nobody is drawn 256 times."""
        everyone = np.arange(len(self.patients))
        parts = resampled_counts(everyone, labels, self.resamples, self.seed)
        return np.concatenate([part.astype(np.uint8) for part in parts])

    def once(self, table: Table) -> np.ndarray:
        """Return the table's values with every patient once, float64 (columns,)."""
        return table(np.ones((1, len(self.patients))))[0]
