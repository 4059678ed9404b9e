"""The scenarios: which events a year holds, where, and how large.

Sizes are choices unless said, in SD among one stratum's exams, and vary from year to year (`lot`).
A score that moves alone (``shift_*``) is the classical trial of a rule's delay.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence

import numpy as np
from scipy.special import ndtri

from benchmarks.continual.events import CHANNELS, Change
from benchmarks.continual.lot import Lot
from monitoring.strata import Stratum

AGEING_DAYS = 180
POPULATION_DAYS = 90
AUCS = (0.90, 0.82)
"""Before and after the concept change."""


Plan = Callable[[Lot], list[Change]]


def plan_none(lot: Lot) -> list[Change]:
    """Nothing happens: every alarm is false."""
    return []


def plan_shift_all(lot: Lot) -> list[Change]:
    """The score rises by 0.25 SD on all exams."""
    return [Change(lot.day(), "acquisition", "score +0.25 SD on all exams", score=0.25)]


def plan_shift_half(lot: Lot) -> list[Change]:
    """The score rises by 0.25 SD on the exams of site 2, 51 % of all."""
    strata = tuple(i for i, stratum in enumerate(lot.strata) if stratum.site == "site 2")
    return [Change(lot.day(), "acquisition", "score +0.25 SD at site 2", strata, score=0.25)]


def plan_shift_random_half(lot: Lot) -> list[Change]:
    """The score rises by 0.25 SD on a random half of the exams."""
    what = "score +0.25 SD on a random half"
    return [Change(lot.day(), "acquisition", what, part=0.5, score=0.25)]


def plan_shift_fifth(lot: Lot) -> list[Change]:
    """The score rises by 1 SD on a random fifth of the exams."""
    what = "score +1 SD on a random fifth"
    return [Change(lot.day(), "acquisition", what, part=0.2, score=1.0)]


def plan_scanner_replaced(lot: Lot) -> list[Change]:
    """A scanner stops; another model takes its women, as unlike it as any two of the fleet."""
    strata, size = lot.scanner(), lot.size()
    new = Stratum(lot.strata[strata[0]].site, "machine 301", "5.0")
    looks = lot.rng.standard_normal(len(CHANNELS))
    return [
        Change(
            day=lot.day(),
            cause="acquisition",
            what=f"{lot.strata[strata[0]].scanner} replaced by another model",
            strata=strata,
            score=0.35 * size * lot.sign(),
            channels={name: size * look for name, look in zip(CHANNELS, looks, strict=True)},
            embedding=lot.direction(5.0 * size),
            becomes=new,
            untuned=True,
        )
    ]


def plan_software_upgrade(lot: Lot) -> list[Change]:
    """New software processes images otherwise: sharper, less noise, another contrast."""
    return [upgrade(lot, lot.stratum())]


def upgrade(lot: Lot, stratum: int) -> Change:
    """Return an upgrade of one stratum."""
    size, one = lot.size(), lot.strata[stratum]
    return Change(
        day=lot.day(),
        cause="acquisition",
        what=f"software of {one.name} upgraded, images changed",
        strata=(stratum,),
        score=0.3 * size * lot.sign(),
        channels={
            "mean_intensity": 0.5 * size * lot.sign(),
            "contrast": 0.6 * size * lot.sign(),
            "sharpness": 0.8 * size,
            "noise": -0.6 * size,
        },
        embedding=lot.direction(1.5 * size),
        becomes=Stratum(one.site, one.scanner, "6.0"),
    )


def plan_version_only(lot: Lot) -> list[Change]:
    """A new version string, and nothing else."""
    stratum = lot.stratum()
    one = lot.strata[stratum]
    new = Stratum(one.site, one.scanner, "6.0")
    what = f"new software version of {one.name}, images as before"
    return [Change(lot.day(), "software_version", what, (stratum,), becomes=new)]


def plan_detector_ageing(lot: Lot) -> list[Change]:
    """A detector loses sensitivity over half a year: more noise, more exposure, less sharp."""
    strata, size = lot.scanner(), lot.size()
    return [
        Change(
            day=lot.day(),
            cause="acquisition",
            what=f"detector of {lot.strata[strata[0]].scanner} ages",
            strata=strata,
            ramp_days=AGEING_DAYS,
            score=0.3 * size * lot.sign(),
            channels={"noise": 1.2 * size, "sharpness": -0.8 * size, "exposure_mas": 0.5 * size},
            embedding=lot.direction(1.5 * size),
        )
    ]


def plan_prevalence_up(lot: Lot) -> list[Change]:
    """Twice as many women have cancer, as when women with symptoms are sent to screening."""
    return [Change(lot.day(), "prevalence", "prevalence doubled", odds=2.0)]


def plan_prevalence_down(lot: Lot) -> list[Change]:
    """Half as many women have cancer, as after a prevalent first round."""
    return [Change(lot.day(), "prevalence", "prevalence halved", odds=0.5)]


def plan_population_ageing(lot: Lot) -> list[Change]:
    """Women are older by four years after a quarter: the programme invites them longer."""
    years = 4.0 * lot.size()
    what = f"women {years:.1f} years older"
    return [Change(lot.day(), "prevalence", what, ramp_days=POPULATION_DAYS, age_years=years)]


def plan_label_delay(lot: Lot) -> list[Change]:
    """Outcomes arrive three months later; nothing else changes, every alarm is false."""
    return [Change(lot.day(), "data_fault", "outcomes 91 days later", outcome_days=91.0)]


def plan_fault_inverted(lot: Lot) -> list[Change]:
    """A scanner's images arrive inverted: air is bright, and the score means nothing.

    Half of what 14 phantom exams showed with Photometric Interpretation swapped (mean
    intensity +23 SD, contrast -4, sharpness -8, noise -20, breast fraction -3, all images
    SATURATED): women differ more than phantoms.
    """
    strata, size = lot.scanner(), lot.size()
    return [
        Change(
            day=lot.day(),
            cause="data_fault",
            what=f"images of {lot.strata[strata[0]].scanner} inverted",
            strata=strata,
            score=-0.5 * size,
            separation=-1.2,
            channels={
                "mean_intensity": 6.0 * size,
                "contrast": -8.0 * size,
                "sharpness": -10.0 * size,
                "noise": -14.0 * size,
                "breast_fraction": -1.0 * size,
            },
            embedding=lot.direction(8.0 * size),
            quality=0.9,
        )
    ]


def plan_fault_window(lot: Lot) -> list[Change]:
    """A site's gateway applies a wrong window: bright parts are clipped.

    Half of what 14 phantom exams showed in a window of 0.4 times the width (mean intensity
    +5 SD, contrast +7, noise +22); a narrower one also saturates part of the images.
    """
    size = lot.size()
    return [
        Change(
            day=lot.day(),
            cause="data_fault",
            what="wrong window at one site",
            strata=lot.site(),
            score=0.4 * size * lot.sign(),
            separation=-0.4,
            channels={"mean_intensity": 2.5 * size, "contrast": 3.5 * size, "noise": 11.0 * size},
            embedding=lot.direction(4.0 * size),
            quality=0.3,
        )
    ]


def plan_fault_missing(lot: Lot) -> list[Change]:
    """A transfer loses one view in a quarter of a scanner's exams."""
    return [lose_views(lot, lot.scanner())]


