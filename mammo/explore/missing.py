"""What is missing, where, and whether it is missing at random."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from mammo.explore.association import Association, Attribute, associate
from mammo.explore.counts import main_target, records
from mammo.explore.plots import cell_text, share_grid
from mammo.explore.section import ExploreContext, Plot, Section, Table
from mammo.explore.sentences import capital, count, listed, number, p_value, percent, verb

if TYPE_CHECKING:
    import pandas as pd

    from mammo.data.query import IndexQuery

COLUMNS = {
    "laterality": "side", "view": "view", "scanner": "scanner", "software_version": "software",
    "site": "site", "acquired_on": "date", "age_years": "age", "density": "density",
    "cancer": "cancer", "abnormal": "abnormality", "birads": "BI-RADS", "biopsied": "biopsy",
    "invasive": "invasion", "difficult": "difficulty", "implant": "implant",
    "spacing_mm": "spacing", "rows": "image size",
}  # fmt: skip
"""Columns of the index that a reader may want, and their names on the page."""
GROUPS = (
    Attribute("source", "source", "source"),
    Attribute("site", "site", "site"),
    Attribute("scanner", "scanner", "scanner"),
)
FEW = 0.01
"""A share missing below which the gap is a few rows to look at, not a pattern."""
DECIDES = 0.5
"""Share of a gap's entropy from which on a group is said to decide it."""
MOST_GROUPS = 24


@dataclass(frozen=True)
class Gap:
    """One column that some rows lack: the share of images, and what the gap goes with."""

    column: str
    missing: int
    images: int
    groups: tuple[Association, ...]
    outcome: Association | None
    disguised: tuple[tuple[str, str, int], ...] = ()

    @property
    def name(self) -> str:
        """The column's name on the page."""
        return COLUMNS[self.column]

    @property
    def group(self) -> Association | None:
        """The source, site or scanner that tells most of the gap; the wider at nearly a tie."""
        best = max((one.explained for one in self.groups), default=0.0)
        near = [one for one in self.groups if one.explained >= best - 0.02 and best > 0]
        return near[0] if near else None


def build(query: IndexQuery, context: ExploreContext) -> Section | None:
    """Return what is missing; None without rows."""
    terms = ", ".join(
        f"count(nullif(trim({name}::VARCHAR), '')) AS {name}" for name in COLUMNS
    )  # fmt: skip
    known = query.frame(f"SELECT count(*) AS images, {terms} FROM exams").iloc[0]
    images = int(known["images"])
    if not images:
        return None
    absent = [name for name in COLUMNS if not known[name]]
    partly = [name for name in COLUMNS if 0 < known[name] < images]
    gaps = [_gap(query, name, images - int(known[name]), images) for name in partly]
    sentences = _whole(absent, partly, images)
    together = _together(gaps)
    for alike in together:
        sentences += _sentences(alike[0]) if len(alike) == 1 else [_same(alike)]
    matrix = _matrix(query, [gap.column for gap in gaps]) if gaps else None
    plots, tables = ((_plot(matrix),), (_table(matrix),)) if matrix is not None else ((), ())
    warnings = tuple(text for alike in together for text in _warnings(alike))
    return Section("missing", "Missing values", tuple(sentences), plots, tables, warnings)


def _whole(absent: list[str], partly: list[str], images: int) -> list[str]:
    names = [COLUMNS[name] for name in absent]
    out = []
    if names:
        out.append(
            f"No row states {listed(names, 20)}: nothing can be said or stratified by "
            f"{'it' if len(names) == 1 else 'them'} on this set."
        )
    complete = [COLUMNS[name] for name in COLUMNS if name not in absent and name not in partly]
    if complete:
        out.append(f"Complete in every row {verb(len(complete), 'is')}: {listed(complete, 20)}.")
    return out


def _gap(query: IndexQuery, column: str, missing: int, images: int) -> Gap:
    if missing / images < FEW:
        return Gap(column, missing, images, (), None)
    lacks = f"(nullif(trim({column}::VARCHAR), '') IS NULL)::INTEGER"
    groups = tuple(
        one for group in GROUPS
        if group.sql != column
        and (one := associate(query, group, lacks, of_images=True, tested=False)) is not None
    )  # fmt: skip
    target = main_target(query)
    outcome = None
    if target and target != column:
        label = Attribute(target, target, f"CASE {target} WHEN 1 THEN 'pos' WHEN 0 THEN 'neg' END")
        outcome = associate(query, label, lacks, of_images=True)
    disguised = _disguised(query, column, target) if target and target != column else ()
    return Gap(column, missing, images, groups, outcome, disguised)


