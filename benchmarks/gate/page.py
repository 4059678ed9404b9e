"""The gate's figures as Markdown tables and pictures."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

from benchmarks.gate.planted import RESAMPLES
from benchmarks.written import markdown_table, write_between

PAGE = Path("docs/gate.md")
PICTURES = Path("docs/pictures")
SHOWN = {
    "ledger and original (the gate)": ("tab:blue", "-"),
    "ledger and best so far": ("tab:cyan", "-"),
    "original, one level for all": ("tab:purple", "--"),
    "ledger, no original": ("tab:orange", "-"),
    "one number higher": ("tab:green", "-"),
    "no gate": ("tab:red", "-"),
}


def percent(measure: dict[str, Any]) -> str:
    """Return a share with its interval."""
    value, low, high = (100 * measure[name] for name in ("value", "low", "high"))
    return f"{value:.0f} % ({low:.0f} to {high:.0f})"


def planted_text(group: dict[str, Any]) -> str:
    """Return the table of planted challengers of a group, and their total."""
    rows = [
        [
            one["kind"],
            f"{one['passed']} of {one['judged']}",
            f"{one['higher']} of {one['judged']}",
            ", ".join(f"{name} {count}" for name, count in one["refused_by"].items()) or "–",
        ]
        for one in group["kinds"]
    ]
    total, naive = group["passed"], group["higher"]
    head = ["challengers", "pass the gate", "one number higher", "refused by"]
    return (
        f"{markdown_table(head, rows)}\n\n"
        f"Of {total['judged']}, {total['count']} pass the gate: {percent(total)}; "
        f"{naive['count']} are one number higher: {percent(naive)}. {_level(group)}"
    )


def late_text(group: dict[str, Any]) -> str:
    """Return how many of the good ones pass at a late level."""
    return f"{_level(group)} {group['passed']['count']} of {group['passed']['judged']} pass: " + (
        f"{percent(group['passed'])}."
    )


def _level(group: dict[str, Any]) -> str:
    if not group["refused"]:
        return f"Alpha {group['alpha']:.2g}."
    return (
        f"The same good challengers at the level that is left after {group['refused']} "
        f"refused ones ({group['alpha']:.2g}):"
    )


def operating_text(sizes: dict[str, Any]) -> str:
    """Return acceptance by true difference, one table for all golden sizes."""
    head = ["true difference in AUC"]
    for name in sizes:
        head += [f"gate, {name}", "golden clause", "one number higher"]
    rows = [
        [
            f"{row[0]['difference']:+.2f}",
            *(percent(one[by]) for one in row for by in ("gate", "golden_clause", "higher")),
        ]
        for row in zip(*sizes.values(), strict=True)
    ]
    each = next(iter(sizes.values()))[0]["judged"]
    return (
        f"{markdown_table(head, rows)}\n\n{each} challengers a cell, half retrained, half "
        f"fine-tuned; {RESAMPLES} resamples. With no gate all pass."
    )


def drift_text(drift: list[dict[str, Any]]) -> str:
    """Return what fifty gates do to the champion, by rule, a table for each golden size."""
    parts = []
    for found in drift:
        size = found["size"]
        head = [
            f"{size['exams']} golden exams, {size['cancers']} cancers",
            "true AUC after 50 gates",
            "challengers passed",
            "good passed, gates 1–10",
            "41–50",
            "last alpha",
        ]
        rows = [
            [
                name,
                f"{one['auc'][-1]:.3f} ({one['low'][-1]:.3f} to {one['high'][-1]:.3f})",
                f"{one['passed']:.0%}",
                f"{one['good_passed_first_ten']:.0%}",
                f"{one['good_passed_last_ten']:.0%}",
                "–" if name in ("one number higher", "no gate") else f"{one['alpha_last']:.2g}",
            ]
            for name, one in found["rules"].items()
        ]
        parts.append(markdown_table(head, rows))
    count = drift[0]["repeats"]
    return "\n\n".join(
        [*parts, f"{count} programmes; AUC 0.880 at first; the band holds 95 % of programmes."]
    )


def margin_text(margin: list[dict[str, Any]]) -> str:
    """Return how often any of fifty challengers passes that are worse by just the margin."""
    head = ["level", *(f"{one['size']['exams']} golden exams" for one in margin)]
    rows = [
        [name, *(percent(one["any_passed"][name]) for one in margin)]
        for name in margin[0]["any_passed"]
    ]
    return f"{markdown_table(head, rows)}\n\n{margin[0]['repeats']} programmes of fifty gates each."


TEXTS: dict[str, Callable[[Any], str]] = {
    "drift": drift_text,
    "margin": margin_text,
    "bad": planted_text,
    "good": planted_text,
    "late": late_text,
    "operating": operating_text,
}


def write_page(record: dict[str, Any]) -> None:
    """Write the parts that were measured into docs/gate.md and draw their pictures."""
    for name, one in record.items():
        origin = (
            f"`python -m benchmarks.gate --write`, commit {one['commit']}, {one['date']}, "
            f"{one['cpu_seconds']} s of one core. Simulated scores, no images."
        )
        write_between(PAGE, name, f"{TEXTS[name](one['found'])}\n\n{origin}")
    if "operating" in record:
        plot_operating(record["operating"]["found"], PICTURES / "gate_operating.png")
    if "drift" in record:
        plot_drift(record["drift"]["found"], PICTURES / "gate_drift.png")


def plot_operating(sizes: dict[str, Any], path: Path) -> None:
    """Draw acceptance over the true difference, a panel for each golden size."""
    import matplotlib.pyplot as plt

    figure, panels = plt.subplots(1, 2, figsize=(9.5, 3.6), sharey=True, layout="constrained")
    drawn = {"gate": "the gate", "golden_clause": "golden clause alone", "higher": "one higher"}
    for axes, (size, rows) in zip(panels, sizes.items(), strict=True):
        differences = [row["difference"] for row in rows]
        for by, label in drawn.items():
            value, low, high = ([row[by][k] for row in rows] for k in ("value", "low", "high"))
            (line,) = axes.plot(differences, value, "--" if by == "higher" else "-", label=label)
            axes.fill_between(differences, low, high, color=line.get_color(), alpha=0.12, lw=0)
        axes.axhline(1, color="tab:red", lw=1, label="no gate")
        axes.axvline(-0.03, color="grey", lw=0.8, ls=":")
        axes.set(xlabel="true difference in AUC", ylim=(-0.02, 1.03), title=f"golden set: {size}")
    panels[0].set_ylabel("share that passes")
    panels[0].legend(loc="upper left", fontsize=8)
    figure.savefig(path, dpi=110)
    plt.close(figure)


def plot_drift(drift: list[dict[str, Any]], path: Path) -> None:
    """Draw the champion's true AUC over the gates by rule, with its 95 % band."""
    import matplotlib.pyplot as plt

    figure, panels = plt.subplots(1, 2, figsize=(9.5, 4), sharey=True, layout="constrained")
    for axes, found in zip(panels, drift, strict=True):
        gates = range(len(next(iter(found["rules"].values()))["auc"]))
        for name, (colour, style) in SHOWN.items():
            one = found["rules"][name]
            axes.plot(gates, one["auc"], style, color=colour, label=name)
            axes.fill_between(gates, one["low"], one["high"], color=colour, alpha=0.1, lw=0)
        size = found["size"]
        axes.axhline(0.85, color="grey", lw=0.8, ls=":")
        axes.set(
            xlabel="gates held on one golden set",
            ylim=(0.65, 0.91),
            title=f"golden set: {size['exams']} exams, {size['cancers']} cancers",
        )
    panels[0].set_ylabel("true AUC of the champion")
    panels[0].legend(loc="lower left", fontsize=8)
    figure.savefig(path, dpi=110)
    plt.close(figure)
