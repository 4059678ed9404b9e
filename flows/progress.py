"""Progress of long work inside a Prefect task: a log line at each tenth."""

from __future__ import annotations

from collections.abc import Callable


def log_progress() -> Callable[[str, int, int], None]:
    """Return a callable (stage, done, total) that logs to the running task."""
    from prefect.logging import get_run_logger

    logger = get_run_logger()
    last: dict[str, int] = {}

    def report(stage: str, done: int, total: int) -> None:
        tenth = 10 * done // max(total, 1)
        if last.get(stage) != tenth:
            last[stage] = tenth
            logger.info("%s: %d of %d", stage, done, total)

    return report
