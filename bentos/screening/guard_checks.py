"""The guard's checks: harm, cleared or open, valid at every look.

Each check counts exams with a property (failed, slow, decided or ranked otherwise,
recalled) and asks by e-values (`guard_bets`) whether their share lies beyond a limit of
the policy:

- **harm**: beyond it, with error ``alpha_harm`` over all looks of the stage; asked of the
  stage's own exams, so that a fault which only shows where the release answers is not
  thinned by the exams of the shadow;
- **cleared**: within it, with error ``alpha_clear``; asked of all exams of the trial;
- **open**: the exams do not tell yet.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from typing import Any, Literal

from bentos.screening.guard_bets import log_e_above, log_e_below, share_interval
from bentos.screening.rollout_policy import RolloutPolicy

Verdict = Literal["harm", "cleared", "open"]
WORDS = {
    "loads": "workers that refuse to load it",
    "errors": "exams that it failed on",
    "latency": "exams that it was slow on",
    "disagreement": "exams decided otherwise than by the champion",
    "rank": "pairs of exams ranked otherwise than by the champion",
    "recall": "exams recalled",
}
"""What each check counts."""


@dataclass(frozen=True)
class Count:
    """Exams with a property among those asked: in the stage, and in the whole trial."""

    hits: int
    exams: int
    all_hits: int
    all_exams: int

    @classmethod
    def of(cls, here: Sequence[bool] | Any, whole: Sequence[bool] | Any = None) -> Count:
        """Count yes-or-no values; without ``whole`` the stage is the trial."""
        whole = here if whole is None else whole
        return cls(int(sum(here)), len(here), int(sum(whole)), len(whole))


@dataclass(frozen=True)
class Check:
    """One check's word. ``share`` and ``interval`` are of the stage, None without an exam.

    ``low`` and ``high`` are the limits of the share (None: there is none); ``harm`` and
    ``cleared`` are the base-10 logs of the e-values that decide: harm from
    ``log10(1 / alpha_harm)`` on, cleared from ``log10(1 / alpha_clear)`` on.
    ``interval`` holds at 95 % over all looks.
    """

    name: str
    verdict: Verdict
    hits: int
    exams: int
    share: float | None
    interval: tuple[float, float] | None
    low: float | None
    high: float | None
    harm: float
    cleared: float

    @property
    def text(self) -> str:
        """One line for people."""
        limits = [f"at most {self.high:.3g}"] if self.high is not None else []
        limits += [f"at least {self.low:.3g}"] if self.low is not None else []
        told = f"{self.hits} of {self.exams} {WORDS[self.name]}"
        share = "" if self.share is None else f", {self.share:.3f}"
        return f"{self.name}: {self.verdict}; {told}{share} (allowed {', '.join(limits)})"

    def to_dict(self) -> dict[str, Any]:
        """Return plain data with the line; infinite evidence is told as None."""
        told = asdict(self) | {"text": self.text}
        for name in ("harm", "cleared"):
            told[name] = round(told[name], 3) if math.isfinite(told[name]) else None
        if self.interval is not None:
            told["interval"] = [round(one, 4) for one in self.interval]
        return told | {"share": None if self.share is None else round(self.share, 4)}


def check_share(
    name: str,
    count: Count,
    policy: RolloutPolicy,
    *,
    high: float,
    low: float | None = None,
) -> Check:
    """Judge a share that must be at most ``high`` and, where given, at least ``low``."""
    sides = 1 if low is None else 2
    harm = log_e_above(count.hits, count.exams, high)
    cleared = log_e_below(count.all_hits, count.all_exams, high)
    if low is not None:
        harm = max(harm, log_e_below(count.hits, count.exams, low))
        # within both limits: each must be shown, and then both are, at the same error
        cleared = min(cleared, log_e_above(count.all_hits, count.all_exams, low))
    verdict: Verdict = "open"
    if harm >= math.log(sides / policy.alpha_harm):
        verdict = "harm"
    elif cleared >= math.log(1 / policy.alpha_clear):
        verdict = "cleared"
    return Check(
        name=name,
        verdict=verdict,
        hits=count.hits,
        exams=count.exams,
        share=count.hits / count.exams if count.exams else None,
        interval=share_interval(count.hits, count.exams, 0.05) if count.exams else None,
        low=low,
        high=high,
        harm=harm / math.log(10),
        cleared=cleared / math.log(10),
    )


def check_loads(refusing: int, workers: int) -> Check:
    """Judge whether the service's workers load the release: none may refuse it.

    Open where no worker lives: nobody has said anything.
    """
    share = refusing / workers if workers else None
    verdict: Verdict = "harm" if refusing else "cleared" if workers else "open"
    harm, cleared = (math.inf if verdict == one else 0.0 for one in ("harm", "cleared"))
    return Check("loads", verdict, refusing, workers, share, None, None, 0.0, harm, cleared)


def recall_limits(targets: Sequence[float], times: float) -> tuple[float, float]:
    """Return the lowest and highest recall rate allowed, for the targets of the scanners seen.

    Of several targets the extremes count. A highest rate that would reach 1 lies half-way
    between target and 1: recalling everybody is harm whatever the target is.
    """
    low, high = min(targets) / times, max(targets) * times
    return low, min(high, (1 + max(targets)) / 2)
