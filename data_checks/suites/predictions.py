"""The prediction log: each scoring of a breast and of an exam."""

from __future__ import annotations

import json
import math
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from typing import Any

import numpy as np
import pandas as pd
import sqlalchemy as sa

from data_checks.checks import WARNING, Check, none_of, required
from data_checks.evaluate import CHUNK_ROWS, Suite
from data_checks.limits import FIRST_DAY, CheckLimits
from mammo.abstention import ABSTENTION_CODES
from mammo.prediction_log import EMBEDDING_SIZE
from mammo.prediction_log.tables import CHANGES, PREDICTIONS
from mammo.quality import QUALITY_CODES, REFUSALS
from mammo.settings import Settings

ROLES = ("champion", "challenger", "shadow", "canary", "standby")
LEVELS = ("breast", "exam")
EMBEDDING_BYTES = 4 * EMBEDDING_SIZE
SCORING = ("exam_id", "level", "laterality", "release_id", "role", "scored_at")
NEVER_NULL = {
    "exam_id": "a score that names no exam is no use to anybody",
    "patient_id": "intervals resample patients; scores without one cannot be resampled",
    "release_id": "a score that names no release can be defended by nobody",
    "scanner": "drift and thresholds are by scanner",
    "scored_at": "the monitor reads by time; a score without one is in no period",
    "logit": "without the score itself there is nothing to calibrate or to watch",
    "probability": "the radiologist was shown a probability; the log must know which",
    "recall": "the decision is what is audited",
}
TOLERANCE = 1e-6


def predictions_suite(limits: CheckLimits | None = None, *, now: datetime | None = None) -> Suite:
    """Return the suite of the table ``predictions``."""
    limits = limits or CheckLimits()
    soon = (now or datetime.now(UTC)) + timedelta(minutes=5)
    leak = "the log is copied to whoever watches; an original id in it leaves the hospital"
    return Suite(
        "predictions",
        "Predictions",
        "the prediction log",
        (
            *(required(n, f"every prediction has its {n}", why) for n, why in NEVER_NULL.items()),
            Check("level", "level is breast or exam",
                  "rows of another level are read by nobody", allowed=LEVELS),
            Check("role", f"role is one of {', '.join(ROLES)}",
                  "a score of an unknown role is left out of every figure", allowed=ROLES),
            Check("laterality", "laterality is L or R, or null for an exam",
                  "a side written otherwise joins no outcome", allowed=("L", "R")),
            none_of("side_against_level", "a breast has a side and an exam has none",
                    "breasts and exams would be counted as each other"),
            none_of("original_exam_id", "exam ids are pseudonyms", leak),
            none_of("original_patient_id", "patient ids are pseudonyms", leak),
            Check("probability", "probabilities are 0 to 1",
                  "outside, the calibration of the release is broken", 0.0, 1.0),
            Check("logit", "logits are -100 to 100",
                  "beyond, the network overflowed: the input was not what it was trained on",
                  -100.0, 100.0),
            Check("threshold", "thresholds are 0 to 1",
                  "a threshold on another scale recalls everybody or nobody", 0.0, 1.0),
            none_of("decision_denied", "a breast or exam is recalled just where its probability "
                    "reaches the threshold", "decision and score of one row contradict each other: "
                    "one of them was shown to the radiologist"),
            none_of("exam_unlike_breasts", "an exam's probability is the largest of its breasts'",
                    "the exam would be recalled for a score that no breast has"),
            none_of("scored_twice", "no scoring of an exam or breast stands twice",
                    "a row written twice weighs twice in drift and recall rate"),
            none_of("release_unknown", "the release is one of this installation's",
                    "what scored this exam cannot be found again",
                    severity=WARNING),
            none_of("before_release", "nothing was scored before its release was made",
                    "a clock is wrong, or rows were rewritten",
                    severity=WARNING),
            Check("scored_at", "scores are not of the future",
                  "the watermark of the monitor would pass exams that have not come",
                  datetime(2020, 1, 1, tzinfo=UTC), soon),
            Check("acquired_on", "images were acquired after 1980 and not in the future",
                  "drift is told by acquisition date; a default date is a stratum of its own",
                  FIRST_DAY, soon.date() + timedelta(days=1),
                    severity=WARNING),
            none_of("scored_before_image", "no exam was scored before it was acquired",
                    "an exam's date, or the service's clock, is wrong",
                    severity=WARNING),
            Check("latency_ms", f"a scoring took 0 to {limits.max_latency_ms / 60_000:g} minutes",
                  "negative is a clock set back; the gate compares latencies", 0.0,
                  limits.max_latency_ms,
                    severity=WARNING),
            none_of("embedding_of_other_size", f"embeddings have {EMBEDDING_SIZE} float32",
                    "the drift test stops at the first vector of another length"),
            none_of("embedding_not_finite", "embeddings are finite",
                    "one NaN makes the whole drift statistic NaN, and alarms stay silent"),
            none_of("embedding_constant", "embeddings are not one number over and over",
                    "the encoder saw nothing: the image was blank on the way to it"),
            none_of("embedding_lacking", "every exam has an embedding",
                    "exams without one are not watched for drift", severity=WARNING),
            none_of("feature_not_finite", "features are finite numbers",
                    "a feature that is none is left out of the drift test without a word",
                    severity=WARNING),
            none_of("features_lacking", "every exam has features",
                    "exams without them are not watched for drift", severity=WARNING),
            none_of("unknown_codes", "quality holds known codes",
                    "a code that nobody knows is in no count"),
            Check("scale", "scales are 1 to 10, or null",
                  "it is told beside the score as a tenth of the reference exams", 1, 10),
            none_of("unknown_reserves", "abstention holds known codes",
                    "an answer that is given again would tell a reason that nobody knows"),
            none_of("refused_malformed", "refused files have a position, a code and a message",
                    "an answer that is given again would name another file, or a patient"),
            none_of("digest_malformed", "digests of files are SHA-256, or null",
                    "a request's key would be taken for that of other files"),
            none_of("untidy", "scanner, software version and site are trimmed and printable",
                    "blanks make two strata of one device",
                    severity=WARNING),
        ),
        tuple(column.name for column in PREDICTIONS.columns),
        least_rows=0,
    )  # fmt: skip


