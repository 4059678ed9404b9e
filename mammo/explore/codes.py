"""What reading noted about the images: quality codes, how often, and what each means."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from mammo.explore.plots import bar_plot
from mammo.explore.section import ExploreContext, Section, Table
from mammo.explore.sentences import count, named, number, percent, verb
from mammo.quality import FAULT_CODES, explain

if TYPE_CHECKING:
    from mammo.data.query import IndexQuery

FAULT_SHARE, SCANNER_SHARE = 0.01, 0.2

_CODES = """
    SELECT code, scanner, count(*) AS n FROM (
        SELECT scanner, unnest(string_split(quality, '|')) AS code
        FROM exams WHERE shard_row >= 0 AND quality <> '')
    WHERE code <> '' GROUP BY ALL ORDER BY n DESC, code, scanner
"""


def build(query: IndexQuery, context: ExploreContext) -> Section | None:
    """Return the codes' counts, or None where no image has been read."""
    totals = query.frame(
        "SELECT scanner, count(*) AS n, count(*) FILTER (quality <> '') AS noted "
        "FROM exams WHERE shard_row >= 0 GROUP BY scanner"
    )
    images = int(totals["n"].sum())
    if not images:
        return None
    found = query.frame(_CODES)
    if found.empty:
        told = f"Reading noted nothing about any of the {count(images, 'image')}."
        return Section("codes", "Quality codes", (told,))
    sums: Any = found.groupby("code")["n"].sum().sort_values(ascending=False, kind="stable")
    faults = [(code, int(n)) for code, n in sums.items() if code in FAULT_CODES]
    noted = int(totals["noted"].sum())
    sentences = (
        f"Reading noted something about {number(noted)} of {count(images, 'image')} "
        f"({percent(noted / images)}), with {count(len(sums), 'code')}. A code does not exclude an "
        "image; it says what to know of it.",
        _faults(faults, images),
    )
    plot = bar_plot(
        "codes",
        "Images with each quality code",
        f"The most frequent code is {sums.index[0]}, of {percent(sums.iloc[0] / images)} of the "
        "images.",
        [(code, 100 * n / images, f"{number(n)}") for code, n in sums.head(20).items()],
        "share of images (%)",
    )
    return Section(
        "codes", "Quality codes", sentences, (plot,), (_table(sums, found, images),),
        tuple(_warnings(faults, found, totals, images)),
    )  # fmt: skip


def _faults(faults: list[tuple[str, int]], images: int) -> str:
    if not faults:
        return "None of the codes is a fault of the image or its header."
    code, n = faults[0]
    some = f"{number(len(faults))} of the codes {verb(len(faults), 'is')} a fault"
    return (
        f"{some} of the image or its header; the most frequent is {code} on {count(n, 'image')} "
        f"({percent(n / images)}): {explain(code)}"
    )


def _warnings(faults: list[tuple[str, int]], found: Any, totals: Any, images: int) -> list[str]:
    """Warn of faults of one image in a hundred, and of those that one scanner has often."""
    sizes = totals.set_index("scanner")["n"]
    told = []
    for code, n in faults:
        mine = found[found["code"] == code].set_index("scanner")["n"]
        often = (mine / sizes.reindex(mine.index)).sort_values(ascending=False)
        where = ""
        if len(sizes) > 1 and often.iloc[0] >= SCANNER_SHARE:
            where = f", and {percent(often.iloc[0])} of those of {named(often.index[0])}"
        if n / images >= FAULT_SHARE or where:
            told.append(f"{code} is on {percent(n / images)} of the images{where}. {explain(code)}")
    return told


def _table(sums: Any, found: Any, images: int) -> Table:
    scanners = found.groupby("code")["scanner"].nunique()
    rows = tuple(
        (str(code), number(n), percent(n / images), number(scanners[code]),
         "fault" if code in FAULT_CODES else "fact", explain(str(code)))
        for code, n in sums.items()
    )  # fmt: skip
    columns = ("code", "images", "share", "scanners", "kind", "what it says")
    return Table(columns, rows, "Quality codes of the images that were read")
