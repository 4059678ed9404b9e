"""Log rows as data frames: exams as the monitor reads them, outcomes as labels."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from io import BytesIO
from typing import Any

import numpy as np
import pandas as pd

from mammo.exam import Laterality

EMBEDDING_SIZE = 32
EMBEDDING_NAMES = tuple(f"e_{i:02d}" for i in range(EMBEDDING_SIZE))


def exam_frame(rows: Iterable[Mapping[str, Any]]) -> pd.DataFrame:
    """Turn log rows into the frame that the monitor and a release's reference share.

    Columns: exam_id, patient_id, scanner, software_version, site, acquired_on
    (datetime64), logit, probability (float64), recall (bool), quality, e_00 to
    e_31 (float32) and f_<feature> (float64); before them, where the rows have
    them, id, release_id, role, laterality, scored_at (UTC), threshold, latency_ms.
    """
    rows = list(rows)
    names = [name for name in _OPTIONAL if rows and name in rows[0]]
    columns = {name: [row.get(name) for row in rows] for name in (*names, *_FRAME_TYPES)}
    embeddings = [row.get("embedding") for row in rows]
    return _framed(columns, embeddings, _feature_columns(rows))


def logged_frame(columns: Mapping[str, Sequence[Any]]) -> pd.DataFrame:
    """Return the same frame from whole columns of the log, in a third of the time.

    ``columns`` are lists of one length: those of `exam_frame`, with ``features`` as
    JSON text or None and ``scored_at`` in UTC, aware or naive.
    """
    if not columns["exam_id"]:
        return exam_frame([])
    wanted = {name: columns[name] for name in (*_OPTIONAL, *_FRAME_TYPES)}
    return _framed(wanted, columns["embedding"], _parsed_features(columns["features"]))


def _framed(
    columns: Mapping[str, Sequence[Any]], embeddings: Sequence[Any], features: pd.DataFrame
) -> pd.DataFrame:
    frame = pd.DataFrame(columns).astype(_FRAME_TYPES)
    if "scored_at" in frame:
        frame["scored_at"] = pd.to_datetime(frame["scored_at"], utc=True)
    return pd.concat([frame, _embedding_columns(embeddings), features], axis=1)


_OPTIONAL = ("id", "release_id", "role", "laterality", "scored_at", "threshold", "latency_ms")
_FRAME_TYPES = {
    "exam_id": "object",
    "patient_id": "object",
    "scanner": "object",
    "software_version": "object",
    "site": "object",
    "acquired_on": "datetime64[ns]",
    "logit": "float64",
    "probability": "float64",
    "recall": "bool",
    "quality": "object",
}


def label_exams(outcomes: pd.DataFrame) -> pd.DataFrame:
    """Reduce outcomes to one label per exam: exam_id, cancer, known_at.

    What is said of an exam: the outcome of the exam as a whole; cancer, if a
    breast has it; no cancer, if both breasts are known to be free of it. The
    newest of these holds, and cancer where two are of the same instant.
    """
    latest = _newest(outcomes, ["exam_id", "laterality"])
    whole, breasts = latest[latest["laterality"].isna()], latest[latest["laterality"].notna()]
    free = breasts[~breasts["cancer"]]
    pairs = free.groupby("exam_id").agg(known_at=("known_at", "max"), sides=("laterality", "size"))
    pairs = pairs[pairs["sides"] == 2].reset_index().assign(cancer=False)
    said = _stack([whole, breasts[breasts["cancer"]], pairs], ["exam_id", "cancer", "known_at"])
    return _newest(said, ["exam_id"])


def label_breasts(outcomes: pd.DataFrame) -> pd.DataFrame:
    """Reduce outcomes to one label per breast: exam_id, laterality, cancer, known_at.

    An exam free of cancer frees both breasts; cancer in an exam without a side
    labels neither.
    """
    latest = _newest(outcomes, ["exam_id", "laterality"])
    whole, breasts = latest[latest["laterality"].isna()], latest[latest["laterality"].notna()]
    free = whole[~whole["cancer"]]
    sides = [free.assign(laterality=side.value) for side in (Laterality.LEFT, Laterality.RIGHT)]
    said = _stack([breasts, *sides], ["exam_id", "laterality", "cancer", "known_at"])
    return _newest(said, ["exam_id", "laterality"])


def _newest(said: pd.DataFrame, keys: list[str]) -> pd.DataFrame:
    ordered = said.sort_values(["known_at", "cancer"], kind="stable")
    return ordered.drop_duplicates(keys, keep="last").sort_index().reset_index(drop=True)


def _stack(frames: Sequence[pd.DataFrame], columns: list[str]) -> pd.DataFrame:
    filled = [frame[columns] for frame in frames if len(frame)] or [frames[0][columns]]
    return pd.concat(filled, ignore_index=True).astype({"cancer": "bool"})


def _embedding_columns(embeddings: Sequence[Any]) -> pd.DataFrame:
    values = np.full((len(embeddings), EMBEDDING_SIZE), np.nan, dtype=np.float32)
    known = [place for place, one in enumerate(embeddings) if one is not None]
    packed = [embeddings[place] for place in known]
    if all(isinstance(one, bytes) and len(one) == 4 * EMBEDDING_SIZE for one in packed):
        values[known] = np.frombuffer(b"".join(packed), "<f4").reshape(-1, EMBEDDING_SIZE)
    else:
        values[known] = [unpack_embedding(one) for one in packed]
    return pd.DataFrame(values, columns=list(EMBEDDING_NAMES))


def _feature_columns(rows: Sequence[Mapping[str, Any]]) -> pd.DataFrame:
    features = [row.get("features") or {} for row in rows]
    names = list(dict.fromkeys(name for one in features for name in one))
    columns = {f"f_{name}": [one.get(name) for one in features] for name in names}
    return pd.DataFrame(columns, index=range(len(rows))).astype("float64")


def _parsed_features(texts: Sequence[str | None]) -> pd.DataFrame:
    """Return the features of exams from their JSON, f_<name> as float64; null is NaN."""
    # importing it takes time, and not everybody who logs also reads
    from pyarrow import float64
    from pyarrow.json import ParseOptions, read_json

    lines = "\n".join(text or "{}" for text in texts).encode()
    found = read_json(BytesIO(lines), parse_options=ParseOptions(newlines_in_values=True))
    columns = {f"f_{name}": found[name].cast(float64()).to_numpy() for name in found.column_names}
    return pd.DataFrame(columns, index=range(len(texts)))


def unpack_embedding(embedding: Any) -> np.ndarray:
    """Return the embedding as (32,) little-endian float32."""
    packed = isinstance(embedding, bytes | memoryview)
    vector = np.frombuffer(embedding, "<f4") if packed else np.asarray(embedding, "<f4")
    if vector.shape != (EMBEDDING_SIZE,):
        raise ValueError(f"an embedding has {EMBEDDING_SIZE} float32, this one {vector.shape}")
    return vector
