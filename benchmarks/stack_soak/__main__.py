"""Run the stack for an hour, then ask its Prometheus what became of it."""

from __future__ import annotations

import argparse
import json
import tempfile
import threading
import time
from dataclasses import dataclass, field
from datetime import datetime
from pathlib import Path
from typing import Any

from benchmarks.chaos.exams import ExamMaker
from benchmarks.chaos.load import Client
from benchmarks.chaos.served import make_installation
from benchmarks.report import name_run
from benchmarks.stack_soak.flat import measure_growth, measure_slope
from benchmarks.stack_soak.page import write_page
from benchmarks.stack_soak.prometheus import SCRAPE_SECONDS, Prometheus, Series, scrape
from flows.servers import free_port
from flows.stack import down, up
from mammo.settings import Settings
from monitoring.dashboards.rules import paging_rules

RESULTS = Path(__file__).parent / "stack_soak.json"
EXAMS_A_SECOND, SPACING_MM, CLIENTS = 0.8, 0.1, 4
QUERIES = {
    "memory_mib": "sum by (service) (mammo_process_private_bytes) / 1048576",
    "open_files": "sum by (service) (mammo_process_open_files)",
    "disk_used_mib": "mammo_disk_used_bytes / 1048576",
    "log_mib": 'mammo_file_size_bytes{file="log"} / 1048576',
    "waiting": "mammo_exams_waiting",
    "exams_a_second": "sum(rate(mammo_predictions_total[2m]))",
    "alerts": 'max by (alertname) (ALERTS{alertstate="firing",severity!="none"})',
}
ENDS_BY_ITSELF = {"deployments"}
"""Services whose process ends when its work is done."""
OF_THE_STREAM = {"drift", "recall", "episode", "outcomes"}
"""Components whose alerts are about exams: one drawn woman, again and again, is no programme."""
LATENCY = "histogram_quantile({q}, sum by (le) (rate(mammo_exam_seconds_bucket[5m])))"
"""Of exams that were scored. Of five minutes, 240 exams: of fewer the 99 % is the slowest exam,
and tells of nothing else."""


@dataclass
class Stream:
    """Sends exams at a steady rate, whatever the answers take; counts what came."""

    client_url: str
    maker: ExamMaker
    rate: float
    sent: int = 0
    statuses: dict[str, int] = field(default_factory=dict)
    stopping: threading.Event = field(default_factory=threading.Event)
    _lock: threading.Lock = field(default_factory=threading.Lock)

    def run(self, seconds: float) -> None:
        """Send until the time is over and every answer is in."""
        self._end = time.monotonic() + seconds
        self._begin = time.monotonic()
        threads = [threading.Thread(target=self._work) for _ in range(CLIENTS)]
        for one in threads:
            one.start()
        for one in threads:
            one.join()

    def _work(self) -> None:
        client = Client(self.client_url)
        while (number := self._next()) is not None:
            status, _ = client.send(self.maker.make(number), f"soak-{number}")
            with self._lock:
                self.statuses[status] = self.statuses.get(status, 0) + 1
        client.close()

    def _next(self) -> int | None:
        """Wait for the next exam's turn; None when the time is over."""
        with self._lock:
            number, self.sent = self.sent, self.sent + 1
        due = self._begin + number / self.rate
        if due >= self._end or self.stopping.wait(max(0.0, due - time.monotonic())):
            with self._lock:
                self.sent -= 1
            return None
        return number


def soak(
    settings: Settings, folder: Path, minutes: float, rate: float, spacing_mm: float
) -> dict[str, Any]:
    """Run stack, Prometheus and stream; return the record and what Prometheus has seen."""
    settings.check_pseudonym_key()
    maker = ExamMaker(settings.pseudonym_key(), spacing_mm=spacing_mm)
    _say("starting the stack")
    up(settings, timeout=300)
    try:
        with scrape(settings, folder / "prometheus", free_port()) as prometheus:
            stream, since = Stream(settings.service_url, maker, rate), time.time()
            _say(f"sending for {minutes:g} minutes; Prometheus at {prometheus.url}")
            stream.run(60 * minutes)
            time.sleep(2 * SCRAPE_SECONDS)
            seen = _ask(prometheus, since, time.time())
    finally:
        down(settings)
    return {
        "minutes": minutes,
        "exams_a_second": rate,
        "megabytes_an_exam": round(sum(map(len, maker.make(0).files)) / 1e6, 1),
        "sent": stream.sent,
        "statuses": stream.statuses,
        "series": seen,
    }


