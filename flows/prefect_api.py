"""The Prefect API for a flow that runs in this process rather than on the stack's worker."""

from __future__ import annotations

import os
import signal
import socket
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager

from flows.stack import supervisor_alive
from flows.stack_services import answers
from mammo.data.durable import make_folder
from mammo.errors import StackUnhealthy
from mammo.settings import Settings

# the first start in a home makes its database, for which Prefect's own 20 s can be too few
START_SECONDS = 180
DRAIN_SECONDS, STOP_SECONDS = 10, 5
TERMINATED = 128 + signal.SIGTERM
"""Exit status of a process that SIGTERM has ended, as shells tell it."""


@contextmanager
def prefect_api(settings: Settings, say: Callable[[str], None]) -> Iterator[str]:
    """Yield the API's address: of the stack where it is up, else of a temporary server.

    Call it before anything imports Prefect, which reads its settings then. The
    temporary server listens on this machine only; its runs are kept in
    ``MAMMO_HOME/prefect`` and are seen in the UI when the stack is next up.
    """
    state = supervisor_alive(settings)
    recorded = Settings(**state.settings) if state else settings
    os.environ.update(recorded.child_environment())
    # the command has its own progress and errors; Prefect's lines go to the API
    os.environ.setdefault("PREFECT_LOGGING_HANDLERS_CONSOLE_LEVEL", "CRITICAL")
    if state is None:
        say("no stack is up (`mammo up`): starting a temporary Prefect server, up to a minute")
        with _temporary_server(settings) as url:
            yield url
        return
    if not answers(f"{recorded.prefect_api_url}/health"):
        raise StackUnhealthy("the stack is up and its Prefect does not answer: see `mammo status`")
    yield recorded.prefect_api_url


@contextmanager
def _temporary_server(settings: Settings) -> Iterator[str]:
    os.environ.pop("PREFECT_API_URL", None)
    from prefect.logging.handlers import APILogWorker
    from prefect.settings import PREFECT_API_URL, PREFECT_HOME, temporary_settings

    home = {PREFECT_HOME: settings.home / "prefect"}
    make_folder(home[PREFECT_HOME])
    with (
        _ending_on_sigterm(),
        temporary_settings(home),
        _server() as url,
        temporary_settings({PREFECT_API_URL: url}),
    ):
        try:
            yield url
        finally:
            APILogWorker.drain_all(timeout=DRAIN_SECONDS)  # before there is nobody to send to


@contextmanager
def _ending_on_sigterm() -> Iterator[None]:
    """Let SIGTERM unwind this process, so that what it has started is ended too."""
    if threading.current_thread() is not threading.main_thread():  # only it may set a handler
        yield
        return

    def end(*_: object) -> None:
        raise SystemExit(TERMINATED)

    before = signal.signal(signal.SIGTERM, end)
    try:
        yield
    finally:
        signal.signal(signal.SIGTERM, before)


@contextmanager
def _server() -> Iterator[str]:
    """Start a server that ends with this process, however that ends; yield its API's address."""
    from prefect.settings import get_current_settings

    environment = {
        **os.environ,
        **get_current_settings().to_environment_variables(exclude_unset=True),
    }
    with socket.create_server(("127.0.0.1", 0)) as listener:
        number, port = listener.fileno(), listener.getsockname()[1]
        process = subprocess.Popen(
            [sys.executable, "-m", "flows.temporary_server", str(number), str(os.getpid())],
            env=environment,
            pass_fds=[number],
        )
    url = f"http://127.0.0.1:{port}/api"
    try:
        _await(process, f"{url}/health")
        yield url
    finally:
        _stop(process)


def _await(process: subprocess.Popen[bytes], health: str) -> None:
    deadline = time.monotonic() + START_SECONDS
    while not answers(health):
        if process.poll() is not None or time.monotonic() > deadline:
            raise StackUnhealthy(
                "the temporary Prefect server did not start (its last words are above): "
                "try again, or start the stack with `mammo up`"
            )
        time.sleep(0.1)


def _stop(process: subprocess.Popen[bytes]) -> None:
    process.terminate()
    try:
        process.wait(STOP_SECONDS)
    except subprocess.TimeoutExpired:
        process.kill()
        process.wait()
