"""The patients of one or several tables, drawn together.

A statistic of patients' weights is asked of all resamples at once, so that any
number of metrics, subgroups and models comes out of one pass over the same
draws: their differences are then paired by construction.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Self

import numpy as np
from numpy.typing import ArrayLike

from mammo.evaluation.bootstrap import DEFAULT_RESAMPLES, bootstrap_draws

Table = Callable[[np.ndarray], np.ndarray]
"""Patients' weights (resamples, patients) to values (resamples, columns); NaN where undefined."""


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
        labels = self.positive if by_class else None
        return bootstrap_draws(
            self.patients, table, labels=labels, resamples=self.resamples, seed=self.seed
        )

    def once(self, table: Table) -> np.ndarray:
        """Return the table's values with every patient once, float64 (columns,)."""
        return table(np.ones((1, len(self.patients))))[0]
