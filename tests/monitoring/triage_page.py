"""Write docs/triage.md: `python -m tests.monitoring.triage_page`."""

from __future__ import annotations

from pathlib import Path

from monitoring.causes import CAUSES, PRIOR, SIGNS
from monitoring.triage import Evidence, decide

HERE = Path(__file__).parent
PAGE = HERE.parents[1] / "docs" / "triage.md"
NAMES = ("data fault", "acquisition", "prevalence", "concept", "version only")
MOVED = {"age_years": 0.0, "kvp": 0.0}
EXAMPLES = {
    "A scanner that the release has not met: contrast, embedding and scores moved": Evidence(
        moved={"image": ("contrast",), "embedding": ("embedding_1",), "score": ("score",)},
        scanner_new=True, shifts=MOVED, level="version", strata_moved=1, strata_watched=11,
        onset="abrupt",
    ),
    "Noise rises slowly at one scanner": Evidence(
        moved={"image": ("noise",)}, shifts=MOVED, strata_moved=1, strata_watched=11,
        onset="gradual",
    ),
    "A third of the exams of one scanner lack a view": Evidence(
        moved={"missing": ("missing",)}, incomplete_rate=0.33, shifts=MOVED, strata_moved=1,
        strata_watched=11, onset="abrupt",
    ),
    "Mean intensity of a known scanner jumps by 3 SD": Evidence(
        moved={"image": ("mean_intensity",)}, robust={"mean_intensity": 3.0}, shifts=MOVED,
        strata_moved=1, strata_watched=11, onset="abrupt",
    ),
    "The score rises on most scanners, everything else as before": Evidence(
        moved={"score": ("score",)}, shifts=MOVED, level="programme", strata_moved=9,
        strata_watched=11,
    ),
    "The women are older on most scanners, and the breast looks it": Evidence(
        moved={"population": ("age_years",), "image": ("contrast",)},
        shifts={"age_years": 0.5, "contrast": -0.2, "kvp": 0.0}, level="programme",
        strata_moved=9, strata_watched=11, onset="gradual",
    ),
    "Outcomes show that cancers rank lower": Evidence(auc_loss=True, level="programme"),
    "Outcomes show that cancers rank lower, and scores moved on most scanners": Evidence(
        auc_loss=True, moved={"score": ("score",)}, shifts=MOVED, level="programme",
        strata_moved=9, strata_watched=11,
    ),
    "A new software version whose scores moved while its images look as before": Evidence(
        moved={"score": ("score",)}, version_new=True, shifts=MOVED,
    ),
    "More exams than before lack a view, and the images moved": Evidence(
        moved={"missing": ("missing",), "image": ("contrast",)}, incomplete_rate=0.1,
    ),
}  # fmt: skip


def make_page() -> str:
    """Return the page as Markdown."""
    head, tail = (HERE / f"triage_{part}.md" for part in ("head", "tail"))
    return "\n".join([head.read_text(), *likelihoods(), *examples(), tail.read_text()])


def likelihoods() -> list[str]:
    """Return the table of likelihoods, in percent."""
    lines = [f"| what is seen | {' | '.join(NAMES)} |", "|---|" + "--:|" * len(NAMES)]
    lines.append(f"| **before anything is seen** | {_row(PRIOR[one] for one in CAUSES)} |")
    for sign in SIGNS.values():
        lines.append(f"| **{sign.question}** |" + " |" * len(NAMES))
        lines += [f"| {answer} | {_row(row)} |" for answer, row in sign.answers.items()]
    rest = 1 - sum(PRIOR.values())
    return [
        *lines,
        "",
        f"The {rest:.0%} that are left before anything is seen are for two at once.",
        "",
    ]


def _row(values: object) -> str:
    return " | ".join(f"{100 * value:.3g}" for value in values)  # type: ignore[attr-defined]


def examples() -> list[str]:
    """Return what is decided on the examples."""
    lines = ["## Examples", "", "| what was seen | likely causes | what is done |", "|---|---|---|"]
    for words, evidence in EXAMPLES.items():
        triage = decide(evidence)
        assert triage is not None
        ranked = sorted(triage.probabilities.items(), key=lambda item: -item[1])
        likely = ", ".join(f"{one.replace('_', ' ')} {p:.0%}" for one, p in ranked[:3] if p > 0.03)
        lines.append(f"| {words} | {likely} | {triage.action.replace('_', ' ')} |")
    return [*lines, ""]


if __name__ == "__main__":
    PAGE.write_text(make_page())
