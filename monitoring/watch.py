"""All strata of one release under watch: the monitor's state, resumed and saved."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import asdict, dataclass, field
from typing import Any, Self

import numpy as np
import pandas as pd

from monitoring.config import MonitorConfig
from monitoring.conformal import Floats
from monitoring.control import StratumControl
from monitoring.episodes import Proposal, answered_before, closed_acting
from monitoring.features import ChannelMap, channel_group, robust_z
from monitoring.strata import Baseline, Stratum, choose_baseline, strata_of
from monitoring.triage import Evidence

Episodes = Sequence[dict[str, Any]]
KNOWN_START = frozenset({"SCANNER_NEW", "VERSION_NEW"})


@dataclass
class WatchedStratum:
    """One stratum: what it is compared with, and its running control.

    ``fault_at`` is the confirmation (``control.confirmed_at``) that was a data fault.
    """

    stratum: Stratum
    baseline: Baseline
    control: StratumControl
    codes: tuple[str, ...]
    closed: int = 0
    support: tuple[str, ...] = ()
    fault_at: int | None = None

    @property
    def starts_new(self) -> bool:
        """True when the stratum itself began with the change: count from its first exam."""
        return bool(KNOWN_START & set(self.codes))

    @property
    def exams_to_alarm(self) -> int | None:
        """Exams from the change (or the stratum's first exam) to the confirmation."""
        control = self.control
        if control.confirmed_at is None:
            return None
        return control.confirmed_at - (0 if self.starts_new else int(control.change_at or 0))

    def absent_rate(self, config: MonitorConfig) -> float:
        """Return how often the newest exams lack the channel that is lacking most, in [0, 1]."""
        rows = self.control.recent[-config.min_current :]
        if len(rows) < config.min_current:
            return 0.0
        return float(np.isnan(np.array([row["v"] for row in rows], dtype=float)).mean(axis=0).max())

    def evidence(self, config: MonitorConfig, *, moved: Sequence[str] | None = None) -> Evidence:
        """Return what is known since the change point, of the newest exams.

        ``moved`` names the channels that moved where another rule than ours decided.
        """
        control = self.control
        since = control.change_at if control.change_at is not None else 0
        rows = [row for row in control.recent if row["exam"] > since] or control.recent[-1:]
        z = np.array([row["z"] for row in rows]).reshape(-1, len(control.channels))
        raw = np.array([row["v"] for row in rows], dtype=float).reshape(z.shape)
        names = self._moved() if moved is None else list(moved)
        far = np.nanmedian(np.nan_to_num(robust_z(raw, self.baseline.values), posinf=1e3), axis=0)
        missing = control.channels.index("missing")
        return Evidence(
            moved=_by_group(names),
            shifts=dict(zip(control.channels, z.mean(axis=0).round(3).tolist(), strict=True)),
            robust=dict(zip(control.channels, far.round(2).tolist(), strict=True)),
            exams=len(rows),
            incomplete_rate=float(np.nanmean(raw[:, missing])),
            incomplete_rate_reference=float(np.nanmean(self.baseline.values[:, missing])),
            absent_rate=float(np.isnan(raw).mean(axis=0).max()),
            scanner_new="SCANNER_NEW" in self.codes,
            version_new="VERSION_NEW" in self.codes,
            extreme_z=config.extreme_z,
            refusal_rate=config.refusal_rate,
        )

    def update(self, values: Floats, exam_id: str, config: MonitorConfig) -> None:
        """Take one exam; at the confirmation, note which other channels moved with it."""
        control = self.control
        control.update(values, exam_id, config)
        if control.confirmed_at == control.exams:
            rows = [row["z"] for row in control.recent if row["exam"] > int(control.change_at or 0)]
            excess = np.abs(np.mean(rows, axis=0)) - control.tolerance
            # the calibration's own error counts, or a small one would see movement everywhere
            error = np.sqrt(1 / len(rows) + 1 / len(control.calibration(config, len(rows))))
            moved = excess / error >= config.support_z
            self.support = tuple(np.array(control.channels)[moved].tolist())

    def _moved(self) -> list[str]:
        """Return the channels that moved at the confirmation, or crossed the threshold since."""
        control = self.control
        moved = control.cusum.max(axis=0) >= control.threshold
        if control.lead is not None:
            moved[control.lead[1]] = True
        return [
            name
            for name, crossed in zip(control.channels, moved, strict=True)
            if crossed or name in self.support
        ]

    def summary(self, config: MonitorConfig) -> dict[str, Any]:
        """Return the stratum's line in the report."""
        control = self.control
        peak = int(control.cusum.max(axis=0).argmax())
        return {
            "scanner": self.stratum.scanner,
            "site": self.stratum.site,
            "software_version": self.stratum.software_version,
            "exams": control.exams,
            "state": control.state(config),
            "codes": list(self.codes),
            "reference_exams": len(self.baseline.values),
            "cusum": round(float(control.cusum.max()), 3),
            "channel": control.channels[peak],
            "threshold": round(control.threshold, 3),
            "evidence": round(control.evidence(config), 3),
            "alert_at": control.alert_at,
            "confirmed_at": control.confirmed_at,
            "change_at": control.change_at,
            "exams_to_alarm": self.exams_to_alarm,
        }

    def to_dict(self) -> dict[str, Any]:
        """Return JSON-able state; the baseline comes from the release again."""
        return {
            "stratum": asdict(self.stratum),
            "codes": list(self.codes),
            "closed": self.closed,
            "support": list(self.support),
            "fault_at": self.fault_at,
            "control": self.control.to_dict(),
        }


@dataclass
class Watch:
    """Every stratum of the release in service."""

    release_id: str
    reference: pd.DataFrame
    channels: ChannelMap
    values: Floats
    config: MonitorConfig
    strata: dict[str, WatchedStratum] = field(default_factory=dict)

    @classmethod
    def resume(
        cls,
        release_id: str,
        reference: pd.DataFrame,
        state: dict[str, Any],
        episodes: Episodes,
        config: MonitorConfig,
    ) -> Self:
        """Go on from saved state; another release, or other channels, start anew."""
        channels, values = ChannelMap.fit(reference, config)
        watch = cls(release_id, reference, channels, values, config)
        if state.get("release_id") == release_id and state.get("channels") == list(channels.names):
            for name, saved in state["strata"].items():
                watch.strata[name] = watch._resume(saved, episodes)
        return watch

    def _resume(self, saved: dict[str, Any], episodes: Episodes) -> WatchedStratum:
        stratum = Stratum(**saved["stratum"])
        baseline = choose_baseline(stratum, self.reference, self.values, self.config)
        control = StratumControl.from_dict(saved["control"], baseline.values)
        watched = WatchedStratum(
            stratum,
            baseline,
            control,
            codes=tuple(saved["codes"]),
            closed=saved["closed"],
            support=tuple(saved["support"]),
            fault_at=saved.get("fault_at"),
        )
        closed = closed_acting(episodes, self.release_id, stratum)
        if len(closed) > watched.closed:
            self._start_over(watched, closed)
        return watched

    def _start_over(self, watched: WatchedStratum, closed: Episodes) -> None:
        """After a closed episode: mended data meet the reference again, others are learnt.

        A change that was answered and stays under the same release becomes the
        stratum's baseline; otherwise it would alarm again every few exams.
        """
        learn = any(one["cause"] != "data_fault" for one in closed[watched.closed :])
        codes = (*watched.codes, "BASELINE_LEARNT") if learn else watched.codes
        watched.codes = tuple(dict.fromkeys(codes))
        watched.closed = len(closed)
        watched.support = ()
        watched.control.learn_first = learn
        watched.control.known_start = False
        watched.control.absorbed = watched.control.absorbed[:0]
        watched.control.restart(self.config)

    def begin(self, stratum: Stratum, episodes: Episodes) -> WatchedStratum:
        """Start to watch a stratum that was not seen under this release."""
        baseline = choose_baseline(stratum, self.reference, self.values, self.config)
        answered = answered_before(episodes, self.release_id, stratum.scanner)
        learn = "SCANNER_NEW" in baseline.codes and answered
        codes = (*baseline.codes, "BASELINE_LEARNT") if learn else baseline.codes
        control = StratumControl.start(
            self.channels.names,
            baseline.values,
            self.config,
            tolerance=baseline.tolerance,
            learn_first=learn,
            known_start=bool(KNOWN_START & set(baseline.codes)) and not learn,
        )
        self.strata[stratum.name] = WatchedStratum(stratum, baseline, control, codes)
        return self.strata[stratum.name]

    def take(self, frame: pd.DataFrame, episodes: Episodes) -> int:
        """Take exams in the order of the log; return how many were new to the watch.

        An exam that is sent again soon after is not counted twice.
        """
        taken = 0
        values = self.channels.values(frame)
        for stratum, exam_id, row in zip(
            strata_of(frame, self.config), frame["exam_id"], values, strict=True
        ):
            watched = self.strata.get(stratum.name) or self.begin(stratum, episodes)
            seen = (one["exam_id"] for one in watched.control.recent)
            if exam_id not in seen:
                watched.update(row, str(exam_id), self.config)
                taken += 1
        return taken

    def without_fault_tails(self, proposals: Sequence[Proposal]) -> list[Proposal]:
        """Return the proposals less those that only a data fault now over has left behind.

        Once the data are mended the confirmation that was a fault looks like moved
        images. Its control starts over, and a change of the images confirms anew.
        """
        tails = [self._is_fault_tail(one) for one in proposals]
        kept = [one for one, tail in zip(proposals, tails, strict=True) if not tail]
        for name, watched in self.strata.items():
            causes = {
                one.triage.cause for one in kept if one.stratum.name == name and one.triage.acts
            }
            if causes == {"data_fault"}:
                watched.fault_at = watched.control.confirmed_at
        for one, tail in zip(proposals, tails, strict=True):
            if tail:
                self.strata[one.stratum.name].control.restart(self.config)
        return kept

    def _is_fault_tail(self, proposal: Proposal) -> bool:
        watched = self.strata.get(proposal.stratum.name)
        return (
            watched is not None
            and proposal.triage.cause == "acquisition"
            and watched.fault_at is not None
            and watched.fault_at == watched.control.confirmed_at
        )

    def to_state(self) -> dict[str, Any]:
        """Return JSON-able state for the watermark."""
        return {
            "release_id": self.release_id,
            "channels": list(self.channels.names),
            "strata": {name: one.to_dict() for name, one in self.strata.items()},
        }


def _by_group(names: Sequence[str]) -> dict[str, tuple[str, ...]]:
    groups: dict[str, tuple[str, ...]] = {}
    for name in names:
        group = channel_group(name)
        groups[group] = (*groups.get(group, ()), name)
    return groups
