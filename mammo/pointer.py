"""The durable pointer to the release in service, read by the service and by the monitor.

One small JSON file, replaced atomically: a reader sees the old pointer or the
new one, never half. Keys: ``release_id``, ``bento_tag``, ``release_dir``,
``previous`` (the pointer before, or null), ``changed_at`` (ISO 8601, UTC).
"""

from __future__ import annotations

import json
import os
from pathlib import Path
from typing import Any


def read_pointer(path: Path) -> dict[str, Any] | None:
    """Return the pointer, or None when no release was ever put into service."""
    try:
        return json.loads(path.read_text())
    except FileNotFoundError:
        return None


def write_pointer(path: Path, pointer: dict[str, Any]) -> None:
    """Replace the pointer atomically, and durably before it takes effect."""
    path.parent.mkdir(parents=True, exist_ok=True)
    draft = path.with_name(f".{path.name}.{os.getpid()}")
    with draft.open("w") as stream:
        json.dump(pointer, stream, indent=1)
        stream.flush()
        os.fsync(stream.fileno())
    draft.replace(path)
