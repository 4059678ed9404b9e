"""Exams as the prediction log gives them, for timing: 60 columns, seeded, all at once.

Two sites, seven scanners with shares as uneven as in a real programme, patients who
come twice. Values are drawn without regard to each other: only their number matters
for time. The control meets its own reference, so that nothing is confirmed and every
exam is taken to the last chart; an alarm would only spare it work.
"""

from __future__ import annotations

from collections.abc import Iterator
from datetime import date, datetime, timedelta
from typing import Any

import numpy as np
import pandas as pd

from mammo.exam_features import HEADER_NAMES
from mammo.image_features import FEATURE_NAMES
from mammo.prediction_log import EMBEDDING_NAMES

FIRST_DAY = date(2026, 1, 5)
EXAMS_A_DAY = 150
SHARES = {
    ("1", "A"): 0.37, ("1", "B"): 0.03, ("1", "C"): 0.03, ("1", "D"): 0.02,
    ("2", "E"): 0.18, ("2", "F"): 0.18, ("2", "G"): 0.19,
}  # fmt: skip
"""Sites and scanners with their part of the exams."""
MEANS = {"age_years": (58, 9), "thickness_mm": (57, 12), "compression_n": (110, 25),
         "kvp": (29, 1), "exposure_mas": (75, 25)}  # fmt: skip
WHOLE = ("age_years", "kvp")


def exam_frame_of(exams: int, seed: int, first: int = 0) -> pd.DataFrame:
    """Return exams ``first`` to ``first + exams`` in the columns and types of `read_since`."""
    rng = np.random.default_rng([seed, first])
    number = first + np.arange(exams)
    logit = rng.normal(-3, 1.2, exams)
    place = rng.choice(len(SHARES), exams, p=list(SHARES.values()))
    names = np.array(list(SHARES), dtype=object)[place]
    minutes = np.datetime64(datetime(2026, 1, 5, 8)) + number * np.timedelta64(5, "m")
    columns: dict[str, Any] = {
        "id": 3 * (number + 1),
        "release_id": "r-1",
        "role": "champion",
        "laterality": None,
        "scored_at": pd.to_datetime(minutes.astype("datetime64[ns]")).tz_localize("UTC"),
        "threshold": 0.08,
        "latency_ms": rng.gamma(8, 60, exams),
        "exam_id": [f"E-{one:016x}" for one in number],
        "patient_id": [f"P-{one // 2:016x}" for one in number],
        "scanner": ["Maker/Model " + one for one in names[:, 1]],
        "software_version": np.where(place % 2 == 0, "4.1.0", "ADS_55.2").astype(object),
        "site": ["site-" + one for one in names[:, 0]],
        "acquired_on": pd.to_datetime(_days(number)).astype("datetime64[ns]"),
        "logit": logit,
        "probability": 1 / (1 + np.exp(-logit)),
        "recall": logit > -1.5,
        "quality": np.where(rng.random(exams) < 0.02, "MISSING_VIEW", "").astype(object),
    }
    vectors = rng.standard_normal((exams, len(EMBEDDING_NAMES)), dtype=np.float32)
    embedding = pd.DataFrame(vectors, columns=list(EMBEDDING_NAMES))
    return pd.concat([pd.DataFrame(columns), embedding, _features(rng, exams)], axis=1)


def _days(number: np.ndarray) -> list[date]:
    days = number // EXAMS_A_DAY
    calendar = [FIRST_DAY + timedelta(days=one) for one in range(int(days.max(initial=0)) + 1)]
    return [calendar[one] for one in days]


def _features(rng: np.random.Generator, exams: int) -> pd.DataFrame:
    columns = {f"f_{name}": rng.lognormal(-1, 0.3, exams) for name in FEATURE_NAMES}
    for name in HEADER_NAMES:
        values = rng.normal(*MEANS[name], exams)
        columns[f"f_{name}"] = values.round() if name in WHOLE else values.round(1)
    return pd.DataFrame(columns)


def log_rows(frame: pd.DataFrame) -> Iterator[dict[str, Any]]:
    """Yield the rows that the service would have logged: two breasts and the exam."""
    features = [name for name in map(str, frame) if name.startswith("f_")]
    vectors = frame[list(EMBEDDING_NAMES)].to_numpy("<f4")
    measured = frame[features].rename(columns=lambda name: name[2:]).to_dict("records")
    common = frame.drop(columns=[*EMBEDDING_NAMES, *features, "id", "laterality"])
    for one, vector, values in zip(common.to_dict("records"), vectors, measured, strict=True):
        row = {str(name): value for name, value in one.items()}
        row["scored_at"] = row["scored_at"].to_pydatetime()
        row["acquired_on"] = row["acquired_on"].date()
        nothing = {"embedding": None, "features": None}
        yield from (row | nothing | {"level": "breast", "laterality": side} for side in "LR")
        told = {"embedding": vector.tobytes(), "features": values}
        yield row | told | {"level": "exam", "laterality": None}
