"""For every test: how many threads a process may have."""

from __future__ import annotations

import os

# Two workers run beside each other. With as many OpenMP threads each as there are cores, threads
# that spin while they wait for one without a core make a training ten times as slow.
os.environ.setdefault("OMP_NUM_THREADS", "1")
os.environ.setdefault("OMP_WAIT_POLICY", "PASSIVE")