def _disguised(query: IndexQuery, column: str, target: str) -> tuple[tuple[str, str, int], ...]:
    """Return (site, class, images) where the column is stated for one class only, by no chance."""
    frame = query.frame(f"""
        SELECT coalesce(nullif(trim(site), ''), 'not stated') AS site, {target} AS label,
            count(*) AS n, count(nullif(trim({column}::VARCHAR), '')) AS stated,
            count(DISTINCT patient_id) AS patients
        FROM exams WHERE {target} IS NOT NULL GROUP BY ALL ORDER BY ALL
    """)
    out = []
    for site, part in frame.groupby("site"):
        by = {int(row.label): row for row in records(part)}
        if by.keys() != {0, 1}:
            continue
        for bare, other in ((1, 0), (0, 1)):
            rate = by[other].stated / by[other].n
            # so many patients without a value at that rate: under one in a thousand
            if not by[bare].stated and (1 - rate) ** by[bare].patients < 1e-3:
                kind = "negative" if bare else "positive"
                out.append((str(site), kind, int(by[other].stated)))
    return tuple(out)


def _sentences(gap: Gap) -> list[str]:
    share = gap.missing / gap.images
    name = capital(gap.name)
    if share < FEW:
        return [f"{name} is missing in {count(gap.missing, 'image')} ({percent(share)}) only."]
    text = f"{name} is missing in {percent(share)} of images"
    group = gap.group
    if group is None or group.explained < 0.02:
        return [text + _at_random(gap), *_by_outcome(gap)]
    lows = [name for name, one in group.levels if one.rate < 0.05]
    none = [name for name, one in group.levels if one.rate == 1]
    if none:
        noun = group.attribute.title
        text += f": in every image of {listed(none)}"
        rest = [(level, one) for level, one in group.levels if level not in none]
        if rest:
            parts = [f"{percent(one.rate)} {_unit(group)} {level}" for level, one in rest]
            text += f", against {listed(parts)}"
        text += f". The {noun} decides it, so it is not missing at random"
        if group.explained < DECIDES:
            text = text.replace("decides it", f"tells {percent(group.explained)} of it")
        text += _whole_absent(gap, group, none)
    else:
        high = max(group.levels, key=lambda item: item[1].rate)
        low = min(group.levels, key=lambda item: item[1].rate)
        text += (
            f", and that depends on the {group.attribute.title}: {percent(low[1].rate)} "
            f"{_unit(group)} {low[0]}, {percent(high[1].rate)} {_unit(group)} {high[0]}. It is "
            "not missing at random"
            + (f"; use it within {listed(lows)} only." if lows and len(lows) < len(group.levels)
               else f"; compare like with like within each {group.attribute.title}.")
        )  # fmt: skip
    return [text, *_by_outcome(gap)]


def _together(gaps: list[Gap]) -> list[list[Gap]]:
    """Put gaps together that are in exactly the same rows: those of whole sources, say."""
    alike: dict[tuple[str, ...], list[Gap]] = {}
    for gap in gaps:
        key: tuple[str, ...] = (gap.column,)
        if gap.group is not None and not gap.disguised:
            levels = gap.group.levels
            if all(one.rate in (0.0, 1.0) for _, one in levels):
                none = [name for name, one in levels if one.rate == 1]
                key = ("every row of", gap.group.attribute.key, *none)
        alike.setdefault(key, []).append(gap)
    return list(alike.values())


def _same(gaps: list[Gap]) -> str:
    """Say once what holds for all columns that the same sources, sites or scanners lack."""
    first, group = gaps[0], gaps[0].group
    assert group is not None, "only gaps that a group decides are put together"
    none = [name for name, one in group.levels if one.rate == 1]
    where = [name for name, one in group.levels if one.rate == 0]
    noun = group.attribute.title
    text = (
        f"{capital(listed((gap.name for gap in gaps), 20))} are missing together in "
        f"{percent(first.missing / first.images)} of images: in every image of {listed(none)}, in "
        f"none of {listed(where)}. The {noun} decides it, so they are not missing at random: "
        f'"missing" would be the {noun}\'s name in disguise. Use them within {listed(where)}, and '
        f"claim nothing about them for {listed(none)}."
    )
    if _differs(first):
        text += f" As the outcome differs by {noun}, never give a model the fact that they lack."
    return text


def _unit(group: Association) -> str:
    return f"of {group.unit} at" if group.attribute.key != "source" else f"of {group.unit} in"


