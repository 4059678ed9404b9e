"""A sound prediction log with outcomes, and each of its columns broken by SQL.

The tables are copied without their constraints first, as a log is that was restored from
a dump: the database itself would refuse half of these faults.
"""

from __future__ import annotations

import shutil
from datetime import UTC, date, datetime, timedelta
from pathlib import Path

import numpy as np
import pandas as pd
import sqlalchemy as sa

from data_checks.suites.outcomes import outcome_chunks
from data_checks.suites.predictions import prediction_chunks
from mammo.exam import Laterality, Outcome
from mammo.prediction_log import PredictionLog
from mammo.prediction_log.tables import METADATA
from mammo.settings import Settings

EXAMS = 12
SCORED = datetime(2026, 3, 1, 9, tzinfo=UTC)


def sound_log(settings: Settings) -> Settings:
    """Write a log of a dozen exams, two of them scored by a shadow too, and their outcomes."""
    log = PredictionLog(settings.log_url).create()
    log.add_change("r-1", {"release_id": "r-1"})
    for number in range(EXAMS):
        log.append_exam(_scoring(number, "champion"))
        if number < 2:
            log.append_exam(_scoring(number, "shadow"))
    log.add_outcomes(
        Outcome(f"E-{n:016x}", n % 3 == 0 and side == Laterality.LEFT,
                SCORED + timedelta(days=30 + n), "biopsy", side)
        for n in range(EXAMS) for side in (Laterality.LEFT, Laterality.RIGHT)
    )  # fmt: skip
    log.close()
    return settings


def _scoring(number: int, role: str) -> list[dict[str, object]]:
    common = {
        "exam_id": f"E-{number:016x}", "patient_id": f"P-{number:016x}", "release_id": "r-1",
        "role": role, "scanner": "Maker/Model", "software_version": "1.0", "site": "site-1",
        "acquired_on": date(2026, 2, 1), "scored_at": SCORED + timedelta(minutes=number),
        "threshold": 0.5, "quality": "MISSING_VIEW", "latency_ms": 120.0,
    }  # fmt: skip
    vector = np.random.default_rng(number).normal(size=32).astype("<f4")
    breast = {"level": "breast", "embedding": None, "features": None}
    exam = {
        "level": "exam", "laterality": None, "embedding": vector, "features": {"noise": 0.1},
        "scale": 10, "abstention": "MISSING_VIEW|UNKNOWN_SCANNER", "files_sha256": "0a" * 32,
        "refused": [{"file": "4", "code": "NOT_DICOM", "message": "It is no DICOM file."}],
    }  # fmt: skip
    left = {"logit": -2.2, "probability": 0.1, "recall": False}
    right = {"logit": 0.85, "probability": 0.7, "recall": True}
    rows = (breast | {"laterality": "L"} | left, breast | {"laterality": "R"} | right, exam | right)
    return [common | row for row in rows]


def broken_frame(settings: Settings, home: Path, table: str, statement: str) -> pd.DataFrame:
    """Return the facts of a copy of the log in which ``statement`` was run on ``table``."""
    shutil.copytree(settings.home, home)
    other = Settings(home=home, _env_file=None)
    engine = sa.create_engine(other.log_url)
    with engine.begin() as connection:
        for line in (
            f"CREATE TABLE bare AS SELECT * FROM {table}", f"DROP TABLE {table}",
            f"ALTER TABLE bare RENAME TO {table}", statement,
        ):  # fmt: skip
            connection.exec_driver_sql(line)
    if table == "predictions":
        chunks = prediction_chunks(other, engine)
    else:
        chunks = outcome_chunks(engine, None)
    frame = pd.concat(list(chunks), ignore_index=True)
    engine.dispose()
    return frame


def frames(settings: Settings, scratch: Path, table: str) -> list[pd.DataFrame]:
    """Return the sound frame of a table and, after it, one for each of its faults."""
    faults = PREDICTION_FAULTS if table == "predictions" else OUTCOME_FAULTS
    statements = ["SELECT 1", *(f"UPDATE {table} SET {change}" for _, _, change in faults)]
    return [
        broken_frame(settings, scratch / f"{table}-{number}", table, statement)
        for number, statement in enumerate(statements)
    ]


def columns(table: str) -> set[str]:
    """Return the columns of a table."""
    return {one.name for one in METADATA.tables[table].columns}


_FUTURE = "'2199-01-01 00:00:00.000000'"
_NULLS = ("exam_id", "patient_id", "release_id", "scanner", "scored_at", "logit", "probability",
          "recall", "level", "role")  # fmt: skip
