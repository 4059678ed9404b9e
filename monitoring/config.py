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

    ``budget_exams`` is the false-alarm budget: at most one confirmed false alarm
    per so many exams of one stratum, over all its channels together. The CUSUM's
    threshold and the e-process's threshold are both set from it. A new scanner or
    software version may be falsely confirmed with probability ``new_stratum_error``.
    ``allowance`` is the CUSUM's k in SD of the reference; ``clip`` bounds one
    exam's weight; ``betting_shifts`` are the shifts in SD that the e-process bets on.
    ``calibration_cap`` bounds memory: a stratum whose reference is smaller learns
    from its own exams up to that many. ``lag_exams`` keeps the newest exams out of
    the CUSUM's calibration; ``learn_exams`` make a baseline of their own.
    ``evidently_on`` says when Evidently's report is made: it takes some seconds of
    CPU. With ``policy`` ``evidently`` it is made in every run.
    """

    policy: Policy = "control"
    strata: tuple[str, ...] = ("site", "scanner", "software_version")
    budget_exams: int = 5000
    new_stratum_error: float = 0.01
    min_reference: int = 20
    calibration_cap: int = 500
    lag_exams: int = 25
    learn_exams: int = 40
    note_exams: int = 500
    allowance: float = 0.5
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
    betting_shifts: tuple[float, ...] = (0.5, 1.0, 2.0)
    max_tolerance: float = 0.5
    streams: int = 300
    stream_exams: int = 1000
    block_exams: int = 5
    embedding_axes: int = 3
    image_features: tuple[str, ...] = (
        "mean_intensity",
        "contrast",
        "sharpness",
        "noise",
        "breast_fraction",
    )
    max_image_features: int = 4
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
    seed: int = 7

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