def _say(what: str) -> None:
    print(f"{datetime.now():%H:%M:%S} {what}", flush=True)


def _ask(prometheus: Prometheus, since: float, until: float) -> dict[str, list[Series]]:
    step = max(SCRAPE_SECONDS, (until - since) / 720)
    asked = QUERIES | {f"p{q}_s": LATENCY.format(q=q / 100) for q in (50, 99)}
    return {name: prometheus.over_time(query, since, until, step) for name, query in asked.items()}


def summarise(found: dict[str, Any]) -> dict[str, Any]:
    """Return slopes of what ought to be flat, what an exam takes, who ended; series thinned."""
    series: dict[str, list[Series]] = found["series"]
    ended = _ended(series["memory_mib"])
    slopes = {
        f"{name} {one.labels.get('service', '')}".strip(): measure_slope(one).to_dict()
        for name in ("memory_mib", "open_files", "p50_s", "p99_s")
        for one in series[name]
        if one.labels.get("service") not in ended
    }
    disk = {
        "disk_used_mib": measure_growth(
            series["disk_used_mib"][0], found["exams_a_second"]
        ).to_dict()
    }
    kept = {name: [_thin(one) for one in many] for name, many in series.items()}
    return {k: v for k, v in found.items() if k != "series"} | {
        "slopes": slopes,
        "disk": disk,
        "ended": sorted(ended),
        "alerts": sorted(one.labels["alertname"] for one in series["alerts"]),
        "series": kept,
    }


def _ended(many: list[Series]) -> set[str]:
    """Return the services of which nothing is told any more at the end."""
    last = max(float(one.seconds[-1]) for one in many)
    return {one.labels["service"] for one in many if one.seconds[-1] < last - 6 * SCRAPE_SECONDS}


def faults(found: dict[str, Any]) -> list[str]:
    """Return what was not as it should be, in words; none is the aim."""
    refused = {code: n for code, n in found["statuses"].items() if code != "200"}
    uneven = [name for name, one in found["disk"].items() if not one["even"]]
    return [
        *(f"{n} requests were answered {code}" for code, n in refused.items()),
        *(f"{name} grows" for name, one in found["slopes"].items() if not one["flat"]),
        *(f"{name}: later exams take more" for name in uneven),
        *(f"{name} ended" for name in found["ended"] if name not in ENDS_BY_ITSELF),
        *(f"{name} fired" for name in found["alerts"] if _is_of_the_stack(name)),
    ]


def _is_of_the_stack(alert: str) -> bool:
    return paging_rules()[alert]["labels"]["component"] not in OF_THE_STREAM


def _thin(series: Series, most: int = 120) -> dict[str, Any]:
    every = max(1, len(series.values) // most)
    return {
        "service": series.labels.get("service", ""),
        "minutes": [round(float(one) / 60, 2) for one in series.seconds[::every]],
        "values": [round(float(one), 4) for one in series.values[::every]],
    }


def main() -> int:
    """Run it; 1 where a request failed, something grows, a service ended or an alert fired."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--minutes", type=float, default=60.0)
    parser.add_argument("--rate", type=float, default=EXAMS_A_SECOND, help="exams a second")
    parser.add_argument("--spacing-mm", type=float, default=SPACING_MM, help="of a pixel")
    parser.add_argument("--dry", action="store_true", help="write no results and no page")
    parser.add_argument("--home", type=Path, help="keep the stack's state here")
    given = parser.parse_args()
    with tempfile.TemporaryDirectory() as made:
        folder = given.home or Path(made)
        ports = ("prefect", "mlflow", "service", "reports", "dicom")
        settings = make_installation(
            folder / "home", **{f"{name}_port": free_port() for name in ports}
        )
        found = summarise(soak(settings, folder, given.minutes, given.rate, given.spacing_mm))
    record = {
        "run": name_run(f"python -m benchmarks.stack_soak --minutes {given.minutes:g}")
    } | found
    record["faults"] = faults(found)
    print(json.dumps({k: v for k, v in record.items() if k != "series"}, indent=1))
    if not given.dry:
        RESULTS.write_text(json.dumps(record, indent=1) + "\n")
        write_page(record)
    for fault in record["faults"]:
        print(fault)
    return 1 if record["faults"] else 0


if __name__ == "__main__":
    raise SystemExit(main())
