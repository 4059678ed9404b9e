"""The sealed golden set as the gate finds it: its exams, its digest, and who looked at it.

Every look at it is written down, with what it spent, before a golden score is computed
(`mammo.evaluation.ledger`). A challenger that was trained on, or calibrated with, any of its
images or patients is not scored at all.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pandas as pd

from mammo.continual.split import known_parts, trained_patients
from mammo.continual.trace import IMAGES
from mammo.data.index import target_values
from mammo.errors import TooFewLabels
from mammo.evaluation.ledger import Look, Spending, is_renewed, next_alpha
from mammo.evaluation.verdict import GateConfig
from mammo.prediction_log import PredictionLog
from mammo.release import DETECTOR_TRAINING, MANIFEST, Release
from mammo.settings import Settings

UNSEEN = "golden_unseen"
"""The clause that a challenger fails which has learnt from the golden set."""
LEARNT_FROM = ("train", "holdout")
"""Parts of a release that its weights or its operating points were set by."""


@dataclass(frozen=True, eq=False)
class GoldenSet:
    """The labelled views of the sealed patients (rows of the index), and a digest of them."""

    rows: pd.DataFrame
    digest: str

    @property
    def patients(self) -> list[str]:
        """Pseudonyms, sorted."""
        return sorted(self.rows["patient_id"].unique())


def read_golden_set(index: pd.DataFrame, target: str, rules: Path) -> GoldenSet:
    """Return the sealed patients that the release in ``rules`` knows.

    Raises TooFewLabels when none of them is in the index with a label.
    """
    labels = target_values(index, target)
    sealed = {one for one, part in known_parts(rules).items() if part == "golden"}
    rows = index[labels.notna() & index["patient_id"].isin(sealed)]
    if rows.empty:
        raise TooFewLabels(
            "No labelled exam of the sealed golden set is in the index: the gate cannot judge. "
            "Ingest its exams again, or wait for their outcomes."
        )
    told = rows[["sha256", "laterality"]].assign(label=labels[rows.index]).sort_values("sha256")
    text = told.to_csv(index=False).encode()
    return GoldenSet(rows, hashlib.sha256(text).hexdigest())


def newest_rows(
    index: pd.DataFrame, target: str, rules: Path, seen: set[str], focus: str | None
) -> pd.DataFrame | None:
    """Return the labelled exams of the focus scanner that are in nobody's ``seen``, if any."""
    if focus is None:
        return None
    labelled = index[target_values(index, target).notna() & (index["scanner"] == focus)]
    sealed = {one for one, part in known_parts(rules).items() if part == "golden"}
    return labelled[~labelled["patient_id"].isin(seen | sealed)]


def leak_into(settings: Settings, candidate: Path, golden: GoldenSet) -> str | None:
    """Say what of the golden set a candidate has learnt from; None where it has learnt nothing.

    By the SHA-256 of the files, of the candidate and of every release it came from that is
    here, and by the patients' pseudonyms: one alone could be another under another key.
    """
    hashes = set(golden.rows["sha256"])
    images = sum(len(hashes & _learnt_files(one)) for one in _line(settings, candidate))
    known = known_parts(candidate)
    seen = trained_patients(candidate) | {one for one, part in known.items() if part == "holdout"}
    patients = len(seen & set(golden.rows["patient_id"]))
    if not images and not patients:
        return None
    return (
        f"It learnt from {images} images (same SHA-256) and {patients} patients of the sealed "
        "golden set, so its golden scores would say nothing. Train it anew with the "
        "golden_fraction of the release in service, which keeps these patients apart."
    )


def _learnt_files(directory: Path) -> set[str]:
    """Return the SHA-256 of the files that a release's classifier and detector learnt from."""
    found: set[str] = set()
    if (directory / DETECTOR_TRAINING[1]).is_file():
        text = (directory / DETECTOR_TRAINING[1]).read_text()
        found |= set(json.loads(text).get("files_sha256", ()))
    path = directory / IMAGES
    if not path.is_file():
        return found
    rows = pd.read_parquet(path, columns=["sha256", "part"])
    return found | set(rows.loc[rows["part"].isin(LEARNT_FROM), "sha256"])