def _whole_absent(gap: Gap, group: Association, none: list[str]) -> str:
    """Return what follows when the column does not exist for a whole source, site or scanner."""
    where = [name for name, one in group.levels if one.rate < 1]
    noun = group.attribute.title
    return (
        f": leaving out rows without {gap.name} would leave out {listed(none)} altogether, and "
        f"\"missing\" as a category of its own would be the {noun}'s name in disguise. Use "
        f"{gap.name} within {listed(where)}, and claim nothing about it for "
        f"{listed(none)}."
    )  # fmt: skip


def _at_random(gap: Gap) -> str:
    noted = [one.attribute.title for one in gap.groups]
    if not noted:
        return "; with one source, site and scanner there is no group that could explain it."
    return f", about equally by {listed(noted)}."


def _by_outcome(gap: Gap) -> list[str]:
    """Return whether the gap goes with the label, which would make it a shortcut."""
    return _one_class(gap) or _differs(gap)


def _one_class(gap: Gap) -> list[str]:
    return [
        f"At {site}, {gap.name} is stated in {count(n, 'image')}, every one of them {kind}: "
        "there it was written down after the outcome was known or for a choice of cases, and "
        "whether it is stated betrays the label. Drop it as an input."
        for site, kind, n in gap.disguised
    ]


def _differs(gap: Gap) -> list[str]:
    one = gap.outcome
    if one is None or one.p is None:
        return []
    shares = dict(one.levels)
    if not {"pos", "neg"} <= shares.keys() or one.p >= 0.01:
        return []
    return [
        f"{capital(gap.name)} is missing for {percent(shares['pos'].rate)} of positive and "
        f"{percent(shares['neg'].rate)} of negative {one.unit} ({p_value(one.p)}): whether it is "
        "stated says something about the outcome, so never give a model that fact."
    ]


def _warnings(gaps: list[Gap]) -> list[str]:
    gap, group = gaps[0], gaps[0].group
    if group is None or gap.missing / gap.images < FEW:
        return []
    if gap.disguised:
        return _one_class(gap)
    none = [name for name, one in group.levels if one.rate == 1]
    if not none or group.explained < DECIDES:
        return []
    if len(gaps) > 1:
        names = capital(listed((one.name for one in gaps), 20))
        return [
            f"{names} do not exist for {group.attribute.title} {listed(none)}: they are not "
            "missing at random. Do not impute them; stratify by them elsewhere only."
        ]
    return [
        f"{capital(gap.name)} does not exist for {group.attribute.title} {listed(none)}: it is not "
        "missing at random. Do not impute it; stratify by it elsewhere only."
    ]  # fmt: skip


def _matrix(query: IndexQuery, columns: list[str]) -> pd.DataFrame:
    terms = ", ".join(
        f"1 - count(nullif(trim({name}::VARCHAR), '')) / count(*) AS \"{name}\"" for name in columns
    )
    return query.frame(f"""
        SELECT concat_ws(', ', nullif(trim(source), ''), nullif(trim(site), ''),
            nullif(trim(scanner), '')) AS place, count(*) AS images, {terms}
        FROM exams GROUP BY 1 ORDER BY images DESC, place LIMIT {MOST_GROUPS}
    """).sort_values("place", ignore_index=True)


def _shares(matrix: pd.DataFrame) -> tuple[list[str], list[list[float]]]:
    columns = [name for name in matrix.columns if name not in ("place", "images")]
    return columns, matrix[columns].astype(float).to_numpy().tolist()


def _places(matrix: pd.DataFrame) -> list[str]:
    """Return the rows' names without the source where there is only one."""
    sources = {place.split(", ")[0] for place in matrix["place"]}
    cut = len(sources) == 1 and all(", " in place for place in matrix["place"])
    names = [place.split(", ", 1)[1] if cut else place for place in matrix["place"]]
    return [name or "not stated" for name in names]


def _plot(matrix: pd.DataFrame) -> Plot:
    columns, shares = _shares(matrix)
    pairs = zip(_places(matrix), matrix["images"], strict=True)
    names = [f"{place} (n={n:,})" for place, n in pairs]
    alt = (
        f"Share of images that lack each of {listed(map(COLUMNS.__getitem__, columns), 20)}, in "
        f"{len(matrix)} groups by site and scanner; the table below has the numbers."
    )
    return share_grid(
        "missing-matrix", "Missing by site and scanner", alt, names,
        [COLUMNS[name] for name in columns], shares, "missing, % of images",
    )  # fmt: skip


def _table(matrix: pd.DataFrame) -> Table:
    columns, shares = _shares(matrix)
    rows = tuple(
        (place, number(n), *(cell_text(value) + "%" for value in values))
        for place, n, values in zip(_places(matrix), matrix["images"], shares, strict=True)
    )
    head = ("where", "images", *(COLUMNS[name] for name in columns))
    return Table(head, rows, "Share of images without a value (columns that some rows lack)")
