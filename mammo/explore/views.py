"""Which views an exam has: the four of screening, more, or fewer; left and right."""

from __future__ import annotations

from typing import TYPE_CHECKING

from mammo.explore.counts import one_row, records, row_share
from mammo.explore.plots import bar_plot, new_figure, to_plot
from mammo.explore.section import ExploreContext, Plot, Section, Table
from mammo.explore.sentences import (
    capital,
    count,
    listed,
    named,
    number,
    percent,
    with_interval,
)

if TYPE_CHECKING:
    import pandas as pd

    from mammo.data.query import IndexQuery

_EXAMS = """
    SELECT exam_id, any_value(patient_id) AS patient_id, count(*) AS images,
        count(DISTINCT (laterality, view))
            FILTER (laterality IN ('L', 'R') AND view IN ('CC', 'MLO')) AS standard,
        count(*) FILTER (view NOT IN ('CC', 'MLO') AND view <> 'U') AS extra,
        count(DISTINCT laterality) FILTER (laterality IN ('L', 'R')) AS sides,
        count(DISTINCT view) FILTER (view IN ('CC', 'MLO')) AS kinds
    FROM exams GROUP BY exam_id
"""


def build(query: IndexQuery, context: ExploreContext) -> Section | None:
    """Return how exams are made up of views, or None without rows."""
    exams = one_row(
        query,
        f"SELECT count(*) AS n, count(*) FILTER (standard = 4) AS complete, "
        "count(*) FILTER (standard = 4 AND images = 4) AS exact, "
        "count(*) FILTER (images > 4) AS more, count(*) FILTER (sides = 1) AS one_sided, "
        "count(*) FILTER (standard < 4) AS fewer, count(*) FILTER (extra > 0) AS extra, "
        f"max(images) AS most, max(kinds) AS kinds FROM ({_EXAMS})",
    )
    if not exams["n"]:
        return None
    views = query.frame(
        "SELECT view, count(*) AS images, count(DISTINCT exam_id) AS exams FROM exams "
        "GROUP BY view ORDER BY images DESC, view"
    )
    sizes = query.frame(
        f"SELECT images, count(*) AS exams FROM ({_EXAMS}) GROUP BY images ORDER BY images"
    )
    sides = query.frame("SELECT laterality, count(*) AS images FROM exams GROUP BY 1 ORDER BY 1")
    gaps = _gaps(query)
    sentences = [_kinds(views), *_completeness(query, exams), *_extra(exams, views), _sides(sides)]
    plots = (_sizes_plot(sizes), _views_plot(views)) if len(sizes) + len(views) > 2 else ()
    tables = (_gap_table(gaps),) if len(gaps) and exams["kinds"] > 1 else ()
    return Section(
        "views", "Views and laterality", tuple(sentences), plots, tables,
        tuple(_warnings(exams, views, sides)),
    )  # fmt: skip


def _kinds(views: pd.DataFrame) -> str:
    total = int(views["images"].sum())
    parts = [
        f"{named(row.view)} {percent(row.images / total)}" for row in records(views)
        if row.images / total >= 0.001
    ]  # fmt: skip
    rare = [row for row in records(views) if row.images / total < 0.001]
    if len(views) == 1:
        return f"All {count(total, 'image')} are {named(views['view'].iloc[0])} views."
    text = f"By view the images are {listed(parts, 10)}"
    if rare:
        names = [f"{named(row.view)} ({row.images})" for row in rare]
        text += f"; beside these stand single images of {listed(names, 10)}"
    return text + "."


def _completeness(query: IndexQuery, exams: pd.Series) -> list[str]:
    n = int(exams["n"])
    if exams["kinds"] <= 1:
        return [
            "No exam has both CC and MLO: a model that combines the two projections of a breast "
            "cannot be trained or tested on this set, one that takes each view by itself can."
        ]
    sums = one_row(
        query,
        "SELECT count(*) AS m, sum(y) AS y, sum(n) AS n, sum(y*y) AS yy, sum(y*n) AS yn, "
        "sum(n*n) AS nn FROM (SELECT count(*)::DOUBLE AS n, "
        f"(count(*) FILTER (standard = 4))::DOUBLE AS y FROM ({_EXAMS}) GROUP BY patient_id)",
    )
    complete, exact = row_share(sums), int(exams["exact"])
    four = "all four screening views (CC and MLO of either breast)"
    if complete.positive == n:
        text = f"Every exam has {four}" if n > 1 else f"The exam has {four}"
    else:
        some = capital(count(complete.positive, "exam"))
        text = f"{some} of {number(n)} {_have(complete.positive)} {four}: {with_interval(complete)}"
    if exact and n > 1:
        text += f"; {number(exact)} {_have(exact)} exactly these four images"
    out = [text + "."]
    if exams["one_sided"]:
        one = int(exams["one_sided"])
        out.append(
            f"{capital(count(one, 'exam'))} {'shows' if one == 1 else 'show'} one breast only "
            f"({percent(one / n)}), as after a mastectomy, in a diagnostic work-up, or because the "
            "set's makers chose the breasts."
        )
    return out


