"""How many exams of a scanner that a release never met are told apart: docs/unseen_scanner.md.

    python -m benchmarks.unseen_scanner [--folder DIR] [--exams 24]

Trains a release of the smoke configuration on phantoms of two invented scanners,
scores exams of all invented scanners with it, none of them trained on, and counts
how often OUT_OF_DISTRIBUTION (`mammo.familiarity`) is told. Writes
`unseen_scanner.json` and the page. What is in the folder already is not made again.
"""

from __future__ import annotations

import argparse
import json
import tempfile
from pathlib import Path
from typing import Any

from mammo.continual.fit import train_release
from mammo.data.ingest import ingest
from mammo.dicom.phantom import write_phantoms
from mammo.dicom.phantom_profiles import SCANNER_PROFILES
from mammo.familiarity import FALSE_RATE, MIN_EXAMS
from mammo.models.config import read_config
from mammo.screening import Screener
from mammo.settings import Settings

RESULTS = Path(__file__).with_name("unseen_scanner.json")
PAGE = Path(__file__).parents[1] / "docs" / "unseen_scanner.md"
KNOWN = ("aurora", "borealis")
KNOWN_EXAMS, KNOWN_SEED, TRIED_SEED = 220, 5, 77
CODE = "OUT_OF_DISTRIBUTION"


def make_release(folder: Path) -> Path:
    """Return the folder of a release that met the `KNOWN` scanners alone."""
    settings = Settings(home=folder / "home", mlflow_port=9, service_port=9, _env_file=None)
    if made := sorted(settings.releases_dir.glob("r-*")):
        return made[-1]
    phantoms = folder / "phantoms"
    write_phantoms(phantoms, exams=KNOWN_EXAMS, scanner=KNOWN, seed=KNOWN_SEED)
    settings.home.mkdir(parents=True, exist_ok=True)
    (settings.home / "pseudonym.key").write_bytes(bytes(range(32)))
    ingest("rsna", phantoms, settings, read_config("smoke").preprocess)
    return train_release(settings, config="smoke").directory


def try_scanner(screener: Screener, folder: Path, name: str, exams: int) -> dict[str, Any]:
    """Score exams of one scanner and count what is told of them."""
    phantoms = folder / "foreign" / name
    if not phantoms.is_dir():
        write_phantoms(phantoms, exams=exams, scanner=name, seed=TRIED_SEED)
    reports = [
        screener.score_files(
            [(path.name, path.read_bytes()) for path in sorted(exam.glob("*.dcm"))],
            key=bytes(range(32)),
            site="site-1",
        )
        for exam in sorted((phantoms / "train_images").iterdir())[:exams]
    ]
    return {
        "scanner": name,
        "known": name in KNOWN,
        "exams": len(reports),
        "foreign": sum(CODE in one.abstention for one in reports),
        "unknown_scanner": sum("UNKNOWN_SCANNER" in one.abstention for one in reports),
    }


def write_page(result: dict[str, Any]) -> None:
    """Write the page from the numbers."""
    rows = [
        f"| {one['scanner']} | {'yes' if one['known'] else 'no'} | {one['exams']} | "
        f"{one['foreign']} ({one['foreign'] / one['exams']:.0%}) | {one['unknown_scanner']} |"
        for one in result["scanners"]
    ]
    PAGE.write_text(
        "# Exams of scanners that a release never met\n\n"
        "`python -m benchmarks.unseen_scanner` writes this page.\n\n"
        "A release trained on phantoms of two invented scanners scores exams of five. "
        "`OUT_OF_DISTRIBUTION` is told of an exam that lies farther from the release's "
        f"{result['reference_exams']} reference exams than they lie from each other, at a "
        f"stated false rate of {FALSE_RATE:.0%} (leave one out). `UNKNOWN_SCANNER` is told by "
        "the name in the header.\n\n"
        "| scanner | trained on | exams | OUT_OF_DISTRIBUTION | UNKNOWN_SCANNER |\n"
        "|---|---|---|---|---|\n" + "\n".join(rows) + "\n\n"
        "What is foreign by its name need not look foreign: a scanner that processes its "
        "images much as a known one does is found by its name alone.\n\n"
        f"`{CODE}` takes at least {MIN_EXAMS} reference exams with all their numbers. A release "
        "with fewer judges no exam by its looks; its answers and `/v1/release` say so with "
        "`familiarity_judged: false`, and its model card under what is not known.\n"
    )


def main() -> None:
    """Measure, and write the numbers and the page."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--folder", type=Path, help="where phantoms and release are kept")
    parser.add_argument("--exams", type=int, default=24, help="of each scanner")
    given = parser.parse_args()
    with tempfile.TemporaryDirectory() as made:
        folder = given.folder or Path(made)
        screener = Screener.load(make_release(folder))
        if screener.reference.familiarity is None:
            raise SystemExit("the release has too few reference exams to judge by")
        result = {
            "reference_exams": screener.reference.exams,
            "scanners": [
                try_scanner(screener, folder, name, given.exams) for name in SCANNER_PROFILES
            ],
        }
    RESULTS.write_text(json.dumps(result, indent=1) + "\n")
    write_page(result)


if __name__ == "__main__":
    main()
