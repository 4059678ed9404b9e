"""Sites and machines: the mix, which machine stands where, and what that nesting means."""

from __future__ import annotations

from typing import TYPE_CHECKING

from mammo.explore.counts import records
from mammo.explore.plots import SERIES, clip, new_figure, to_plot
from mammo.explore.section import ExploreContext, Plot, Section, Table
from mammo.explore.sentences import capital, count, listed, named, number, percent, verb

if TYPE_CHECKING:
    import pandas as pd

    from mammo.data.query import IndexQuery

UNSTATED = "not stated"
_MIX = """
    SELECT coalesce(nullif(trim(site), ''), 'not stated') AS site,
        coalesce(nullif(trim(scanner), ''), 'not stated') AS scanner,
        count(*) AS images, count(DISTINCT exam_id) AS exams,
        count(DISTINCT patient_id) AS patients,
        count(DISTINCT nullif(trim(software_version), '')) AS versions,
        min(acquired_on)::VARCHAR AS first, max(acquired_on)::VARCHAR AS last
    FROM exams GROUP BY ALL ORDER BY site, images DESC, scanner
"""
SMALL_PATIENTS = 200
"""Patients below which a machine has, at screening's prevalence, next to no cancers to test on."""
MOST_ROWS = 40


def build(query: IndexQuery, context: ExploreContext) -> Section | None:
    """Return the mix of sites and machines; None without rows."""
    mix = query.frame(_MIX)
    if mix.empty:
        return None
    sites = [name for name in mix["site"].unique() if name != UNSTATED]
    scanners = [name for name in mix["scanner"].unique() if name != UNSTATED]
    sentences = [*_mix_sentences(mix, sites, scanners), *_nesting(mix, sites, scanners)]
    sentences += _small(mix) + _software(query, mix) + _switchers(query)
    plots = (_plot(mix),) if len(mix) > 1 else ()
    return Section(
        "machines", "Sites and machines", tuple(sentences), plots, (_table(mix),),
        tuple(_warnings(mix, sites, scanners)),
    )  # fmt: skip


def _mix_sentences(mix: pd.DataFrame, sites: list[str], scanners: list[str]) -> list[str]:
    total = int(mix["images"].sum())
    out = []
    if not sites and not scanners:
        return [
            "Neither site nor machine is stated for any image: what they do to the images and to "
            "the labels cannot be separated."
        ]
    for names, key, noun in ((sites, "site", "site"), (scanners, "scanner", "machine")):
        if len(names) == 1 and len(mix[key].unique()) == 1:
            out.append(f"All images come from one {noun}, {names[0]}.")
        elif names:
            shares = mix.groupby(key)["images"].sum().sort_values(ascending=False) / total
            parts = [f"{name} {percent(share)}" for name, share in shares.items()]
            out.append(
                f"{count(len(names), noun)} {'makes' if len(names) == 1 else 'make'} the images: "
                f"{listed(parts, 5)}."
            )
    return [capital(text) for text in out]


def _nesting(mix: pd.DataFrame, sites: list[str], scanners: list[str]) -> list[str]:
    if len(sites) < 2 or len(scanners) < 2:
        return []
    stated = mix[(mix["site"] != UNSTATED) & (mix["scanner"] != UNSTATED)]
    homes = stated.groupby("scanner")["site"].nunique()
    per_site = stated.groupby("site")["scanner"].nunique()
    shared = [str(name) for name in homes[homes > 1].index]
    where = [f"{n} at {site}" for site, n in per_site.items()]
    if not shared:
        return [
            f"No machine stands at two sites ({listed(where)}): machine is nested in site. A "
            "difference between machines of different sites cannot be told from one between the "
            "sites' women, readers and habits; only machines at one site can be compared, and "
            "leaving one machine out does not leave its site out."
        ]
    return [
        f"{capital(listed(shared))} {verb(len(shared), 'is')} used at more than one site "
        f"({listed(where)}), so the effect of site and of machine can be told apart there."
    ]


def _small(mix: pd.DataFrame) -> list[str]:
    patients = mix[mix["scanner"] != UNSTATED].groupby("scanner")["patients"].sum()
    small = patients[patients < SMALL_PATIENTS].sort_values()
    if small.empty or len(patients) == 1:
        return []
    parts = [f"{name} ({n})" for name, n in small.items()]
    return [
        f"{capital(count(len(small), 'machine'))} {'has' if len(small) == 1 else 'have'} fewer "
        f"than {SMALL_PATIENTS} patients: {listed(parts)}. A result for one of them alone says "
        "little; pool them, or leave them out of results by machine and say so."
    ]


