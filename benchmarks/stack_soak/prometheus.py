"""A Prometheus of our own beside the stack, and what it has seen."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import httpx
import numpy as np
from numpy.typing import NDArray

from flows.alerts_config import prometheus_config, write
from flows.servers import HOST, running
from mammo.settings import Settings

SCRAPE_SECONDS = 5


@dataclass(frozen=True)
class Series:
    """One series: seconds since the begin of the question (n,), and values (n,)."""

    labels: dict[str, str]
    seconds: NDArray[np.float64]
    values: NDArray[np.float64]


@dataclass(frozen=True)
class Prometheus:
    """A running server that can be asked."""

    url: str

    def over_time(self, query: str, since: float, until: float, step: float) -> list[Series]:
        """Ask for a range, times in seconds since 1970; NaN and infinite values are left out.

        Raises httpx.HTTPStatusError where the query is not understood.
        """
        asked = {"query": query, "start": since, "end": until, "step": step}
        answer = httpx.get(f"{self.url}/api/v1/query_range", params=asked, timeout=60)
        answer.raise_for_status()
        return [_series(one, since) for one in answer.json()["data"]["result"]]


def _config(settings: Settings) -> dict[str, Any]:
    """Return the stack's own configuration; nobody is told, whatever fires."""
    targets = {
        "mammo-service": f"127.0.0.1:{settings.service_port}",
        "mammo-loop": f"127.0.0.1:{settings.reports_port}",
    }
    config = prometheus_config(targets, "", {})
    del config["alerting"]
    every = f"{SCRAPE_SECONDS}s"
    config["global"] |= {
        "scrape_interval": every,
        "scrape_timeout": every,
        "evaluation_interval": every,
    }
    return config


def _series(result: dict, since: float) -> Series:
    table = np.array([(at, float(value)) for at, value in result["values"]]).reshape(-1, 2)
    kept = table[np.isfinite(table[:, 1])]
    return Series(result["metric"], kept[:, 0] - since, kept[:, 1])


@contextmanager
def scrape(settings: Settings, folder: Path, port: int) -> Iterator[Prometheus]:
    """Run a Prometheus that scrapes this stack, with the rules of `dashboards/`, for the block."""
    folder.mkdir(parents=True, exist_ok=True)
    config = write(folder / "prometheus.yml", _config(settings))
    command = ["prometheus", f"--config.file={config}", f"--storage.tsdb.path={folder / 'data'}"]
    command.append(f"--web.listen-address={HOST}:{port}")
    url = f"http://{HOST}:{port}"
    with running(command, f"{url}/-/ready", folder / "prometheus.log"):
        yield Prometheus(url)