def prediction_chunks(
    settings: Settings, engine: sa.Engine, rows: int = CHUNK_ROWS
) -> Iterator[pd.DataFrame]:
    """Yield the log in frames of at most ``rows`` rows, with what rows have in common.

    The rows of one scoring are written together, so they are compared within a frame;
    a frame ends before the scoring that it may have cut.
    """
    made = known_releases(settings, engine)
    last, given = 0, False
    with engine.connect() as connection:
        twice, columns = _scored_twice(connection), _known_columns(connection)
        while True:
            query = sa.select(*columns).where(PREDICTIONS.c.id > last)
            found = connection.execute(query.order_by(PREDICTIONS.c.id).limit(rows))
            frame = pd.DataFrame(found.mappings().all(), columns=list(found.keys()))
            if frame.empty and given:
                return
            whole = _without_cut(frame) if len(frame) == rows else frame
            yield with_prediction_facts(whole, made, twice)
            given = True
            if frame.empty:
                return
            last = int(whole["id"].max())


def with_prediction_facts(
    frame: pd.DataFrame, made: dict[str, datetime | None], twice: set[int]
) -> pd.DataFrame:
    """Return the rows with one column for each fact that a row does not tell by itself."""
    frame = frame.copy()
    level, side = frame["level"], frame["laterality"]
    frame["side_against_level"] = _flag((level == "breast") != side.notna())
    for name, letter in (("exam_id", "E"), ("patient_id", "P")):
        form = rf"{letter}-[0-9a-f]{{16}}"
        frame[f"original_{name}"] = _flag(~frame[name].astype(str).str.fullmatch(form))
    score = frame["probability"].astype("float64")
    threshold = frame["threshold"].astype("float64")
    denied = (score >= threshold) != frame["recall"].fillna(False).astype(bool)
    close = (score - threshold).abs() < TOLERANCE
    frame["decision_denied"] = _flag(denied & threshold.notna() & ~close)
    frame["exam_unlike_breasts"] = _unlike_breasts(frame)
    frame["scored_twice"] = _flag(frame["id"].isin(twice))
    frame["release_unknown"] = _flag(~frame["release_id"].isin(made))
    born = pd.to_datetime(frame["release_id"].map(made), utc=True)
    at = pd.to_datetime(frame["scored_at"], utc=True)
    frame["before_release"] = _flag(at + timedelta(minutes=5) < born)
    days = pd.to_datetime(frame["acquired_on"], utc=True)
    frame["scored_before_image"] = _flag(at + timedelta(days=1) < days)
    facts = [_vector_facts(*one) for one in zip(frame["embedding"], level, strict=True)]
    names = ["embedding_of_other_size", "embedding_not_finite", "embedding_constant",
             "embedding_lacking"]  # fmt: skip
    frame[names] = pd.DataFrame(facts, columns=names, index=frame.index, dtype="float64")
    frame["feature_not_finite"] = [float(_bad_features(one)) for one in frame["features"]]
    given = [isinstance(one, dict) and bool(one) for one in frame["features"]]
    frame["features_lacking"] = _flag(
        (level == "exam") & ~pd.Series(given, index=frame.index, dtype=bool)
    )
    frame["unknown_codes"] = [_unknown(text) for text in frame["quality"]]
    frame["unknown_reserves"] = [_unknown_reserves(text) for text in frame["abstention"]]
    frame["refused_malformed"] = [float(_malformed(one)) for one in frame["refused"]]
    digests = frame["files_sha256"]
    told = digests.notna() & ~digests.astype(str).str.fullmatch("[0-9a-f]{64}")
    frame["digest_malformed"] = _flag(told)
    frame["untidy"] = _flag(
        _untidy(frame["scanner"]) | _untidy(frame["software_version"]) | _untidy(frame["site"])
    )
    packed = dict.fromkeys(("embedding", "features", "refused"))
    return frame.drop(columns=list(packed)).assign(**packed)


