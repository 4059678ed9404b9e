"""The real service with a real, tiny release, asked in this process; and one that is away."""

from __future__ import annotations

import threading
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path

import uvicorn

from bentos.screening.app import create_app
from mammo.client import Screening
from mammo.contract import ScoredExam
from mammo.pointer import write_pointer
from mammo.settings import Settings
from tests.bentos.releases import write_release
from tests.gateway.images import wait_for

RELEASE = "r-20260301-aaaaaaaa"


@contextmanager
def served(settings: Settings, port: int = 0) -> Iterator[Screening]:
    """Serve the release of the home on a port of this machine, and give a client of it."""
    folder = settings.releases_dir / RELEASE
    if not folder.exists():
        write_release(settings.releases_dir, RELEASE)
    write_pointer(
        settings.pointer_path,
        {"release_id": RELEASE, "bento_tag": None, "release_dir": str(folder), "previous": None,
         "changed_at": "2026-03-01T09:00:00+00:00"},
    )  # fmt: skip
    config = uvicorn.Config(create_app(settings), port=port, log_level="error", access_log=False)
    server = uvicorn.Server(config)
    thread = threading.Thread(target=server.run, daemon=True)
    thread.start()
    port = wait_for(lambda: server.started and server.servers[0].sockets[0].getsockname()[1], 120)
    with Screening(f"http://127.0.0.1:{port}", tries=1) as service:
        yield service
    server.should_exit = True
    thread.join()


class Answering:
    """A service that gives what it is told to, in turn, and keeps what it was asked.

    What is left over is asked of ``real``.
    """

    def __init__(self, *answers: Exception, real: Screening | None = None) -> None:
        self.answers, self.real = list(answers), real
        self.asked: list[tuple[str | None, int]] = []

    def score(self, files: Sequence[Path | bytes], *, key: str | None = None) -> ScoredExam:
        self.asked.append((key, len(files)))
        if self.answers:
            raise self.answers.pop(0)
        assert self.real is not None
        return self.real.score(files, key=key)
