"""How `mammo up` knows that the gateway is well: a file that it touches while all threads live."""

from __future__ import annotations

import time

from mammo.settings import Settings

BEAT_SECONDS, LONGEST_BEAT_SECONDS = 2.0, 15.0
ALIVE = "alive"


def beat(settings: Settings, associations: int = 0) -> None:
    """Tell that the gateway of this home is well now, and how many associations are open."""
    path = settings.gateway_dir / ALIVE
    path.touch(mode=0o600)
    path.write_text(f"{associations}\n")


def open_associations(settings: Settings) -> int:
    """Return how many associations were open when the gateway last told; 0 while it is down."""
    if not is_alive(settings):
        return 0
    told = (settings.gateway_dir / ALIVE).read_bytes().strip()
    return int(told) if told.isdigit() else 0  # empty: it is being written


def is_alive(settings: Settings, since: float = 0.0) -> bool:
    """True when the gateway has told within 15 s, and not before ``since`` (Unix seconds)."""
    try:
        told = (settings.gateway_dir / ALIVE).stat().st_mtime
    except FileNotFoundError:
        return False
    return told >= max(since, time.time() - LONGEST_BEAT_SECONDS)