def known_releases(settings: Settings, engine: sa.Engine) -> dict[str, datetime | None]:
    """Return the releases on disk and those ever put into service, with when they were made."""
    made: dict[str, datetime | None] = {}
    with engine.connect() as connection:
        made.update(dict.fromkeys(connection.execute(sa.select(CHANGES.c.release_id)).scalars()))
    for path in settings.releases_dir.glob("*/manifest.json"):
        manifest = json.loads(path.read_text())
        made[str(manifest["id"])] = datetime.fromisoformat(manifest["created_at"])
    made.update(
        {path.name: None for path in settings.releases_dir.glob("*") if path.name not in made}
    )
    return made


def _known_columns(connection: sa.Connection) -> list[sa.ColumnElement[Any]]:
    """Return the columns, empty where a log made by an earlier version lacks one."""
    known = {one["name"] for one in sa.inspect(connection).get_columns(PREDICTIONS.name)}
    return [one if one.name in known else sa.null().label(one.name) for one in PREDICTIONS.columns]


def _scored_twice(connection: sa.Connection) -> set[int]:
    """Return the ids of rows that repeat an earlier one; few, unless something is badly wrong."""
    keys = [PREDICTIONS.c[name] for name in SCORING]
    later = sa.select(sa.func.max(PREDICTIONS.c.id)).group_by(*keys).having(sa.func.count() > 1)
    return {int(one) for one in connection.execute(later).scalars()}


def _without_cut(frame: pd.DataFrame) -> pd.DataFrame:
    """Leave out the last scoring, unless the frame holds no other."""
    last = frame.iloc[-1]
    same = (frame["exam_id"] == last["exam_id"]) & (frame["scored_at"] == last["scored_at"])
    return frame if same.all() else frame[~same]


def _unlike_breasts(frame: pd.DataFrame) -> pd.Series[Any]:
    keys = [frame[name] for name in ("exam_id", "release_id", "role", "scored_at")]
    breasts = frame["probability"].astype("float64").where(frame["level"] == "breast")
    largest = breasts.groupby(keys, dropna=False).transform("max")
    other = (frame["probability"].astype("float64") - largest).abs() > TOLERANCE
    return _flag(other & largest.notna() & (frame["level"] == "exam"))


def _vector_facts(packed: Any, level: str) -> tuple[float, ...]:
    """Return: of other size, not finite, constant, lacking."""
    if packed is None:
        return 0, 0, 0, float(level == "exam")
    if len(packed) != EMBEDDING_BYTES:
        return 1, 0, 0, 0
    vector = np.frombuffer(packed, "<f4")
    finite = bool(np.isfinite(vector).all())
    return 0, float(not finite), float(finite and vector.min() == vector.max()), 0


def _bad_features(features: Any) -> bool:
    if features is None:
        return False
    if not isinstance(features, dict):
        return True
    return not all(_is_finite(value) for value in features.values())


def _is_finite(value: Any) -> bool:
    return isinstance(value, int | float) and math.isfinite(value)


def _unknown(quality: Any) -> int:
    codes = [code for code in str(quality or "").split("|") if code]
    return sum(code not in QUALITY_CODES and code not in REFUSALS for code in codes)


def _unknown_reserves(abstention: Any) -> int:
    codes = [code for code in str(abstention or "").split("|") if code]
    return sum(code not in ABSTENTION_CODES for code in codes)


def _malformed(refused: Any) -> bool:
    if refused is None:
        return False
    if not isinstance(refused, list):
        return True
    return not all(
        isinstance(one, dict)
        and str(one.get("file", "")).isdigit()
        and one.get("code")
        and one.get("message")
        for one in refused
    )


def _untidy(names: pd.Series[Any]) -> pd.Series[Any]:
    texts = names.fillna("").astype(str)
    return (texts != texts.str.strip()) | ~texts.map(str.isprintable) | texts.str.contains(r"\^")


def _flag(values: Any) -> pd.Series[Any]:
    return pd.Series(values).fillna(False).astype("int64")
