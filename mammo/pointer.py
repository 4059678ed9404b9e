"""The durable pointer to what is in service, read by the service and by the monitor.

One small JSON file, replaced atomically: a reader sees the old pointer or the
new one, never half. Keys:

``release_id``, ``bento_tag``, ``release_dir``
    The champion: the release that answers.
``previous``
    The champion before, or null.
``changed_at``
    When the champion came (ISO 8601, UTC).
``challenger``
    The release tried beside the champion, or null: the same three keys,
    ``stage`` (``shadow``: scores the same exams, answers none; ``canary``:
    answers a share of them), ``percent`` (that share, 0 in shadow) and ``since``.
    Where the guard leads it through a rollout, ``plan``: ``stages`` and when it
    ``began``.
``probation``
    ``since`` when the champion is watched with its predecessor ready to answer,
    or null once that has ended.
``moved``
    The last change of any of this, for its record: ``at``, ``stage``
    (``champion``, ``shadow``, ``canary``, ``stopped``), the release's three
    keys, and why: ``reason``, ``episode_key``, ``by``, ``evidence``.

Pointers written before there were challengers or a probation lack these keys.
"""

from __future__ import annotations

import json
import os
from pathlib import Path
from typing import Any

from mammo.errors import PointerDamaged
from mammo.folder_entries import sync_folder


def read_pointer(path: Path) -> dict[str, Any] | None:
    """Return the pointer, or None when no release was ever put into service.

    Raises PointerDamaged for a file that is no pointer.
    """
    try:
        text = path.read_bytes()
    except FileNotFoundError:
        return None
    try:
        pointer: dict[str, Any] = json.loads(text)
        whole = isinstance(pointer["release_id"], str)
    except (ValueError, KeyError, TypeError):  # no JSON or no UTF-8; another object; none
        whole = False
    if not whole:
        raise PointerDamaged(
            f"{path.name} is damaged, so nobody can say which release is in service: move it "
            "aside and put the release of the last change (`mammo changes list`) into service "
            "again, or copy it from the last backup; do not restart the service before"
        )
    return pointer


def write_pointer(path: Path, pointer: dict[str, Any]) -> None:
    """Replace the pointer atomically; when this returns, it outlives a power cut.

    The file is flushed before it takes the name, and the folder afterwards:
    a rename alone may be forgotten.
    """
    path.parent.mkdir(parents=True, exist_ok=True)
    draft = path.with_name(f".{path.name}.{os.getpid()}")
    with draft.open("w") as stream:
        json.dump(pointer, stream, indent=1)
        stream.flush()
        os.fsync(stream.fileno())
    draft.replace(path)
    sync_folder(path.parent)


def remove_pointer(path: Path) -> None:
    """Take every release out of service, as durably as `write_pointer` puts one in."""
    path.unlink(missing_ok=True)
    sync_folder(path.parent)
