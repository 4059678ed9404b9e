"""Tables and picture of docs/strategies.md, from the numbers of `benchmarks.strategies`."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import matplotlib as mpl

mpl.use("Agg")
from matplotlib import pyplot as plt
from matplotlib.axes import Axes

from benchmarks.written import Cells, markdown_table, write_between

DOCS = Path(__file__).parents[1] / "docs"
PAGE, PICTURE = DOCS / "strategies.md", DOCS / "pictures" / "strategies.png"
INK, LOST, KEPT = "#1f2933", "#c9822b", "#2a6f97"
AIM = 0.01
"""AUC that may be lost on old scanners."""
SIZE_PREFIX = "replay_"


def write_page(result: dict[str, Any]) -> None:
    """Write the tables between their marks, and the picture."""
    write_between(PAGE, "material", _material(result))
    write_between(PAGE, "strategies", _strategies(result))
    write_between(PAGE, "each", _each(result))
    write_between(PAGE, "replay", _sizes(result))
    draw(result)


def _material(result: dict[str, Any]) -> str:
    told = ", ".join(
        f"{name} {one['exams']} ({one['cancers']} with cancer)"
        for name, one in result["test"].items()
    )
    return (
        f"{result['frozen_stages']} of nine stages frozen. Trained on {result['train_exams']} "
        f"phantom exams of each scanner; seeds: {result['seeds']}. Tested "
        f"on {told}. Intervals: 95 %, {result['resamples']:,} resamples of "
        "patients, the mean over the seeds."
    )


def _named(result: dict[str, Any], *, sizes: bool) -> dict[str, Any]:
    """Return the strategies, or the bounded replays."""
    held = result["strategies"]
    return {name: one for name, one in held.items() if name.startswith(SIZE_PREFIX) == sizes}


def _strategies(result: dict[str, Any]) -> str:
    head = ["strategy", "average AUC", "learnt", "lost", "forgetting", "lost <= 0.01",
            "CPU s", "images", "drawn"]  # fmt: skip
    rows = [_row(f"`{name}`", one) for name, one in _named(result, sizes=False).items()]
    return markdown_table(head, rows)


def _row(label: str, one: dict[str, Any]) -> Cells:
    low, high = one["lost"][1:]
    held = "yes" if high <= AIM else "no" if low > AIM else "open"
    figures = [span(one[name]) for name in ("average", "learnt", "lost", "forgetting")]
    cost = one["cost"]
    return [label, *figures, held, *(f"{cost[n]:,.0f}" for n in ("cpu_s", "images", "drawn"))]


def span(values: list[float]) -> str:
    """Return a value with its interval."""
    value, low, high = values
    return f"{value:.3f} ({low:.3f} to {high:.3f})"


def _each(result: dict[str, Any]) -> str:
    old = result["domains"][:-1]
    rows = [
        [f"`{name}`", *(span(one["lost_of_each"][domain]) for domain in old),
         *(f"{one['auc'][-1][i]:.3f}" for i in range(len(result["domains"])))]
        for name, one in _named(result, sizes=False).items()
    ]  # fmt: skip
    head = ["strategy", *(f"lost: {name}" for name in old)]
    return markdown_table([*head, *(f"last AUC: {name}" for name in result["domains"])], rows)


def _in_order(result: dict[str, Any]) -> list[tuple[str, dict[str, Any]]]:
    """Return the sizes of replay from none to all."""
    held = result["strategies"]
    sizes = sorted(_named(result, sizes=True), key=lambda name: int(name.split("_")[1]))
    between = [(name.removeprefix(SIZE_PREFIX), held[name]) for name in sizes]
    return [("0", held["fine_tune"]), *between, ("all", held["replay"])]


def _sizes(result: dict[str, Any]) -> str:
    head = ["`replay_images`", "average AUC", "learnt", "lost", "forgetting", "lost <= 0.01",
            "CPU s", "images", "drawn"]  # fmt: skip
    named = {"0": "0 (`fine_tune`)", "all": "all"}
    return markdown_table(
        head, [_row(named.get(name, name), one) for name, one in _in_order(result)]
    )


def draw(result: dict[str, Any]) -> None:
    """Draw what is kept and lost, and what the size of the replay buys."""
    plt.rcParams.update({"font.size": 9, "text.color": INK, "axes.edgecolor": INK})
    figure, panels = plt.subplots(1, 3, figsize=(11, 3.4), layout="constrained")
    named = list(_named(result, sizes=False).items())
    _bars(panels[0], named, "average", KEPT, "average AUC of the four scanners at the end")
    _bars(panels[1], named, "lost", LOST, "AUC lost on old scanners since learnt")
    _bars(panels[2], _in_order(result), "lost", LOST, "the same by images replayed")
    for panel in panels[1:]:
        panel.axvline(AIM, color=INK, linewidth=0.8, linestyle=":")
        panel.axvline(0, color=INK, linewidth=0.8)
    figure.savefig(PICTURE, dpi=120)
    plt.close(figure)


def _bars(
    panel: Axes, named: list[tuple[str, dict[str, Any]]], figure: str, colour: str, title: str
) -> None:
    for place, (_, one) in enumerate(named):
        value, low, high = one[figure]
        panel.plot([low, high], [place, place], color=colour, linewidth=2)
        panel.plot([value], [place], "o", color=colour)
    panel.set_yticks(range(len(named)), [name for name, _ in named])
    panel.invert_yaxis()
    panel.set_title(title, fontsize=9)
    panel.locator_params(axis="x", nbins=5)
    panel.spines[["top", "right"]].set_visible(False)
    panel.grid(axis="x", alpha=0.3)
