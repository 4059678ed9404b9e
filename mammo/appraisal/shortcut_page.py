"""The shortcut study as tables, one figure, and a page."""

from __future__ import annotations

from typing import TYPE_CHECKING

from mammo.appraisal.shortcuts import (
    BETRAYS,
    MAX_LOSS,
    MAX_MOVE_SD,
    ScoreChange,
    ShortcutAlone,
    ShortcutStudy,
)
from mammo.explore.page import Origin, render_page
from mammo.explore.plots import BLUE, INK, ORANGE, RED, ROW_INCHES, new_figure, to_plot
from mammo.explore.section import Section, Table
from mammo.explore.sentences import count, listed

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

SUBJECT = "does anything but the breast score?"
ALONE = ("seen alone", "may tell", "numbers", "AUC of the outcome", "interval", "verdict")
CHANGED = (
    "changed", "images", "moved (SD)", "shifted (SD)", "AUC before", "AUC after", "difference",
    "interval", "verdict",
)  # fmt: skip


def alone_row(one: ShortcutAlone) -> tuple[str, ...]:
    """Return one shortcut's cells, in the order of `ALONE`."""
    auc = one.auc
    verdict = "betrays" if one.betrays else "anatomy" if one.anatomy else "nothing shown"
    span = f"{auc.low:.2f} to {auc.high:.2f}"
    may = "yes" if one.anatomy else "no"
    return one.name, may, str(one.numbers), f"{auc.value:.2f}", span, verdict


def change_row(one: ScoreChange) -> tuple[str, ...]:
    """Return one change's cells, in the order of `CHANGED`."""
    verdict = "for comparison" if not one.judged else "passes" if one.passed else "fails"
    found = one.difference
    return (
        one.name, str(one.images), f"{one.moved_sd:.2f}", f"{one.shift_sd:+.2f}",
        f"{one.auc_before:.3f}", f"{one.auc_after:.3f}", f"{found.value:+.3f}",
        f"{found.low:+.3f} to {found.high:+.3f}", verdict,
    )  # fmt: skip


def write_page(study: ShortcutStudy, name: str, trained_on: str, origin: Origin) -> str:
    """Return the HTML page of one release."""
    sections = [_first(study, trained_on), _alone_section(study)]
    if study.changes:
        sections.append(_change_section(study))
    return render_page(name, sections, origin, subject=SUBJECT, leads=("verdict", "alone"))


def _first(study: ShortcutStudy, trained_on: str) -> Section:
    what = (
        f"{count(study.images, 'mammogram')} of {count(study.patients, 'patient')}, "
        f"{study.positive} positive; none of a patient that the release was trained on. "
        "The label is that of the breast; intervals resample patients (95%)."
    )
    failed = [one.name for one in study.changes if not one.passed]
    verdict = (
        f"The model listens to something other than the breast: {listed(failed)}."
        if failed
        else "No change that leaves the breast alone moved the model beyond the limits."
    )
    warnings = [verdict] if failed else []
    if study.betrayed:
        warnings.append(
            f"The data betray the outcome by {listed(study.betrayed)}: a model could learn it."
        )
    sentences = (verdict, what, f"Trained on: {trained_on}.")
    return Section("verdict", "Verdict", sentences, warnings=tuple(warnings))


def _alone_section(study: ShortcutStudy) -> Section:
    sentences = (
        "A small model saw one thing and nothing else, judged on patients it had not seen. An AUC "
        f"whose interval lies above {BETRAYS} betrays the outcome. Anatomy may tell something: "
        "it is what a model gets without having found a lesion.",
    )
    table = Table(ALONE, tuple(map(alone_row, study.alone)), "The outcome from one thing alone")
    alt = "AUC of the outcome from each thing alone, with 95% intervals over patients."
    plot = to_plot(draw_alone(study), "alone", "What each thing tells by itself", alt)
    return Section("alone", "What the data give away", sentences, (plot,), (table,))


def _change_section(study: ShortcutStudy) -> Section:
    sentences = (
        "The same images were scored again after a change that leaves the tissue as it is. A "
        f"change fails when it moves the logits by more than {MAX_MOVE_SD} of their standard "
        f"deviation on average, or when its whole interval costs more than {MAX_LOSS} of AUC.",
        "Painted-out lesions are there to compare: without them little should be left.",
    )
    table = Table(CHANGED, tuple(map(change_row, study.changes)), "What each change does")
    alt = "Change of AUC by each change of the image, with 95% intervals over patients."
    plot = to_plot(draw_changes(study), "changes", "What each change costs", alt)
    return Section("changes", "What the model listens to", sentences, (plot,), (table,))


def draw_alone(study: ShortcutStudy) -> Figure:
    """Draw the AUC of each shortcut alone with its interval."""
    figure, (axes,) = new_figure(1.0 + ROW_INCHES * len(study.alone))
    draw_alone_on(axes, study)
    return figure


def draw_changes(study: ShortcutStudy) -> Figure:
    """Draw the change of AUC by each change with its interval."""
    figure, (axes,) = new_figure(1.0 + ROW_INCHES * len(study.changes))
    draw_changes_on(axes, study)
    return figure


def draw_alone_on(axes: Axes, study: ShortcutStudy) -> None:
    """Draw `draw_alone` on axes that are there already."""
    axes.axvline(0.5, color=INK, lw=1, ls=(0, (4, 3)))
    for y, one in enumerate(study.alone):
        colour = RED if one.betrays else ORANGE if one.anatomy else BLUE
        axes.hlines(y, one.auc.low, one.auc.high, color=colour, lw=2.2)
        mark = "s" if one.anatomy else "o"
        axes.plot(one.auc.value, y, mark, color=colour, ms=5.5)
    names = [f"{one.name}{' (may tell)' if one.anatomy else ''}" for one in study.alone]
    _name_rows(axes, names, "AUC of the outcome from it alone")


def draw_changes_on(axes: Axes, study: ShortcutStudy) -> None:
    """Draw `draw_changes` on axes that are there already."""
    axes.axvline(0.0, color=INK, lw=1, ls=(0, (4, 3)))
    axes.axvline(-MAX_LOSS, color=RED, lw=1, ls=(0, (1, 2)))
    for y, one in enumerate(study.changes):
        colour = RED if not one.passed else BLUE if one.judged else ORANGE
        axes.hlines(y, one.difference.low, one.difference.high, color=colour, lw=2.2)
        axes.plot(one.difference.value, y, "o" if one.judged else "s", color=colour, ms=5.5)
    names = [f"{one.name} ({one.moved_sd:.2f} SD)" for one in study.changes]
    _name_rows(axes, names, "change of AUC (in brackets: how far the logits moved)")


def _name_rows(axes: Axes, names: list[str], x_label: str) -> None:
    axes.set_yticks(range(len(names)), names)
    axes.set_ylim(len(names) - 0.4, -0.6)
    axes.set_xlabel(x_label, color=INK, fontsize=9)
