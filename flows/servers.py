"""Other people's servers, and ours, run beside a drill or a measurement until it ends."""

from __future__ import annotations

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


def free_port() -> int:
    """Return a port of the loopback address on which nobody listens now."""
    with socket.create_server((HOST, 0)) as listener:
        return int(listener.getsockname()[1])


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
