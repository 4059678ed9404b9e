"""May this detector be joined to this release?"""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pandas as pd

from mammo.continual.detector_patients import require_strangers
from mammo.detection.detector import DetectorManifest
from mammo.errors import SourceInvalid
from mammo.release import Release


def require_joinable(
    manifest: Release, facts: DetectorManifest, parent: Path, index: pd.DataFrame
) -> None:
    """Raise SourceInvalid or PatientLeak where the two cannot be joined.

    ``parent`` is the folder of the release that ``manifest`` tells of; ``index`` are rows of
    the exam index, with ``patient_id`` and ``sha256``.
    """
    if manifest.detector is not None:
        raise SourceInvalid(
            f"{manifest.id} carries a detector ({manifest.detector}) already: join the new one to "
            "the release of its line that this one was joined to, or to one trained from the start"
        )
    if manifest.kind == "recalibrated":
        raise SourceInvalid(
            f"{manifest.id} was recalibrated from scores in service, which say nothing of another "
            f"score: join the detector to {manifest.parent}, and recalibrate the child"
        )
    if facts.config != manifest.preprocess:
        raise SourceInvalid(
            f"{facts.name} was trained on images of {_size(facts.preprocess)}, the release sees "
            f"{_size(manifest.preprocess.to_dict())}, or prepares them otherwise: train the "
            "detector on the store as the release was"
        )
    if not facts.files_sha256:
        raise SourceInvalid(
            f"{facts.name} does not say by SHA-256 on which files it was trained (an older mammo "
            "kept it), so that nobody can tell whether golden images are among them: train it "
            "anew with `mammo detect train --release`"
        )
    require_strangers(facts, parent, index)


def _size(preprocess: dict[str, Any]) -> str:
    return f"{preprocess['height']} x {preprocess['width']} pixels"
