"""Files of the workers' shared metrics that a full disk cannot turn into the end of a worker.

    reserve_metric_files()   # before the first metric; again does nothing

With several workers `prometheus_client` keeps each value in a file that it maps into memory, and
makes that file by its length alone: a page gets its place on the disk when it is first written
to. Where the disk is full by then, there is no error to catch: the kernel ends the process
(SIGBUS, mmap(2)), the next one cannot even begin, and instead of ``507 DISK_FULL`` nobody
answers. Here the place is taken when the file is made, and when it grows.
"""

from __future__ import annotations

import os
from pathlib import Path
from typing import Any

from prometheus_client.mmap_dict import MmapedDict

SHARED_FOLDER = "PROMETHEUS_MULTIPROC_DIR"
RESERVED_BYTES = 2**20
"""Of each new file, some 7,000 series; one that grows doubles."""
KINDS = ("counter", "histogram")
"""Kinds of metrics here: the file of one is made with its first value, which may come late."""
_MARK = "place_is_reserved"


def reserve_metric_files() -> None:
    """Give this process's files of metrics their place on the disk, now and as they come.

    A file that cannot have it raises OSError where it is made, or where it ought to grow.
    Without a folder that workers share there are no files, and nothing is done.
    """
    folder = os.environ.get(SHARED_FOLDER)
    if not folder:
        return
    for path in Path(folder).glob(f"*_{os.getpid()}.db"):  # made by others than us before
        _reserve(path, path.stat().st_size)
    for kind in KINDS:
        _reserve(Path(folder, f"{kind}_{os.getpid()}.db"), RESERVED_BYTES)
    kept: Any = MmapedDict  # untyped; what is replaced are two of its methods
    if hasattr(kept, _MARK):
        return
    make, add = kept.__init__, kept._init_value

    def make_reserved(self: Any, filename: str, read_mode: bool = False) -> None:
        if not read_mode:
            _reserve(Path(filename), RESERVED_BYTES)
        make(self, filename, read_mode)

    def add_reserved(self: Any, key: str) -> None:
        longest = len(key.encode()) + 64  # with its length, padding and numbers
        if self._used + longest > self._capacity:
            _reserve(Path(self._fname), 2 * self._capacity)
        add(self, key)

    kept.__init__, kept._init_value = make_reserved, add_reserved
    setattr(kept, _MARK, True)


def _reserve(path: Path, size: int) -> None:
    """Make the file at least so long, each of its bytes with a place; a new one wholly or not.

    A mapping of the part that was there goes on: what is longer is for who opens it anew.
    """
    place = os.open(path, os.O_RDWR | os.O_CREAT, 0o644)
    try:
        held = os.fstat(place).st_size
        try:
            os.posix_fallocate(place, 0, max(size, held, 1))
        except OSError:
            os.ftruncate(place, held)
            if not held:
                path.unlink()
            raise
    finally:
        os.close(place)
