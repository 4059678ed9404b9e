"""The life of a worker: open, follow the pointer, keep house, close."""

from __future__ import annotations

import asyncio
import logging
import warnings
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager, suppress
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING

from bentos.screening.access import warn_of_access
from bentos.screening.memory import reuse_memory
from mammo import telemetry
from mammo.errors import MammoError

if TYPE_CHECKING:
    from bentos.screening.work import Service

DRAIN_SECONDS, SWEEP_SECONDS = 1.0, 3600.0
CALLER, CALLER_ROLES = "caller", ("predict", "read")
_log = logging.getLogger("mammo.service")


@asynccontextmanager
async def live(service: Service) -> AsyncIterator[None]:
    """Open the log, load the release, then follow the pointer until shutdown."""
    reuse_memory()
    _quieten_readers()
    _admit_caller(service)
    warn_of_access(service.settings, service.tokens)
    if service.reader is not None:
        service.reader.start()  # its processes start while the release loads
    await asyncio.to_thread(_open_log, service)
    await asyncio.to_thread(service.rollout.check)
    service.keeper.start()
    tasks = [
        asyncio.create_task(service.rollout.follow()),
        asyncio.create_task(service.runner.follow()),
        asyncio.create_task(_every(DRAIN_SECONDS, _drain, service)),
        asyncio.create_task(_every(SWEEP_SECONDS, _sweep, service)),
    ]
    try:
        yield
    finally:
        for task in tasks:
            task.cancel()
        for task in tasks:
            with suppress(asyncio.CancelledError):
                await task
        await asyncio.to_thread(service.shadow.close)
        await asyncio.to_thread(service.keeper.close)
        service.log.close()
        await asyncio.to_thread(telemetry.stop)


def _admit_caller(service: Service) -> None:
    """Let in the caller whose token the environment gives: a home that is made anew has none."""
    given = service.settings.caller_token
    if given is None:
        return
    try:
        if service.tokens.admit(CALLER, CALLER_ROLES, given.get_secret_value().strip()):
            _log.info("the token of MAMMO_CALLER_TOKEN is let in as %s", CALLER)
    except MammoError as error:
        _log.error("MAMMO_CALLER_TOKEN lets nobody in: %s", error.message)


def _open_log(service: Service) -> None:
    """Make the tables; while the database is away, predictions are spooled."""
    try:
        opened = service.durable.open()
    except Exception as error:  # noqa: BLE001 - a log that cannot be opened must end no service
        _log.error("open the log: %s", type(error).__name__)
        opened = False
    if not opened:
        _log.error("the log cannot be opened yet: predictions go to the spool")
    head = service.audit.head()
    _log.info("the audit log ends at %d:%s", head.seq, head.hash)


async def _every(seconds: float, work: Callable[[Service], object], service: Service) -> None:
    while True:
        try:
            await asyncio.to_thread(work, service)
        except Exception as error:  # noqa: BLE001 - what fails once must be tried again for ever
            _log.error("%s: %s", work.__name__.strip("_"), type(error).__name__)
        await asyncio.sleep(seconds)


def _drain(service: Service) -> None:
    """Write what waits in the spool, once the database is back."""
    written = service.durable.drain()
    if written:
        _log.info("%d predictions went from the spool to the log", written)


def _sweep(service: Service) -> None:
    """Remove results, images and jobs that are past their days."""
    service.results.sweep()
    service.keeper.sweep()
    service.jobs.sweep(service.settings.result_days)
    days = timedelta(days=service.settings.result_days)
    service.log.drop_failed_requests(datetime.now(UTC) - days)


def _quieten_readers() -> None:
    """Keep the DICOM library from writing values of headers, names among them, to the log."""
    logging.getLogger("pydicom").setLevel(logging.CRITICAL)
    warnings.filterwarnings("ignore", module="pydicom")
