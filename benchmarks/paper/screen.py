"""The last screen of `make demo`, printed once more from its summary."""

from __future__ import annotations

import io
from typing import Any

from rich.console import Console

from flows.demo_tables import WIDTH, print_summary


def demo_screen(summary: dict[str, Any]) -> str:
    """Return what the demo printed for people, without colours and without spaces at line ends."""
    console = Console(file=io.StringIO(), width=WIDTH, highlight=False, color_system=None)
    with console.capture() as capture:
        print_summary(summary, console)
    return "\n".join(line.rstrip() for line in capture.get().rstrip().splitlines())
