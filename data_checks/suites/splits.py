"""The split behind a release: who was trained on, calibrated with, and sealed."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pandas as pd

from data_checks.checks import CRITICAL, WARNING, Check, at_most, none_of
from data_checks.evaluate import Suite
from mammo.data.balance import balance_of
from mammo.data.leak_search import ALIKE, EXAM, FILE, PIXELS
from mammo.data.leaks import LeakReport, find_leaks
from mammo.data.patients import SPLIT_COLUMNS, patient_table
from mammo.data.query import IndexQuery
from mammo.settings import Settings

PARTS = ("train", "holdout", "golden", "ancestor")
"""Parts of ``patients.parquet`` in a release; see `mammo.continual.split`."""
BALANCED = ("outcome", "site", "machine", "age", "density", "implant")
LEAKS = {
    EXAM: ("no exam stands in two parts", "the exam's other views give its label away"),
    FILE: ("no file stands in two parts", "the network has seen the very bytes it is tested on"),
    PIXELS: ("no picture stands in two parts under two patients",
             "one woman under two pseudonyms is on both sides, whatever the split goes by"),
    ALIKE: ("no near-identical pictures stand in two parts under two patients",
            "a copy saved anew has other bytes, and flatters the test as much"),
}  # fmt: skip
FORM = r"P-[0-9a-f]{16}"


def splits_suite() -> Suite:
    """Return the suite of a release's split; one row a patient."""
    return Suite(
        "splits",
        "Splits",
        "the split of the newest release",
        (
            none_of("original_patient_id", "patients of the split are pseudonyms",
                    "a release leaves the hospital, and this list with it"),
            Check("part", f"part is one of {', '.join(PARTS)}",
                  "a part that no step knows is trained on by nobody and counted by nobody",
                  allowed=PARTS),
            none_of("part_lacking", "every labelled patient of the index that the release could "
                    "know is in a part", "labels that are in no part were paid for and not used",
                    severity=WARNING),
            at_most("parts_of_patient", 1, "no patient stands in two parts",
                    "the leak that flatters most published results: other views of one breast"),
            none_of("sealed_before", "nobody who was ever sealed for the gate is trained on",
                    "the gate would measure the release on its own training data"),
            *(none_of(kind, *said, severity=WARNING if kind == ALIKE else CRITICAL)
              for kind, said in LEAKS.items()),
            *(at_most(f"{name}_off", 1.0, f"the parts agree in {name} within what is allowed",
                      "a threshold from a part unlike the whole recalls too many or too few",
                      severity=WARNING) for name in BALANCED),
        ),
        ("patient_id", "part", "parts_of_patient"),
    )  # fmt: skip


def split_paths(settings: Settings) -> list[Path]:
    """Return the releases' lists of patients, the newest release first."""
    found = settings.releases_dir.glob("*/patients.parquet")
    return sorted(found, key=lambda path: (path.stat().st_mtime, path.parent.name), reverse=True)


def split_chunks(settings: Settings, query: IndexQuery) -> Iterator[pd.DataFrame]:
    """Yield one frame: a row per patient and part of the newest release."""
    newest, *older = split_paths(settings)
    yield split_frame(pd.read_parquet(newest), query, [pd.read_parquet(path) for path in older])


def split_frame(
    rows: pd.DataFrame, query: IndexQuery, older: list[pd.DataFrame] | None = None
) -> pd.DataFrame:
    """Write beside each (patient, part) what else is known of it.

    Patients with a label that the index has and the split has not come as rows without a part.
    """
    frame = rows[["patient_id", "part"]].astype(object).reset_index(drop=True)
    labels = query.frame(
        "SELECT patient_id FROM exams GROUP BY 1 HAVING count(cancer) > 0 ORDER BY 1"
    )
    unassigned = sorted(set(labels["patient_id"]) - set(frame["patient_id"]))
    lacking = pd.DataFrame({"patient_id": unassigned, "part": None}, dtype=object)
    frame = pd.concat([frame.assign(part_lacking=0), lacking.assign(part_lacking=1)])
    frame = frame.reset_index(drop=True)
    odd = ~frame["patient_id"].astype(str).str.fullmatch(FORM)
    frame["original_patient_id"] = odd.astype("int64")
    counted = frame[frame["part"].notna()].groupby("patient_id")["part"].nunique()
    frame["parts_of_patient"] = frame["patient_id"].map(counted).fillna(0)
    sealed = {
        one for past in older or () for one in past.loc[past["part"] == "golden", "patient_id"]
    }
    used = frame["part"].isin(["train", "ancestor", "holdout"])
    frame["sealed_before"] = (used & frame["patient_id"].isin(sealed)).astype("int64")
    assignment = frame[frame["part"].isin(PARTS[:3])].drop_duplicates("patient_id")
    part = assignment.set_index("patient_id")["part"]
    frame = _with_leaks(frame, find_leaks(query, part))
    return _with_balance(frame, query, part)


def _with_leaks(frame: pd.DataFrame, report: LeakReport) -> pd.DataFrame:
    for kind in LEAKS:
        named = {one for leak in report.rows if leak.kind == kind for one in leak.patients}
        flags = frame["patient_id"].isin(named) & frame["part"].notna()
        frame[kind] = flags.astype("int64")
    return frame


def _with_balance(frame: pd.DataFrame, query: IndexQuery, part: pd.Series[Any]) -> pd.DataFrame:
    """Write the largest difference of the patient's part beside it, 1 being what is allowed."""
    columns = ", ".join(SPLIT_COLUMNS)
    table = patient_table(query.frame(f"SELECT {columns} FROM exams"))
    known = part[part.index.isin(table.index)]
    spread = balance_of(table.loc[known.index], known)
    for name in BALANCED:
        rows = spread[(spread["attribute"] == name) & (spread["level"] != "unknown")]
        ratio = rows["difference_pp"].abs() / rows["allowed_pp"].where(rows["allowed_pp"] > 0)
        worst = ratio.groupby(rows["fold"]).max()
        frame[f"{name}_off"] = frame["part"].map(worst).astype("float64")
    return frame