def _extra(exams: pd.Series, views: pd.DataFrame) -> list[str]:
    n, more, extra = int(exams["n"]), int(exams["more"]), int(exams["extra"])
    out = []
    if more:
        out.append(
            f"{capital(count(more, 'exam'))} ({percent(more / n)}) {_have(more)} more than four "
            f"images, up to {int(exams['most'])}: repeats or further parts of a large breast. When "
            "a breast's score is the mean over its images, look whether extra images go with the "
            "outcome."
        )
    if extra:
        out.append(
            f"{capital(count(extra, 'exam'))} {'contains' if extra == 1 else 'contain'} a "
            "projection other than CC and MLO; the screening model does not use it."
        )
    return out


def _sides(sides: pd.DataFrame) -> str:
    n = dict(zip(sides["laterality"].map(named), sides["images"].astype(int), strict=True))
    left, right = n.pop("L", 0), n.pop("R", 0)
    unknown = sum(n.values())
    if not left + right:
        return "No image states its side, so no breast can be told from the other."
    share, z = left / (left + right), abs(left - right) / (left + right) ** 0.5
    if not min(left, right):
        text = f"All images with a stated side are of the {'left' if left else 'right'} breast"
    else:
        text = f"{capital(count(left, 'image'))} show the left breast and {number(right)} the right"
        text = text.replace("image show ", "image shows ")
        text += f", {percent(share)} left" if z > 4 else ", even within what chance allows"
    return text + (f"; {count(unknown, 'image')} state none." if unknown else ".")


def _warnings(exams: pd.Series, views: pd.DataFrame, sides: pd.DataFrame) -> list[str]:
    out, n = [], int(exams["n"])
    unknown = int(views.loc[views["view"].map(named).isin(("U", "not stated")), "images"].sum())
    if unknown:
        out.append(
            f"{capital(count(unknown, 'image'))} state no view: preference among repeats and the "
            "choice of the four screening images fail for their exams. Look at them, or leave "
            "them out."
        )
    nowhere = int(sides.loc[~sides["laterality"].map(named).isin(("L", "R")), "images"].sum())
    if nowhere:
        out.append(f"{capital(count(nowhere, 'image'))} state no side and belong to no breast.")
    fewer = int(exams["fewer"])
    if exams["kinds"] > 1 and fewer / n > 0.2:
        out.append(
            f"{percent(fewer / n)} of exams lack a screening view: whether a view is missing may "
            "itself tell the outcome; compare prevalence with and without them."
        )
    return out


def _gaps(query: IndexQuery) -> pd.DataFrame:
    return query.frame("""
        WITH have AS (SELECT DISTINCT exam_id, laterality, view FROM exams),
        n AS (SELECT count(DISTINCT exam_id) AS n FROM exams)
        SELECT v.side || ' ' || v.kind AS missing,
            any_value(n.n) - count(DISTINCT have.exam_id) AS exams
        FROM (VALUES ('L', 'CC'), ('L', 'MLO'), ('R', 'CC'), ('R', 'MLO')) AS v(side, kind)
        CROSS JOIN n LEFT JOIN have ON have.laterality = v.side AND have.view = v.kind
        GROUP BY ALL HAVING any_value(n.n) > count(DISTINCT have.exam_id) ORDER BY 1
    """)


def _gap_table(gaps: pd.DataFrame) -> Table:
    rows = tuple((row.missing, number(row.exams)) for row in records(gaps))
    return Table(("view", "exams without it"), rows, "Missing screening views")


def _sizes_plot(sizes: pd.DataFrame) -> Plot:
    figure, (axes,) = new_figure(2.6)
    axes.bar(sizes["images"], sizes["exams"], color="#0072b2", width=0.8)
    for row in records(sizes):
        axes.annotate(
            f"{row.exams:,}", (row.images, row.exams), xytext=(0, 2), textcoords="offset points",
            ha="center", fontsize=8,
        )  # fmt: skip
    axes.set_xlabel("images in an exam", fontsize=9)
    axes.set_ylabel("exams", fontsize=9)
    axes.set_xticks(sizes["images"] if len(sizes) < 16 else sizes["images"][::2])
    axes.grid(axis="x", visible=False)
    axes.margins(y=0.12)
    most = sizes.sort_values("exams").iloc[-1]
    alt = f"Most exams ({most.exams:,}) have {most.images} images."
    return to_plot(figure, "views-sizes", "Images per exam", alt)


def _views_plot(views: pd.DataFrame) -> Plot:
    total = int(views["images"].sum())
    rows = [
        (named(row.view), float(row.images), f"{row.images:,} ({percent(row.images / total)})")
        for row in records(views.head(12))
    ]
    alt = "Images by view: " + "; ".join(f"{name} {words}" for name, _, words in rows)
    return bar_plot("views-kinds", "Images by view", alt, rows, "images")


def _have(n: int) -> str:
    return "has" if n == 1 else "have"
