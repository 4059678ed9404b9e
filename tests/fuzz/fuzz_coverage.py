"""Let the reader's own branches steer the mutations (atheris, libFuzzer).

    python -m tests.fuzz.fuzz_coverage runs/corpus -runs=100000 -artifact_prefix=runs/fuzz/

Arguments are libFuzzer's: a folder for the inputs that reached something new, the
number of runs, where a finding goes. An input is a file; the mutations are those
of :mod:`tests.fuzz.mutate`. Everything runs in this one process: a codec that
crashes ends it, after the finding was written.
"""

from __future__ import annotations

import random
import sys
from pathlib import Path

import atheris

with atheris.instrument_imports(include=["mammo.dicom", "mammo.exam", "pydicom.filereader"]):
    from tests.fuzz.mutate import mutate
    from tests.fuzz.oracle import check_file
    from tests.fuzz.seeds import read_seeds


def read_one(data: bytes) -> None:
    """Check one input; what the oracle raises is the finding."""
    check_file(bytes(data), prepared=False)


def mutate_one(data: bytes, most: int, seed: int) -> bytes:
    """Return the next input, of at most ``most`` bytes."""
    rng = random.Random(seed)
    return mutate(bytes(data) or rng.choice(read_seeds())[1], rng)[:most]


def main() -> None:
    """Put the seeds into the corpus and run."""
    folders = [argument for argument in sys.argv[1:] if not argument.startswith("-")]
    for folder in folders[:1]:
        Path(folder).mkdir(parents=True, exist_ok=True)
        for number, (_, data) in enumerate(read_seeds()):
            (Path(folder) / f"seed-{number:03}").write_bytes(data)
    options = ["-max_len=16384", "-timeout=20", "-rss_limit_mb=3000"]
    atheris.Setup([sys.argv[0], *options, *sys.argv[1:]], read_one, custom_mutator=mutate_one)
    atheris.Fuzz()


if __name__ == "__main__":
    main()
