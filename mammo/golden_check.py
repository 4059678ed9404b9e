"""Does a release say of its golden image what it said where it was made?"""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import numpy as np

from mammo.detection.carried import CarriedDetector, best_scores
from mammo.errors import ParityError
from mammo.networks import ViewInference
from mammo.preprocess import StoredImage, prepare, to_tensor
from mammo.release import Release

LOGIT_TOLERANCE = 1e-3
"""How far the golden logit, and the best mark's score, may lie from the stored ones.

The tensor must be equal bit for bit; the logit passes through matrix kernels
that differ between processors in the last bits of float32.
"""


def check_golden(
    release: Release,
    directory: Path,
    infer: Callable[[np.ndarray], ViewInference],
    detector: CarriedDetector | None,
) -> None:
    """Raise ParityError when the golden image no longer gives its tensor, logit or mark.

    ``infer`` runs the release's networks over tensors (N, 1, H, W).
    """
    golden = np.load(directory / "golden.npz", allow_pickle=False)
    stored = StoredImage(golden["pixels"], bits_stored=int(golden["bits_stored"]), inverted=False)
    tensor = to_tensor(prepare(stored, release.preprocess).pixels, release.preprocess)
    if not np.array_equal(tensor, golden["tensor"]):
        raise ParityError(
            f"Release {release.id}: the golden image is prepared differently here "
            f"({int((tensor != golden['tensor']).sum())} of {tensor.size} values differ). "
            "It was made by another version of the preprocessing: train or package it again."
        )
    found = infer(tensor[np.newaxis])
    logit, stated = float(found.logits[0]), float(golden["logit"])
    # an int8 graph states its own: a last bit may move a value by a whole rounding step
    allowed = float(golden["tolerance"]) if "tolerance" in golden else LOGIT_TOLERANCE
    if not abs(logit - stated) <= allowed:  # written so that no NaN, of either, passes
        raise ParityError(
            f"Release {release.id}: the golden image scores {logit:.5f} here, "
            f"{stated:.5f} where it was made; allowed is {allowed:.3g}."
        )
    if detector is not None and found.marks is not None:
        _check_mark(release, float(best_scores(found.marks)[0]), detector.golden_best)


def _check_mark(release: Release, best: float, stated: float) -> None:
    if not abs(best - stated) <= LOGIT_TOLERANCE:
        raise ParityError(
            f"Release {release.id}: its detector's best mark in the golden image scores "
            f"{best:.5f} here, {stated:.5f} where it was made; allowed is {LOGIT_TOLERANCE:.3g}. "
            "It was joined by another version of the software: join it again."
        )
