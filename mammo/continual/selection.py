"""``selection.parquet`` of a release: which images its training drew, why and how often.

One row an image, in the order of the draws' weights:

    image_id, sha256    the image, and the file that it came from
    part                focus: what was to be learnt; replay: an old image, drawn again
    weight              probability of each draw; 0 for an image that said when it was enough

images.parquet says who could have been trained on; this says who was. Together with
the configuration, the parent and the data version it makes the release again
(`mammo.continual.again`).
"""

from __future__ import annotations

import hashlib
from pathlib import Path

import numpy as np
import pandas as pd

from mammo.errors import SourceInvalid

SELECTION = "selection.parquet"
FOCUS, REPLAY = "focus", "replay"
KEY = ["image_id", "sha256"]


def selection_table(rows: pd.DataFrame, replayed: np.ndarray, weights: np.ndarray) -> pd.DataFrame:
    """Return the table of the rows, with ``replayed`` (N,) bool and ``weights`` (N,) float64."""
    part = np.where(replayed, REPLAY, FOCUS)
    return rows[KEY].reset_index(drop=True).assign(part=part, weight=weights)


def selection_digest(table: pd.DataFrame) -> str:
    """Return the SHA-256 of a selection, whatever wrote it: of its rows and their order."""
    hashes = pd.util.hash_pandas_object(table[[*KEY, "part", "weight"]], index=False)
    return hashlib.sha256(hashes.to_numpy().tobytes()).hexdigest()


def write_selection(draft: Path, table: pd.DataFrame) -> None:
    """Write a release's selection into its folder."""
    table.to_parquet(draft / SELECTION, index=False)


def read_selection(directory: Path) -> pd.DataFrame:
    """Return a release's selection; SourceInvalid where it keeps none."""
    path = directory / SELECTION
    if not path.is_file():
        raise SourceInvalid(
            f"release {directory.name} keeps no {SELECTION}: it was made by an older mammo. "
            "Train anew; what is made now keeps it"
        )
    return pd.read_parquet(path)


def known_images(directory: Path, rows: pd.DataFrame) -> np.ndarray:
    """Return (N,) bool: the rows that the release could train on, by image and file.

    None of them for a release made before images.parquet was kept.
    """
    path = directory / "images.parquet"
    if not path.is_file():
        return np.zeros(len(rows), dtype=bool)
    images = pd.read_parquet(path, columns=[*KEY, "part"])
    return _among(rows, images[images["part"] == "train"])


def selected_rows(rows: pd.DataFrame, table: pd.DataFrame) -> pd.DataFrame:
    """Return the rows of a selection in its order, with ``part`` and ``weight``.

    Raises SourceInvalid when the rows lack an image or hold another file under its name.
    """
    found = rows[_among(rows, table)]
    lacking = len(table) - len(found)
    if lacking:
        raise SourceInvalid(
            f"{lacking} of the {len(table)} images of the selection are not among the training "
            "rows, or under another file: `mammo data checkout` brings back the data version "
            "that the release names"
        )
    place = pd.MultiIndex.from_frame(found[KEY]).get_indexer(pd.MultiIndex.from_frame(table[KEY]))
    return found.iloc[place].assign(
        part=table["part"].to_numpy(), weight=table["weight"].to_numpy()
    )


def _among(rows: pd.DataFrame, table: pd.DataFrame) -> np.ndarray:
    wanted = pd.MultiIndex.from_frame(table[KEY])
    return np.asarray(pd.MultiIndex.from_frame(rows[KEY]).isin(wanted))
