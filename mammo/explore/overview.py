"""What the set is: how much of what, from where and when, and what one row means."""

from __future__ import annotations

from typing import TYPE_CHECKING

from mammo.explore.counts import one_row, records
from mammo.explore.section import ExploreContext, Section, Table
from mammo.explore.sentences import count, listed, named, number, percent, stated

if TYPE_CHECKING:
    import pandas as pd

    from mammo.data.query import IndexQuery

_COUNTS = """
    SELECT count(*) AS images, count(DISTINCT exam_id) AS exams,
        count(DISTINCT patient_id) AS patients,
        count(DISTINCT (exam_id, laterality)) FILTER (laterality IN ('L', 'R')) AS breasts,
        count(DISTINCT nullif(source, '')) AS sources, count(DISTINCT nullif(site, '')) AS sites,
        count(DISTINCT nullif(scanner, '')) AS scanners,
        min(acquired_on)::VARCHAR AS first, max(acquired_on)::VARCHAR AS last,
        count(acquired_on) AS dated, count(*) FILTER (shard_row >= 0) AS read
    FROM exams
"""


def build(query: IndexQuery, context: ExploreContext) -> Section | None:
    """Return the overview, or None for an index without rows."""
    counts = one_row(query, _COUNTS)
    if not counts["images"]:
        return None
    sources = query.frame(
        "SELECT source, count(*) AS images, count(DISTINCT exam_id) AS exams, "
        "count(DISTINCT patient_id) AS patients FROM exams GROUP BY source ORDER BY images DESC"
    )
    shared = one_row(
        query,
        "SELECT count(*) AS n FROM (SELECT patient_id FROM exams GROUP BY patient_id "
        "HAVING count(DISTINCT source) > 1)",
    )["n"]
    sentences = (
        _size(counts, context.name),
        "One row of the index is one image (one view of one breast). The breast is what a model "
        "predicts; the patient is what splits and intervals are drawn over.",
        *_follow_up(query, counts),
        _origin(query, counts),
        _period(counts),
        _pixels(counts),
    )
    warnings = (
        (f"{count(int(shared), 'patient')} stand in more than one source under one pseudonym: "
         "split over all sources at once, never per source.",)
        if shared else ()
    )  # fmt: skip
    return Section("overview", "Overview", sentences, (), _tables(sources), warnings)


def _size(counts: pd.Series, name: str) -> str:
    images, exams, patients = (int(counts[key]) for key in ("images", "exams", "patients"))
    return (
        f"{name} holds {count(images, 'image')} of {count(int(counts['breasts']), 'breast')} in "
        f"{count(exams, 'exam')} of {count(patients, 'patient')}: {images / exams:.1f} images to "
        "an exam on average."
    )


def _follow_up(query: IndexQuery, counts: pd.Series) -> list[str]:
    """Return whether patients come back, which decides what can be said about time."""
    exams, patients = int(counts["exams"]), int(counts["patients"])
    if exams == patients:
        one = "The patient has" if patients == 1 else "Every patient has"
        return [f"{one} exactly one exam, so nothing can be said about change between visits."]
    repeat = one_row(
        query,
        "SELECT count(*) AS n, max(exams) AS most FROM (SELECT count(DISTINCT exam_id) AS exams "
        "FROM exams GROUP BY patient_id) WHERE exams > 1",
    )
    n = int(repeat["n"])
    return [
        f"{count(n, 'patient')} ({percent(n / patients)}) {'has' if n == 1 else 'have'} more than "
        f"one exam, up to {int(repeat['most'])}: her exams must stay in one part of any split."
    ]


def _origin(query: IndexQuery, counts: pd.Series) -> str:
    named_ = {
        key: stated(query.frame(f"SELECT DISTINCT {key} FROM exams ORDER BY 1")[key].tolist())
        for key in ("source", "site", "scanner")
    }
    parts = []
    for key, noun in (("source", "source"), ("site", "site"), ("scanner", "scanner")):
        names = named_[key]
        if not names:
            parts.append(f"no {noun} that is stated")
        else:
            parts.append(f"{count(len(names), noun)} ({listed(names, 5)})")
    return f"The images come from {listed(parts)}."


def _period(counts: pd.Series) -> str:
    dated, images = int(counts["dated"]), int(counts["images"])
    if not dated:
        return (
            "No acquisition dates are stated: neither drift over time nor a split by period can "
            "be studied."
        )
    first, last = counts["first"], counts["last"]
    when = f"on {first}" if first == last else f"between {first} and {last}"
    rest = "" if dated == images else f"; {count(images - dated, 'image')} have no date"
    return f"The dated images were taken {when}{rest}."


def _pixels(counts: pd.Series) -> str:
    read, images = int(counts["read"]), int(counts["images"])
    if read == images:
        return "Pixels of all of them have been read and prepared."
    if not read:
        return (
            "This is the set's table alone: no pixels have been read, so what follows is about "
            "people, machines and labels."
        )
    return f"Pixels of {number(read)} ({percent(read / images)}) have been read."


def _tables(sources: pd.DataFrame) -> tuple[Table, ...]:
    if len(sources) < 2:
        return ()
    rows = tuple(
        (named(row.source), number(row.images), number(row.exams), number(row.patients))
        for row in records(sources)
    )
    return (Table(("source", "images", "exams", "patients"), rows, "Sources"),)
