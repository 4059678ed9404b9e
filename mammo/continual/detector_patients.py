"""Whom a detector was trained on: patients that no release may be calibrated with or judged by."""

from __future__ import annotations

from pathlib import Path

import pandas as pd

from mammo.continual.split import known_parts
from mammo.continual.trace import IMAGES
from mammo.detection.detector import DetectorManifest
from mammo.errors import PatientLeak

KEPT_PARTS = ("holdout", "golden")
"""Parts of a release whose patients a detector that helps its score must not know."""


def learnt_patients(manifest: DetectorManifest, rows: pd.DataFrame) -> set[str]:
    """Return the patients of rows that a detector was trained on.

    ``rows`` have patient_id and sha256. By the pseudonym, or by any of the patient's
    files: under another key the same woman has another pseudonym.
    """
    files = rows["sha256"].isin(manifest.files_sha256)
    return {*manifest.patients} | set(rows.loc[files, "patient_id"])


def require_strangers(manifest: DetectorManifest, release: Path, rows: pd.DataFrame) -> None:
    """Raise PatientLeak where a detector was trained on holdout or golden patients of a release.

    ``rows`` of the index have the files of these patients, as has the release itself.
    """
    known = known_parts(release)
    own = release / IMAGES
    if own.is_file():
        kept = pd.read_parquet(own, columns=["patient_id", "sha256"])
        rows = pd.concat([rows[["patient_id", "sha256"]], kept], ignore_index=True)
    seen = [one for one in learnt_patients(manifest, rows) if known.get(one) in KEPT_PARTS]
    if seen:
        raise PatientLeak(
            f"{manifest.name} was trained on {len(seen)} patients that release {release.name} is "
            "calibrated with or judged by (same pseudonym, or a file of the same SHA-256): train "
            "the detector anew, beside this release"
        )
