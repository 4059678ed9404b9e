"""What readers and pathology said: density, BI-RADS, implants, biopsies, invasion, difficulty."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from mammo.explore.counts import main_target, one_row, patient_share, records
from mammo.explore.plots import interval_plot
from mammo.explore.section import ExploreContext, Plot, Section, Table
from mammo.explore.sentences import (
    capital,
    count,
    listed,
    number,
    one_in,
    percent,
    span,
    with_interval,
)

if TYPE_CHECKING:
    import pandas as pd

    from mammo.data.query import IndexQuery

_BREASTS = """
    SELECT patient_id, exam_id, laterality, max(cancer) AS cancer, max(biopsied) AS biopsied,
        max(invasive) AS invasive, max(difficult) AS difficult
    FROM exams GROUP BY ALL
"""
BIRADS_WORDS = {
    0: "needs more imaging", 1: "negative", 2: "benign", 3: "probably benign", 4: "suspicious",
    5: "highly suggestive of malignancy", 6: "known cancer",
}  # fmt: skip
DENSITY_WORDS = {"A": "almost fatty", "B": "scattered", "C": "heterogeneously dense",
                 "D": "extremely dense"}  # fmt: skip
MIAS_WORDS = {"F": "fatty", "G": "fatty-glandular", "D": "dense-glandular"}
MIN_DENSE = 30
"""Patients below which the share of dense breasts is not set beside what is usual."""
TWO_SCALES = (
    "Density is stated on two scales, BI-RADS (A to D) and that of MIAS (F, G, D), and D means "
    "another thing on each: never pool them, nor give a model the letter without the scale."
)


def build(query: IndexQuery, context: ExploreContext) -> Section | None:
    """Return what is known beside the label; None where nothing is."""
    parts = (
        _density(query), _birads(query), _implant(query), _biopsies(query), _difficult(query)
    )  # fmt: skip
    sentences = tuple(text for texts, _, _ in parts for text in texts)
    plots = tuple(plot for _, found, _ in parts for plot in found)
    tables = tuple(table for _, _, found in parts for table in found)
    if not sentences:
        return None
    warnings = (TWO_SCALES,) if TWO_SCALES in sentences else ()
    return Section(
        "readings", "Density, BI-RADS and what followed", sentences, plots, tables, warnings
    )


Part = tuple[list[str], list[Plot], list[Table]]


def _density(query: IndexQuery) -> Part:
    counted = query.frame(
        "SELECT source, density, count(*) AS patients FROM (SELECT patient_id, "
        "coalesce(min(source), '') AS source, max(density) AS density FROM exams "
        "WHERE density IS NOT NULL GROUP BY patient_id) GROUP BY ALL ORDER BY density, source"
    )
    if counted.empty:
        return [], [], []
    mias = set(counted.loc[counted["density"].isin(("F", "G")), "source"])
    of_mias = counted["source"].isin(mias)
    scales = [
        (words, part.groupby("density")["patients"].sum())
        for words, part in ((DENSITY_WORDS, counted[~of_mias]), (MIAS_WORDS, counted[of_mias]))
        if len(part)
    ]
    both = len(scales) > 1
    out, shares, strange = [TWO_SCALES] if both else [], [], []
    for words, patients in scales:
        total = int(patients.sum())
        found = [
            (f"{letter} ({words.get(letter, 'unknown letter')})", patient_share(int(n), total))
            for letter, n in zip(patients.index.astype(str), patients, strict=True)
        ]
        parts = [f"{name} {percent(share.rate)}" for name, share in found]
        scale = (" on the scale of MIAS" if words is MIAS_WORDS else " in BI-RADS") if both else ""
        out.append(f"Density is known for {count(total, 'patient')}{scale}: {listed(parts, 8)}.")
        if words is DENSITY_WORDS:
            out += _dense(patients, total)
        strange += [letter for letter in patients.index if letter not in words]
        shares += found
    if strange:
        out.append(f"Density has letters outside its scale: {listed(strange)}; correct them.")
    alt = "; ".join(f"{name} {percent(share.rate)}" for name, share in shares)
    label = "patients with that scale, % (95% interval)" if both else "patients, % (95% interval)"
    plot = interval_plot("readings-density", "Density", alt, shares, label)
    return out, [plot] if len(shares) > 1 else [], []


def _dense(patients: pd.Series, total: int) -> list[str]:
    """Return how many women have dense breasts, beside what is usual."""
    if not {"C", "D"} & set(patients.index) or total < MIN_DENSE:
        return []
    dense = patient_share(int(patients.reindex(("C", "D"), fill_value=0).sum()), total)
    unusual = dense.high < 0.35 or dense.low > 0.55
    return [
        f"Women with dense breasts (C or D) make up {with_interval(dense)}; of US women at 40 to "
        "74 it is 43% (Sprague et al., JNCI 2014)"
        + (", so this mix is unusual." if unusual else ".")
    ]


def _birads(query: IndexQuery) -> Part:
    counted = query.frame(
        "SELECT birads, count(*) AS breasts, count(cancer) AS labelled, "
        "coalesce(sum(cancer), 0) AS cancers, "
        "count(DISTINCT patient_id) AS patients FROM (SELECT patient_id, exam_id, laterality, "
        "max(birads) AS birads, max(cancer) AS cancer FROM exams WHERE birads IS NOT NULL "
        "GROUP BY ALL) GROUP BY birads ORDER BY birads"
    )
    if counted.empty:
        return [], [], []
    total = int(counted["breasts"].sum())
    parts = [
        f"{row.birads} ({BIRADS_WORDS.get(int(row.birads), 'outside the scale')}) "
        f"{percent(row.breasts / total)}" for row in records(counted)
    ]  # fmt: skip
    out = [f"BI-RADS is known for {count(total, 'breast')}: {listed(parts, 8)}."]
    out += _recall(query)
    rows = tuple(
        (f"{row.birads}, {BIRADS_WORDS.get(int(row.birads), 'outside the scale')}",
         number(row.breasts), number(row.labelled), number(row.cancers),
         _cancer_share(row.cancers, row.labelled)) for row in records(counted)
    )  # fmt: skip
    columns = ("BI-RADS", "breasts", "with a label", "cancers", "share with cancer")
    return out, [], [Table(columns, rows, "BI-RADS of the breast against its outcome")]


def _cancer_share(cancers: int, labelled: int) -> str:
    return with_interval(patient_share(cancers, labelled)) if labelled else ""


def _recall(query: IndexQuery) -> list[str]:
    """Return how often readers recalled, at the sites that state recalls and normals alike."""
    sites = query.frame(
        "SELECT coalesce(site, 'not stated') AS site, count(*) AS breasts, "
        "count(*) FILTER (birads IN (0, 4, 5)) AS recalled, "
        "count(*) FILTER (birads IN (1, 2)) AS normal, "
        "count(cancer) FILTER (birads IN (0, 4, 5)) AS labelled, sum(cancer) AS cancers, "
        "sum(cancer) FILTER (birads IN (0, 4, 5)) AS hits FROM (SELECT exam_id, laterality, "
        "min(site) AS site, max(birads) AS birads, max(cancer) AS cancer FROM exams "
        "WHERE birads IS NOT NULL GROUP BY ALL) GROUP BY 1 ORDER BY 1"
    )
    whole = sites[(sites["recalled"] > 0) & (sites["normal"] > 0)]
    out = [_one_sided(row) for row in records(sites) if not (row.recalled and row.normal)]
    if whole.empty:
        return [text for text in out if text]
    sums = whole.drop(columns="site").fillna(0).sum()
    where = "" if len(whole) == len(sites) else f" at {listed(whole['site'])}"
    text = (
        f"Readers recalled {percent(sums['recalled'] / sums['breasts'])} of the breasts with a "
        f"stated BI-RADS{where} (0, 4 or 5)"
    )
    if sums["labelled"] and sums["hits"]:
        text += f"; {one_in(sums['hits'] / sums['labelled'])} of those recalled had cancer"
    return [text + _found(int(sums["hits"]), int(sums["cancers"])), *filter(None, out)]


def _one_sided(row: Any) -> str:
    """Return what a site that states only recalls, or only normals, tells."""
    if row.breasts < 20:
        return ""
    kind = "recalls (0, 4 or 5)" if row.recalled else "breasts without need for recall"
    text = (
        f"At {row.site} BI-RADS is stated only for {kind}, {count(int(row.breasts), 'breast')}: no "
        "recall rate can be had there"
    )
    if row.labelled and not row.hits:
        text += (
            ", and none of these has cancer: there a stated BI-RADS is the label in disguise, so "
            "never give it to a model"
        )
    return text + "."


def _found(hits: int, cancers: int) -> str:
    """Return how many cancers the recalls caught, and what that says of the label."""
    if cancers < 5:
        return "."
    if hits == cancers:
        return (
            f". All {number(cancers)} cancers with a reading were recalled: either the label rests "
            "on recall, or cancers that readers missed were not followed up. Sensitivity against "
            "it is measured against the readers, not against the disease."
        )
    found = patient_share(hits, cancers)
    return (
        f". The readers recalled {percent(found.rate)} ({span(found.low, found.high)}) of "
        f"{number(cancers)} cancers; an image model is to be compared with that."
    )


def _implant(query: IndexQuery) -> Part:
    row = one_row(
        query,
        "SELECT count(*) AS n, sum(implant::INTEGER) AS y, count(*) FILTER (mixed) AS mixed FROM "
        "(SELECT patient_id, bool_or(implant) AS implant, bool_or(implant) <> bool_and(implant) "
        "AS mixed FROM exams WHERE implant IS NOT NULL GROUP BY patient_id)",
    )
    if not row["n"]:
        return [], [], []
    share = patient_share(int(row["y"]), int(row["n"]))
    if not share.positive:
        return [f"None of {count(share.total, 'patient')} is said to have an implant."], [], []
    where = query.frame(
        "SELECT scanner FROM exams WHERE implant AND scanner IS NOT NULL "
        "GROUP BY scanner ORDER BY count(DISTINCT patient_id) DESC, scanner"
    )["scanner"].tolist()
    machines = int(
        one_row(query, "SELECT count(DISTINCT scanner) AS n FROM exams WHERE implant IS NOT NULL")[
            "n"
        ]
    )
    text = (
        f"{capital(count(share.positive, 'patient'))} {'has' if share.positive == 1 else 'have'} "
        f"an implant: {with_interval(share)}"
    )
    if 0 < len(where) < machines:
        text += (
            f", all at {listed(where)} of {machines} machines; elsewhere implants may be absent, "
            "or never written down"
        )
    if row["mixed"]:
        text += f"; {count(int(row['mixed']), 'patient')} with some images with it and some without"
    return [text + "."], [], []


def _biopsies(query: IndexQuery) -> Part:
    row = one_row(
        query,
        "SELECT count(biopsied) AS n, sum(biopsied) AS y, count(*) FILTER (biopsied = 1 AND "
        "cancer IS NOT NULL) AS labelled, count(*) FILTER (biopsied = 1 AND cancer = 1) AS hits, "
        "count(*) FILTER (cancer = 1 AND invasive IS NOT NULL) AS staged, "
        f"count(*) FILTER (cancer = 1 AND invasive = 1) AS invasive FROM ({_BREASTS})",
    )
    out = []
    if row["n"]:
        text = (
            f"{capital(count(int(row['y']), 'breast'))} of {number(row['n'])} "
            f"{'was' if row['y'] == 1 else 'were'} biopsied ({percent(row['y'] / row['n'])})"
        )
        if row["labelled"]:
            hits = patient_share(int(row["hits"]), int(row["labelled"]))
            text += (
                f", and {percent(hits.rate)} ({span(hits.low, hits.high)}) of the biopsies found "
                "cancer; a biopsied breast without cancer looked suspicious enough to be sampled: "
                "read false positives among these apart"
            )
        out.append(text + ".")
    if row["staged"]:
        invasive = patient_share(int(row["invasive"]), int(row["staged"]))
        out.append(
            f"Of {count(invasive.total, 'breast')} with cancer, {percent(invasive.rate)} "
            f"({span(invasive.low, invasive.high)}) had invasive cancer, the rest "
            "none that is marked invasive (in situ, where the mark is complete); report "
            "sensitivity for invasive cancers by itself."
        )
    return out, [], []


def _difficult(query: IndexQuery) -> Part:
    target = main_target(query) or "cancer"
    row = one_row(
        query,
        "SELECT count(*) AS n, sum(difficult) AS y, count(*) FILTER (difficult = 1 AND label = 1) "
        f"AS odd FROM (SELECT max(difficult) AS difficult, max({target}) AS label FROM exams "
        "WHERE difficult IS NOT NULL GROUP BY exam_id, laterality)",
    )
    if not row["n"]:
        return [], [], []
    y, n, odd = int(row["y"]), int(row["n"]), int(row["odd"])
    if not y:
        return [f"None of {count(n, 'breast')} is marked as a difficult negative."], [], []
    text = (
        f"{capital(count(y, 'breast'))} of {number(n)} ({percent(y / n)}) "
        f"{'is' if y == 1 else 'are'} marked as difficult negatives: draw them more often in "
        "training, and read false positives among them apart"
    )
    if odd:
        text += f"; {number(odd)} of them are labelled positive, which contradicts the mark"
    return [text + "."], [], []
