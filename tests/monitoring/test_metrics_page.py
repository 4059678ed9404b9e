"""docs/metrics.md holds every metric of every exporter, as the exporters themselves tell it.

`MAMMO_WRITE_DOCS=1 pytest tests/monitoring/test_metrics_page.py` writes the tables anew.
"""

from __future__ import annotations

import ast
import os
import re
from collections.abc import Iterable, Iterator
from datetime import UTC, datetime
from pathlib import Path
from typing import NamedTuple

import pytest
from prometheus_client.registry import Collector, CollectorRegistry

from bentos.gateway.tables import connect
from bentos.screening.gateway_metrics import GatewayCollector
from bentos.screening.work import Service
from mammo.prediction_log.tables import GATES
from monitoring.config import WATERMARK
from monitoring.flow_metrics import FlowCollector
from monitoring.home_metrics import HomeCollector
from monitoring.loop_metrics import LoopCollector
from monitoring.metrics import MadeCollector
from monitoring.process_metrics import ProcessCollector
from tests.bentos.conftest import load_fake
from tests.monitoring.test_flow_metrics import Prefect, run

ROOT = Path(__file__).parents[2]
PAGE = ROOT / "docs" / "metrics.md"
EXPORTERS = (
    "bentos/screening/metrics.py",
    "bentos/screening/release_metrics.py",
    "bentos/screening/gateway_metrics.py",
    "monitoring/loop_metrics.py",
    "monitoring/exam_counts.py",
    "monitoring/episode_metrics.py",
    "monitoring/home_metrics.py",
    "monitoring/flow_metrics.py",
    "monitoring/process_metrics.py",
    "monitoring/metrics.py",
)


class Row(NamedTuple):
    name: str
    kind: str
    labels: str
    text: str

    @property
    def line(self) -> str:
        return f"| `{self.name}` | {self.kind} | {self.labels} | {self.text} |"


def _row(name: str, kind: str, labels: Iterable[str], text: str) -> Row:
    told = f"{name}_total" if kind == "counter" else name
    return Row(told, kind, ", ".join(labels), text)


def declared(registry: CollectorRegistry) -> Iterator[Row]:
    """Yield counters and histograms that were declared, counted yet or not."""
    for one in set(registry._collector_to_names):
        yield _row(one._name, one._type, one._labelnames, one._documentation)  # type: ignore[attr-defined]


def collected(*collectors: Collector) -> Iterator[Row]:
    for collector in collectors:
        for one in collector.collect():
            yield _row(one.name, one.type, one._labelnames, one.documentation)  # type: ignore[attr-defined]


@pytest.fixture
def tables(hospital) -> dict[str, list[Row]]:
    """Return the metrics of a home in which everything has happened once."""
    settings = hospital.settings
    hospital.release()
    hospital.outcomes(hospital.stream(4))
    state = {"report": {"finished_at": datetime.now(UTC).isoformat()}}
    hospital.log.set_watermark(WATERMARK, 0, state)
    _judged(hospital.log)
    connect(settings.gateway_book).close()
    for path in (settings.inbox_dir / "a.dcm", settings.index_path):
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(b"")
    service = Service(settings, load_fake, None)
    flows = FlowCollector(settings, ask=Prefect(run("a", "f1", "COMPLETED", ended=-9)))
    list(flows.collect())
    assert flows.asking is not None
    flows.asking.join()
    return {
        "service": sorted(
            {*declared(service.metrics.registry), *collected(*_collectors(service.metrics.own))}
        ),
        "gateway": sorted(collected(GatewayCollector(settings))),
        "loop": sorted(collected(LoopCollector(settings))),
        "home": sorted(collected(HomeCollector(settings))),
        "flows": sorted(collected(flows)),
        "processes": sorted(collected(ProcessCollector({}), MadeCollector("log"))),
    }


def _collectors(registry: CollectorRegistry) -> list[Collector]:
    return list(registry._collector_to_names)


def _judged(log) -> None:
    row = {"account": 1, "golden": "g", "challenger": "r-2", "challenger_digest": "d"}
    values = row | {"key": "k", "alpha": 0.1, "at": datetime.now(UTC), "passed": False}
    with log._writing(GATES) as connection:
        connection.execute(GATES.insert().values(**values))


def table(rows: list[Row]) -> str:
    head = ["| metric | type | labels | what it says |", "| --- | --- | --- | --- |"]
    return "\n".join([*head, *(row.line for row in rows)])


def test_the_page_has_every_metric_as_it_is(tables) -> None:
    page = PAGE.read_text()
    for name, rows in tables.items():
        begin, end = f"<!-- written: {name} -->\n", f"\n<!-- end: {name} -->"
        kept = page.partition(begin)[2].partition(end)[0]
        if os.environ.get("MAMMO_WRITE_DOCS"):
            page = page.replace(f"{begin}{kept}{end}", f"{begin}{table(rows)}{end}")
        else:
            assert kept == table(rows), f"{name}: MAMMO_WRITE_DOCS=1 writes it anew"
    PAGE.write_text(page)


def test_no_metric_appears_only_sometimes_and_undocumented() -> None:
    """What a collector yields under a condition has its name in the code all the same."""
    known = set(re.findall(r"`(mammo_\w+)`", PAGE.read_text()))
    known |= {name.removesuffix("_total") for name in known}
    named = {name for path in EXPORTERS for name in _named(ROOT / path)}
    assert named - known == set()


def _named(path: Path) -> Iterator[str]:
    for node in ast.walk(ast.parse(path.read_text())):
        text = node.value if isinstance(node, ast.Constant) else None
        if isinstance(text, str) and re.fullmatch(r"mammo_\w*[a-z]", text):
            yield text


def test_every_exporter_is_looked_at() -> None:
    found = {
        str(path.relative_to(ROOT))
        for folder in ("bentos", "monitoring")
        for path in (ROOT / folder).rglob("*.py")
        if re.search(r"import .*(MetricFamily|\bCounter\b.*prometheus|Histogram)", path.read_text())
    }
    assert found <= set(EXPORTERS)


def test_labels_name_no_patient_and_no_exam(tables) -> None:
    labels = {one for rows in tables.values() for row in rows for one in row.labels.split(", ")}
    assert "scanner" in labels
    wrong = "exam|patient|study|image|name|request|uid"
    assert not [one for one in labels if re.search(wrong, one)]
