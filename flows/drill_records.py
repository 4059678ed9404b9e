"""Whether the records of a drill's changes verify."""

from __future__ import annotations

from flows.drill_checks import Claim
from mammo.changes.verify import verify_changes
from mammo.settings import Settings


def records_hold(settings: Settings) -> Claim:
    """Every change is recorded, signed, chained and permitted: `mammo changes verify`."""
    report = verify_changes(settings)
    wrong = [f"record {one.number}: {one.how}, {one.message}" for one in report.wrong]
    text = f"{report.records} records, {report.unsigned} unsigned"
    return Claim("records", report.intact and report.records > 0, "; ".join([text, *wrong]))
