"""The child of :mod:`flows.prefect_api`: ``python -m flows.temporary_server SOCKET PARENT``.

Prefect's API on a socket that is open already, for as long as the parent lives.
Linux ends it with a parent that was killed; elsewhere only one that ends by
itself, or by SIGTERM, takes it along.
"""

from __future__ import annotations

import ctypes
import os
import signal
import socket
import sys
from collections.abc import Sequence

PR_SET_PDEATHSIG = 1
OWN = {"PREFECT_UI_ENABLED": "0", "PREFECT__SERVER_EPHEMERAL": "1", "PREFECT__SERVER_FINAL": "1"}
"""What Prefect sets for a server that it starts for one process."""


def main(arguments: Sequence[str]) -> None:
    """Serve on the socket of that number until the parent of that process id ends."""
    _end_with(int(arguments[1]))
    os.environ.update(OWN)  # Prefect reads it when it is imported
    import uvicorn

    config = uvicorn.Config(
        "prefect.server.api.server:create_app",
        factory=True,
        log_level="error",
        lifespan="on",
        timeout_graceful_shutdown=2,
    )
    uvicorn.Server(config).run(sockets=[socket.socket(fileno=int(arguments[0]))])


def _end_with(parent: int) -> None:
    """Ask the kernel to end this process when its parent dies, also by SIGKILL."""
    if sys.platform == "linux":
        ctypes.CDLL(None).prctl(PR_SET_PDEATHSIG, signal.SIGTERM)
    if os.getppid() != parent:  # it died before it could be asked
        sys.exit(0)


if __name__ == "__main__":
    main(sys.argv[1:])
