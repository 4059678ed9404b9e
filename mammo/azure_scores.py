"""Scores for Azure ML's model monitor: three tables (MLTable) without anybody in them.

    written = write_scores(settings, Path("azure-scores"))

``scores`` are the last days' answers of the release in service, ``reference`` those of
the exams that it was held against when it was made, ``outcomes`` the answers of which
it is known what became. A row is a score, a decision and nothing else: no exam, patient,
scanner, site or day. Rows are in order of score, so that their order tells nothing either.
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
from mammo.errors import NotReady, PartUnknown
from mammo.pointer import read_pointer
from mammo.prediction_log import PredictionLog
from mammo.prediction_log.frames import label_exams
from mammo.reference_exams import REFERENCE
from mammo.release import Release, find_release
from mammo.settings import Settings

DAYS = 7.0
"""As long as `deploy/azure/monitor.yml` waits between two looks."""
DECIMALS = 4
"""Of a score: enough for a distribution, too few to find a row of the log again."""
FILE = "scores.parquet"
MLTABLE: dict[str, Any] = {
    "$schema": "https://azuremlschemas.azureedge.net/latest/MLTable.schema.json",
    "type": "mltable",
    "paths": [{"file": f"./{FILE}"}],
    "transformations": [{"read_parquet": {"include_path_column": False}}],
}


@dataclass(frozen=True)
class Written:
    """What was written where: exams by table, of which release."""

    folder: Path
    release: str
    scores: int
    reference: int
    outcomes: int

    def to_dict(self) -> dict[str, Any]:
        """Return plain data."""
        return asdict(self) | {"folder": str(self.folder)}


def write_scores(
    settings: Settings, folder: Path, *, days: float = DAYS, release: str | None = None
) -> Written:
    """Write the tables ``scores``, ``reference`` and ``outcomes`` below a folder, over older ones.

    Parameters
    ----------
    days
        Exams that were first scored so many days ago or less; ``outcomes`` are of all.
    release
        Another release than that in service.

    Raises
    ------
    NotReady
        No release is in service, and none was named.
    ReleaseNotFound, DigestMismatch
        It is not here, or was changed.
    PartUnknown
        It scored nothing in these days.
    """
    name = release or _in_service(settings)
    directory = find_release(settings.releases_dir, name)
    own = Release.read(directory, verify=True)
    log = PredictionLog(settings.log_url).create()
    scored = log.scored_exams(name)
    recent = scored[scored["scored_at"] >= datetime.now(UTC) - timedelta(days=days)]
    if recent.empty:
        raise PartUnknown(f"{name} scored no exam in the last {days:g} days")
    known = scored.merge(label_exams(log.outcomes())[["exam_id", "cancer"]], on="exam_id")
    tables = {
        "scores": _anonymous(recent),
        "reference": _anonymous(_rescored(pd.read_parquet(directory / REFERENCE), own)),
        "outcomes": _anonymous(known, "cancer"),
    }
    for table, frame in tables.items():
        _write(folder / table, frame)
    return Written(folder, name, **{table: len(frame) for table, frame in tables.items()})


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


def _anonymous(exams: pd.DataFrame, *more: str) -> pd.DataFrame:
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
