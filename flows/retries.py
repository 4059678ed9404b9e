"""Which failures of a task are worth another try."""

from __future__ import annotations

from typing import Any

from mammo.errors import MammoError, TooFewLabels


def unforeseen(_task: Any, _run: Any, state: Any) -> bool:
    """Return False for a refusal on purpose: the same input would be refused again."""
    try:
        state.result()
    except MammoError:
        return False
    except Exception:  # noqa: BLE001 - whatever else it was may have passed, e.g. a busy disk
        return True
    return False


def too_few(_task: Any, _run: Any, state: Any) -> bool:
    """Return True while there are too few exams or outcomes: more will come."""
    try:
        state.result()
    except TooFewLabels:
        return True
    except Exception:  # noqa: BLE001 - anything else would fail again
        return False
    return False
