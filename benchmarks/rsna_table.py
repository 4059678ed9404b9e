"""What the RSNA challenge's label table says before anybody looks at an image.

    python -m benchmarks.rsna_table ../shared/data/rsna/train.csv        a minute, one core

The figures are those of `mammo explore --source rsna` (what the record alone tells of the
label) and of `mammo data split --source rsna` (five folds, each machine held out), by the same
functions. Both depend a little on the patients' pseudonyms; the key is fixed here.
"""

from __future__ import annotations

import argparse
import json
from pathlib import Path
from typing import Any

import pandas as pd

from benchmarks.report import name_run
from mammo.data.query import query_frame
from mammo.data.sources.tabulate import tabulate
from mammo.data.split_report import report_folds, report_machines
from mammo.explore import shortcut
from mammo.explore.report import SEED as EXPLORE_SEED

RESULTS = Path(__file__).with_suffix(".json")
KEY = b"benchmark"
FOLDS, SPLIT_SEED = 5, 7
"""The defaults of `mammo data split`."""


def measure(table: Path) -> dict[str, Any]:
    """Return the figures of a table of that layout; no pseudonym is among them."""
    rows = tabulate("rsna", table, KEY)
    return {
        "images": len(rows),
        "patients": int(rows["patient_id"].nunique()),
        "record_alone": record_alone(rows),
        "folds": folds(rows),
        "machines": machines(rows),
    }


def record_alone(rows: pd.DataFrame) -> dict[str, Any]:
    """Return the AUC of breasts of a model that never sees an image, with its interval."""
    with query_frame(rows) as query:
        frame, patients = shortcut.read_breasts(query, "cancer", EXPLORE_SEED)
    found = shortcut.fit(frame, shortcut.usable(frame), EXPLORE_SEED, patients)
    return {"auc": found.auc.to_dict(), "breasts": found.breasts, "positive": found.positive}


def folds(rows: pd.DataFrame) -> dict[str, Any]:
    """Return how many patients with cancer each fold has."""
    table = report_folds(rows, folds=FOLDS, seed=SPLIT_SEED).table
    positive = table[(table["attribute"] == "outcome") & (table["level"] == "positive")]
    return {"seed": SPLIT_SEED, "positive": [int(count) for count in positive["patients"]]}


def machines(rows: pd.DataFrame) -> list[dict[str, Any]]:
    """Return, for each machine, the share of patients with cancer on it and on the rest."""
    names = ("machine", "patients", "positives", "rest_patients", "rest_positives")
    return [
        {name: row[name] for name in names}
        | {"prevalence": _share(row, ""), "rest": _share(row, "rest_")}
        for row in report_machines(rows).table.to_dict("records")
    ]


def _share(row: dict[Any, Any], prefix: str) -> dict[str, float]:
    named = {"value": "prevalence", "low": "low", "high": "high"}
    return {name: round(row[prefix + column], 4) for name, column in named.items()}


def main() -> None:
    """Measure and write the results file."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("table", type=Path, help="train.csv of the challenge")
    given = parser.parse_args()
    run = name_run(f"python -m benchmarks.rsna_table {given.table.name}")
    RESULTS.write_text(json.dumps({"run": run} | measure(given.table), indent=1) + "\n")


if __name__ == "__main__":
    main()