def lose_views(lot: Lot, strata: tuple[int, ...]) -> Change:
    """Return a loss of views; an exam of fewer views has a lower score on the average."""
    return Change(
        day=lot.day(),
        cause="data_fault",
        what=f"views of {lot.strata[strata[0]].scanner} lost",
        strata=strata,
        score=-0.05,
        missing=0.25 * lot.size(),
    )


def plan_concept(lot: Lot) -> list[Change]:
    """Cancers look otherwise: AUC 0.90 to 0.82, all inputs as before."""
    before, after = (np.sqrt(2) * ndtri(auc) for auc in AUCS)
    return [Change(lot.day(), "concept", "AUC 0.90 to 0.82", separation=float(after - before))]


def plan_several(lot: Lot) -> list[Change]:
    """An upgrade on one scanner, lost views at another, and prevalence doubled."""
    stratum = lot.stratum()
    same = [i for i, s in enumerate(lot.strata) if s.scanner == lot.strata[stratum].scanner]
    return [
        upgrade(lot, stratum),
        lose_views(lot, lot.scanner(same)),
        Change(lot.day(), "prevalence", "prevalence doubled", odds=2.0),
    ]


SCENARIOS: dict[str, Plan] = {
    "none": plan_none,
    "shift_all": plan_shift_all,
    "shift_half": plan_shift_half,
    "shift_random_half": plan_shift_random_half,
    "shift_fifth": plan_shift_fifth,
    "scanner_replaced": plan_scanner_replaced,
    "software_upgrade": plan_software_upgrade,
    "version_only": plan_version_only,
    "detector_ageing": plan_detector_ageing,
    "prevalence_up": plan_prevalence_up,
    "prevalence_down": plan_prevalence_down,
    "population_ageing": plan_population_ageing,
    "label_delay": plan_label_delay,
    "fault_inverted": plan_fault_inverted,
    "fault_window": plan_fault_window,
    "fault_missing": plan_fault_missing,
    "concept": plan_concept,
    "several": plan_several,
}
NAMED = tuple(name for name in SCENARIOS if not name.startswith(("none", "shift", "label")))
"""Scenarios whose cause a rule has to name. A score that moves alone is for delays only: no
cause of the real world moves a score and leaves all images as they were."""


def plan_changes(
    strata: Sequence[Stratum], rng: np.random.Generator, scenario: str
) -> list[Change]:
    """Return the scenario's changes; ValueError names the known scenarios."""
    if scenario not in SCENARIOS:
        raise ValueError(f"Unknown scenario {scenario!r}. Known: {', '.join(SCENARIOS)}.")
    return SCENARIOS[scenario](Lot(rng, strata))
