"""One folder for the counters of all workers, named before prometheus_client is imported."""

from __future__ import annotations

import os
import shutil
from pathlib import Path

VARIABLE = "PROMETHEUS_MULTIPROC_DIR"


def share_metrics(folder: Path) -> None:
    """Set `VARIABLE` to a fresh folder for this process and its children, unless it is set.

    What servers that have ended left in ``folder`` is removed.
    """
    if VARIABLE in os.environ:  # a worker: its parent has set it
        return
    for left in folder.glob("[0-9]*"):
        if not Path(f"/proc/{left.name}").exists():
            shutil.rmtree(left, ignore_errors=True)
    own = folder / str(os.getpid())
    own.mkdir(parents=True, exist_ok=True)
    os.environ[VARIABLE] = str(own)
