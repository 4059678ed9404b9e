"""The four tables of CBIS-DDSM: a row per abnormality of an image.

The columns are named alike but for ``breast_density``, which the tables of
calcifications write with a blank; the paths in them match no download.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

from mammo.data.listing import Labels
from mammo.data.sources.assessments import CATEGORIES, DENSITIES, worst_category
from mammo.data.sources.spreadsheet import Row, find_table, read_rows, require_unique
from mammo.errors import SourceNotFound
from mammo.exam import Laterality, View, ViewPosition

TABLES = {
    "mass_case_description_train_set.csv": ("Mass-Training", "training"),
    "mass_case_description_test_set.csv": ("Mass-Test", "test"),
    "calc_case_description_train_set.csv": ("Calc-Training", "training"),
    "calc_case_description_test_set.csv": ("Calc-Test", "test"),
}
"""Table -> how its folders begin, and the published part."""
COLUMNS = (
    *("patient_id", "breast_density", "left or right breast", "image view", "abnormality id"),
    *("abnormality type", "assessment", "pathology"),
)
SIDES = {"LEFT": Laterality.LEFT, "RIGHT": Laterality.RIGHT}
VIEWS = {"CC": ViewPosition.CC, "MLO": ViewPosition.MLO}
PATHOLOGIES = {
    "MALIGNANT": (True, True),
    "BENIGN": (False, True),
    "BENIGN_WITHOUT_CALLBACK": (False, False),
}
"""Pathology -> malignant, and called back for more images."""
KINDS = {"mass": "mass", "calcification": "calcification"}


@dataclass(frozen=True)
class Abnormality:
    """One row: a region of one image. ``image`` and ``folder`` are names of folders."""

    row: Row
    image: str
    folder: str
    patient: str
    view: View
    kind: str
    malignant: bool
    called_back: bool
    birads: int | None
    density: str | None
    split: str

    @property
    def breast(self) -> tuple[str, Laterality]:
        """Patient and side."""
        return self.patient, self.view.laterality


def read_tables(directory: Path) -> Iterator[Abnormality]:
    """Yield the rows of the tables that are there.

    Raises
    ------
    SourceNotFound
        None is there.
    TableInvalid
        See `mammo.data.sources.spreadsheet`; also if two rows are of one abnormality.
    """
    paths = {name: find_table(directory, name) for name in TABLES}
    if not any(paths.values()):
        raise SourceNotFound(
            f"any of {', '.join(TABLES)} is not in {directory} nor two folders below it: take "
            "them from the collection's page at The Cancer Imaging Archive"
        )
    for name, path in paths.items():
        if path is not None:
            rows = [_parse_row(row, *TABLES[name]) for row in read_rows(path, COLUMNS)]
            require_unique([(one.folder, one.row) for one in rows], "abnormality")
            yield from rows


def _parse_row(row: Row, prefix: str, split: str) -> Abnormality:
    patient = row.matched("patient_id", r"P_\d{5}", "P_ and five digits", names=True)
    side = row.one_of("left or right breast", {name: name for name in SIDES})
    view = row.one_of("image view", {name: name for name in VIEWS})
    number = row.matched("abnormality id", r"\d+", "a number")
    image = f"{prefix}_{patient}_{side}_{view}"
    malignant, called_back = row.one_of("pathology", PATHOLOGIES)
    return Abnormality(
        row=row,
        image=image,
        folder=f"{image}_{number}",
        patient=patient,
        view=View(SIDES[side], VIEWS[view]),
        kind=row.one_of("abnormality type", KINDS),
        malignant=malignant,
        called_back=called_back,
        birads=row.one_of("assessment", CATEGORIES),
        density=row.one_of("breast_density", DENSITIES),
        split=split,
    )


class Splits:
    """The published part of each patient, none for who is in both."""

    def __init__(self, rows: Iterable[Abnormality]) -> None:
        first: defaultdict[str, dict[str, Abnormality]] = defaultdict(dict)
        for one in rows:
            first[one.patient].setdefault(one.split, one)
        self._first = first
        self.remarks = [
            f"{parts['training'].row.place} and {parts['test'].row.place} are of one patient, "
            "in the training and the test part: the patient has no published_split; split by "
            "patient (`mammo data split`), not by the published parts"
            for parts in first.values()
            if len(parts) > 1
        ]

    def of(self, patient: str) -> str | None:
        """Return the part; None for a patient of both."""
        parts = self._first[patient]
        return next(iter(parts)) if len(parts) == 1 else None


def label_breasts(rows: Iterable[Abnormality]) -> dict[tuple[str, Laterality], Labels]:
    """Return the labels of each breast (patient and side) from all its rows."""
    of_breast: defaultdict[tuple[str, Laterality], list[Abnormality]] = defaultdict(list)
    for one in rows:
        of_breast[one.breast].append(one)
    return {
        breast: Labels(
            cancer=any(one.malignant for one in told),
            abnormal=any(one.called_back for one in told),
            birads=worst_category(one.birads for one in told),
        )
        for breast, told in of_breast.items()
    }


def labels_of_image(
    told: Sequence[Abnormality],
    labels: Mapping[tuple[str, Laterality], Labels],
    splits: Splits,
) -> Labels:
    """Return the labels of the breast, with what is of the image: density and part."""
    if not told:
        return Labels()
    density = next((one.density for one in told if one.density), None)
    split = splits.of(told[0].patient)
    return replace(labels[told[0].breast], density=density, published_split=split)
