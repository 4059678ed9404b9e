"""What Prometheus sees of the stack's processes: their memory, their number, their open files.

A process belongs to a service by the marks that `mammo up` leaves in its environment and that
children inherit. Started by hand or in containers of their own, processes have none: there the
container's own metrics tell.
"""

from __future__ import annotations

import os
from collections import defaultdict
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass

import psutil
from prometheus_client.core import GaugeMetricFamily, Metric
from prometheus_client.registry import Collector

from mammo.spared import Spared

TOKEN, SERVICE = "MAMMO_STACK_TOKEN", "MAMMO_STACK_SERVICE"
LEAST_SECONDS = 10.0


@dataclass
class Held:
    """What the processes of one service hold."""

    processes: int = 0
    private_bytes: int = 0
    open_files: int = 0


class ProcessCollector(Collector):
    """Tells what each service of the stack that this process belongs to holds."""

    def __init__(self, marks: Mapping[str, str] = os.environ) -> None:
        self._token = marks.get(TOKEN)
        self._held = Spared(lambda: measure_services(self._token or ""), LEAST_SECONDS)

    def collect(self) -> Iterable[Metric]:
        """Yield nothing where this process is not of a stack."""
        held = self._held() if self._token else {}
        told = {
            "mammo_processes": ("Processes of a service and of its children.", "processes"),
            "mammo_process_private_bytes": (
                "Resident memory of a service's processes that they share with no file.",
                "private_bytes",
            ),
            "mammo_process_open_files": ("Open files of a service's processes.", "open_files"),
        }
        for name, (text, figure) in told.items():
            gauge = GaugeMetricFamily(name, text, labels=("service",))
            for service, of in held.items():
                gauge.add_metric((service,), getattr(of, figure))
            yield gauge


def measure_services(token: str) -> dict[str, Held]:
    """Return what each service of the stack with this token holds."""
    found: defaultdict[str, Held] = defaultdict(Held)
    for process in psutil.process_iter():
        for service, private, files in _of_stack(process, token):
            held = found[service]
            held.processes += 1
            held.private_bytes += private
            held.open_files += files
    return dict(found)


def _of_stack(process: psutil.Process, token: str) -> Iterator[tuple[str, int, int]]:
    """Yield service, private bytes and open files of a process of the stack, else nothing."""
    try:
        marks = process.environ()
        if marks.get(TOKEN) == token:
            memory = process.memory_info()
            yield marks.get(SERVICE, "supervisor"), memory.rss - memory.shared, process.num_fds()
    except (psutil.Error, OSError):  # gone meanwhile, or another user's
        return
