"""Leave one machine out: what a model would meet on a scanner it never saw.

A patient imaged on several machines belongs to the held-out side whenever one
of them is held out, so that training sees neither her nor an image of that
machine. Her images of other machines are set aside then: neither trained on
nor measured, since they would not tell of the held-out machine.
"""

from __future__ import annotations

from typing import Any

import numpy as np
import pandas as pd

from mammo.data.patients import NEGATIVE, POSITIVE, UNKNOWN, Codes, patient_table
from mammo.errors import TooFewLabels
from mammo.exam import STANDARD_VIEWS

HELD_OUT, REST = "held out", "rest"
MIN_POSITIVES = 20
"""Positive patients below which a machine is flagged: at an AUC of 0.85 its standard error
is then above 0.05 (Hanley and McNeil, Radiology 143, 1982), so no difference would show."""
SHIFT_SD = 0.2
"""Standardised differences from here on are told; 0.2 is read as small (Cohen)."""
_SHIFTING = ("density", "age", "implant", "site", "views")


def hold_out_machine(index: pd.DataFrame, machine: str) -> pd.Series[Any]:
    """Return each row's side, `HELD_OUT` or `REST`; null for images that are set aside."""
    scanner = _scanner(index)
    here = scanner == machine
    if not here.any():
        raise TooFewLabels(
            f"no image was made on machine {machine!r}; "
            f"there are {', '.join(sorted(scanner.unique()))}"
        )
    hers = index["patient_id"].isin(index.loc[here, "patient_id"].unique())
    side = pd.Series(REST, index=index.index, dtype=object, name="part")
    side[hers] = None
    side[here] = HELD_OUT
    return side


def leave_one_machine_out(index: pd.DataFrame, *, target: str = "cancer") -> pd.DataFrame:
    """Return what each machine's being held out leaves, the machine of most patients first.

    Returns
    -------
    pandas.DataFrame
        One row per machine. ``patients``, ``positives`` and ``prevalence`` with
        its 95 % interval ``low`` and ``high`` (Wilson; of labelled patients, in
        [0, 1]) are of the held-out side, ``rest_...`` of the other. ``images``
        were made on the machine, ``images_aside`` of its patients elsewhere.
        ``few_positives`` flags fewer than `MIN_POSITIVES`; ``shifts`` are
        sentences about what else differs, by `SHIFT_SD` or more.
    """
    patients = patient_table(index, target=target)
    owner, names = pd.factorize(index["patient_id"], sort=True)
    patients = patients.assign(views=_views(index, owner.astype(np.int64), len(names)))
    scanner, machines = pd.factorize(_scanner(index), sort=True)
    pairs, images = np.unique(owner * len(machines) + scanner, return_counts=True)
    whose, where = np.divmod(pairs, len(machines))
    total = patients["images"].to_numpy()
    rows = []
    for number, machine in enumerate(machines):
        held = np.zeros(len(patients), dtype=bool)
        held[whose[where == number]] = True
        made = int(images[where == number].sum())
        rows.append(
            {"machine": str(machine), "images": made, "images_aside": int(total[held].sum()) - made}
            | _side(patients[held], "")
            | _side(patients[~held], "rest_")
            | {"shifts": _shifts(patients, held)}
        )
    table = pd.DataFrame(rows)
    table["few_positives"] = table["positives"] < MIN_POSITIVES
    return table.sort_values(["patients", "machine"], ascending=[False, True], ignore_index=True)


def machine_sentences(table: pd.DataFrame) -> tuple[str, ...]:
    """Return what leaving each machine out does, in words."""
    told = []
    for row in table.to_dict("records"):
        apart = row["low"] > row["rest_high"] or row["high"] < row["rest_low"]
        way = "above" if row["prevalence"] > row["rest_prevalence"] else "below"
        verdict = f"clearly {way} the rest" if apart else "not told apart from the rest"
        told.append(
            f"{row['machine']}: {row['prevalence']:.2%} of {row['labelled']:,} patients are "
            f"positive ({row['low']:.2%} to {row['high']:.2%}), {row['rest_prevalence']:.2%} of "
            f"the rest ({row['rest_low']:.2%} to {row['rest_high']:.2%}): {verdict}."
        )
        if row["few_positives"]:
            told[-1] += (
                f" Only {row['positives']} positive: too few to measure a model on (below "
                f"{MIN_POSITIVES})."
            )
    return tuple(told)


def wilson(positives: int, patients: int) -> tuple[float, float]:
    """Return the 95 % interval of a share (Wilson's score interval); NaN of nobody."""
    if not patients:
        return (float("nan"), float("nan"))
    from scipy.stats import binomtest

    interval = binomtest(positives, patients).proportion_ci(method="wilson")
    return (float(interval.low), float(interval.high))


def prevalence_of(patients: pd.DataFrame) -> dict[str, float]:
    """Return patients, labelled, positives, prevalence, low and high of a `patient_table`."""
    positives = int((patients["outcome"] == POSITIVE).sum())
    labelled = positives + int((patients["outcome"] == NEGATIVE).sum())
    low, high = wilson(positives, labelled)
    return {
        "patients": len(patients), "labelled": labelled, "positives": positives,
        "prevalence": positives / labelled if labelled else float("nan"), "low": low, "high": high,
    }  # fmt: skip


def _side(patients: pd.DataFrame, prefix: str) -> dict[str, Any]:
    return {f"{prefix}{name}": value for name, value in prevalence_of(patients).items()}


def _scanner(index: pd.DataFrame) -> pd.Series[Any]:
    return index["scanner"].astype(object).where(index["scanner"].notna(), UNKNOWN)


def _views(index: pd.DataFrame, owner: Codes, count: int) -> pd.Categorical[Any]:
    other = ~index["view"].isin([str(view) for view in STANDARD_VIEWS]).to_numpy()
    more = np.bincount(owner[other], minlength=count) > 0
    return pd.Categorical(np.where(more, "other than CC and MLO", "CC and MLO alone"))


def _shifts(patients: pd.DataFrame, held: Any) -> list[str]:
    """Return the level furthest off of each attribute that differs, the furthest first."""
    found: list[tuple[float, str]] = []
    if held.all():
        return []
    for name in _SHIFTING:
        levels = patients[name].cat
        codes, size = levels.codes.to_numpy(), len(levels.categories)
        here, rest = (
            np.bincount(codes[side], minlength=size) / side.sum() for side in (held, ~held)
        )
        spread = np.sqrt((here * (1 - here) + rest * (1 - rest)) / 2)
        # a share of 0 against 1 has no spread of its own: as far as can be
        apart = np.where(spread > 0, (here - rest) / np.maximum(spread, 1e-12), 9 * (here - rest))
        worst = int(np.abs(apart).argmax())
        if abs(apart[worst]) >= SHIFT_SD:
            level = levels.categories[worst]
            words = f"{name} {level}: {here[worst]:.1%}, rest {rest[worst]:.1%}"
            found.append((abs(float(apart[worst])), words))
    return [words for _, words in sorted(found, key=lambda one: -one[0])]
