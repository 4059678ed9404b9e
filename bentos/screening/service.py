"""The BentoML service around the app.

    bentoml serve bentos.screening.service:Screening --port 3000

One worker by default: the models run in threads of their own, and a second copy of
them would halve the memory for nothing on the machines this is made for. More
(``MAMMO_SERVICE_WORKERS``) share the port, the pointer, the log and the jobs.
"""

from __future__ import annotations

import logging
import sys
from pathlib import Path

import bentoml
from bentoml._internal.server.http import traffic

from bentos.screening.app import create_app
from bentos.screening.edge import OwnRoutes, Untimed
from mammo import telemetry
from mammo.settings import read_settings

SETTINGS = read_settings()
EMBEDDED = Path(__file__).resolve().parents[2] / "release"
"""The release inside a Bento; in a checkout there is none."""

app = create_app(SETTINGS, embedded=EMBEDDED)
traffic.TimeoutMiddleware = Untimed  # type: ignore[assignment,misc]


def log_to_stderr() -> None:
    """Send the service's own log lines to standard error, once."""
    log = logging.getLogger("mammo")
    if not log.handlers:
        handler = logging.StreamHandler(sys.stderr)
        handler.setFormatter(logging.Formatter("%(asctime)s %(levelname)s %(message)s"))
        log.addHandler(handler)
        log.setLevel(logging.INFO)
        log.propagate = False


@bentoml.service(
    name="screening",
    workers=SETTINGS.service_workers,
    metrics={"enabled": False},  # ours are at /metrics
    logging={"access": {"enabled": False}},  # it would log paths as they were asked for
)
@bentoml.asgi_app(app)
class Screening:
    """Scores exams; everything is in the app."""

    def __init__(self) -> None:
        log_to_stderr()
        routes = [str(getattr(one, "path", "")) for one in app.routes]
        telemetry.start("service", SETTINGS.monitor_connection, [*routes, "other"])


Screening.add_asgi_middleware(OwnRoutes, own=app)  # type: ignore[attr-defined]
