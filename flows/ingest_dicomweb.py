"""The archive's flow: fetch what is new by DICOMweb, ingest it, clear the spool."""

from __future__ import annotations

from datetime import date
from typing import Any

from prefect import flow, task

from flows.ingest import ingest, shared_settings
from flows.progress import log_progress
from flows.retries import unforeseen
from mammo.data.sources.dicomweb import fetch_new, remove_ingested, spool_of


@task(retries=2, retry_delay_seconds=60, retry_condition_fn=unforeseen, persist_result=False)
def fetch(since: str | None, overlap_days: int) -> dict[str, Any]:
    """Bring what the archive got since the watermark into the spool."""
    day = date.fromisoformat(since) if since else None
    done = fetch_new(
        shared_settings(), since=day, overlap_days=overlap_days, advance=log_progress()
    )
    return done.to_dict()


@task(persist_result=False)
def clear() -> int:
    """Remove the files that the index or the quarantine has now."""
    return remove_ingested(shared_settings())


@flow(name="ingest_dicomweb", persist_result=True, result_serializer="json")
def ingest_dicomweb(
    since: str | None = None, overlap_days: int = 7, config: str | None = None
) -> dict[str, Any]:
    """Fetch from MAMMO_DICOMWEB_URL and ingest; without an archive there is nothing to do.

    ``since`` (YYYY-MM-DD) asks further back than the watermark, once.
    """
    settings = shared_settings()
    if not settings.dicomweb_url:
        return {"fetched": 0}
    report: dict[str, Any] = {"fetch": fetch(since, overlap_days)}
    spool = spool_of(settings)
    if any(spool.glob("??/*.dcm")):  # also what an earlier run fetched and did not ingest
        report["ingest"] = ingest("dicomweb", str(spool), config)
        report["removed"] = clear()
    return report
