"""A prepared image read back, and two processes against one."""

from __future__ import annotations

import os
import shutil
import time
from collections.abc import Callable, Iterator
from hashlib import sha256
from pathlib import Path

import cv2
import numpy as np
import pytest
from PIL import Image
from pydicom.uid import JPEGLosslessSV1

from benchmarks.clock import Row, compare
from benchmarks.images import TestImage, file_bytes
from mammo.data.ingest import ingest
from mammo.data.shards import ShardReader, write_shard
from mammo.dicom.read import read_mammogram
from mammo.preprocess import PreprocessConfig, prepare
from mammo.settings import Settings

CONFIG = PreprocessConfig(height=1024, width=512)
FILES, ROUNDS = 96, 2


def test_reads_a_prepared_image(
    image: TestImage, turns: int, tmp_path: Path, record: Callable[[Row], None]
) -> None:
    _, stored = read_mammogram(file_bytes(image, JPEGLosslessSV1), key=b"b", site="b")
    pixels = prepare(stored, CONFIG).pixels
    write_shard(tmp_path, "shard", [pixels] * 4)
    reader, picture = ShardReader(tmp_path), tmp_path / "one.png"
    Image.fromarray(pixels).save(picture)
    ways = {
        "16-bit PNG, cv2": lambda: cv2.imread(str(picture), cv2.IMREAD_UNCHANGED),
        "16-bit PNG, PIL": lambda: np.array(Image.open(picture)),
    }

    def ours() -> np.ndarray:
        return np.array(reader.row("shard", 2))  # a copy: a memory map alone reads nothing

    for way in (ours, *ways.values()):
        np.testing.assert_array_equal(way(), pixels)
    record(compare("read a prepared image", ours, ways, bar=15, turns=turns))


@pytest.fixture
def every_core(one_core: set[int]) -> Iterator[None]:
    """Give the processes all cores for one test."""
    if hasattr(os, "sched_setaffinity"):
        pinned = os.sched_getaffinity(0)
        os.sched_setaffinity(0, one_core)
        yield
        os.sched_setaffinity(0, pinned)
    else:
        yield


@pytest.mark.usefixtures("every_core")
def test_two_processes_ingest_the_same_in_less_time(
    image: TestImage, tmp_path: Path, record: Callable[[Row], None]
) -> None:
    folder = tmp_path / "files"
    folder.mkdir()
    for number in range(FILES):
        (folder / f"{number}.dcm").write_bytes(file_bytes(image, JPEGLosslessSV1, number))
    seconds: dict[int, list[float]] = {1: [], 2: []}
    stores = set()
    for turn in range(ROUNDS):
        for processes in seconds:
            home = tmp_path / f"home-{turn}-{processes}"
            seconds[processes].append(_ingest(folder, home, processes))
            stores.add(_digest(home))
            shutil.rmtree(home)  # pytest keeps the folders of three runs
    shutil.rmtree(folder)
    assert len(stores) == 1  # byte for byte, whatever the number of processes
    two, one = min(seconds[2]), min(seconds[1])
    record(Row("ingest with two processes", two, "one", one, "one", one, 1.6, clock="wall"))


def _ingest(folder: Path, home: Path, processes: int) -> float:
    """Ingest into a new store; return the seconds it took, from listing to data version."""
    home.mkdir()
    (home / "pseudonym.key").write_bytes(b"benchmark" * 4)
    start = time.perf_counter()
    report = ingest(
        "dicom", folder, Settings(home=home, site="benchmark"), CONFIG, processes=processes
    )
    assert report.added == FILES
    return time.perf_counter() - start


def _digest(home: Path) -> str:
    """Return a digest of every file of the store."""
    digest = sha256()
    store = Settings(home=home).index_path.parent
    for path in sorted(one for one in store.rglob("*") if one.is_file()):
        digest.update(f"{path.relative_to(store)} ".encode() + path.read_bytes())
    return digest.hexdigest()