# rows 13 and 14 are the breasts of a champion's scoring, 15 is its exam
PREDICTION_FAULTS: tuple[tuple[str, str, str], ...] = (
    ("id", "that of the row before", "id = 13 WHERE id = 14"),
    *((name, "null", f"{name} = NULL WHERE id = 14") for name in _NULLS),
    ("exam_id", "the accession number", "exam_id = 'ACC-20240102' WHERE id = 13"),
    ("patient_id", "the patient's name", "patient_id = 'DOE^JANE' WHERE id = 13"),
    ("level", "an unknown one", "level = 'view' WHERE id = 13"),
    ("level", "breast for an exam", "level = 'breast' WHERE id = 15"),
    ("laterality", "lower case 'l'", "laterality = 'l' WHERE id = 13"),
    ("laterality", "null for a breast", "laterality = NULL WHERE id = 13"),
    ("laterality", "the other breast's", "laterality = 'R' WHERE id = 13"),
    ("release_id", "one that was never here", "release_id = 'r-9' WHERE id = 13"),
    ("role", "an unknown one", "role = 'master' WHERE id = 13"),
    ("role", "champion for a shadow", "role = 'champion' WHERE role = 'shadow'"),
    ("scanner", "with a blank at its end", "scanner = 'Maker/Model ' WHERE id = 13"),
    ("scanner", "another device's", "scanner = 'Maker/Other' WHERE id = 13"),
    ("software_version", "with a tab", "software_version = '1' || char(9) WHERE id = 13"),
    ("site", "a person's name", "site = 'DOE^JANE' WHERE id = 13"),
    ("acquired_on", "1900, a default", "acquired_on = '1900-01-01' WHERE id = 13"),
    ("acquired_on", "after the scoring", "acquired_on = '2026-05-01' WHERE id = 13"),
    ("scored_at", "in the future", f"scored_at = {_FUTURE} WHERE id = 13"),
    ("logit", "overflown", "logit = 1e9 WHERE id = 13"),
    ("probability", "a percentage", "probability = 70 WHERE id = 14"),
    ("probability", "of an exam, below its breasts'", "probability = 0.6 WHERE id = 15"),
    ("recall", "the opposite", "recall = 1 - recall WHERE id = 14"),
    ("threshold", "a logit", "threshold = -3 WHERE id = 13"),
    ("threshold", "above what was recalled", "threshold = 0.9 WHERE id = 14"),
    ("quality", "an unknown code", "quality = 'FOO' WHERE id = 13"),
    ("embedding", "cut short", "embedding = x'00' WHERE id = 15"),
    ("embedding", "all zeros", "embedding = zeroblob(128) WHERE id = 15"),
    ("embedding", "not a number", f"embedding = x'{'0000c07f' * 32}' WHERE id = 15"),
    ("embedding", "null", "embedding = NULL WHERE id = 15"),
    ("features", "a text for a number", "features = '{\"noise\": \"high\"}' WHERE id = 15"),
    ("features", "null", "features = NULL WHERE id = 15"),
    ("scale", "a percentage", "scale = 70 WHERE id = 15"),
    ("abstention", "an unknown code", "abstention = 'FOO' WHERE id = 15"),
    ("refused", "a name for a position", "refused = '[{\"file\": \"DOE.dcm\", \"code\": "
     "\"NOT_DICOM\", \"message\": \"no.\"}]' WHERE id = 15"),
    ("files_sha256", "cut short", "files_sha256 = 'ab' WHERE id = 15"),
    ("latency_ms", "negative", "latency_ms = -5 WHERE id = 13"),
    ("latency_ms", "in microseconds", "latency_ms = 120000000 WHERE id = 13"),
)  # fmt: skip
PREDICTION_UNCAUGHT = {
    ("id", "that of the row before"): "the log is a list; only its readers' marks refer to ids",
    (
        "scanner",
        "another device's",
    ): "nothing else tells which device it was",
}

# rows 1 and 2 are the breasts of the first exam: cancer in the left, none in the right
OUTCOME_FAULTS: tuple[tuple[str, str, str], ...] = (
    *((name, "null", f"{name} = NULL WHERE id = 2") for name in
      ("exam_id", "cancer", "known_at", "source", "received_at")),
    ("exam_id", "the accession number", "exam_id = 'ACC-20240102' WHERE id = 2"),
    ("exam_id", "of an exam never seen", "exam_id = 'E-00000000000000ff' WHERE id = 2"),
    ("laterality", "lower case 'l'", "laterality = 'l' WHERE id = 2"),
    ("laterality", "the other breast's", "laterality = 'L', known_at = (SELECT known_at FROM "
     "outcomes WHERE id = 1) WHERE id = 2"),
    ("laterality", "null for the free breast", "laterality = NULL WHERE id = 2"),
    ("cancer", "2", "cancer = 2 WHERE id = 2"),
    ("cancer", "the opposite", "cancer = 1 - cancer"),
    ("known_at", "in the future", f"known_at = {_FUTURE} WHERE id = 2"),
    ("known_at", "in the year 9999", "known_at = '9999-12-31 00:00:00.000000' WHERE id = 2"),
    ("known_at", "in the year 1", "known_at = '0001-01-01 00:00:00.000000' WHERE id = 2"),
    ("known_at", "before the image", "known_at = '2019-01-01 00:00:00.000000' WHERE id = 2"),
    ("known_at", "before the scoring", "known_at = '2026-02-20 00:00:00.000000' WHERE id = 2"),
    ("source", "with a blank before it", "source = ' biopsy' WHERE id = 2"),
    ("source", "a person's name", "source = 'DOE^JANE' WHERE id = 2"),
    ("received_at", "1900, a default", "received_at = '1900-01-01 00:00:00.000000' WHERE id = 2"),
    ("received_at", "before it was known", "received_at = '2026-03-02 00:00:00.000000' "
     "WHERE id = 2"),
    ("fingerprint", "cut short", "fingerprint = 'ab' WHERE id = 2"),
    ("fingerprint", "another one: the outcome stands twice", "exam_id = (SELECT exam_id FROM "
     "outcomes WHERE id = 1), laterality = 'L', cancer = 1, known_at = (SELECT known_at FROM "
     "outcomes WHERE id = 1) WHERE id = 4"),
)  # fmt: skip
OUTCOME_UNCAUGHT = {
    ("cancer", "the opposite"): "the prevalence of a service's outcomes may be anything; the "
    "monitor's performance chart falls",
}
