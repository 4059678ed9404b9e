"""Other people's servers, and ours, run beside a drill or a measurement until it ends."""

from __future__ import annotations

import errno
import itertools
import socket
import subprocess
import time
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path

from flows.stack_services import ROOT, answers
from mammo.errors import StackUnhealthy

HOST = "127.0.0.1"
START_SECONDS, END_SECONDS, LOOK_SECONDS = 60.0, 30.0, 0.2
candidates: Iterator[int] = itertools.repeat(0)
"""The ports that `free_port` tries, one after the other; 0 leaves the choice to the system."""
_given: set[int] = set()


def free_port() -> int:
    """Return a port of the loopback address on which nobody listens now.

    Never the same one twice: minutes may pass until its server takes it.

    Raises
    ------
    OSError
        No candidate is left, or the system gives no port at all: it has none, or no files.
    """
    for candidate in candidates:
        port = _listened(candidate)
        if port is not None and port not in _given:
            _given.add(port)
            return port
    raise OSError("every port that may be given was given, or is taken")


def _listened(port: int) -> int | None:
    """Listen for a moment; return the port, or None where it, of all ports, may not be had."""
    try:
        with socket.create_server((HOST, port)) as listener:
            return int(listener.getsockname()[1])
    except OSError as error:
        if port and error.errno in (errno.EADDRINUSE, errno.EACCES):
            return None
        raise


@contextmanager
def running(
    command: Sequence[str],
    ready: str,
    log: Path,
    environment: Mapping[str, str] | None = None,
    seconds: float = START_SECONDS,
) -> Iterator[subprocess.Popen[bytes]]:
    """Run a program until the block ends, which begins when the address ``ready`` answers.

    Its output goes to ``log``. Raises StackUnhealthy where it ends, or does not answer
    within ``seconds``.
    """
    with log.open("wb") as output:
        process = subprocess.Popen(
            command, cwd=ROOT, env=environment, stdout=output, stderr=subprocess.STDOUT
        )
    try:
        deadline = time.monotonic() + seconds
        while not answers(ready):
            if process.poll() is not None or time.monotonic() > deadline:
                raise StackUnhealthy(f"{log.stem} did not start; its last words are in {log}")
            time.sleep(LOOK_SECONDS)
        yield process
    finally:
        process.terminate()
        try:
            process.wait(END_SECONDS)
        except subprocess.TimeoutExpired:
            process.kill()
            process.wait()
