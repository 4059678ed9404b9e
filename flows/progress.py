"""Progress of long work, for who watches a bar and for who reads a log."""

from __future__ import annotations

from collections.abc import Callable

Advance = Callable[[str, int, int], None]
"""Called with a stage, and how much of its total is done."""


def log_progress() -> Advance:
    """Return a callable (stage, done, total) that logs to the running task or flow."""
    from prefect.logging import get_run_logger

    return at_each_tenth(get_run_logger().info)


def at_each_tenth(tell: Callable[[str], None]) -> Advance:
    """Return a callable (stage, done, total) that tells a line at each tenth."""
    last: dict[str, int] = {}

    def report(stage: str, done: int, total: int) -> None:
        tenth = 10 * done // max(total, 1)
        if last.get(stage) != tenth:
            last[stage] = tenth
            tell(f"{stage}: {done} of {total}")

    return report
