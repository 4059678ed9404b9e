"""A sound split of `screening`, and the ways in which its list or the index beside it go wrong."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import pandas as pd

from data_checks.suites.splits import split_frame
from mammo.data.query import query_frame

from .broken import screening

PARTS = ("train", "train", "train", "holdout", "golden")


@dataclass
class Split:
    """What the suite looks at: the release's list, the lists before it, and the index."""

    rows: pd.DataFrame
    older: list[pd.DataFrame]
    index: pd.DataFrame


def sound_split() -> Split:
    """Sixty patients in three parts, each with its share of cancers, and no release before."""
    index = screening()
    patients = sorted(set(index["patient_id"]))
    # the parts run through sixths and fifths, so that cancer (one in six) is in all of them
    part = [PARTS[(number + number // 6) % 5] for number in range(len(patients))]
    return Split(pd.DataFrame({"patient_id": patients, "part": part}), [], index)


def frame_of(split: Split) -> pd.DataFrame:
    """Return the frame that the suite evaluates."""
    with query_frame(split.index) as query:
        return split_frame(split.rows, query, split.older)


def _of(split: Split, part: str, number: int = 2) -> int:
    return int(split.rows.index[split.rows["part"] == part][number])


def _write(column: str, value: object) -> Callable[[Split], None]:
    def apply(split: Split) -> None:
        split.rows.loc[_of(split, "train"), column] = value

    return apply


def _in_two(split: Split) -> None:
    row = split.rows.loc[[_of(split, "train")]].assign(part="golden")
    split.rows = pd.concat([split.rows, row], ignore_index=True)


def _left_out(split: Split) -> None:
    split.rows = split.rows.drop(index=_of(split, "train")).reset_index(drop=True)


def _sealed_before(split: Split) -> None:
    split.older = [split.rows.loc[[_of(split, "train")]].assign(part="golden")]


def _cancers_in_one(split: Split) -> None:
    positive = set(split.index.loc[split.index["cancer"] == 1, "patient_id"])
    split.rows.loc[split.rows["patient_id"].isin(positive), "part"] = "golden"


def _shared(column: str, flip: bool = False) -> Callable[[Split], None]:
    """Give an image of a trained patient what an image of a sealed one has."""

    def apply(split: Split) -> None:
        index = split.index
        names = [split.rows.loc[_of(split, part), "patient_id"] for part in ("train", "golden")]
        here, there = (index.index[index["patient_id"] == name][1] for name in names)
        value = index.loc[there, column]
        if flip:
            value = ("0" if value[0] == "f" else "f") + value[1:]
        index.loc[here, column] = value

    return apply


FAULTS: tuple[tuple[str, str, Callable[[Split], None]], ...] = (
    ("patient_id", "the patient's original id", _write("patient_id", "4711")),
    ("patient_id", "one patient in two parts", _in_two),
    ("patient_id", "a labelled patient left out", _left_out),
    ("part", "in capitals", _write("part", "TRAIN")),
    ("part", "a sealed patient trained on", _sealed_before),
    ("part", "all cancers in one part", _cancers_in_one),
    ("index: exam_id", "an exam in two parts", _shared("exam_id")),
    ("index: sha256", "a file in two parts", _shared("sha256")),
    ("index: phash", "a picture under two patients in two parts", _shared("phash")),
    ("index: phash", "a picture saved anew, 4 bits away", _shared("phash", flip=True)),
)
UNCAUGHT: dict[tuple[str, str], str] = {}


def frames() -> list[pd.DataFrame]:
    """Return the sound frame and, after it, one for each fault."""
    made = [frame_of(sound_split())]
    for _, _, fault in FAULTS:
        split = sound_split()
        fault(split)
        made.append(frame_of(split))
    return made
