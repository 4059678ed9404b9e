"""Whether scanner, site, view, age, implant or density betray the label."""

from __future__ import annotations

from typing import TYPE_CHECKING

from mammo.explore.association import UNSTATED, Association, associations
from mammo.explore.counts import POSITIVE_WORDS, Share, image_share, main_target
from mammo.explore.plots import interval_plot
from mammo.explore.section import ExploreContext, Plot, Section, Table
from mammo.explore.sentences import (
    capital,
    count,
    listed,
    number,
    p_value,
    percent,
    plural_of,
    span,
    times,
    with_interval,
)

if TYPE_CHECKING:
    from mammo.data.query import IndexQuery

ALPHA = 0.05
ADVICE = {
    "source": "A model can tell sources by their look: test within each, or balance them.",
    "site": "Stratify splits by site and read the AUC within each site, not over all.",
    "scanner": "Stratify splits by scanner, read the AUC within each, and leave one machine out "
    "once: what the pooled AUC gains over the AUC within machines is the machine, not the disease.",
    "software": "Software changes the look of images; check the AUC before and after each change.",
    "year": "Split by period for a fair estimate of tomorrow, and look for a change of practice.",
    "age": "Risk does rise with age, so this need not be an artefact; yet age can be read "
    "from the tissue. Report the AUC within age bands, and balance age over the parts of a split.",
    "density": "Density both raises the risk and hides cancers; report the AUC by density.",
    "implant": "Report women with implants apart; do not let a model take the implant as a sign.",
    "view": "Score breasts from both views, so that the view's share cannot matter.",
    "side": "No biology explains a large difference between sides: look at how labels were joined.",
    "images": "Do not let the number of images enter a breast's score: take the mean or the "
    "preferred image per view, never the sum or the maximum over all.",
    "size": "Image size goes with the detector: crop and resize all images alike, as `mammo` does.",
}


def build(query: IndexQuery, context: ExploreContext) -> Section | None:
    """Return which attributes go with the label, with intervals and corrected tests."""
    target = main_target(query)
    if target is None:
        return None
    total = image_share(query, target)
    if total.positive in (0, total.total):
        return Section("bias", "Does the record betray the label?", (
            f"All labels are the same ({count(total.total, 'image')}), so no attribute can go "
            "with them.",))  # fmt: skip
    found = associations(query, target)
    if not found:
        return Section("bias", "Does the record betray the label?", (
            "No attribute of the record takes more than one value, so none can betray the "
            "label.",))  # fmt: skip
    sure = [one for one in found if one.p_holm is not None and one.p_holm < ALPHA]
    sentences = [
        _method(found, target), *(_sentence(one, target) for one in sure), *_quiet(found, sure)
    ]  # fmt: skip
    if sure:
        sentences.append(
            "These are associations in the record, not causes: the attributes hang together (a "
            "machine stands at one site, a site invites certain women), and the section on what "
            "the record alone can tell says which of them still matters beside the others."
        )
    plots = tuple(_plot(one, target) for one in found if _worth_drawing(one, one in sure))
    return Section(
        "bias", "Does the record betray the label?", tuple(sentences), plots,
        (_table(found),), tuple(_warning(one, target) for one in sure if _is_artefact(one)),
    )  # fmt: skip


def _method(found: list[Association], target: str) -> str:
    tested = [one for one in found if one.p is not None]
    what = POSITIVE_WORDS[target]
    if not tested:
        return (
            f"{capital(count(len(found), 'attribute'))} of the record "
            f"{'takes' if len(found) == 1 else 'take'} more than one value, but the set has too "
            f"few positives to test whether any goes with {what}: treat the shares below as "
            "impressions."
        )
    attributes = count(len(tested), "attribute")
    return (
        f"{capital(attributes)} of the record {'was' if len(tested) == 1 else 'were'} tested "
        f"for going with {what}; p values are corrected for that number (Holm), and all intervals "
        "and tests take the patient as the unit."
    )


