"""The RSNA challenge's data from Kaggle: all of it, its tables, or some patients.

54,706 images of 11,913 patients, 314 GB. File by file and not as Kaggle's one
archive: that needs the room twice, and tells that it is broken after 314 GB.
Addresses: https://www.kaggle.com/competitions/rsna-breast-cancer-detection/data
"""

from __future__ import annotations

import csv
import json
import time
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from mammo.data.download import AGAIN, WORK, require_space
from mammo.data.download_retry import Passing, Patience
from mammo.data.download_set import Advance, SetReport, fetch_set
from mammo.data.durable import write_text
from mammo.data.sources.kaggle import Competition
from mammo.errors import DownloadInterrupted, SettingsInvalid, TableInvalid

COMPETITION = "rsna-breast-cancer-detection"
TABLE = "train.csv"
IMAGE_BYTES = 6_000_000
"""Mean of the challenge's files: 314 GB over 54,706 images and the test set."""
LISTING_SECONDS = 86400


@dataclass(frozen=True)
class Choice:
    """Which files: ``only`` by name, else whole patients of ``train.csv``, else all.

    ``patients`` are the challenge's patient ids; ``images`` takes patients in the
    table's order until there are so many images.
    """

    only: tuple[str, ...] = ()
    patients: tuple[str, ...] = ()
    images: int | None = None

    def __post_init__(self) -> None:
        given = [bool(self.only), bool(self.patients), self.images is not None]
        if sum(given) > 1:
            raise SettingsInvalid("give one of --only, --patients and --images, or none for all")


def download_rsna(
    folder: Path,
    choice: Choice | None = None,
    *,
    connections: int = 4,
    patience: Patience | None = None,
    advance: Advance = lambda stage, done, total: None,
) -> SetReport:
    """Download into ``folder``, in the layout that ``mammo ingest --source rsna`` reads.

    Raises
    ------
    DownloadRefused, DownloadInterrupted, ChecksumMismatch, DiskFull, StoreReadOnly, SourceNotFound
        See `mammo.data.download_set.fetch_set`.
    TableInvalid
        ``train.csv`` lacks a column, or patients that were asked for.
    SettingsInvalid
        More than one way to choose is given.
    """
    choice = choice or Choice()
    far, patience = Competition(COMPETITION), patience or Patience()

    def fetch(names: Sequence[str], needed: int = 0) -> SetReport:
        return fetch_set(
            names, far.open_file, folder, connections=connections, patience=patience,
            total_bytes=needed, advance=advance,
        )  # fmt: skip

    if choice.only:
        return fetch(choice.only)
    if choice.patients or choice.images is not None:
        fetch([TABLE])
        names = [TABLE, *chosen_images(folder / TABLE, choice)]
        left = sum(not (folder / name).exists() for name in names)
        require_space(folder, left * IMAGE_BYTES)
        return fetch(names)
    sizes = _listing(far, folder, patience, advance)
    needed = sum(size for name, size in sizes.items() if not (folder / name).exists())
    require_space(folder, needed)
    return fetch(list(sizes), needed)


def chosen_images(table: Path, choice: Choice) -> list[str]:
    """Return the files of the chosen patients, in the table's order.

    Raises
    ------
    TableInvalid
        A column is missing, or a patient that was asked for.
    """
    files: dict[str, list[str]] = {}
    with table.open(newline="") as stream:
        rows = csv.DictReader(stream)
        lacking = {"patient_id", "image_id"} - set(rows.fieldnames or ())
        if lacking:
            raise TableInvalid(
                f"{TABLE} has no column {' and '.join(sorted(lacking))}: remove it and run the "
                "same command again"
            )
        for row in rows:
            patient, image = row["patient_id"], row["image_id"]
            files.setdefault(patient, []).append(f"train_images/{patient}/{image}.dcm")
    unknown = [str(n) for n, one in enumerate(choice.patients, start=1) if one not in files]
    if unknown:
        raise TableInvalid(
            f"{TABLE} has no such patient: number {', '.join(unknown)} of the "
            f"{len(choice.patients)} given; its column patient_id names those that it has"
        )
    taken: list[str] = []
    for patient in choice.patients or files:
        if choice.images is not None and len(taken) >= choice.images:
            break
        taken += files[patient]
    return taken


def _listing(
    far: Competition, folder: Path, patience: Patience, advance: Advance
) -> dict[str, int]:
    """Return bytes by name of all files; some hundred requests, so it is kept for a day."""
    kept = folder / WORK / "listing.json"
    if kept.exists() and time.time() - kept.stat().st_mtime < LISTING_SECONDS:
        told: dict[str, int] = json.loads(kept.read_text())
        return told
    failures = 0
    while True:
        sizes: dict[str, int] = {}
        try:
            for name, size in far.list_files():
                sizes[name] = size
                advance("listed", len(sizes), len(sizes))
            break
        except Passing as trouble:
            failures += 1
            pause = patience.pause(failures, trouble)
            if pause is None:
                raise DownloadInterrupted(
                    f"the listing of the files broke off: {trouble.what}; {AGAIN}"
                ) from None
            time.sleep(pause)
    write_text(kept, json.dumps(sizes), kept.parent)
    return sizes
