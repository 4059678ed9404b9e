"""Keep the memory of one request for the next one.

glibc gives large blocks back to the kernel as soon as they are freed, and the
kernel zeroes each page again on its next use: half of the time that it takes to
receive an exam (docs/service_speed.md). The children that read files have had
the same settings from the start, by their environment
(`mammo.killable_process.REUSE_MEMORY`); a server is started by others.
"""

from __future__ import annotations

import ctypes
import sys

MB = 2**20
LARGEST_KEPT_MB = 32
KEPT_MB = 128
ARENAS = 4
"""Places that threads take memory from, each of which may keep KEPT_MB; glibc's own is 8 a core."""

# <malloc.h>
_M_TRIM_THRESHOLD, _M_MMAP_THRESHOLD, _M_ARENA_MAX = -1, -3, -8


def reuse_memory() -> bool:
    """Tell glibc to keep freed blocks of up to 32 MB; False where the system has none of it.

    For a process that serves; call it once, before the first thread starts.
    """
    if sys.platform != "linux":
        return False
    mallopt = getattr(ctypes.CDLL(None), "mallopt", None)
    if mallopt is None:
        return False
    wanted = {
        _M_MMAP_THRESHOLD: LARGEST_KEPT_MB * MB,
        _M_TRIM_THRESHOLD: KEPT_MB * MB,
        _M_ARENA_MAX: ARENAS,
    }
    return all(mallopt(name, value) == 1 for name, value in wanted.items())
