"""Our control in the simulated years: the monitor's own code, exam by exam.

What ends an alarm in production (a run that mends it, a person who closes it) is taken
to happen at once: the strata concerned learn a new baseline, as after a closed episode.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, field, replace

import numpy as np
import pandas as pd

from benchmarks.continual.peers import day_bounds
from benchmarks.continual.rules import Alarm, Learnt
from benchmarks.continual.world import SimExams, SimYear
from monitoring.config import MonitorConfig
from monitoring.evidence import Evidence
from monitoring.outcome_control import OutcomeControl
from monitoring.outcome_findings import OutcomeConfig, OutcomeFindings
from monitoring.programme import STATES, Confirmation, ProgrammeControl, Start, Thresholds
from monitoring.reference import ControlReference
from monitoring.sightings import evidence_at
from monitoring.strata import Stratum, strata_of
from monitoring.threshold import set_thresholds
from monitoring.triage import decide

YEAR = MonitorConfig(exams_a_year=39_000)
"""As the monitor runs, with thresholds from longer streams: the reference is large."""


OFF = ("embedding",)


@dataclass(frozen=True)
class Known:
    """What is computed once per reference."""

    reference: ControlReference
    thresholds: Thresholds
    outcomes: OutcomeControl
    starts: dict[Stratum, Start]
    codes: dict[Stratum, tuple[str, ...]]

    def start(self, stratum: Stratum) -> Start:
        """Return what the stratum begins with; known strata begin alike every year."""
        return self.starts.get(stratum) or self.reference.start(stratum)

    def codes_of(self, stratum: Stratum) -> tuple[str, ...]:
        """Return the codes of what the stratum is compared with."""
        known = self.codes.get(stratum)
        return self.reference.baseline(stratum).codes if known is None else known


@dataclass
class Ours:
    """The monitor's control and triage; ablations are other settings of it."""

    name: str = "mammo"
    title: str = "mammo (CUSUM, e-detector, triage)"
    config: MonitorConfig = field(default_factory=lambda: YEAR)

    def __post_init__(self) -> None:
        self._known = Learnt(self._learn)

    def _learn(self, exams: SimExams) -> Known:
        reference = ControlReference.of_columns(
            exams.columns, exams.embedding.astype(float), who_of(exams), self.config
        )
        strata = reference.strata
        starts = [reference.start(one) for one in strata]
        thresholds = set_thresholds(reference.channels.names, starts, self.config)
        outcomes = OutcomeControl.start(
            exams.logit,
            exams.cancer,
            exams.recall,
            OutcomeConfig.of(self.config),
            reference_stratum=exams.stratum,
        )
        codes = {one: reference.baseline(one).codes for one in strata}
        return Known(reference, thresholds, outcomes, dict(zip(strata, starts, strict=True)), codes)

    def run(self, year: SimYear, reference: SimExams) -> list[Alarm]:
        """Return the alarms of the year in order of day."""
        known = self._known.of(reference)
        alarms = [*WatchedYear(known, year, self.config).alarms()]
        alarms += [*_outcome_alarms(known, year)]
        return sorted(alarms, key=lambda alarm: alarm.day)


def who_of(exams: SimExams) -> pd.DataFrame:
    """Return site, scanner, software version and patient of simulated exams."""
    parts = np.array([(s.site, s.scanner, s.software_version) for s in exams.strata], dtype=object)
    names = ["site", "scanner", "software_version"]
    return pd.DataFrame(parts[exams.stratum], columns=names).assign(patient_id=exams.patient)


def outcome_findings(known: Known, year: SimYear, until: float) -> OutcomeFindings:
    """Return what the outcomes known by the day ``until`` say."""
    return known.outcomes.run(
        year.day,
        year.logit,
        year.recall,
        year.outcome_known_cancer,
        year.outcome_day,
        stratum=year.stratum,
        until=until,
    )


def _outcome_alarms(known: Known, year: SimYear) -> Iterator[Alarm]:
    """Yield the alarm of the outcomes, with the cause that they pointed to on its day."""
    whole = outcome_findings(known, year, year.days)
    days = [day for day in (whole.rank_day, whole.rate_day) if day is not None]
    if not days:
        return
    # what came to be known later must not help to name it
    then = outcome_findings(known, year, min(days))
    triage = decide(Evidence(outcome=then, level="programme")) if then.confirmed else None
    if triage is not None:
        yield Alarm(int(np.ceil(min(days))), True, triage.cause, channel="outcomes")


