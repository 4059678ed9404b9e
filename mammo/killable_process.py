"""The parent's side of one worker of :mod:`mammo.killable`: start it, ask it, bury it."""

from __future__ import annotations

import contextlib
import mmap
import os
import selectors
import signal
import socket
import subprocess
import sys
import threading
import time
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from mammo.errors import DecoderCrashed, DecoderMemory, DecoderTimeout, ReadError
from mammo.killable_worker import (
    EXIT_MEMORY,
    MIB,
    OUT_OF_MEMORY,
    SHARED_BYTES,
    Channel,
    Parts,
    unpack_message,
)

GRACE_SECONDS, START_SECONDS = 1.0, 180.0
"""A worker imports OpenCV and pydicom first: half a second, more on a busy machine."""
STDERR_BYTES = 8192
SINGLE_THREAD = dict.fromkeys(
    ("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS", "MKL_NUM_THREADS", "OPENCV_FOR_THREADS_NUM"), "1"
)
REUSE_MEMORY = {
    "MALLOC_MMAP_THRESHOLD_": "33554432",
    "MALLOC_TRIM_THRESHOLD_": "134217728",
    "MALLOC_TOP_PAD_": "1048576",
}
"""glibc keeps an image's memory for the next one: reading takes an eighth less time."""


@dataclass(frozen=True)
class Limits:
    """What one task may take: ``seconds`` of wall time, ``memory_mb`` MiB of address space.

    The memory is counted above what the idle worker has mapped.
    """

    seconds: float = 60.0
    memory_mb: int = 2048


class WorkerLost(DecoderCrashed):
    """Somebody killed the worker, at work, idle or starting, and no file did: try another.

    A codec that fails dies by another signal than SIGKILL; the kernel's, when memory is
    short, is told by the worker's size.
    """


