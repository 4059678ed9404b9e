"""What tests/flows/test_inspect.py lets a reader's process do; importable there."""

from __future__ import annotations

import os
from typing import Any


def crash(*_: Any) -> None:
    """Die as a codec that writes where it must not."""
    os.abort()
