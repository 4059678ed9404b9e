"""For every test: how many threads a process may have, and which ports its servers get."""

from __future__ import annotations

import os
import random
from collections.abc import Iterator

import pytest

# Two workers run beside each other. With as many OpenMP threads each as there are cores, threads
# that spin while they wait for one without a core make a training ten times as slow.
os.environ.setdefault("OMP_NUM_THREADS", "1")
os.environ.setdefault("OMP_WAIT_POLICY", "PASSIVE")

PORTS_FROM, PORTS_EACH, WORKERS = 20_000, 2_000, 6
"""Below 32768: from there on a system gives ports to connections, which may be in the way."""


@pytest.fixture(scope="session", autouse=True)
def own_ports() -> Iterator[range]:
    """Give servers ports of this worker's own: a port is free for minutes before it is taken."""
    from flows import servers

    worker = int(os.environ.get("PYTEST_XDIST_WORKER", f"gw{WORKERS - 1}").removeprefix("gw"))
    first = PORTS_FROM + worker % WORKERS * PORTS_EACH
    own = range(first, first + PORTS_EACH)
    with pytest.MonkeyPatch.context() as patch:
        # in no order, for the sake of other tests on the same machine
        patch.setattr(servers, "candidates", iter(random.sample(own, len(own))))
        yield own
