"""Ten thousand requests, and whether the service's memory stays flat.

    python -m benchmarks.soak                   # 10,000 requests in ten minutes, writes the docs
    python -m benchmarks.soak --requests 300    # a small one, writes nothing

Two workers, four clients; memory of workers and decoders once a second. Exit
status 1 where it grows, a request fails or the books do not balance.
"""

from __future__ import annotations

import argparse
import sys
import tempfile
import time
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import matplotlib as mpl

mpl.use("Agg")
from matplotlib import pyplot as plt

from benchmarks.chaos.books import Books, check_books, count_attempts
from benchmarks.chaos.exams import ExamMaker
from benchmarks.chaos.load import Load
from benchmarks.chaos.memory import Growth, Sample, Sampler, measure_growth
from benchmarks.chaos.page import PAGE, describe, spell, write_run
from benchmarks.chaos.served import make_installation, serve
from mammo.dicom.phantom_exam import SCREENING_VIEWS
from mammo.evaluation.plots import GRID, INK, SERIES
from mammo.settings import Settings

REQUESTS, WORKERS, CLIENTS = 10_000, 2, 4
VIEWS = (SCREENING_VIEWS[0], SCREENING_VIEWS[2])
FIGURE = PAGE.parent / "pictures" / "service_soak.png"


@dataclass(frozen=True)
class Soak:
    """What came of the requests and what the memory did."""

    seconds: float
    attempts: dict[str, int]
    books: Books
    growth: Growth
    samples: list[Sample]

    @property
    def fails(self) -> int:
        """Attempts that did not end as they should have."""
        fine = ("200", "again 200", "202", "job done")
        return sum(number for name, number in self.attempts.items() if name not in fine)

    @property
    def passed(self) -> bool:
        """True where memory is flat, every first attempt was answered and the books balance."""
        return self.growth.is_flat and not self.fails and self.books.balance


def run_soak(settings: Settings, requests: int, *, workers: int = WORKERS) -> Soak:
    """Serve, send so many exams of two views, sample the memory and check the books."""
    maker = ExamMaker(settings.pseudonym_key(), VIEWS)
    with serve(settings, workers=workers) as served:
        started = time.monotonic()
        load = Load(served.url, maker, clients=CLIENTS, total=requests, repeated=0.05, later=0.02)
        with Sampler(served, lambda: load.answered) as sampler, load:
            load.wait()
        seconds = time.monotonic() - started
        books = check_books(load.sent, settings.log_url)
    return Soak(
        seconds=seconds,
        attempts=count_attempts(load.sent),
        books=books,
        growth=measure_growth(sampler.samples),
        samples=sampler.samples,
    )


def draw(soak: Soak) -> None:
    """Draw memory against requests."""
    figure, axes = plt.subplots(figsize=(8, 4.2), layout="constrained")
    requests = [one.requests for one in soak.samples]
    for name, colour in (("workers", SERIES[0]), ("decoders", SERIES[1])):
        values = [getattr(one, f"{name}_mib") for one in soak.samples]
        axes.plot(requests, values, color=colour, label=name)
    axes.plot(requests, [one.total_mib for one in soak.samples], color=INK, label="together")
    axes.set(xlabel="requests answered", ylabel="private memory (USS), MiB", ylim=(0, None))
    axes.grid(color=GRID)
    axes.legend(frameon=False, loc="lower right")
    axes.spines[["top", "right"]].set_visible(False)
    figure.savefig(FIGURE, dpi=110)
    plt.close(figure)


def write_soak(soak: Soak, run: dict[str, Any]) -> None:
    """Write the numbers, the picture and the table in the docs."""
    books, growth = soak.books, soak.growth
    rows = [
        ["exams sent / answered", f"{books.sent:,} / {books.answered:,}"],
        ["attempts", spell(soak.attempts)],
        ["requests a second", f"{(books.answered + books.repeated) / soak.seconds:.1f}"],
        ["memory of workers and decoders, median", f"{growth.level_mib:.0f} MiB"],
        [
            "**growth per 1,000 requests** (95% interval)",
            f"**{growth.mib_per_1000:+.2f} MiB** ({growth.low:+.2f} to {growth.high:+.2f})",
        ],
        ["lost, twice, unknown, wrong, torn, changed", _six(books)],
    ]
    results = {"run": run, **asdict(soak)}
    note = f"{WORKERS} workers, {CLIENTS} clients, two views an exam, {soak.seconds:.0f} s."
    write_run("soak", results, ["what", "measured"], rows, note)
    draw(soak)


def _six(books: Books) -> str:
    counts = (books.lost, books.twice, books.unknown, books.wrong, books.torn, books.changed)
    return ", ".join(map(str, counts))


def main(arguments: Sequence[str] | None = None) -> int:
    """Run from the command line."""
    parser = argparse.ArgumentParser(prog="benchmarks.soak", description=__doc__)
    parser.add_argument("--requests", type=int, default=REQUESTS)
    given = parser.parse_args(arguments)
    with tempfile.TemporaryDirectory() as folder:
        soak = run_soak(make_installation(Path(folder) / "home"), given.requests)
    print(soak.seconds, soak.attempts, soak.books, soak.growth, sep="\n")
    if given.requests >= REQUESTS:
        write_soak(soak, describe("python -m benchmarks.soak"))
    return 0 if soak.passed else 1


if __name__ == "__main__":
    sys.exit(main())
