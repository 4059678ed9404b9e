from __future__ import annotations

import json
import os
from pathlib import Path

from prometheus_client import CollectorRegistry, generate_latest

from mammo.settings import Settings
from monitoring.home_metrics import HomeCollector


def scrape(settings: Settings) -> str:
    registry = CollectorRegistry()
    registry.register(HomeCollector(settings))
    return generate_latest(registry).decode()


def test_a_home_that_does_not_exist_tells_nothing(tmp_path: Path) -> None:
    assert scrape(Settings(home=tmp_path / "none")) == ""


def test_disk_quarantine_and_inbox(tmp_path: Path) -> None:
    settings = Settings(home=tmp_path)
    settings.quarantine_dir.mkdir()
    settings.inbox_dir.mkdir()
    for name, code in (("a", "NOT_DICOM"), ("b", "NOT_DICOM"), ("c", "TOO_LARGE")):
        told = {"file": "Doe_Jane.dcm", "code": code}
        (settings.quarantine_dir / f"{name}.json").write_text(json.dumps(told))
    (settings.quarantine_dir / "d.json").write_text("{")
    for name, at in (("Doe_Jane.dcm", 1_000), ("2.dcm", 2_000), (".draft", 5)):
        (settings.inbox_dir / name).write_bytes(b"")
        os.utime(settings.inbox_dir / name, (at, at))
    text = scrape(settings)
    for line in (
        'mammo_quarantine_files{code="NOT_DICOM"} 2.0',
        'mammo_quarantine_files{code="UNREADABLE_REPORT"} 1.0',
        "mammo_inbox_files 2.0",
        "mammo_inbox_oldest_timestamp_seconds 1000.0",
    ):
        assert line in text
    assert "Doe" not in text
    values = dict(line.rsplit(" ", 1) for line in text.splitlines() if line[0] != "#")
    size, used = (float(values[f"mammo_disk_{one}_bytes"]) for one in ("size", "used"))
    assert 0 < used < size