def _software(query: IndexQuery, mix: pd.DataFrame) -> list[str]:
    if not mix["versions"].sum():
        return [
            "Software versions are not stated, so a change of image processing on a machine "
            "cannot be seen in the record."
        ]
    changed = query.frame(
        "SELECT scanner, count(DISTINCT software_version) AS versions FROM exams "
        "WHERE trim(software_version) <> '' GROUP BY scanner HAVING versions > 1 "
        "ORDER BY versions DESC, scanner"
    )
    if changed.empty:
        return ["Each machine with a stated software version has only one."]
    parts = [f"{named(row.scanner)} ({row.versions})" for row in records(changed)]
    return [
        f"{capital(count(len(changed), 'machine'))} {'has' if len(changed) == 1 else 'have'} "
        f"images of several software versions: {listed(parts)}. Treat a version as a change of "
        "the machine when looking at intensities."
    ]


def _switchers(query: IndexQuery) -> list[str]:
    n = int(
        query.frame(
            "SELECT count(*) AS n FROM (SELECT exam_id FROM exams WHERE scanner IS NOT NULL "
            "GROUP BY exam_id HAVING count(DISTINCT scanner) > 1)"
        )["n"].iloc[0]
    )
    if not n:
        return []
    return [
        f"{capital(count(n, 'exam'))} {'holds' if n == 1 else 'hold'} images of two machines: a "
        "second appointment under one number, or a mix-up; its parts are in either machine's "
        "counts."
    ]


def _warnings(mix: pd.DataFrame, sites: list[str], scanners: list[str]) -> list[str]:
    total = int(mix["images"].sum())
    shares = mix.groupby("scanner")["images"].sum() / total
    top = shares.sort_values(ascending=False)
    if len(scanners) > 2 and top.iloc[0] > 0.7:
        return [
            f"One machine ({top.index[0]}) makes {percent(float(top.iloc[0]))} of the images: an "
            "overall result is mostly a result on it; report results by machine."
        ]
    if len(scanners) == 1:
        return [
            f"There is one machine only ({scanners[0]}): nothing here shows how a model does on "
            "another."
        ]
    return []


def _plot(mix: pd.DataFrame) -> Plot:
    rows = mix.sort_values(["site", "patients"], ascending=[True, False]).head(MOST_ROWS)
    sites = list(dict.fromkeys(rows["site"]))
    figure, (axes,) = new_figure(1.0 + 0.3 * len(rows))
    for i, site in enumerate(sites):
        part = [(y, row) for y, row in enumerate(records(rows)) if row.site == site]
        axes.barh(
            [y for y, _ in part], [row.patients for _, row in part], height=0.62,
            color=SERIES[i % len(SERIES)], label=clip(site),
        )  # fmt: skip
    for y, row in enumerate(records(rows)):
        axes.annotate(
            f"{row.patients:,} ({row.images:,} images)", (row.patients, y), xytext=(4, 0),
            textcoords="offset points", va="center", fontsize=8,
        )  # fmt: skip
    names = [clip(f"{row.scanner}, {row.site}") for row in records(rows)]
    axes.set_yticks(range(len(rows)), names)
    axes.set_ylim(len(rows) - 0.4, -0.6)
    axes.margins(x=0.25)
    axes.grid(axis="y", visible=False)
    axes.set_xlabel("patients", fontsize=9)
    if len(sites) > 1:
        axes.legend(title="site", loc="best", frameon=False, fontsize=8.5, title_fontsize=8.5)
    alt = f"Patients by machine: {len(rows)} machines at {len(sites)} sites."
    return to_plot(figure, "machines-mix", "Patients by machine and site", alt)


def _table(mix: pd.DataFrame) -> Table:
    rows = tuple(
        (row.site, row.scanner, number(row.images), number(row.exams), number(row.patients),
         number(row.versions) if row.versions else UNSTATED,
         f"{row.first} to {row.last}" if isinstance(row.first, str) else UNSTATED)
        for row in records(mix.head(MOST_ROWS))
    )  # fmt: skip
    columns = ("site", "machine", "images", "exams", "patients", "software versions", "period")
    more = f"; the {MOST_ROWS} first of {len(mix)}" if len(mix) > MOST_ROWS else ""
    return Table(columns, rows, f"Which machine stands at which site{more}")
