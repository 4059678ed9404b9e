"""The Prefect API for a flow that runs in this process rather than on the stack's worker."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator
from contextlib import contextmanager

from flows.stack import supervisor_alive
from flows.stack_services import answers
from mammo.errors import StackUnhealthy
from mammo.settings import Settings

START_SECONDS = 180
DRAIN_SECONDS = 10


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
    from prefect.server.api.server import SubprocessASGIServer
    from prefect.settings import PREFECT_API_URL, PREFECT_HOME, temporary_settings

    with temporary_settings({PREFECT_HOME: settings.home / "prefect"}):
        server = SubprocessASGIServer()
        # the first start in a home makes its database, for which Prefect's 20 s can be too few
        server.start(timeout=START_SECONDS)
        try:
            with temporary_settings({PREFECT_API_URL: server.api_url}):
                yield server.api_url
        finally:
            APILogWorker.drain_all(timeout=DRAIN_SECONDS)  # before there is nobody to send to
            server.stop()
