"""What late outcomes say, as HTML for the monitor's pages."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from html import escape
from typing import Any

from monitoring.sections import bar, table

Found = Mapping[str, Any]
MEASURES = {
    "auc": "AUC",
    "sensitivity": "Sensitivity",
    "recall_rate": "Recall rate",
    "ppv": "PPV of recall",
    "detection_rate": "Cancers found per 1,000 exams",
}
"""Figure of a cohort -> what radiologists call it."""

FAMILIES = {
    "recalled rank": "cancers of recalled women are ranked lower",
    "recalled rate": "more or fewer cancers among recalled women",
    "recalled both": "either of them, together",
    "everyone rank": "cancers of all women, after two years, are ranked lower",
}
DIRECTIONS = {"up": "more", "down": "fewer"}


def outcomes_section(report: Mapping[str, Any]) -> str:
    """Return what is known from outcomes: what they confirm, and figures by maturity."""
    outcomes: Found = report.get("outcomes") or {}
    performance = _performance(report.get("performance") or {})
    if not outcomes:
        return performance
    notes = "".join(f"<p class=quiet>{escape(str(one))}</p>" for one in outcomes["notes"])
    return (
        f"<p>{outcomes['known']:,} of {outcomes['exams']:,} exams have an outcome.</p>"
        f"{_findings(outcomes['findings'], loss=_is_lost(report))}{performance}"
        f"{_maturity(outcomes['maturity'])}{_estimate(outcomes['estimate'])}{notes}"
    )


def _is_lost(report: Found) -> bool:
    """True where a look at all known outcomes found the AUC below the reference's."""
    return bool((report.get("performance") or {}).get("loss"))


def _findings(found: Found, *, loss: bool) -> str:
    lines = []
    if loss:
        lines.append("<b>Confirmed:</b> the AUC of all known outcomes is below the reference's.")
    if found.get("rank_confirmed"):
        lines.append(
            f"<b>Confirmed:</b> the release ranks cancers lower than it did{_rank(found)}."
        )
    if found.get("rate_confirmed"):
        direction = DIRECTIONS.get(str(found.get("direction")), "more or fewer")
        lines.append(
            f"<b>Confirmed:</b> {direction} cancers per exam than in the reference"
            f"{_interval(found.get('rate_ratio'), '×')}."
        )
    if not lines:
        lines.append(
            f"Nothing is confirmed by outcomes; {found.get('cancers_ranked', 0)} cancers ranked."
        )
    parts = [
        [escape(FAMILIES.get(str(name), str(name))), bar(float(part), "chance")]
        for name, part in (found.get("evidence") or {}).items()
    ]
    shown = table(("Evidence of", "Part of what is needed"), parts) if parts else ""
    return f"<p>{'<br>'.join(lines)}</p>{shown}"


def _rank(found: Found) -> str:
    if found.get("rank_shift") is None:
        return ""
    low, high = found.get("rank_low"), found.get("rank_high")
    interval = f" (95% {low:+.2f} to {high:+.2f})" if low is not None and high is not None else ""
    return f", by {found['rank_shift']:+.2f} SD{interval}"


def _interval(value: Sequence[float] | None, unit: str = "") -> str:
    if value is None:
        return ""
    middle, low, high = value
    return f": {unit}{middle:.2f} (95% {low:.2f} to {high:.2f})"


def _maturity(cohorts: Sequence[Found]) -> str:
    """Return a row for each cohort: exams that are old enough for the maturity, and no others."""
    if not cohorts:
        return "<p class=quiet>No exam is old enough for figures by maturity.</p>"
    head = ["Known after", "Of", "Exams", "Cancers", "Verified", *MEASURES.values(), "All exams"]
    rows = [
        [
            f"<span class=w>{one['months']} months</span>",
            escape(str(one.get("of", "stream"))),
            f"{one['exams']:,}",
            f"{one['cancers']:,}",
            _verified(one),
            *(figure(one.get(name), _times(name)) for name in MEASURES),
            _of_all(one),
        ]
        for one in cohorts
    ]
    assumed = dict.fromkeys(str(one["assumes"]) for one in cohorts if one.get("assumes"))
    told = "".join(f"<p class=quiet>{escape(one)}</p>" for one in assumed)
    return f"<h3>By maturity</h3>{table(head, rows, (2, 3))}{told}"


def _times(name: str) -> int:
    """Return what a figure is shown times: cancers are counted in 1,000 exams."""
    return 1000 if name == "detection_rate" else 1


def _verified(one: Found) -> str:
    """Return the share of the recalled and of the others whose outcome is known."""
    shares = (one.get("verified_recalled"), one.get("verified_others"))
    if None in shares:
        return "–"
    return f"<span class=w>{shares[0]:.0%} recalled, {shares[1]:.0%} others</span>"


def _of_all(one: Found) -> str:
    """Return sensitivity and AUC of all exams: corrected for who was verified, or bounds."""
    corrected, bounds = one.get("corrected") or {}, one.get("bounds") or {}
    lines = []
    for name in ("sensitivity", "auc"):
        if corrected.get(name):
            lines.append(f"{MEASURES[name]} {figure(corrected[name])}")
        elif bounds.get(name):
            low, high = bounds[name]
            lines.append(f"<span class=w>{MEASURES[name]} {low:.3f} to {high:.3f}</span>")
    return "<br>".join(lines) or "–"


def figure(value: Found | None, times: float = 1.0) -> str:
    """Return value and interval of one figure; a dash where it is not known."""
    if not value or value.get("value") is None:
        return "–"
    middle, low, high = (value[name] for name in ("value", "low", "high"))
    digits = 1 if times > 1 else 3
    interval = (
        "" if low is None or high is None
        else f"<br><span class=quiet>({low * times:.{digits}f} to {high * times:.{digits}f})</span>"
    )  # fmt: skip
    return f"<span class=w>{middle * times:.{digits}f}{interval}</span>"


def _estimate(estimate: Found) -> str:
    """Return what is estimated without outcomes: advice, or why there is none."""
    if not estimate:
        return ""
    if reason := estimate.get("off"):
        return f"<p class=quiet>No estimate without outcomes: {escape(str(reason))}</p>"
    rows = [
        [escape(label), figure(estimate[name], _times(name))]
        for name, label in MEASURES.items()
        if name in estimate
    ]
    assumed = "; ".join(str(one) for one in estimate.get("assumptions", ()))
    return (
        "<h3>Estimated without outcomes</h3>"
        f"{table(('Figure', 'Estimate'), rows)}"
        f"<p class=quiet>Advice, and decides nothing. It assumes: {escape(assumed)}</p>"
    )


def _performance(performance: Found) -> str:
    if not performance:
        return "<p class=quiet>No outcome has come.</p>"
    auc, reference = performance["auc"], performance["reference"]
    words = [f"{performance['exams']} exams have an outcome, {performance['positives']} a cancer."]
    if auc:
        words.append(f"AUC {auc['value']:.3f} (95% {auc['low']:.3f} to {auc['high']:.3f}).")
    if reference:
        words.append(f"Reference {reference['value']:.3f}.")
    if performance["loss"]:
        words.append("The loss is confirmed.")
    return f"<p>{escape(' '.join([*words, performance['note']]).strip())}</p>"
