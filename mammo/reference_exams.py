"""What a release knows of exams: the scale and the distances of its reference.

reference.parquet holds exams that the release was not trained on, with their
logits, scanners and embeddings.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Self

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq

from mammo.familiarity import Familiarity, Vector
from mammo.preprocess import FEATURE_NAMES
from mammo.release import Release
from mammo.scale import DecileScale

REFERENCE = "reference.parquet"


@dataclass(frozen=True)
class ReferenceExams:
    """The scale and the familiarity of a release; None where it has too few exams.

    ``exams`` is their number. The scale takes 50 of them, the familiarity 100, and those
    whose embedding and features are all numbers.
    """

    scale: DecileScale | None = None
    familiarity: Familiarity | None = None
    exams: int = 0

    @classmethod
    def read(cls, directory: Path, release: Release) -> Self:
        """Learn from the release's reference; empty where it has none.

        Probabilities are those of the release's present operating points: a
        recalibrated release has the reference of its parent.
        """
        path = directory / REFERENCE
        if not path.is_file():
            return cls()
        table = pq.read_table(path)
        scanners = [str(one) for one in table["scanner"].to_pylist()]
        probabilities = [
            release.operating_point(scanner).probability(logit)
            for scanner, logit in zip(scanners, table["logit"].to_pylist(), strict=True)
            if logit is not None
        ]
        fitted = _familiarity(table, scanners)
        return cls(DecileScale.fit(probabilities), fitted, len(scanners))

    @property
    def judges_familiarity(self) -> bool:
        """True where `is_foreign` can tell; where it cannot, nothing is ever foreign."""
        return self.familiarity is not None

    def scale_of(self, probability: float) -> int | None:
        """Return the class of a calibrated probability, 1 to 10; None without a scale."""
        return None if self.scale is None else self.scale.of(probability)

    def is_foreign(self, embedding: Vector, features: Mapping[str, float]) -> bool:
        """True for an exam beyond the reference's; False wherever `judges_familiarity` is.

        ``embedding`` is (32,), ``features`` has `preprocess.FEATURE_NAMES`.
        """
        if self.familiarity is None:
            return False
        told = [features[name] for name in FEATURE_NAMES]
        return self.familiarity.is_foreign(np.concatenate([embedding, told]))


def _familiarity(table: pa.Table, scanners: Sequence[str]) -> Familiarity | None:
    embedding = sorted(name for name in table.column_names if name.startswith("e_"))
    names = [*embedding, *(f"f_{name}" for name in FEATURE_NAMES)]
    if not embedding or not set(names) <= set(table.column_names):
        return None
    columns = [table[name].to_numpy().astype(np.float64) for name in names]
    return Familiarity.fit(np.column_stack(columns), scanners)