class WatchedYear:
    """One year under the control, alarm by alarm."""

    def __init__(self, known: Known, year: SimYear, config: MonitorConfig) -> None:
        self.known, self.year, self.config = known, year, config
        reference = known.reference
        strata = strata_of(who_of_strata(year.strata), config)
        self.rows = list(dict.fromkeys([*known.starts, *strata]))
        self.row_of = np.array([self.rows.index(one) for one in strata])
        starts = [known.start(one) for one in self.rows]
        self.control = ProgrammeControl.start(
            reference.channels.names, starts, known.thresholds, config, trace=False
        )
        self.codes = [known.codes_of(one) for one in self.rows]
        self.in_alert = np.zeros(len(self.control.nodes), bool)

    def alarms(self) -> Iterator[Alarm]:
        """Yield the alarms as they come; new software versions at their first exam."""
        yield from self._new_versions()
        channels, year = self.known.reference.channels, self.year
        vectors = year.embedding.astype(float)
        values = channels.values_of(year.columns, vectors)
        phi = None
        if channels.embedding and "embedding" not in self.config.channel_groups_off:
            phi = channels.phi(vectors)
        rows = self.row_of[year.stratum]
        draws = np.random.default_rng(_key(year, self.config)).random(values.shape)
        begin = 0
        for end in day_bounds(year.day)[1:]:
            while begin < end:
                part = slice(begin, end)
                features = None if phi is None else phi[part]
                taken = (values[part], features, rows[part], draws[part])
                found = self.control.take(*taken, once=True)
                yield from (self._alarm(replace(one, exam=one.exam + begin)) for one in found)
                for one in found:
                    self.control.close(one.node, learn=True)
                begin = begin + found[0].exam + 1 if found else end
            yield from self._alerts(int(year.day[end - 1]))

    def _alerts(self, day: int) -> Iterator[Alarm]:
        """Yield an alert for each node that has come to be in alert by the end of the day."""
        now = self.control.charts.state[: len(self.control.nodes)] == STATES.index("alert")
        for node in np.flatnonzero(now & ~self.in_alert):
            yield Alarm(day, False, None, self._strata(self.control.nodes[node].leaves))
        self.in_alert = now

    def _strata(self, leaves: tuple[int, ...]) -> tuple[int, ...]:
        """Return the year's strata that these leaves are; none for the whole programme."""
        if len(leaves) == len(self.rows):
            return ()
        return tuple(int(at) for at in np.flatnonzero(np.isin(self.row_of, leaves)))

    def _alarm(self, one: Confirmation) -> Alarm:
        codes = self.codes[one.leaves[0]] if len(one.leaves) == 1 else ()
        triage = decide(evidence_at(self.control, one.node, codes))
        names = (*self.control.channels, "score_ks", "embedding_mmd")
        return Alarm(
            int(self.year.day[one.exam]),
            confirmed=True,
            cause=triage.cause if triage else None,
            strata=self._strata(one.leaves),
            since_day=self._since(one),
            channel=names[int(self.control.charts.lead[one.node, 0])],
        )

    def _since(self, one: Confirmation) -> int:
        clock = int(self.control.charts.change_clock[one.node])
        return int(self.year.day[min(max(clock, 0), one.exam)])

    def _new_versions(self) -> Iterator[Alarm]:
        for place, stratum in enumerate(self.year.strata):
            codes = self.codes[self.row_of[place]]
            exams = np.flatnonzero(self.year.stratum == place)
            if "VERSION_NEW" in codes and len(exams):
                triage = decide(Evidence(version_new=True))
                cause = triage.cause if triage else None
                yield Alarm(
                    int(self.year.day[exams[0]]), True, cause, (place,), channel=str(stratum.name)
                )


def _key(year: SimYear, config: MonitorConfig) -> list[int]:
    """Return what the draws that break ties hang on: as with exam ids, every year its own."""
    return [config.seed, len(year), int(np.abs(year.logit[:50]).sum() * 1e6)]


def who_of_strata(strata: list[Stratum]) -> pd.DataFrame:
    """Return strata as rows of an exam frame."""
    names = ["site", "scanner", "software_version"]
    parts = [(one.site, one.scanner, one.software_version) for one in strata]
    return pd.DataFrame(parts, columns=names)


def ablations(config: MonitorConfig = YEAR) -> list[Ours]:
    """Return the control without one of its parts each."""
    return [
        Ours("no_strata", "without strata", replace(config, strata=())),
        Ours("no_pooling", "without pooling", replace(config, levels=("version",))),
        Ours("no_e_process", "without e-process", replace(config, confirm=False)),
        Ours("no_embedding", "without embedding", replace(config, channel_groups_off=OFF)),
    ]


__all__ = ["YEAR", "Known", "Ours", "WatchedYear", "ablations", "who_of"]