class WorkerProcess:
    """One child process, made by the thread that uses it: the child dies with that thread.

    Raises ``OSError`` where no process can be made.
    """

    def __init__(self, limits: Limits, preload: Sequence[str]) -> None:
        self.limits, self._said, self._state = limits, b"", "starting"
        self._idle_kb = self._inherited_kb = self._largest_kb = 0
        self._reaping = threading.Lock()
        ours, theirs = socket.socketpair()
        shared = _make_shared_memory()
        numbers = (theirs.fileno(), shared, os.getpid(), limits.memory_mb)
        with contextlib.ExitStack() as stack:
            stack.callback(theirs.close)
            if shared >= 0:
                stack.callback(os.close, shared)
            self._process = subprocess.Popen(
                [sys.executable, "-P", "-m", "mammo.killable_worker", *map(str, numbers), *preload],
                pass_fds=[number for number in numbers[:2] if number >= 0],
                stdin=subprocess.DEVNULL,
                stdout=subprocess.DEVNULL,
                stderr=subprocess.PIPE,
                env={**REUSE_MEMORY, **os.environ, **SINGLE_THREAD, "PYTHONPATH": _python_path()},
            )
            self._channel = Channel(ours, mmap.mmap(shared, SHARED_BYTES) if shared >= 0 else None)
        assert self._process.stderr is not None
        self._stderr = self._process.stderr
        os.set_blocking(self._stderr.fileno(), False)

    @property
    def is_alive(self) -> bool:
        """False once the process has ended, by itself or by :meth:`end`."""
        return self._channel.stream.fileno() >= 0 and self._process.poll() is None

    def run(self, parts: Parts) -> tuple[Any, Exception | None]:
        """Do one task; return its value, or the exception that its future is to raise."""
        try:
            kind, value, last = self._exchange(parts)
        except TimeoutError:
            self.end()
            return None, self._too_slow()
        except (EOFError, OSError):
            self._wait(GRACE_SECONDS)  # it is dying: its own status says of what
            by_itself = self._process.poll() is not None
            self.end()
            return None, self._death(by_itself)
        if last or kind == "memory":
            self.end()
        if kind == "memory":
            return None, self._too_much()
        return (None, value) if kind == "error" else (value, None)

    def _exchange(self, parts: Parts) -> Any:
        if self._state == "starting":
            self._idle_kb, self._inherited_kb = self._receive(START_SECONDS)
        self._state, self._said = "idle", b""
        self._channel.stream.settimeout(START_SECONDS)
        self._channel.send(parts)
        self._receive(START_SECONDS)  # it has the whole task
        self._state = "busy"
        reply = self._receive(self.limits.seconds)
        self._state = "idle"
        return reply

    def kill(self) -> None:
        """Kill the process from another thread; the one that waits for it takes its last words."""
        with self._reaping:
            if self._process.returncode is None:  # else its number may be another's by now
                os.kill(self._process.pid, signal.SIGKILL)

    def end(self) -> None:
        """Kill the process, if it lives, and take its last words."""
        if self._process.returncode is None:
            os.kill(self._process.pid, signal.SIGKILL)
            self._wait(GRACE_SECONDS)
        if not self._stderr.closed:
            self._listen()
        self._channel.close()
        self._stderr.close()

    def _wait(self, seconds: float) -> None:
        """Reap the process if it ends in that time; note its status and its largest size."""
        until = time.monotonic() + seconds
        while self._process.returncode is None and time.monotonic() < until:
            if not self._reap():
                time.sleep(0.002)

    def _reap(self) -> bool:
        """Note how the process ended; False while it lives."""
        with self._reaping:
            try:
                process, status, usage = os.wait4(self._process.pid, os.WNOHANG)
            except ChildProcessError:  # this program ignores SIGCHLD: the kernel reaped it
                self._process.returncode = -signal.SIGKILL
                return True
            if process:
                self._process.returncode = os.waitstatus_to_exitcode(status)
                self._largest_kb = usage.ru_maxrss
            return bool(process)

    def _receive(self, seconds: float) -> Any:
        """Return the next message; what the worker prints meanwhile is taken off its pipe."""
        until = time.monotonic() + seconds
        with selectors.DefaultSelector() as selector:
            selector.register(self._channel.stream, selectors.EVENT_READ)
            selector.register(self._stderr, selectors.EVENT_READ)
            while (left := until - time.monotonic()) > 0:
                ready = {key.fileobj for key, _ in selector.select(left)}
                if self._channel.stream in ready:
                    self._channel.stream.settimeout(left)
                    most = (self.limits.memory_mb + 64) * MIB
                    return unpack_message(self._channel.receive(most))
                if self._stderr in ready and not self._listen():
                    selector.unregister(self._stderr)
        raise TimeoutError

    def _listen(self) -> bool:
        """Keep the end of what the worker printed; False when it closed the pipe."""
        with contextlib.suppress(BlockingIOError):
            while said := os.read(self._stderr.fileno(), 65536):
                self._said = (self._said + said)[-STDERR_BYTES:]
            return False
        return True

    def _death(self, by_itself: bool) -> Exception:
        """Return why the worker is dead: memory, a crash, or it never started.

        Not ``by_itself``, we killed it, for it spoke nonsense.
        """
        status, said = self._process.returncode, self._said.decode(errors="replace")
        killed = by_itself and status == -signal.SIGKILL
        if self._state == "starting" and not killed:
            return RuntimeError(f"the worker process could not start (status {status}): {said}")
        if status == EXIT_MEMORY or any(words in said.casefold() for words in OUT_OF_MEMORY):
            return self._too_much()
        used_mb = (self._largest_kb - self._idle_kb) / 1024
        # the kernel counts the parent's size at the fork as the child's own largest; a worker
        # that was killed before it spoke has not said how much that was, and did no task
        grown = self._state != "starting" and self._largest_kb > self._inherited_kb
        if grown and used_mb > 0.75 * self.limits.memory_mb:
            return self._too_much()
        how = f"died by {signal.Signals(-status).name}" if status < 0 else f"exited with {status}"
        kind = WorkerLost if killed or self._state != "busy" else DecoderCrashed
        return kind(f"the process that read the file {how}; the file is left out")

    def _too_slow(self) -> Exception:
        if self._state == "starting":
            return RuntimeError(f"the worker process did not start in {START_SECONDS:g} s")
        return DecoderTimeout(f"reading took longer than the limit of {self.limits.seconds:g} s")

    def _too_much(self) -> ReadError:
        return DecoderMemory(f"reading needs more than the limit of {self.limits.memory_mb:,} MiB")


def _make_shared_memory() -> int:
    """Return the number of an anonymous file of the channel's size; -1 where there is none."""
    if not hasattr(os, "memfd_create"):
        return -1
    number = os.memfd_create("mammo")
    os.ftruncate(number, SHARED_BYTES)
    return number


def _python_path() -> str:
    """Return this process' import path, so that a worker finds the same modules."""
    return os.pathsep.join(str(Path(entry).absolute()) for entry in sys.path)
