"""Freed memory is kept, told by the page faults of taking it again."""

from __future__ import annotations

import subprocess
import sys

import pytest

FAULTS = """
import resource
from bentos.screening.memory import reuse_memory
{call}
def take(): return len(b"x" * 20_000_000)
take()
before = resource.getrusage(resource.RUSAGE_SELF).ru_minflt
take()
print(resource.getrusage(resource.RUSAGE_SELF).ru_minflt - before)
"""


def faults(call: str) -> int:
    command = [sys.executable, "-c", FAULTS.format(call=call)]
    return int(subprocess.run(command, capture_output=True, text=True, check=True).stdout)


@pytest.mark.skipif(sys.platform != "linux", reason="glibc's malloc")
def test_second_block_costs_no_page_faults() -> None:
    assert faults("assert reuse_memory()") < 100 < faults("")
