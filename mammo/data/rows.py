"""From a reading to a row of the index."""

from __future__ import annotations

import json
from dataclasses import asdict
from typing import Any

from mammo.data.likeness import perceptual_hash
from mammo.data.listing import Reading
from mammo.preprocess import Prepared


def index_row(reading: Reading, prepared: Prepared, *, sha256: str, source: str) -> dict[str, Any]:
    """Return the columns of `mammo.data.index.INDEX_SCHEMA` but ``shard`` and ``shard_row``."""
    found, labels = reading.mammogram, reading.labels
    return {
        "image_id": found.image_id,
        "exam_id": found.exam_id,
        "patient_id": found.patient_id,
        "laterality": found.view.laterality.value,
        "view": found.view.position.value,
        "manufacturer": found.scanner.manufacturer,
        "model": found.scanner.model,
        "software_version": found.scanner.software_version,
        "scanner": found.scanner.key,
        "site": found.site,
        "acquired_on": found.acquired_on,
        "age_years": found.age_years,
        "density": labels.density,
        "cancer": _flag(labels.cancer),
        "abnormal": _flag(labels.abnormal),
        "birads": labels.birads,
        "biopsied": _flag(labels.biopsied),
        "invasive": _flag(labels.invasive),
        "difficult": _flag(labels.difficult),
        "outcome_known_at": labels.known_at,
        "source": source,
        "published_split": labels.published_split,
        "sha256": sha256,
        "rows": found.rows,
        "columns": found.columns,
        "implant": found.implant,
        "spacing_mm": found.spacing_mm,
        "quality": "|".join(dict.fromkeys((*found.quality, *prepared.quality))),
        "geometry": json.dumps(prepared.geometry.to_dict()),
        "findings": json.dumps([asdict(finding) for finding in labels.findings]),
        "phash": perceptual_hash(prepared.pixels),
        **asdict(found.exposure),
        **{f"f_{name}": _rounded(value) for name, value in prepared.features.items()},
    }


def _flag(value: bool | None) -> int | None:
    return None if value is None else int(value)


def _rounded(value: float) -> float:
    """Keep four significant digits.

    The last bits of a mean depend on the processor and on where the array lies
    in memory, and the data version of the same files must not.
    """
    return float(f"{value:.4g}")
