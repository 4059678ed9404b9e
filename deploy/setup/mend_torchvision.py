"""Mend torchvision where only the CPU build of torch is to be had.

    .venv/bin/python deploy/setup/mend_torchvision.py

The registry's torchvision is built against the CUDA build of torch; beside
``torch+cpu`` its extension does not load and `import torchvision` (and timm
with it) ends in "operator torchvision::nms does not exist". This step tries
the import; only on that failure it puts a start-up file into the virtual
environment that defines the missing operators, and renews one that an earlier
version of this step wrote. Where torchvision imports by itself, nothing is written.
"""

from __future__ import annotations

import subprocess
import sys
import sysconfig
from pathlib import Path

FAILURE = "operator torchvision::nms does not exist"
HOOK = "torchvision_cpu_operators"


def import_error() -> str:
    """Return what `import torchvision` prints on failure; empty when it works."""
    command = [sys.executable, "-c", "import torchvision"]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    return done.stderr if done.returncode else ""


def main() -> int:
    """Detect, mend, check again."""
    site = Path(sysconfig.get_paths()["purelib"])
    hook, ours = site / f"{HOOK}.py", Path(__file__).with_name(f"{HOOK}.py").read_text()
    if hook.is_file() and hook.read_text() != ours:
        hook.write_text(ours)
    error = import_error()
    if not error:
        return 0
    if FAILURE not in error:
        print(error, file=sys.stderr)
        return 1
    hook.write_text(ours)
    (site / f"{HOOK}.pth").write_text(f"import {HOOK}\n")
    error = import_error()
    print(error or "torchvision: CPU operators added to this virtual environment", file=sys.stderr)
    return 1 if error else 0


if __name__ == "__main__":
    raise SystemExit(main())
