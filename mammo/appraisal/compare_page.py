"""The page of a comparison, and the command's one call.

report = write_comparison(settings, ["r-20261122-1a2b3c4d", "r-20261123-5e6f7a8b"])
report.path, report.comparison.pairs
"""

from __future__ import annotations

from collections.abc import Sequence

from mammo import INTENDED_USE
from mammo.appraisal import compare_plots as plots
from mammo.appraisal import compare_words as say
from mammo.appraisal.compare import TOLD, Comparison
from mammo.appraisal.compare_cost import Cost, differing_settings, graph_of
from mammo.appraisal.compare_groups import GroupDifference
from mammo.appraisal.metric_names import METRIC_NAMES, show, show_cell
from mammo.evaluation.paired import PairedDifference
from mammo.explore.section import Section, Table

LEADS = ("compared", "differences", "cost")
SUBJECT = "what they are worth beside each other"
DECIDED = ("sensitivity", "specificity", "recall_rate", "ppv", "cancer_detection_per_1000", "f1")
FIXED = (
    "sensitivity_at_specificity_80", "sensitivity_at_specificity_90",
    "sensitivity_at_specificity_95", "specificity_at_sensitivity_90",
    "partial_auc_specificity",
)  # fmt: skip


def build_sections(
    found: Comparison, groups: Sequence[GroupDifference], costs: Sequence[Cost]
) -> list[Section]:
    """Return the chapters in reading order."""
    return [
        _compared(found),
        _differences(found),
        Section(
            "curves", "Curves over each other",
            ("Each run at its own calibration; all on the same exams.",),
            (plots.curves_plot(found),), (_metric_table(found, FIXED, "At fixed points"),),
        ),
        Section(
            "decisions", "Decisions at each run's own operating points",
            ("Runs may aim at different recall rates: sensitivity is to be read beside "
             "specificity, and the table at fixed points above compares like with like.",),
            tables=(_metric_table(found, DECIDED, "By the thresholds of each release"),),
        ),
        Section(
            "calibration", "Probabilities", tuple(_calibration_sentences(found)),
            (plots.calibration_plot(found),),
        ),
        _subgroups(found, groups),
        _cost(found, costs),
        _training(found),
        _limits(found),
    ]  # fmt: skip


def _compared(found: Comparison) -> Section:
    rows = tuple(
        (
            found.letter(run.name), _whole(run.name), graph_of(run.release), run.release.kind,
            run.release.aggregation, run.release.created_at[:10],
            run.release.data_version or "-", run.run_id[:8] or "-",
        )
        for run in found.runs
    )  # fmt: skip
    columns = ("", "release", "network", "kind", "breasts by", "made", "data version", "MLflow run")
    return Section(
        "compared", "What was compared", tuple(say.selection_sentences(found)),
        tables=(Table(columns, rows, f"Target: {found.runs[0].release.target}"),),
        warnings=tuple(say.warnings(found)),
    )  # fmt: skip


def _whole(text: str) -> str:
    """Let no line break divide a name."""
    return text.replace("-", "\N{NON-BREAKING HYPHEN}")


def _differences(found: Comparison) -> Section:
    told = tuple(say.comparison_sentences(found))
    rows = []
    for pair in found.pairs:
        auc = pair.difference("auc")
        assert auc.delong is not None
        p_values = (auc.p_value, pair.p_holm["auc"], auc.delong.p_value)
        between, cell = found.between(pair), _signed(auc.difference, auc.low, auc.high)
        rows.append((between, cell, *map(_small, p_values)))
    caption = (
        "AUC: paired differences on the same resampled patients; p by the bootstrap, by Holm over "
        "the pairs, and by DeLong as Obuchowski extends it to patients with several rows"
    )
    others = tuple(
        (found.between(pair), *(_cell(pair.difference(name)) for name in TOLD[1:]))
        for pair in found.pairs
    )
    titles = tuple(METRIC_NAMES[one].title for one in TOLD[1:])
    tables = (
        _metric_table(found, TOLD, "Each run"),
        Table(("pair", "difference of AUC", "p", "p (Holm)", "p (DeLong)"), tuple(rows), caption),
        Table(("pair", *titles), others, "Paired differences of other metrics"),
    )
    return Section("differences", "Which is better", told, (plots.differences_plot(found),), tables)


def _cell(one: PairedDifference) -> str:
    return _signed(one.difference, one.low, one.high)


def _signed(value: float, low: float, high: float) -> str:
    text = f"{value:+.3f} ({low:+.3f} to {high:+.3f})"
    return text.replace("-", "\N{MINUS SIGN}").replace(" ", "\N{NO-BREAK SPACE}")


def _small(p: float) -> str:
    return "<\N{NO-BREAK SPACE}0.0001" if p < 1e-4 else f"{p:.2g}"


def _metric_table(found: Comparison, names: Sequence[str], caption: str) -> Table:
    rows = tuple(
        (
            found.letter(name),
            *(show_cell(metric, one.main.metrics[metric].interval) for metric in names),
        )
        for name, one in found.evaluations.items()
    )
    columns = ("run", *(METRIC_NAMES[one].title for one in names))
    return Table(columns, rows, f"{caption}, by {found.level}, with 95% intervals")


