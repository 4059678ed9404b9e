"""Runs ingests in child processes and kills them; started by tests/data/test_killed.py.

Each line on standard input is ``home folder processes point``; the answer is one
line with the child's process id, its exit status and how often it touched the
disk. With a point the child kills itself, by SIGKILL, just before its touch of
that number: a rename, a link, a removal or an opening below its home. A point
above 1e6 is a time: the child is killed after so many microseconds less 1e6.

An uninterrupted run without reading processes is done in this process: what it
imports, the later children need not.
"""

from __future__ import annotations

import os
import signal
import sys
import time
from pathlib import Path

from mammo.data import plan
from mammo.data.ingest import ingest
from mammo.preprocess import PreprocessConfig
from mammo.settings import Settings

TOUCHES = frozenset(("open", "os.rename", "os.remove", "os.link", "os.mkdir", "os.chmod"))
plan.SHARD_SIZE = 4


def count_touches(home: str, point: int) -> list[int]:
    """Count what this process does below ``home``; kill it at ``point``."""
    count = [0]

    def watch(event: str, arguments: tuple[object, ...]) -> None:
        if event in TOUCHES and str(arguments[0]).startswith(home):
            count[0] += 1
            if count[0] == point:
                os.kill(os.getpid(), signal.SIGKILL)

    sys.addaudithook(watch)
    return count


def run(home: str, folder: str, processes: int, point: int) -> int:
    """Ingest; return how often the disk was touched."""
    count = count_touches(home, point)
    config = PreprocessConfig(height=64, width=32)
    ingest("dicom", Path(folder), Settings(home=home, _env_file=None), config, None, processes)
    return count[0]


def start(home: str, folder: str, processes: int, point: int) -> str:
    """Run in a child, or here; return the answer."""
    if (processes, point) == (0, 0):
        return f"0 0 {run(home, folder, processes, point)}"
    read, write = os.pipe()
    child = os.fork()
    if child == 0:
        os.write(write, str(run(home, folder, processes, point)).encode())
        os._exit(0)
    os.close(write)
    if point > 10**6:
        time.sleep((point - 10**6) / 1e6)
        os.kill(child, signal.SIGKILL)
    _, status = os.waitpid(child, 0)
    touches = os.read(read, 20).decode() or "0"
    os.close(read)
    return f"{child} {os.waitstatus_to_exitcode(status)} {touches}"


if __name__ == "__main__":
    print("ready", flush=True)
    for line in sys.stdin:
        home, folder, processes, point = line.split()
        print(start(home, folder, int(processes), int(point)), flush=True)
