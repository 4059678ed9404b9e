"""What a model card says of the detector that a release carries; nothing where it carries none."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

from mammo.detection.carried import CarriedDetector
from mammo.explore.section import Section, Table
from mammo.release import DETECTOR_TRAINING, FITTED_WITH, JOINED, Release

TITLE = "The detector"


def detector_sections(directory: Path, release: Release) -> list[Section]:
    """Return one section of a release with a detector, from its own files; else none."""
    if release.detector is None:
        return []
    carried = CarriedDetector.read(directory)
    rows = (
        ("detector", carried.name),
        ("weights (SHA-256)", carried.weights_sha256),
        ("a mark is a finding from a score of", f"{carried.least_score:.3f}"),
        ("breast score", _use(carried)),
        *_fitted(release),
        *_training(directory / DETECTOR_TRAINING[1]),
    )
    table = Table(("what", "is"), rows, "The detector and its use")
    told = "Marks say where to look; a breast without a mark is not shown to be without a finding."
    unmeasured = (
        "How well its marks hit is measured by `mammo detect evaluate`; the release does not keep "
        "the answer.",
    )
    return [Section("detector", TITLE, (told, *unmeasured), (), (table,))]


def _use(carried: CarriedDetector) -> str:
    joint = carried.joint
    if joint is None:
        return "the classifier's alone; marks are findings only"
    return (
        f"{joint.offset:+.2f} {joint.classifier:+.2f} x the classifier's logit "
        f"{joint.detector:+.2f} x the log-odds of the best mark"
    )


def _fitted(release: Release) -> tuple[tuple[str, str], ...]:
    """Return with whose classifier the score was fitted, where a retraining carried it on."""
    origin = release.metrics.get(JOINED, {}).get(FITTED_WITH)
    if origin is None:
        return ()
    return (("carried on", f"unchanged; its use in the score was fitted with release {origin}"),)


def _training(path: Path) -> tuple[tuple[str, str], ...]:
    """Return on what it was trained; a release that serves may lack the file."""
    if not path.is_file():
        return (("trained on", "not known: the file for training is not in this copy"),)
    facts: dict[str, Any] = json.loads(path.read_text())
    told = "; ".join(f"{name} {value}" for name, value in sorted(facts["training"].items()))
    return (
        (
            "trained on",
            f"{len(facts['patients'])} patients of data version {facts['data_version']}",
        ),
        ("training", told),
    )
