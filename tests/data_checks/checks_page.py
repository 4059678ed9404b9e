"""Write docs/checks.md: `python -m tests.data_checks.checks_page`."""

from __future__ import annotations

import tempfile
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from data_checks.mutations import Caught, who_notices, who_notices_rows
from data_checks.suites.outcomes import outcomes_suite
from data_checks.suites.pixels import pixels_suite
from data_checks.suites.predictions import predictions_suite
from data_checks.suites.splits import splits_suite
from mammo.data.ingest import ingest
from mammo.dicom.phantom import write_phantoms
from mammo.models.config import read_config
from mammo.settings import Settings

from . import broken_log, broken_split, broken_store
from .broken import MUTATIONS, UNCAUGHT, screening

PAGE = Path(__file__).parents[2] / "docs" / "checks.md"
HEAD = Path(__file__).with_name("checks_head.md")
ABOUT = {
    "index": "Every column of the exam index is broken as it happens in practice.",
    "pixels": "A store of phantoms: its files are broken, then the index beside them.",
    "splits": "The newest release's list of patients (`patients.parquet`), and the index.",
    "predictions": "Every column of the table, without the constraints of the database, which "
    "refuse half of these.",
    "outcomes": "Every column of the table, without the constraints of the database.",
}

EXAMS, SCANNERS = 3, ("aurora", "borealis", "cygnus")


@dataclass(frozen=True)
class Table:
    """What came of the faults of one suite: (column or file, how), by whom noticed."""

    suite: str
    faults: tuple[tuple[str, str], ...]
    noticed: list[list[Caught]]
    false_alarms: list[Caught]
    uncaught: dict[tuple[str, str], str]


def make_store(home: Path) -> Settings:
    """Ingest the phantoms that the suite `pixels` is tried on."""
    settings = Settings(home=home, _env_file=None)
    home.mkdir(parents=True, exist_ok=True)
    (home / "pseudonym.key").write_bytes(bytes(range(32)))
    write_phantoms(home / "set", exams=EXAMS, scanner=SCANNERS, seed=3)
    ingest("rsna", home / "set", settings, read_config("smoke").preprocess)
    return settings


def tables(scratch: Path) -> list[Table]:
    """Break everything and return by suite who noticed."""
    store, logged = make_store(scratch / "store"), Settings(home=scratch / "log", _env_file=None)
    broken_log.sound_log(logged)
    index = who_notices_rows(screening(), [one.apply for one in MUTATIONS])
    rows = tuple((one.column, one.how) for one in MUTATIONS)
    of_store = who_notices(pixels_suite(), broken_store.frames(store, scratch / "stores"))
    of_split = who_notices(splits_suite(), broken_split.frames())
    kinds = {"predictions": predictions_suite(), "outcomes": outcomes_suite()}
    logs = {
        name: who_notices(suite, broken_log.frames(logged, scratch / "logs", name))
        for name, suite in kinds.items()
    }
    return [
        Table("index", rows, *index, UNCAUGHT),
        Table("pixels", _named(broken_store.FAULTS), *of_store, broken_store.UNCAUGHT),
        Table("splits", _named(broken_split.FAULTS), *of_split, broken_split.UNCAUGHT),
        Table("predictions", _named(broken_log.PREDICTION_FAULTS), *logs["predictions"],
              broken_log.PREDICTION_UNCAUGHT),
        Table("outcomes", _named(broken_log.OUTCOME_FAULTS), *logs["outcomes"],
              broken_log.OUTCOME_UNCAUGHT),
    ]  # fmt: skip


def _named(faults: Sequence[tuple[str, str, object]]) -> tuple[tuple[str, str], ...]:
    return tuple((column, how) for column, how, _ in faults)


def make_page(found: Sequence[Table]) -> str:
    """Return the page."""
    return "\n".join((HEAD.read_text(), *map(_chapter, found)))


def _chapter(table: Table) -> str:
    caught = sum(map(bool, table.noticed))
    first = "column" if table.suite != "pixels" else "file or column"
    lines = [
        f"## {table.suite}\n",
        f"{ABOUT[table.suite]} {len(table.faults)} faults, {caught} noticed.\n",
        f"| {first} | how it was broken | expectation that noticed | reason |",
        "|---|---|---|---|",
    ]
    for (column, how), by in zip(table.faults, table.noticed, strict=True):
        words = "<br>".join(words for words, _ in by) or "**none**"
        reason = by[0][1] if by else table.uncaught.get((column, how), "")
        cells = (f"`{column}`", how, words, reason)
        lines.append(f"| {' | '.join(cell.replace('|', '/') for cell in cells)} |")
    return "\n".join((*lines, ""))


def main() -> None:
    """Write the page."""
    with tempfile.TemporaryDirectory() as scratch:
        PAGE.write_text(make_page(tables(Path(scratch))))
    print(f"wrote {PAGE.name}")


if __name__ == "__main__":
    main()
