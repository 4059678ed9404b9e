"""What steers the monitor: one frozen record, kept with every report."""

from __future__ import annotations

from dataclasses import asdict, dataclass, fields
from typing import Any, Literal, Self

Policy = Literal["control", "evidently"]
Occasion = Literal["always", "alarm", "never"]
WATERMARK = "monitor"
"""The name under which the monitor's place in the prediction log is kept."""


@dataclass(frozen=True)
class MonitorConfig:
    """Budgets, sizes and thresholds of the monitor.

    What decides: ``policy``; ``strata`` are the columns that make one; ``levels`` are the
    nodes of the tree that have charts, ``channel_groups_off`` groups that have none.

    Budgets, over all nodes and channels of the programme together: ``false_alarms_a_year``
    confirmed, of which ``outcome_share`` is for the outcomes, and ``alerts_a_year``. A year
    is ``exams_a_year`` exams: a programme with fewer has fewer false alarms in a year of
    the calendar. A new scanner or software version may be falsely confirmed with
    probability ``new_stratum_error``. ``confirm`` False lets the CUSUMs decide alone.

    The control: ``allowances`` of the CUSUMs and ``bets`` of the e-detector in SD of the
    reference, each bet twice the one before; ``clip`` bounds one exam's score, ``score_weight``
    is the score's part of the evidence. Nothing is made of a shift below ``tolerance``
    SD (season, weekdays) plus ``reference_errors`` standard errors of the reference; scanners
    that the reference lacks may differ by what known ones do, at most ``max_tolerance``.
    ``ks_exams`` and ``mmd_exams`` make a block, ``mmd_draws`` its permutations.

    Calibration: a part of the reference is used alone from ``min_reference`` exams on; a
    smaller one learns from its own exams up to ``calibration_cap``. ``learn_exams`` make a
    baseline of their own, after an answered episode or for a scanner with few; a change
    that was only noted becomes one after ``note_exams``. Thresholds come from ``streams``
    histories of ``stream_exams`` exams, in blocks of ``block_exams``.

    Kept: ``recent_exams`` one by one and ``ring_blocks`` sums of ``ring_exams`` as evidence,
    ``trace_exams`` points for the picture, ``window_exams`` exams for the reports.
    ``evidently_on`` says when Evidently's report is made: it takes some seconds of CPU. With
    ``policy`` ``evidently`` it is made in every run.

    Without any drift, retraining starts when ``retrain_exams`` exams with an outcome are
    there that the newest network was trained without, ``retrain_cancers`` of them cancers.
    """

    policy: Policy = "control"
    strata: tuple[str, ...] = ("site", "scanner", "software_version")
    new_stratum_error: float = 0.01
    min_reference: int = 20
    calibration_cap: int = 500
    learn_exams: int = 40
    note_exams: int = 500
    clip: float = 4.0
    exams_a_year: int = 55_000
    false_alarms_a_year: float = 0.5
    alerts_a_year: float = 12.0
    outcome_share: float = 0.1
    levels: tuple[str, ...] = ("version", "scanner", "site", "programme")
    confirm: bool = True
    channel_groups_off: tuple[str, ...] = ()
    allowances: tuple[float, ...] = (0.125, 0.5)
    bets: tuple[float, ...] = (0.125, 0.25, 0.5, 1.0, 2.0)
    score_weight: float = 0.25
    tolerance: float = 0.02
    reference_errors: float = 1.0
    ks_exams: int = 50
    mmd_exams: int = 25
    mmd_draws: int = 500
    ring_blocks: int = 128
    ring_exams: int = 32
    max_tolerance: float = 0.5
    streams: int = 100
    stream_exams: int = 20_000
    block_exams: int = 5
    image_features: tuple[str, ...] = (
        "mean_intensity",
        "contrast",
        "sharpness",
        "noise",
        "breast_fraction",
    )
    recent_exams: int = 64
    trace_exams: int = 400
    extreme_z: float = 12.0
    refusal_rate: float = 0.5
    support_z: float = 3.0
    auc_margin: float = 0.02
    auc_level: float = 0.05
    min_positives: int = 10
    bootstrap: int = 1000
    min_current: int = 20
    window_exams: int = 1000
    evidently_on: Occasion = "always"
    evidently_method: str = "ks"
    evidently_threshold: float = 0.05
    evidently_share: float = 0.5
    keep_reports: int = 40
    retrain_exams: int = 500
    retrain_cancers: int = 20
    seed: int = 7

    @property
    def budget_exams(self) -> float:
        """Exams of the programme for each false alarm that the control may confirm."""
        return self.exams_a_year / (self.false_alarms_a_year * (1 - self.outcome_share))

    def to_dict(self) -> dict[str, Any]:
        """Return JSON-able data."""
        return asdict(self)

    @classmethod
    def from_dict(cls, data: dict[str, Any]) -> Self:
        """Build from data; unknown keys are errors (TypeError names them)."""
        known = {field.name for field in fields(cls)}
        unknown = sorted(set(data) - known)
        if unknown:
            raise TypeError(
                f"Unknown monitor settings: {', '.join(unknown)}. Known: {sorted(known)}"
            )
        values: dict[str, Any] = {
            k: tuple(v) if isinstance(v, list) else v for k, v in data.items()
        }
        return cls(**values)
