"""What tests/test_killable.py runs in workers; importable there, without pytest."""

from __future__ import annotations

import contextlib
import ctypes
import os
import signal
import sys
import time
from pathlib import Path
from typing import Any

import numpy as np

from mammo.errors import NothingReadable, NotMammography, PixelsUnreadable
from mammo.killable import KillablePool, Limits

LIBC = ctypes.CDLL(None)
LIBC.malloc.restype, LIBC.malloc.argtypes = ctypes.c_void_p, [ctypes.c_size_t]
LIBC.memset.argtypes = [ctypes.c_void_p, ctypes.c_int, ctypes.c_size_t]


def add(first: int, second: int) -> int:
    return first + second


def worker_id() -> int:
    return os.getpid()


def sleep_at_first(note: str) -> int:
    """Note the worker in a file and wait to be killed; the second time, return at once."""
    with open(note, "a") as stream:  # noqa: PTH123
        stream.write(f"{os.getpid()} ")
    with open(note) as stream:  # noqa: PTH123
        times = len(stream.read().split())
    if times == 1:
        time.sleep(60)
    return times


def kill_worker() -> None:
    os.kill(os.getpid(), signal.SIGKILL)


def image(rows: int, columns: int) -> dict[str, Any]:
    return {"pixels": np.arange(rows * columns, dtype=np.uint16).reshape(rows, columns)}


def total(pixels: np.ndarray, data: bytes) -> int:
    pixels[0, 0] += 1  # what arrives is the worker's own, and writable
    return int(pixels.sum(dtype=np.int64)) + len(data)


def refuse() -> None:
    raise NotMammography("Modality (0008,0060) is CT")


def refuse_exam() -> None:
    raise NothingReadable("nothing", [{"file": "a"}])


class Stubborn(Exception):
    """Cannot be pickled: its constructor wants two arguments."""

    def __init__(self, first: int, second: int) -> None:
        super().__init__(f"{first} and {second}")


def stubborn() -> None:
    raise Stubborn(1, 2)


def unpicklable() -> object:
    return lambda: None


def divide_by_zero() -> float:
    return 1 / 0


def segmentation_fault() -> None:
    ctypes.string_at(0)


def abort() -> None:
    os.abort()


def leave(status: int) -> None:
    os._exit(status)


def leave_politely() -> None:
    sys.exit(3)


def hang() -> None:
    while True:
        pass


def hang_in_c() -> None:
    LIBC.pause()


def hang_and_print() -> None:
    while True:
        os.write(2, b"x" * 65536)


def sleep(seconds: float) -> tuple[float, float]:
    begun = time.time()
    time.sleep(seconds)
    return begun, time.time()


def meet(mine: str, other: str) -> bool:
    """Leave a mark and wait for the other's; False where it does not come within 30 s."""
    Path(mine).touch()
    ends = time.monotonic() + 30
    while not Path(other).exists() and time.monotonic() < ends:
        time.sleep(0.02)
    return Path(other).exists()


def hog_numpy() -> int:
    return int(np.ones(2**32, np.uint8).sum())


def hog_slowly() -> int:
    kept = []
    while True:
        kept.append(bytes(2**24))


def hog_c_then_abort() -> None:
    while block := LIBC.malloc(2**24):
        LIBC.memset(block, 1, 2**24)
    os.abort()


def hog_cpp() -> None:
    """Call ``operator new``: an uncaught std::bad_alloc ends the process."""
    new = ctypes.CDLL("libstdc++.so.6")._Znwm
    new.argtypes = [ctypes.c_size_t]
    new(2**34)


def codec_out_of_memory() -> None:
    try:
        raise RuntimeError("Insufficient memory (case 4)")
    except RuntimeError as error:
        raise PixelsUnreadable("the codec refuses it") from error


def leak(megabytes: int) -> int:
    block = LIBC.malloc(megabytes * 2**20)
    return os.getpid() if block else 0


def print_much(lines: int) -> int:
    for _ in range(lines):
        os.write(1, b"out" * 100)
        os.write(2, b"canary" * 100)
    return lines


def ignore_signals() -> int:
    for number in (signal.SIGTERM, signal.SIGINT, signal.SIGALRM):
        signal.signal(number, signal.SIG_IGN)
    while True:
        time.sleep(1)


def pool_inside() -> int:
    with KillablePool(1, Limits(5, 256), preload=()) as pool:
        return int(pool.submit(add, 2, 3).result())


def babble() -> None:
    """Write nonsense where the reply should be, as a process with a broken memory might."""
    for number in range(3, 1024):
        with contextlib.suppress(OSError):
            os.write(number, b"\xff" * 64)
    time.sleep(60)
