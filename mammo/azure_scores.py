"""Scores for Azure ML's model monitor: tables (MLTable) in which nobody is named.

    written = write_scores(settings, Path("azure-scores"))

``scores`` are the last days' answers of the release in service, ``reference`` those of
the exams that it was held against when it was made, ``outcomes``, where asked for, the
answers of which it is known what became. A row is a score, a decision and nothing else: no
exam, patient, scanner, site or day. Rows are in order of score, so that their order tells
nothing either. Who knows an exam's score from elsewhere still finds its row where no other
has the same: the tables are pseudonymous, not anonymous, and `Written.alone` counts such rows.
"""

from __future__ import annotations

import io
from dataclasses import asdict, dataclass
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pandas as pd
import yaml

from mammo.data.durable import write_file
from mammo.errors import NotReady, PartUnknown, SourceInvalid, TooFewScores
from mammo.pointer import read_pointer
from mammo.prediction_log import PredictionLog
from mammo.prediction_log.frames import label_exams
from mammo.reference_exams import REFERENCE
from mammo.release import Release, find_release
from mammo.settings import Settings

DAYS = 7.0
"""As long as `deploy/azure/monitor.yml` waits between two looks."""
DECIMALS = 2
"""Of a score: enough for a distribution, and most rows have others like them."""
LEAST_ROWS = 50
"""Of a table: in a shorter one most scores stand alone."""
FILE = "scores.parquet"
MLTABLE: dict[str, Any] = {
    "$schema": "https://azuremlschemas.azureedge.net/latest/MLTable.schema.json",
    "type": "mltable",
    "paths": [{"file": f"./{FILE}"}],
    "transformations": [{"read_parquet": {"include_path_column": False}}],
}


@dataclass(frozen=True)
class Written:
    """What was written where: exams by table, of which release.

    ``alone`` counts, of all tables, the rows whose score no other row of their table has.
    """

    folder: Path
    release: str
    scores: int
    reference: int
    outcomes: int | None
    alone: int

    def to_dict(self) -> dict[str, Any]:
        """Return plain data."""
        return asdict(self) | {"folder": str(self.folder)}


def write_scores(
    settings: Settings,
    folder: Path,
    *,
    days: float = DAYS,
    release: str | None = None,
    outcomes: bool = False,
) -> Written:
    """Write the tables ``scores`` and ``reference`` below a folder, over older ones.

    Parameters
    ----------
    days
        Exams that were first scored so many days ago or less.
    release
        Another release than that in service.
    outcomes
        Write a third table too: all its scores of which it is known what became.

    Raises
    ------
    NotReady
        No release is in service, and none was named.
    ReleaseNotFound, DigestMismatch
        It is not here, or was changed.
    PartUnknown
        It scored nothing in these days.
    TooFewScores
        A table would have less than `LEAST_ROWS` rows.
    SourceInvalid
        The folder has ``outcomes`` that were not asked for, and would be uploaded with it.
    """
    name = release or _in_service(settings)
    directory = find_release(settings.releases_dir, name)
    own = Release.read(directory, verify=True)
    log = PredictionLog(settings.log_url).create()
    scored = log.scored_exams(name)
    recent = scored[scored["scored_at"] >= datetime.now(UTC) - timedelta(days=days)]
    if recent.empty:
        raise PartUnknown(f"{name} scored no exam in the last {days:g} days")
    tables = {
        "scores": _bare(recent),
        "reference": _bare(_rescored(pd.read_parquet(directory / REFERENCE), own)),
    }
    if outcomes:
        known = scored.merge(label_exams(log.outcomes())[["exam_id", "cancer"]], on="exam_id")
        tables["outcomes"] = _bare(known, "cancer")
    elif (folder / "outcomes").exists():
        raise SourceInvalid("the folder holds outcomes of an earlier call: delete them, or ask too")
    for table, frame in tables.items():
        _require_many(table, frame)
    for table, frame in tables.items():
        _write(folder / table, frame)
    alone = sum(_count_alone(frame) for frame in tables.values())
    rows = {table: len(frame) for table, frame in tables.items()}
    return Written(folder, name, rows["scores"], rows["reference"], rows.get("outcomes"), alone)


def _count_alone(frame: pd.DataFrame) -> int:
    return int((~frame.duplicated(["score", "decision"], keep=False)).sum())


def _require_many(table: str, frame: pd.DataFrame) -> None:
    if len(frame) < LEAST_ROWS:
        more = {
            "scores": "take more days (--days)",
            "reference": "a release that is held against more exams",
            "outcomes": "leave out --outcomes until more are known",
        }
        raise TooFewScores(
            f"the table {table} would have {len(frame)} rows, of which most would stand alone; "
            f"{LEAST_ROWS} are the least: {more[table]}"
        )


def _in_service(settings: Settings) -> str:
    pointer = read_pointer(settings.pointer_path)
    if pointer is None:
        raise NotReady("no release is in service: name one, or `mammo deploy RELEASE`")
    return str(pointer["release_id"])


def _rescored(exams: pd.DataFrame, release: Release) -> pd.DataFrame:
    """Return probabilities and decisions by the release's operating points, from raw logits.

    A recalibrated release has the reference of its parent.
    """
    points = [release.operating_point(str(scanner)) for scanner in exams["scanner"]]
    scored = [one.probability(logit) for one, logit in zip(points, exams["logit"], strict=True)]
    recalled = [one.recalls(logit) for one, logit in zip(points, exams["logit"], strict=True)]
    return exams.assign(probability=scored, recall=recalled)


def _bare(exams: pd.DataFrame, *more: str) -> pd.DataFrame:
    """Return score (in [0, 1]), decision (recall, no recall) and ``more`` as 0 and 1, by score."""
    decisions = exams["recall"].astype(bool).map({True: "recall", False: "no recall"})
    columns = {"score": exams["probability"].astype(float).round(DECIMALS), "decision": decisions}
    frame = pd.DataFrame(columns | {name: exams[name].astype("int8") for name in more})
    return frame.sort_values([*frame.columns], ignore_index=True)


def _write(folder: Path, frame: pd.DataFrame) -> None:
    content, told = io.BytesIO(), yaml.safe_dump(MLTABLE, sort_keys=False).encode()
    frame.to_parquet(content, index=False)
    write_file(folder / FILE, lambda file: file.write(content.getvalue()), drafts=folder)
    write_file(folder / "MLTable", lambda file: file.write(told), drafts=folder)
