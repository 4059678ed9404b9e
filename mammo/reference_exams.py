"""What a release knows of exams: the scale and the distances of its reference.

reference.parquet holds exams that the release was not trained on, with their
logits, scanners and embeddings.
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Self

import numpy as np
import pyarrow.parquet as pq

from mammo.abstention import Familiarity
from mammo.release import Release
from mammo.scale import DecileScale

REFERENCE = "reference.parquet"


@dataclass(frozen=True)
class ReferenceExams:
    """The scale and the familiarity of a release; None where it has too few exams."""

    scale: DecileScale | None = None
    familiarity: Familiarity | None = None

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
        names = [name for name in table.column_names if name.startswith("e_")]
        pairs = zip(table["scanner"].to_pylist(), table["logit"].to_pylist(), strict=True)
        probabilities = [
            release.operating_point(scanner).probability(logit)
            for scanner, logit in pairs
            if logit is not None
        ]
        embeddings = [table[name].to_numpy() for name in sorted(names)]
        fitted = Familiarity.fit(np.column_stack(embeddings)) if embeddings else None
        return cls(DecileScale.fit(probabilities), fitted)

    def scale_of(self, probability: float) -> int | None:
        """Return the class of a calibrated probability, 1 to 10; None without a scale."""
        return None if self.scale is None else self.scale.of(probability)

    def is_foreign(self, embedding: np.ndarray) -> bool:
        """True where the embedding (32,) lies beyond the reference's; False if none can tell."""
        return self.familiarity is not None and self.familiarity.is_foreign(embedding)