def _calibration_sentences(found: Comparison) -> list[str]:
    told = []
    for name, one in found.evaluations.items():
        metrics = one.main.metrics
        told.append(
            f"{name} expects {show('mean_probability', metrics['mean_probability'].interval)} "
            f"positive where {show('prevalence', metrics['prevalence'].interval)} are; Brier score "
            f"{show('brier', metrics['brier'].interval)}."
        )
    return told


def _subgroups(found: Comparison, groups: Sequence[GroupDifference]) -> Section:
    runs = [run.name for run in found.runs]
    rows = tuple(
        (
            f"{one.attribute}: {one.name}", str(one.patients), str(one.positive_patients),
            *(show_cell("auc", one.aucs.get(name)) for name in runs), *_widest(found, one),
        )
        for one in groups
    )  # fmt: skip
    columns = (
        "subgroup", "patients", "positive", *(f"AUC {found.letter(name)}" for name in runs),
        "surest difference", "p (Holm)",
    )  # fmt: skip
    caption = (
        "AUC of each run within each subgroup, and the pair that differs most surely inside it "
        "(DeLong as Obuchowski extends it), adjusted over all pairs and subgroups"
    )
    return Section(
        "subgroups", "Within subgroups", tuple(say.group_sentences(groups)),
        tables=(Table(columns, rows, caption),) * bool(rows),
    )  # fmt: skip


def _widest(found: Comparison, one: GroupDifference) -> tuple[str, str]:
    if one.pair is None or one.difference is None or one.p_holm is None:
        return "-", "-"
    a, b = (found.letter(name) for name in one.pair)
    value = f"{one.difference.difference:+.3f}".replace("-", "\N{MINUS SIGN}")
    return f"{b} − {a}: {value}".replace(" ", "\N{NO-BREAK SPACE}"), _small(one.p_holm)


def _cost(found: Comparison, costs: Sequence[Cost]) -> Section:
    rows = tuple(
        (
            found.letter(one.run), f"{one.parameters:,}", f"{one.graph_mb:.2f}",
            f"{one.milliseconds:.1f}", f"{one.ratio:.2f}", f"{one.height} x {one.width}",
        )
        for one in costs
    )  # fmt: skip
    columns = ("run", "parameters", "graph, MB", "ms a view", "times the first", "image")
    caption = (
        "The graphs that the service runs, a detector's with them, in the time of one thread, the "
        "runs taking turns; "
        "milliseconds are of the machine that wrote this page, the ratio is what carries over"
    )
    tables = (Table(columns, rows, caption), _training_cost(found, costs))
    return Section(
        "cost", "What they cost", tuple(say.cost_sentences(list(costs))),
        (plots.cost_plot(found, costs),), tables,
    )  # fmt: skip


def _training_cost(found: Comparison, costs: Sequence[Cost]) -> Table:
    columns = ("run", "processor, s", "wall, s", "energy, kJ", "machine")
    caption = (
        "What each training spent, folds and sealing included, as written when it was made: time "
        "on a wall depends on what else ran, and energy is that of the whole machine's processors; "
        "of a release that a detector was joined to, it is what the join spent"
    )
    return Table(columns, tuple(_spent_row(found.letter(one.run), one) for one in costs), caption)


def _spent_row(letter: str, cost: Cost) -> tuple[str, ...]:
    spent = cost.training
    if spent is None:
        return (letter, *("not kept",) * 3, "-")
    energy = "not counted" if spent.energy_j is None else f"{spent.energy_j / 1000:.2f}"
    since = " (since it was resumed)" if spent.resumed else ""
    return (
        letter, f"{spent.processor_s:,.1f}{since}", f"{spent.wall_s:,.1f}{since}", energy,
        spent.machine,
    )  # fmt: skip


def _training(found: Comparison) -> Section:
    facts = Table(
        ("run", "parent", "trained on"),
        tuple((run.name, run.release.parent or "-", run.release.trained_on) for run in found.runs),
        "What each was trained on",
    )
    differ = differing_settings(found.runs)
    rows = tuple((name, *map(str, values)) for name, values in differ.items())
    letters = [found.letter(run.name) for run in found.runs]
    tables = [facts, *([Table(("setting", *letters), rows, "What differs")] if rows else [])]
    told = tuple(say.settings_sentences(found, len(rows)))
    return Section("training", "How they were trained", told, tables=tuple(tables))


def _limits(found: Comparison) -> Section:
    told = [
        INTENDED_USE,
        "The operating points and the calibration of each release were set on part of the exams "
        "compared here, unless the part is golden; AUC differences are hardly touched by it.",
        "Runs that were chosen by these very exams look better than they are: a choice is to be "
        "judged again on exams that did not make it.",
    ]
    if found.phantoms:
        told.append("Phantoms have lesions that were drawn: no number here is of a patient.")
    return Section("limits", "Intended use and limits", tuple(told))
