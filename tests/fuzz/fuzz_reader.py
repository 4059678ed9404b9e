"""Mutate small mammograms and read them, in processes that may die.

    python -m tests.fuzz.fuzz_reader --cases 1000000          # files and codestreams
    python -m tests.fuzz.fuzz_reader --target files --cases 1000 --first 5000

Case n of a target is the same on every machine: ``--first`` goes on where a run
ended. Half of the cases are whole files, half are codestreams in a sound file.
Whatever escapes, crashes, hangs or takes too much is written to ``--findings``,
as small as removing bytes makes it, and counted.
"""

from __future__ import annotations

import argparse
import json
import time
from collections import Counter
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from pathlib import Path

from mammo.errors import DecoderCrashed, DecoderMemory, DecoderTimeout
from mammo.killable import KillablePool, Limits
from tests.fuzz.cases import Wrong, check_bytes, check_case, make_case, run_batch

BATCH = 250
LIMITS = Limits(seconds=300.0, memory_mb=1536)
ONE_CASE = Limits(seconds=20.0, memory_mb=1536)
DEATHS = (DecoderCrashed, DecoderMemory, DecoderTimeout)


@dataclass
class Progress:
    """What has been seen so far."""

    log: Path | None
    begun: float = field(default_factory=time.monotonic)
    done: int = 0
    codes: Counter[str] = field(default_factory=Counter)
    ways: dict[str, int] = field(default_factory=dict)
    findings: list[dict[str, object]] = field(default_factory=list)

    def add(self, target: str, first: int, count: int, outcomes: dict[str, int]) -> None:
        self.done += count
        for outcome, number in outcomes.items():
            self.codes[outcome.split()[0]] += number
            self.ways.setdefault(f"{target} {outcome}", first)

    def line(self) -> str:
        seconds = time.monotonic() - self.begun
        return json.dumps(
            {
                "cases": self.done,
                "seconds": round(seconds),
                "a_second": round(self.done / max(seconds, 1)),
                "ways": len(self.ways),
                "last_new_way_at": max(self.ways.values(), default=0),
                "findings": len(self.findings),
                "codes": dict(self.codes.most_common()),
            }
        )

    def tell(self) -> None:
        print(self.line(), flush=True)
        if self.log:
            with self.log.open("a") as log:
                log.write(self.line() + "\n")


def find_culprits(pool: KillablePool, target: str, first: int, count: int) -> Iterator[Wrong]:
    """Run the cases of a batch that died one by one."""
    for number in range(first, first + count):
        try:
            pool.submit(check_case, target, number).result()
        except DEATHS as error:
            yield {number: f"{error.code}: {error.message}"}
        except Exception as error:  # noqa: BLE001 - any error that escapes is a finding
            yield {number: f"{type(error).__name__}: {error}"[:300]}


def minimise(data: bytes, fails: Callable[[bytes], bool], seconds: float = 60.0) -> bytes:
    """Return the bytes with as many pieces removed as still fail, as far as the time goes."""
    size, until = max(1, len(data) // 2), time.monotonic() + seconds
    while size and time.monotonic() < until:
        place = 0
        while place < len(data) and time.monotonic() < until:
            shorter = data[:place] + data[place + size :]
            if shorter and fails(shorter):
                data = shorter
            else:
                place += size
        size //= 2
    return data


def keep_finding(
    folder: Path, pool: KillablePool, target: str, number: int, why: str
) -> dict[str, object]:
    """Write a finding as a file, small; return what is told of it."""
    name, data = make_case(target, number)

    def fails(candidate: bytes) -> bool:
        error = pool.submit(check_bytes, target, name, candidate, number).exception()
        return error is not None and (
            f"{getattr(error, 'code', type(error).__name__)}" == why.split(":")[0]
        )

    small = minimise(data, fails) if fails(data) else data
    folder.mkdir(parents=True, exist_ok=True)
    suffix = "dcm" if target == "files" else name
    (folder / f"{target}-{number}.{suffix}").write_bytes(small)
    return {"target": target, "case": number, "seed": name, "why": why, "bytes": len(small)}


def run(target: str, cases: int, first: int, findings: Path, progress: Progress) -> None:
    """Run the cases of one target."""
    with KillablePool(1, LIMITS) as pool, KillablePool(1, ONE_CASE) as single:
        starts = range(first, first + cases, BATCH)
        futures = pool.map(run_batch, ((target, start, BATCH) for start in starts))
        for start, future in zip(starts, futures, strict=True):
            try:
                outcomes, wrong = future.result()
            except DEATHS as death:
                outcomes, wrong = {death.code: 1}, {}
                for culprit in find_culprits(single, target, start, BATCH):
                    wrong |= culprit
            progress.add(target, start, BATCH, outcomes)
            for number, why in wrong.items():
                if len(progress.findings) < 200:
                    found = keep_finding(findings, single, target, number, why)
                    progress.findings.append(found)
                    print(json.dumps(found), flush=True)
            if (start - first) // BATCH % 40 == 0:
                progress.tell()


def main() -> None:
    """Parse the command line and run."""
    parser = argparse.ArgumentParser(description=__doc__.split("\n", maxsplit=1)[0])
    parser.add_argument("--cases", type=int, default=10_000)
    parser.add_argument("--first", type=int, default=0)
    parser.add_argument("--target", choices=("files", "streams", "both"), default="both")
    parser.add_argument("--findings", type=Path, default=Path("runs/fuzz"))
    parser.add_argument("--log", type=Path)
    given = parser.parse_args()
    progress = Progress(given.log)
    targets = ("files", "streams") if given.target == "both" else (given.target,)
    for target in targets:
        run(target, given.cases // len(targets), given.first, given.findings, progress)
    progress.tell()
    for way, first in sorted(progress.ways.items()):
        print(first, way)
    raise SystemExit(bool(progress.findings))


if __name__ == "__main__":
    main()
