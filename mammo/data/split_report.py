"""A split with everything that is to be seen of it: what `mammo data split` shows and writes."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import date
from pathlib import Path
from typing import Any

import pandas as pd

from mammo.data.balance import balance_of, require_balanced
from mammo.data.durable import write_file
from mammo.data.leaks import LeakReport, find_leaks
from mammo.data.machines import hold_out_machine, leave_one_machine_out, machine_sentences
from mammo.data.patients import patient_table
from mammo.data.periods import Every, period_table, split_by_period
from mammo.data.query import IndexQuery
from mammo.data.split import CANDIDATES, split_table


@dataclass(frozen=True, eq=False)
class SplitReport:
    """One way of splitting an index.

    ``assignment`` is what is written (see `write_assignment`); ``table`` the
    balance of folds, or a row per machine or period; ``sentences`` what follows
    from it; ``leaks`` the check of what was assigned, one for each machine held out.
    """

    by: str
    facts: dict[str, Any]
    assignment: pd.DataFrame
    table: pd.DataFrame
    sentences: tuple[str, ...]
    leaks: tuple[LeakReport, ...]

    @property
    def leak_sentences(self) -> tuple[str, ...]:
        """What the leak check says; of several checks that passed, once."""
        failed = [one for one in self.leaks if not one.passed]
        if failed or len(self.leaks) == 1:
            return tuple(words for one in (failed or self.leaks) for words in one.sentences())
        first, *rest = self.leaks[0].sentences()
        machines = f"In each of the {len(self.leaks)} splits by machine: {first[0].lower()}"
        return (machines + first[1:].split(":")[0] + ".", *rest)

    def to_dict(self) -> dict[str, Any]:
        """Return JSON-able data."""
        return self.facts | {
            "by": self.by,
            "table": self.table.astype(object).where(self.table.notna(), None).to_dict("records"),
            "sentences": list(self.sentences),
            "leaks": [one.to_dict() for one in self.leaks],
            "passed": all(one.passed for one in self.leaks),
        }


def report_folds(
    index: pd.DataFrame,
    *,
    folds: int,
    seed: int,
    target: str = "cancer",
    whole: pd.DataFrame | IndexQuery | None = None,
) -> SplitReport:
    """Split into folds, check balance and leaks; raises as `split_patients`.

    ``whole`` is where the leak check reads, if not in ``index`` (which then
    needs no digests and no hashes).
    """
    patients = patient_table(index, target=target)
    fold = split_table(patients, target=target, folds=folds, seed=seed)
    table = balance_of(patients.loc[fold.index], fold)
    require_balanced(table)
    facts = {
        "images": len(index), "patients": len(patients), "unlabelled": len(patients) - len(fold),
        "target": target, "folds": folds, "seed": seed, "candidates": CANDIDATES,
    }  # fmt: skip
    leaks = find_leaks(index if whole is None else whole, fold)
    written = fold.rename("part").reset_index()
    return SplitReport("folds", facts, written, table, _balance_sentences(table), (leaks,))


def report_machines(index: pd.DataFrame, *, target: str = "cancer") -> SplitReport:
    """Hold each machine out in turn, and check every one of these splits for leaks."""
    table = leave_one_machine_out(index, target=target)
    leaks = tuple(find_leaks(index, hold_out_machine(index, one)) for one in table["machine"])
    seen = index[["patient_id", "scanner"]].fillna("unknown").value_counts()
    written = seen.rename("images").reset_index().sort_values(["patient_id", "scanner"])
    written = written.rename(columns={"scanner": "machine"}).reset_index(drop=True)
    facts = {
        "images": len(index), "patients": index["patient_id"].nunique(), "target": target,
        "machines": len(table),
        "on_several_machines": int(written["patient_id"].duplicated().sum()),
    }  # fmt: skip
    return SplitReport("machine", facts, written, table, machine_sentences(table), leaks)


def report_periods(
    index: pd.DataFrame,
    *,
    every: Every = "Q",
    boundaries: Sequence[date] | None = None,
    target: str = "cancer",
) -> SplitReport:
    """Split by the patient's first exam, and check for leaks; raises as `split_by_period`."""
    split = split_by_period(index, every=every, boundaries=boundaries)
    table = period_table(index, split, target=target)
    returning = index.loc[split.returning, "patient_id"]
    facts = {
        "images": len(index), "patients": index["patient_id"].nunique(), "target": target,
        "periods": len(split.names), "returning_patients": returning.nunique(),
        "returning_images": len(returning),
    }  # fmt: skip
    rows = pd.DataFrame({"patient_id": index["patient_id"], "part": split.part})
    written = rows.dropna().drop_duplicates().sort_values("patient_id", ignore_index=True)
    said = (
        f"{facts['returning_patients']:,} patients came back in a later period: their "
        f"{facts['returning_images']:,} later images are trained on afterwards, never tested on.",
    )
    return SplitReport("period", facts, written, table, said, (find_leaks(index, split.part),))


