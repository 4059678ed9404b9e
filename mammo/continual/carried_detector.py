"""A retraining carries its parent's detector on: detection does not end with a new classifier.

The four files are the earlier release's, byte for byte, and so are the weights of the joint
score: they were fitted on out-of-fold logits, which a retrained classifier does not have.
What the child's score says is set on the holdout, as always, and judged by the gate.
"""

from __future__ import annotations

import shutil
from dataclasses import replace
from pathlib import Path

import pandas as pd

from mammo.continual.detector_patients import learnt_patients, require_strangers
from mammo.continual.split import known_parts
from mammo.detection.detector import DetectorManifest
from mammo.errors import SourceInvalid
from mammo.geometry import PreprocessConfig
from mammo.release import DETECTOR_FILES, DETECTOR_TRAINING, FITTED_WITH, JOINED, Release


def parts_before(
    before: Path | None, config: PreprocessConfig, index: pd.DataFrame
) -> dict[str, str]:
    """Return patient -> part as the release in ``before`` had it; empty without one.

    Of patients that it does not know, those whom its detector learnt from (rows of the whole
    ``index`` with patient_id and sha256 tell, those in quarantine too) are to be trained on:
    nothing may be set or judged by them.

    Raises
    ------
    DigestMismatch
        The release carries a detector, and was changed.
    SourceInvalid
        Its detector looks at images that are prepared otherwise than by ``config``.
    PatientLeak
        Its detector was trained on a patient that calibrates or judges the release.
    """
    known = known_parts(before)
    if before is None or Release.read(before).detector is None:
        return known
    release = Release.read(before, verify=True)
    facts = DetectorManifest.read(before, DETECTOR_TRAINING[1])
    if facts.config != config:
        raise SourceInvalid(
            f"release {release.id} carries a detector ({release.detector}) for images that are "
            f"prepared otherwise than those of the store ({config.height} x {config.width} "
            "pixels): a retraining would lose it. Train a release from the start (`mammo train`), "
            "a detector beside it (`mammo detect train --release`), and join the two"
        )
    require_strangers(facts, before, index)
    return dict.fromkeys(sorted(learnt_patients(facts, index)), "train") | known


def carry_detector(before: Path, draft: Path, release: Release) -> Release:
    """Put the detector of the release in ``before`` into a draft, and into its manifest.

    Returns ``release`` as it is where there is none. Raises DigestMismatch where the release
    was changed, also while the draft was trained.
    """
    parent = Release.read(before)
    if parent.detector is None:
        return release
    for name in (*DETECTOR_FILES, *DETECTOR_TRAINING):
        shutil.copyfile(before / name, draft / name)
    parent.verify(before)
    told = {FITTED_WITH: parent.id} | parent.metrics.get(JOINED, {})
    return replace(release, detector=parent.detector, metrics=release.metrics | {JOINED: told})


def tell_carried(before: Path | None) -> str:
    """Return which detector a child of ``before`` carries on, as the end of a sentence."""
    parent = None if before is None else Release.read(before)
    if parent is None or parent.detector is None:
        return ""
    return f"; carries on the detector ({parent.detector}) of release {parent.id}"


def tell_lost(champion: Path | None, directory: Path) -> str:
    """Return a warning where the release in ``directory`` has no detector but that in service has.

    A retraining carries it on; a release that is trained from the start does not. Empty where
    nothing is lost.
    """
    before = None if champion is None else Release.read(champion)
    release = Release.read(directory)
    if before is None or before.detector is None or release.detector is not None:
        return ""
    return (
        f"{release.id} carries no detector; {before.id}, which is in service, does "
        f"({before.detector}): with {release.id} in service no detector marks findings. "
        "`mammo detect join` joins one to it, `mammo retrain` carries it on"
    )
