"""The pixels beside the index: every shard is looked for, a sample of images is opened.

A shard's name is a digest of its pixels and headers, so that one garbled byte
in a sampled shard is found; a lost or shortened shard is found in any case.
"""

from __future__ import annotations

import json
from collections.abc import Iterator
from functools import lru_cache
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

from data_checks.checks import Check, none_of
from data_checks.evaluate import Suite
from data_checks.limits import CheckLimits
from mammo.data.likeness import distance, perceptual_hash
from mammo.data.query import IndexQuery
from mammo.data.shards import open_shard, shard_digest
from mammo.data.staging import headers_of
from mammo.data.store import read_store_config
from mammo.display import FULL_SCALE
from mammo.errors import SourceInvalid
from mammo.settings import Settings

REST = ("light_of_rest", "power_of_rest")
"""Mean and mean square outside the breast, times its share: what the features leave over.

The breast is not looked for again: on prepared pixels of some scanners another edge is
found. But its sums are part of those over all pixels, wherever its edge was drawn.
"""
FACTS = (
    "shard_unreadable", "row_outside", "of_other_size", "headers_lacking", "header_unreadable",
    "shard_changed", "constant", "likeness_bits", *REST,
)  # fmt: skip
_NAN = float("nan")
_QUESTION = """
WITH last AS (
    SELECT shard, max(shard_row) AS shard_row FROM exams WHERE shard <> '' GROUP BY shard
), sampled AS (
    SELECT shard, shard_row FROM exams WHERE shard <> ''
    ORDER BY hash(concat(image_id, ?)) LIMIT ?
)
SELECT exams.shard, exams.shard_row, phash, f_breast_fraction, f_mean_intensity, f_contrast,
    CAST(sampled.shard IS NOT NULL AS INTEGER) AS opened
FROM exams LEFT JOIN last USING (shard, shard_row) LEFT JOIN sampled USING (shard, shard_row)
WHERE last.shard IS NOT NULL OR sampled.shard IS NOT NULL
ORDER BY exams.shard, exams.shard_row
"""


def pixels_suite(limits: CheckLimits | None = None) -> Suite:
    """Return the suite of the shards and of the sampled images in them."""
    limits = limits or CheckLimits()
    low, high = limits.rest
    return Suite(
        "pixels",
        "Pixels",
        "the pixels that the index names",
        (
            none_of("shard_unreadable", "every shard of the index is there, whole and readable",
                    "training stops hours later at the first image that it asks of a lost shard"),
            none_of("row_outside", "every shard has the rows that the index names",
                    "an index of one version beside shards of another trains on others' pixels"),
            none_of("of_other_size", "prepared images have the size of the store's configuration",
                    "a release states one size; images of another were prepared another way"),
            none_of("shard_changed", "pixels and headers of a sampled shard give its name",
                    "a disk or a copy changed bytes; the data version would state what is no more"),
            none_of("headers_lacking", "every image has a header beside its shard",
                    "without its header nobody can tell later how an image was made"),
            none_of("header_unreadable", "the sampled images' headers are DICOM JSON",
                    "a header that cannot be read is as good as lost"),
            none_of("constant", "no sampled image has one value everywhere",
                    "a black image is scored like any other, and its label teaches noise"),
            Check("likeness_bits", "phash computed again is within 8 of 256 bits of the index",
                  "row and pixels are of two images: each is trained with the other's label", 0, 8),
            Check("light_of_rest", "f_breast_fraction and f_mean_intensity are of these pixels",
                  "drift is told by these; values of other images or of another code tell none",
                  low, high, mostly=0.98),
            Check("power_of_rest", "f_contrast is of these pixels",
                  "drift is told by it; values of other images or of another code tell none",
                  low, high, mostly=0.98),
        ),
        FACTS,
        least_rows=0,
    )  # fmt: skip


def pixel_chunks(
    settings: Settings, query: IndexQuery, limits: CheckLimits
) -> Iterator[pd.DataFrame]:
    """Yield one frame: a row per sampled image, and at least one of each shard."""
    rows = query.frame(_QUESTION, [str(limits.seed), limits.pixel_sample])
    config = read_store_config(settings)
    size = (config.height, config.width) if config else None
    records: list[Any] = rows.to_dict("records")
    digest_is_kept = lru_cache(maxsize=None)(lambda shard: _digest_differs(settings, shard))
    found = [_look(settings, row, size, digest_is_kept) for row in records]
    facts = pd.DataFrame(found, columns=list(FACTS), index=rows.index).astype("float64")
    yield pd.concat([rows.drop(columns="phash"), facts], axis=1)


def _look(settings: Settings, row: dict[str, Any], size: Any, digest: Any) -> dict[str, float]:
    found = dict.fromkeys(FACTS, _NAN) | {"shard_unreadable": 0.0}
    try:
        shard = open_shard(settings.shards_dir / f"{row['shard']}.npy")
    except SourceInvalid:
        return found | {"shard_unreadable": 1.0}
    lines = _headers(settings, row["shard"])
    number = int(row["shard_row"])
    found["of_other_size"] = float(size is not None and shard.shape[1:] != size)
    found["headers_lacking"] = float(len(lines) != len(shard))
    found["row_outside"] = float(not 0 <= number < len(shard))
    if found["row_outside"] or not row["opened"]:
        return found
    found["shard_changed"] = float(digest(row["shard"]))
    if number < len(lines):
        found["header_unreadable"] = float(not _is_json(lines[number]))
    return found | _measure(np.asarray(shard[number]), row)


def _measure(pixels: Any, row: dict[str, Any]) -> dict[str, float]:
    """Measure one prepared image and hold it against its row."""
    if pixels.min() == pixels.max():
        return {"constant": 1.0}
    bits = distance(perceptual_hash(pixels), row["phash"]) if _is_hash(row["phash"]) else _NAN
    scaled = pixels.astype(np.float64) / FULL_SCALE
    share, mean, contrast = (
        float(row[f"f_{name}"]) for name in ("breast_fraction", "mean_intensity", "contrast")
    )
    return {
        "constant": 0.0,
        "likeness_bits": bits,
        "light_of_rest": float(scaled.mean()) - share * mean,
        "power_of_rest": float((scaled * scaled).mean()) - share * (mean**2 + contrast**2),
    }


def _is_hash(text: Any) -> bool:
    return isinstance(text, str) and len(text) == 64


def _digest_differs(settings: Settings, shard: str) -> bool:
    arrays = open_shard(settings.shards_dir / f"{shard}.npy")
    return shard_digest(list(arrays), _headers(settings, shard)) != shard


@lru_cache(maxsize=4)
def _lines(path: Path, _changed: float) -> tuple[str, ...]:
    return tuple(path.read_text(errors="replace").splitlines())


def _headers(settings: Settings, shard: str) -> tuple[str, ...]:
    path = headers_of(settings) / f"{shard}.jsonl"
    return _lines(path, path.stat().st_mtime) if path.is_file() else ()


def _is_json(line: str) -> bool:
    try:
        return isinstance(json.loads(line), dict)
    except ValueError:
        return False
