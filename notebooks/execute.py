"""Execute a notebook here and keep what it showed, without what is of this machine alone.

    python notebooks/execute.py notebooks/model_comparison.ipynb

The notebook reads the installation that ``MAMMO_HOME`` names. Left out are the
times of execution, what libraries said on standard error, and the kernel's own
description; the outputs stay.
"""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Any

import nbformat
from nbclient import NotebookClient

SECONDS_PER_CELL = 600
KERNEL = {"display_name": "Python 3", "language": "python", "name": "python3"}


def execute(path: Path) -> Any:
    """Return the notebook, executed from top to bottom; an error in a cell is raised."""
    notebook = nbformat.read(path, as_version=4)
    client = NotebookClient(
        notebook, timeout=SECONDS_PER_CELL, kernel_name="python3", record_timing=False
    )
    client.execute()
    return cleaned(notebook)


def cleaned(notebook: Any) -> Any:
    """Leave out what differs from one machine or run to the next without a reason."""
    notebook.metadata = {"kernelspec": KERNEL, "language_info": {"name": "python"}}
    for cell in notebook.cells:
        cell.metadata = {}
        if cell.cell_type == "code":
            cell.outputs = [one for one in cell.outputs if one.get("name") != "stderr"]
    return notebook


if __name__ == "__main__":
    target = Path(sys.argv[1])
    nbformat.write(execute(target), target)
