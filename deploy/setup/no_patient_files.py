"""Refuse files that may hold a patient's data or a secret: the pre-commit hook's own script.

`python no_patient_files.py FILE …` prints those it refuses, and why; status 1 if there are any.
A name is enough, in any case of its letters; what has another name is told by how it begins.
"""

from __future__ import annotations

import re
import sys
from collections.abc import Sequence
from pathlib import Path

NAMES = re.compile(r"\.(dcm|dicom|ima|pem|key|p12|pfx)$|^DICOMDIR$", re.IGNORECASE)
HEADLESS = re.compile(rb"[\x02\x08]\x00[\x00-\x20]\x00", re.DOTALL)
"""A data set without preamble begins with an element of group 0002 or 0008, little endian."""
KEY = re.compile(rb"-----BEGIN [A-Z ]*PRIVATE KEY-----")
START_BYTES = 132


def judge(path: Path) -> str | None:
    """Return why a file stays out, or None."""
    if NAMES.search(path.name):
        return "files of this name hold patients' data or secrets"
    with path.open("rb") as file:
        start = file.read(START_BYTES)
    if start[128:] == b"DICM" or HEADLESS.match(start):
        return "it begins as a DICOM file does"
    return "it is a private key" if KEY.match(start) else None


def main(names: Sequence[str]) -> int:
    """Print what is refused; return the status."""
    why = {name: judge(Path(name)) for name in names}
    refused = [f"{name} stays out: {said}" for name, said in why.items() if said]
    print(*refused, sep="\n", end="\n" if refused else "")
    return 1 if refused else 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
