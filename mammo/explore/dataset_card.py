"""The dataset card: where the images come from, who is in them, what is missing, what it is for.

Headings follow Gebru et al. (2021), Datasheets for datasets, CACM 64(12):86-92. Every number is
asked of the index; what the index cannot say is listed as not known.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

from mammo.data.sources.terms import terms_of
from mammo.explore import overview
from mammo.explore.section import ExploreContext, Section, Table
from mammo.explore.sentences import count, listed, number, percent

if TYPE_CHECKING:
    from mammo.data.query import IndexQuery

SUBJECT = "dataset card"
LEADS = ("overview", "terms", "uses")
PHANTOM = "coalesce(manufacturer, '') ILIKE 'phantom%' OR coalesce(scanner, '') ILIKE 'phantom%'"
FEW_CANCERS = 10
"""With fewer patients with cancer a group's sensitivity says next to nothing."""

AGE = (
    "CASE WHEN age_years IS NULL THEN 'not stated' WHEN age_years < 40 THEN 'under 40' "
    "WHEN age_years >= 70 THEN '70 and over' "
    "ELSE (age_years // 10 * 10)::INT || ' to ' || (age_years // 10 * 10 + 9)::INT END"
)
GROUPS = {
    "source": "source", "scanner": "scanner", "site": "site", "age": AGE, "density": "density",
    "view": "view",
}  # fmt: skip
"""Heading of a table -> the expression it groups by."""
COMPLETE = ("cancer", "age_years", "density", "birads", "scanner", "site", "acquired_on",
            "laterality", "view", "spacing_mm", "outcome_known_at", "implant")  # fmt: skip
NEVER_RECORDED = (
    "ethnicity and ancestry, income, family history, hormone therapy: no column of the index "
    "holds them, so performance by them cannot be judged",
    "how the patients were selected at each site, beside what the source's paper says",
    "how many readers set a label and how far they agreed",
    "whether each patient was asked: consent is the source's own matter, see its terms",
)


def build_dataset_card(query: IndexQuery, context: ExploreContext) -> list[Section]:
    """Return the card's sections in reading order; none for an index without rows."""
    first = overview.build(query, context)
    if first is None:
        return []
    phantoms = _phantom_share(query)
    return [
        first,
        _terms(query),
        _composition(query),
        _missing(query),
        _preparation(),
        _uses(phantoms),
        Section("unknown", "What is not known", tuple(f"Not known: {x}." for x in NEVER_RECORDED)),
    ]


def _phantom_share(query: IndexQuery) -> float:
    frame = query.frame(f"SELECT avg(({PHANTOM})::INT) AS share FROM exams")
    return float(frame["share"].iloc[0])


def _terms(query: IndexQuery) -> Section:
    found = query.frame(
        f"SELECT coalesce(source, 'not stated') AS source, bool_and({PHANTOM}) AS phantoms, "
        "count(*) AS images FROM exams GROUP BY 1 ORDER BY 1"
    )
    rows = []
    for name, phantoms, images in found.itertuples(index=False):
        terms = terms_of(name, phantoms=bool(phantoms))
        told = f"{name} (phantoms)" if phantoms else name
        rows.append((told, number(images), terms.terms, terms.cite))
    unknown = [row[0] for row in rows if row[2].startswith("not known")]
    warned = (f"The terms of {listed(unknown)} are not known to this project.",) if unknown else ()
    table = Table(("source", "images", "terms", "cite"), tuple(rows), "Terms by source")
    told = f"The images come from {count(len(rows), 'source')}; each keeps its own terms."
    return Section("terms", "Sources and terms", (told,), (), (table,), warned)


def _composition(query: IndexQuery) -> Section:
    tables = [_group_table(query, name, sql) for name, sql in GROUPS.items()]
    few = [
        f"{name} {row[0]}"
        for name, table in zip(GROUPS, tables, strict=True)
        for row in table.rows
        if int(row[4].replace(",", "")) < FEW_CANCERS
    ]
    warned = (
        f"Fewer than {FEW_CANCERS} patients with cancer: {listed(few, 12)}. Sensitivity cannot be "
        "judged there.",
    ) if few else ()  # fmt: skip
    told = (
        "Cancer counts patients with at least one breast so labelled; a breast without a known "
        "outcome counts as unlabelled, never as healthy."
    )
    return Section("composition", "Who is in it", (told,), (), tuple(tables), warned)


def _group_table(query: IndexQuery, name: str, sql: str) -> Table:
    found = query.frame(
        f"SELECT coalesce(nullif(({sql})::VARCHAR, ''), 'not stated') AS name, "
        "count(DISTINCT patient_id) AS patients, count(DISTINCT exam_id) AS exams, "
        "count(*) AS images, count(DISTINCT patient_id) FILTER (cancer = 1) AS cancers, "
        "count(*) FILTER (cancer IS NULL) AS unlabelled FROM exams GROUP BY 1 ORDER BY 1"
    )
    rows = tuple((str(r[0]), *(number(v) for v in r[1:])) for r in found.itertuples(index=False))
    heads = (name, "patients", "exams", "images", "patients with cancer", "unlabelled images")
    return Table(heads, rows, f"By {name}")


def _missing(query: IndexQuery) -> Section:
    counts = ", ".join(f"avg(({one} IS NULL)::INT) AS {one}" for one in COMPLETE)
    shares = query.frame(f"SELECT {counts} FROM exams").iloc[0]
    rows = tuple((one.replace("_", " "), percent(float(shares[one]))) for one in COMPLETE)
    whole = [one for one in COMPLETE if shares[one] == 1.0]
    warned = (f"No image states {listed(x.replace('_', ' ') for x in whole)}.",) if whole else ()
    table = Table(("what", "missing"), rows, "Share of images without a value")
    told = "A value that is missing stays missing: nothing is filled in."
    return Section("missing", "Missing values", (told,), (), (table,), warned)


def _preparation() -> Section:
    return Section(
        "preparation", "How it was prepared",
        (
            "All ids are pseudonyms under a key that stays at the site; names and original UIDs "
            "are not kept.",
            "Images are cut to the breast, scaled to one size and 16 bits; the way back to the "
            "original's pixels is kept with each image.",
            "Files that cannot be read are refused with a code and counted, never guessed at. "
            "Copies of the same pixels are kept once.",
            "Each state of the index and its pixels is a data version (DVC) that can be checked "
            "out again.",
        ),
    )  # fmt: skip


def _uses(phantoms: float) -> Section:
    warned: Sequence[str] = ()
    if phantoms:
        warned = (
            f"{percent(phantoms)} of the images are phantoms: computed, of no patient. Numbers on "
            "them say that the software works, not that a model reads mammograms.",
        )
    return Section(
        "uses", "What it is for",
        (
            "Intended: to train, judge and watch models that suggest which screening mammograms "
            "to recall, within the terms of each source.",
            "Not intended: to diagnose a patient, to identify a person, to estimate how common "
            "cancer is (most sets hold more cancers than screening does), or to serve as the only "
            "evidence for use at a site that is not in it.",
        ),
        (), (), tuple(warned),
    )  # fmt: skip
