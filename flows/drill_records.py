"""Whether the records of a drill's changes verify."""

from __future__ import annotations

import time

from flows.drill_checks import Claim
from mammo.changes.verify import ChangesReport, verify_changes
from mammo.settings import Settings

RECORD_SECONDS = 60.0
"""From the pointer's move, which is what serves, to its record: workers are waited for between."""


def records_hold(settings: Settings, *, patience_seconds: float = RECORD_SECONDS) -> Claim:
    """Every change is recorded, signed, chained and permitted: `mammo changes verify`."""
    deadline = time.monotonic() + patience_seconds
    report = verify_changes(settings)
    while _is_being_written(report) and time.monotonic() < deadline:
        time.sleep(1.0)
        report = verify_changes(settings)
    wrong = [f"record {one.number}: {one.how}, {one.message}" for one in report.wrong]
    text = f"{report.records} records, {report.unsigned} unsigned"
    return Claim("records", report.intact and report.records > 0, "; ".join([text, *wrong]))


def _is_being_written(report: ChangesReport) -> bool:
    return bool(report.wrong) and all(one.how == "not recorded" for one in report.wrong)
