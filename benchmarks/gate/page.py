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
        f"{naive['count']} are one number higher: {percent(naive)}. Alpha {group['alpha']:.3g}."
    )


def operating_text(sizes: dict[str, Any]) -> str:
    """Return acceptance by true difference; the picture has the intervals."""
    first = next(iter(sizes.values()))
    head = ["true difference in AUC", *(f"{row['difference']:+.2f}" for row in first)]
    rules = {"gate": "gate", "golden_clause": "golden clause", "higher": "one number higher"}
    rows = [
        [f"{rule}: {size}", *(f"{row[by]['value']:.0%}" for row in rows)]
        for size, rows in sizes.items()
        for by, rule in rules.items()
    ]
    return (
        f"{markdown_table(head, rows)}\n\n{first[0]['judged']} challengers a cell, half retrained, "
        f"half fine-tuned; {RESAMPLES} resamples. With no gate all pass."
    )


def drift_text(drift: list[dict[str, Any]]) -> str:
    """Return what fifty gates do to the champion, by rule, for each golden size."""
    head = ["rule"]
    for found in drift:
        head += [f"{found['size']['exams']} exams: true AUC at last", "passed", "good passed, late"]
    rows = [
        [name, *(cell for found in drift for cell in _drift_cells(found["rules"][name]))]
        for name in drift[0]["rules"]
    ]
    sizes = ", ".join(f"{one['size']['cancers']} of {one['size']['exams']}" for one in drift)
    return (
        f"{markdown_table(head, rows)}\n\n{drift[0]['repeats']} programmes; band of 95 % of them. "
        f"Cancers in the golden sets: {sizes}. Late: the last ten gates; good: not worse."
    )


def _drift_cells(one: dict[str, Any]) -> list[str]:
    return [
        f"{one['auc'][-1]:.3f} ({one['low'][-1]:.3f} to {one['high'][-1]:.3f})",
        f"{one['passed']:.0%}",
        f"{one['good_passed_last_ten']:.0%}",
    ]


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
    "operating": operating_text,
}


def write_page(record: dict[str, Any]) -> None:
    """Write the parts that were measured into docs/gate.md and draw their pictures."""
    for name, one in record.items():
        write_between(PAGE, name, TEXTS[name](one["found"]))
    origins = [f"{name} {one['commit']} ({one['cpu_seconds']} s)" for name, one in record.items()]
    dates = sorted({one["date"] for one in record.values()})
    text = (
        f"`python -m benchmarks.gate --write`, {', '.join(dates)}. Commit and CPU time of one "
        f"core by part: {', '.join(origins)}."
    )
    write_between(PAGE, "origin", text)
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