def write_assignment(report: SplitReport, path: Path) -> None:
    """Write the assignment as Parquet in one step, ordered by patient.

    Columns ``patient_id`` and ``part`` (fold number or period); by machine
    ``patient_id``, ``machine`` and ``images``: a patient is held out with each
    machine that she has images of.
    """
    write_file(path, lambda handle: report.assignment.to_parquet(handle, index=False), path.parent)


def balance_rows(table: pd.DataFrame) -> list[dict[str, str]]:
    """Return the balance table for reading: a row per level, a column per fold.

    A fold's cell has its patients and their share; ``worst`` is the largest
    difference from ``overall`` in percentage points, beside one standard
    deviation by chance and what is allowed.
    """
    rows = []
    for (attribute, level), group in table.groupby(["attribute", "level"], sort=False):
        worst = group.iloc[int(group["difference_pp"].abs().to_numpy().argmax())]
        whole = attribute == "all"
        row = {"attribute": str(attribute), "level": str(level)}
        row["overall"] = _cell(group["patients"].sum(), worst["share_overall"], whole)
        for one in group.to_dict("records"):
            row[f"fold {one['fold']}"] = _cell(one["patients"], one["share_in_fold"], whole)
        row["worst"] = "-" if whole else f"{worst['difference_pp']:+.2f}"
        row["SD"] = "-" if whole else f"{worst['difference_sd']:+.3f}"
        row["chance"] = "-" if whole else f"{worst['chance_pp']:.2f}"
        row["allowed"] = "-" if whole else f"{worst['allowed_pp']:.2f}"
        rows.append(row)
    for place, unit in enumerate(("breasts", "images"), start=1):
        group = table[table["attribute"] == "all"]
        cells = {f"fold {one['fold']}": f"{one[unit]:,}" for one in group.to_dict("records")}
        row = {"attribute": "all", "level": unit, "overall": f"{group[unit].sum():,}"} | cells
        rows.insert(place, row | dict.fromkeys(("worst", "SD", "chance", "allowed"), "-"))
    rows[0]["level"] = "patients"
    return rows


def brief_rows(table: pd.DataFrame) -> list[dict[str, str]]:
    """Return the balance table for 80 characters: patients of five folds in one column."""
    rows = []
    for (attribute, level), group in table.groupby(["attribute", "level"], sort=False):
        whole = attribute == "all"
        worst = group.iloc[int(group["difference_pp"].abs().to_numpy().argmax())]
        rows.append(
            {
                "attribute": str(attribute),
                "level": "patients" if whole else str(level),
                "share": "" if whole else f"{worst['share_overall']:.1%}",
                "in each fold": " ".join(str(one) for one in group["patients"]),
                "worst": "" if whole else f"{worst['difference_pp']:+.2f}",
                "allowed": "" if whole else f"{worst['allowed_pp']:.2f}",
            }
        )
    return rows


def _cell(count: Any, share: float, whole: bool) -> str:
    return f"{count:,}" if whole else f"{count:,} ({share:.2%})"


def _balance_sentences(table: pd.DataFrame) -> tuple[str, ...]:
    levels = table[table["attribute"] != "all"]
    worst = levels.iloc[int(levels["difference_sd"].abs().to_numpy().argmax())]
    chance = levels["difference_pp"].abs() / levels["chance_pp"].where(levels["chance_pp"] > 0)
    positive = table[(table["attribute"] == "outcome") & (table["level"] == "positive")]
    counts = positive["patients"]
    return (
        f"Positive patients per fold: {', '.join(str(one) for one in counts)} "
        f"(they differ by {int(counts.max() - counts.min())}).",
        f"The level furthest off is {worst['attribute']} {worst['level']} in fold "
        f"{worst['fold']}: {worst['difference_pp']:+.2f} percentage points "
        f"({worst['difference_sd']:+.3f} SD), where {worst['allowed_pp']:.2f} are allowed.",
        f"Patients assigned at random would be 0.8 standard deviations of chance off on average; "
        f"these {len(levels)} shares are {chance.mean():.2f} off on average, {chance.max():.2f} at "
        "most.",
    )