def _line(settings: Settings, directory: Path) -> list[Path]:
    """Return the release's folder and those of its ancestors that are here."""
    found = []
    while (directory / MANIFEST).is_file():
        found.append(directory)
        parent = Release.read(directory).parent
        if parent is None:
            break
        directory = settings.releases_dir / parent
    return found


def open_look(
    settings: Settings,
    golden: GoldenSet,
    challenger: Release,
    champion: Release | None,
    config: GateConfig,
    *,
    spends: bool,
) -> dict[str, Any]:
    """Write down a look at the golden set, and return its row of ``gates``.

    Every judgement has a row of its own, since a verdict is never written over; only the
    first of a challenger on one set against one champion spends: judged again, its golden
    scores are what they were. A judgement that was killed before its verdict is taken up.
    """
    log = PredictionLog(settings.log_url).create()
    who = {
        "golden": golden.digest,
        "challenger_digest": challenger.digest,
        "champion": None if champion is None else champion.id,
    }
    settled = sum(one["passed"] is not None for one in same_looks(log.gates(), who))
    text = "\n".join([*(str(value) for value in who.values()), str(settled)])
    rule = Spending(config.ledger_total, config.ledger_share, config.ledger_renewed)

    def spend(gates: Sequence[dict[str, Any]]) -> dict[str, Any]:
        account, opens = account_of(gates, golden.patients, rule)
        first = spends and not same_looks(gates, who)
        return {
            "account": account,
            "alpha": next_alpha(rule, looks_of(gates, account)).alpha if first else 0.0,
            "golden_patients": golden.patients if opens else None,
        }

    key = hashlib.sha256(text.encode()).hexdigest()
    return log.open_gate(key, spend, challenger=challenger.id, **who)


def same_looks(gates: Sequence[dict[str, Any]], who: dict[str, Any]) -> list[dict[str, Any]]:
    """Return the looks at the same golden set with the same challenger and champion."""
    return [one for one in gates if all(one[name] == value for name, value in who.items())]


def account_of(
    gates: Sequence[dict[str, Any]], patients: list[str], rule: Spending
) -> tuple[int, bool]:
    """Return the ledger's account for a golden set of these patients, and whether it opens now."""
    if not gates:
        return 1, True
    account = int(gates[-1]["account"])
    opened = next(one["golden_patients"] for one in gates if one["account"] == account)
    renewed = is_renewed(rule, opened or [], patients)
    return account + renewed, renewed


def looks_of(gates: Sequence[dict[str, Any]], account: int) -> list[Look]:
    """Return the looks of an account that spent anything, oldest first."""
    return [
        Look(one["alpha"], bool(one["passed"]))
        for one in gates
        if one["account"] == account and one["alpha"] > 0
    ]


def ledger_entry(settings: Settings, row: dict[str, Any], config: GateConfig) -> dict[str, Any]:
    """Return what a look may spend and what is left, as a decision keeps it.

    ``alpha`` is the level of the judgement, which the challenger's first look has spent;
    ``number`` counts the looks at this golden set; ``spent`` of ``total`` is gone with
    challengers refused before; ``left`` is what later gates have if this one is, too.
    """
    gates = PredictionLog(settings.log_url).gates()
    before = [one for one in gates if one["account"] == row["account"] and one["id"] < row["id"]]
    who = {name: row[name] for name in ("golden", "challenger_digest", "champion")}
    alpha = max(one["alpha"] for one in [row, *same_looks(before, who)])
    rule = Spending(config.ledger_total, config.ledger_share, config.ledger_renewed)
    spent = sum(look.alpha for look in looks_of(before, row["account"]) if not look.passed)
    return {
        "account": row["account"],
        "golden": row["golden"],
        "number": len(before) + 1,
        "alpha": alpha,
        "total": rule.total,
        "spent": spent,
        "left": max(rule.total - spent - row["alpha"], 0.0),
    }