def _sentence(one: Association, target: str) -> str:
    """Return what differs, by how much, and what to do about it."""
    (low_name, low), (high_name, high) = extremes(one)
    gap = times(high.rate / low.rate) if low.rate else ""
    per = "patients" if one.unit == "patients" else "images"
    return (
        f"{capital(one.attribute.title)}: the share of {per} with {POSITIVE_WORDS[target]} runs "
        f"from {_at(low)} ({low_name}) to {_at(high)} ({high_name})"
        f"{', ' + gap + ' as high' if gap else ''}; {p_value(one.p_holm or 0.0)} after "
        f"correction. Knowing it removes {percent(one.explained)} of the uncertainty about the "
        f"label. {ADVICE[one.attribute.key]}"
    )


def _at(share: Share) -> str:
    return f"{percent(share.rate)} [{span(share.low, share.high)}]"


def extremes(one: Association) -> tuple[tuple[str, Share], tuple[str, Share]]:
    """Return the levels with the lowest and the highest share, of those large enough."""
    levels = one.compared if len(one.compared) > 1 else one.levels
    return min(levels, key=lambda item: item[1].rate), max(levels, key=lambda item: item[1].rate)


def _quiet(found: list[Association], sure: list[Association]) -> list[str]:
    quiet = [one for one in found if one.p_holm is not None and one not in sure]
    untested = [one.attribute.title for one in found if one.p is None]
    out = []
    if quiet:
        names = [f"{one.attribute.title} ({p_value(one.p_holm or 0.0)})" for one in quiet]
        bounds = [one for one in quiet if len(one.compared) > 1]
        text = f"No difference beyond chance was seen for {listed(names, 12)}"
        if bounds:
            widest = max(bounds, key=lambda one: _largest_ratio(one))
            text += (
                f"; that does not prove there is none: for {widest.attribute.title} the intervals "
                f"still allow a ratio of {_largest_ratio(widest):.1f}"
            )
        out.append(text + ".")
    if untested:
        out.append(
            f"Too few positives in all but one level of {listed(untested, 12)} to test; their "
            "shares are in the table."
        )
    return out


def _largest_ratio(one: Association) -> float:
    low, high = extremes(one)
    return min(99.0, high[1].high / max(low[1].low, 1e-6))


def _is_artefact(one: Association) -> bool:
    """Tell whether no biology explains the difference, so that it goes into the summary."""
    return one.attribute.key in {"source", "site", "scanner", "software", "side", "images", "size"}


def _warning(one: Association, target: str) -> str:
    (low_name, low), (high_name, high) = extremes(one)
    many = plural_of(one.attribute.title) if one.attribute.key != "images" else "numbers of images"
    return (
        f"The share with {POSITIVE_WORDS[target]} differs between {many} more than chance allows "
        f"({percent(low.rate)} at {low_name}, {percent(high.rate)} at {high_name}): it can serve "
        "a model as a shortcut."
    )


def _worth_drawing(one: Association, sure: bool) -> bool:
    return len(one.levels) <= 24 and (sure or one.attribute.key in ("scanner", "density", "age"))


def _plot(one: Association, target: str) -> Plot:
    positive = sum(share.positive for _, share in one.levels)
    total = sum(share.total for _, share in one.levels)
    low, high = extremes(one)
    alt = (
        f"Share with {POSITIVE_WORDS[target]} by {one.attribute.title}, from "
        f"{percent(low[1].rate)} ({low[0]}) to {percent(high[1].rate)} ({high[0]}); 95% intervals."
    )
    title = f"{POSITIVE_WORDS[target].capitalize()} by {one.attribute.title}"
    return interval_plot(
        f"bias-{one.attribute.key}", title, alt, one.levels,
        f"{one.unit} with {POSITIVE_WORDS[target]}, % (95% interval)", one.unit, positive / total,
    )  # fmt: skip


def _table(found: list[Association]) -> Table:
    rows = []
    for one in found:
        named = sum(1 for name, _ in one.levels if name != UNSTATED)
        (low_name, low), (high_name, high) = extremes(one)
        rows.append((
            one.attribute.title, number(named), one.unit,
            f"{low_name}: {with_interval(low)}", f"{high_name}: {with_interval(high)}",
            "too few" if one.p is None else p_value(one.p),
            "" if one.p_holm is None else p_value(one.p_holm), percent(one.explained),
        ))  # fmt: skip
    columns = ("attribute", "levels", "unit", "lowest", "highest", "p", "p, Holm", "explained")
    return Table(columns, tuple(rows), "Attributes of the record against the label")
