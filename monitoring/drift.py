"""Evidently's report: what people read, and evidence beside our own decision.

Methods and thresholds are pinned: Evidently's default test changes with the size
of the reference, and none of its tests controls false alarms over repeated runs.
``MonitorConfig.policy = "evidently"`` lets its verdict decide all the same.
"""

from __future__ import annotations

import os
import warnings
from dataclasses import asdict, dataclass, field, replace
from pathlib import Path
from typing import Any

import pandas as pd

from mammo.settings import TELEMETRY_OFF
from monitoring.config import MonitorConfig

CATEGORICAL = ("recall", "missing", "refused", "quality")
METHODS = {
    "ks": "p-value",
    "anderson": "p-value",
    "cramer_von_mises": "p-value",
    "es": "p-value",
    "mannw": "p-value",
    "t_test": "p-value",
    "ed": "distance",
    "hellinger": "distance",
    "jensenshannon": "distance",
    "kl_div": "distance",
    "psi": "distance",
    "wasserstein": "distance",
}
"""Evidently's tests of numerical columns -> what they return; "chisquare" is for the others."""
P_VALUE_METHODS = frozenset(
    {"chisquare"} | {name for name, kind in METHODS.items() if kind == "p-value"}
)


@dataclass(frozen=True)
class Verdict:
    """What Evidently found: columns that drifted, their share, its method and threshold.

    ``drifted`` is None where no comparison was made; ``note`` then says why.
    """

    drifted: bool | None = None
    share: float | None = None
    columns: dict[str, float] = field(default_factory=dict)
    moved: tuple[str, ...] = ()
    method: str = ""
    threshold: float | None = None
    exams: int = 0
    note: str = ""
    page: str | None = None

    def to_dict(self) -> dict[str, Any]:
        """Return JSON-able data."""
        return asdict(self)


def compare(
    current: pd.DataFrame,
    reference: pd.DataFrame,
    config: MonitorConfig,
    directory: Path | None = None,
    name: str = "evidently",
) -> Verdict:
    """Compare channel frames (one row per exam) by Evidently's data drift preset.

    With ``directory``, ``<name>.html`` and ``<name>.json`` are written there; the page
    holds its own scripts and needs no network. Fewer than ``min_current`` exams, or no
    Evidently in this environment, give a verdict that says so.
    """
    if min(len(current), len(reference)) < config.min_current:
        return Verdict(
            exams=len(current),
            note=f"{len(current)} exams beside {len(reference)} of the reference: Evidently's "
            f"comparison needs {config.min_current} of each.",
        )
    os.environ.update({k: v for k, v in TELEMETRY_OFF.items() if k not in os.environ})
    try:
        snapshot = _run(current, reference, config)
    except ModuleNotFoundError as error:
        return Verdict(
            exams=len(current),
            note=f"No Evidently report: {error.name} is not installed (extra `monitor`).",
        )
    if directory is not None:
        snapshot.save_html(str(directory / f"{name}.html"))
        snapshot.save_json(str(directory / f"{name}.json"))
    verdict = read_verdict(snapshot.dict(), config, len(current))
    return replace(verdict, page=f"{name}.html" if directory is not None else None)


def _run(current: pd.DataFrame, reference: pd.DataFrame, config: MonitorConfig) -> Any:
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # its own use of pandas and numpy
        from evidently import DataDefinition, Dataset, Report
        from evidently.presets import DataDriftPreset

        columns = _comparable(current, reference)
        categorical = [name for name in columns if name in CATEGORICAL]
        numerical = [name for name in columns if name not in CATEGORICAL]
        definition = DataDefinition(numerical_columns=numerical, categorical_columns=categorical)
        ks = config.evidently_method in P_VALUE_METHODS
        preset = DataDriftPreset(
            columns=columns,
            num_method=config.evidently_method,
            num_threshold=config.evidently_threshold,
            cat_method="chisquare" if ks else "jensenshannon",
            cat_threshold=config.evidently_threshold,
            drift_share=config.evidently_share,
        )
        frames = [
            Dataset.from_pandas(_typed(frame[columns], categorical), data_definition=definition)
            for frame in (current, reference)
        ]
        return Report([preset]).run(*frames)


def read_verdict(result: dict[str, Any], config: MonitorConfig, exams: int) -> Verdict:
    """Read Evidently's own numbers from its snapshot."""
    values, moved, share = {}, [], 0.0
    for metric in result["metrics"]:
        settings = metric["config"]
        if settings["type"].endswith("DriftedColumnsCount"):
            share = float(metric["value"]["share"])
        elif "column" in settings:
            value = float(metric["value"])
            values[settings["column"]] = round(value, 6)
            small = value < settings["threshold"]
            if small == (settings["method"] in P_VALUE_METHODS):
                moved.append(settings["column"])
    return Verdict(
        drifted=share >= config.evidently_share,
        share=round(share, 4),
        columns=values,
        moved=tuple(moved),
        method=config.evidently_method,
        threshold=config.evidently_threshold,
        exams=exams,
    )


def _comparable(current: pd.DataFrame, reference: pd.DataFrame) -> list[str]:
    """Return columns with values in both frames that are not one same value throughout."""
    both = pd.concat([current, reference], ignore_index=True)
    return [
        name
        for name in reference.columns
        if current[name].notna().any()
        and reference[name].notna().any()
        and both[name].nunique() > 1
    ]


def _typed(frame: pd.DataFrame, categorical: list[str]) -> pd.DataFrame:
    words = {name: frame[name].map({0.0: "no", 1.0: "yes"}) for name in categorical}
    return frame.assign(**words).reset_index(drop=True)
