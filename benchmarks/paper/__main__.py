"""Write the report, the slides and the README's table from the measured numbers.

Example: python -m benchmarks.paper --write        the committed pages
         python -m benchmarks.paper --check        do the committed pages say what was measured?
         python -m benchmarks.paper --to build/site/paper   HTML and PDF
"""

from __future__ import annotations

import argparse
from pathlib import Path

from benchmarks.paper.committed import stale_pages, write_committed
from benchmarks.paper.pages import print_pdf, write_pages


def main() -> int:
    """Run what was asked for; 1 where a committed page is behind the results."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--write", action="store_true", help="write the committed pages anew")
    parser.add_argument("--check", action="store_true", help="fail where one is behind")
    parser.add_argument("--to", type=Path, help="write report and slides here")
    given = parser.parse_args()
    if given.write:
        write_committed()
    if given.to:
        pages = write_pages(given.to)
        for one in [*pages, *_printed(pages)]:
            print(one)
    stale = stale_pages() if given.check else []
    for one in stale:
        print(f"{one}: other numbers than in the results files; python -m benchmarks.paper --write")
    return 1 if stale else 0


def _printed(pages: list[Path]) -> list[Path]:
    try:
        return print_pdf(pages)
    except FileNotFoundError as missing:
        print(missing)
        return []


if __name__ == "__main__":
    raise SystemExit(main())
