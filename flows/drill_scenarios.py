"""The drill's scenarios: those of the simulated years, each as phantoms can show it.

The names are those of `benchmarks.continual.scenarios`. Phantoms differ less from each
other than women do, so that a few dozen exams show what takes thousands there, and changes
are as large as a few dozen exams can show: docs/drills.md has the table.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Literal

from flows.demo import CANCER_RATE, KNOWN_SCANNERS, NEW_SCANNER
from mammo.dicom.phantom_variation import Variation
from mammo.errors import SourceInvalid

Course = Literal["watch", "recalibrate", "retrain"]
ACTIONS = {
    "acquisition": ("recalibrate_and_retrain", "retrain"),
    "data_fault": ("quarantine",),
    "prevalence": ("note",),
    "concept": ("retrain",),
    "software_version": ("note",),
}
"""What may follow from a cause; of an acquisition, a candidate alone where it is less sure."""


@dataclass(frozen=True)
class Scenario:
    """One change that is planted on phantoms, and what has to come of it.

    Of each of ``causes`` one has to be named, () is quiet; ``also`` may be beside them.
    ``exams`` are sent until they were (``at_once``: all before the monitor looks), ``after``
    more when something was put into service. With ``outcomes`` two years pass in the log when
    all were sent, and what became of every exam is told ``outcome_days`` after it. ``course``
    says how far the loop goes:
    ``watch`` ends with the episode, ``recalibrate`` with the new operating point in
    service (and back again), ``retrain`` with what the gate chose.
    """

    name: str
    planted: str
    causes: tuple[tuple[str, ...], ...]
    seed: int
    exams: int = 60
    after: int = 0
    scanners: tuple[str, ...] = KNOWN_SCANNERS
    cancer_rate: float = CANCER_RATE
    conspicuity: float = 1.0
    variations: tuple[Variation, ...] = ()
    inverted: bool = False
    at_once: bool = False
    outcomes: bool = False
    outcome_days: int = 60
    also: tuple[str, ...] = ()
    course: Course = "watch"

    def wants(self, cause: str, action: str) -> bool:
        """Whether an episode of this cause and action is as it should be."""
        named = {one for any_of in self.causes for one in any_of}
        return cause in named | set(self.also) and action in ACTIONS.get(cause, (action,))


CONFIG = "drill"
TRAINING = Scenario("train", "", (), 11, exams=360)
"""About two thirds are held out (`configs/drill.yaml`): the monitor's reference."""

UPGRADE = Variation(
    software_version="ADS_56.0", sharpening=2.0, noise=0.6, contrast=1.2, scanners=("borealis",)
)
LOSSES = Variation(lost_views=1.0, scanners=("cygnus",))
SHIFT = Variation(contrast=1.5, brightness=0.06)
HARSH = Variation(contrast=2.0, brightness=0.12)
ACQUIRED, FAULTY, OTHER_WOMEN = ("acquisition",), ("data_fault",), ("prevalence",)
SHIFTED = ("acquisition", "data_fault")
"""A tone curve that moves alone has no name in the simulated years; either serves."""
SCENARIOS = (
    Scenario("none", "nothing changes", (), 112),
    Scenario("shift_all", "another tone curve on all scanners", (SHIFTED,), 121, 90,
             variations=(SHIFT,)),
    Scenario("shift_half", "a harsh tone curve on one scanner, half of the exams", (SHIFTED,),
             122, 120, scanners=("borealis", "aurora"),
             variations=(replace(HARSH, scanners=("borealis",)),)),
    Scenario("shift_random_half", "a harsh tone curve on a random half of the exams", (SHIFTED,),
             123, 120, variations=(replace(HARSH, part=0.5),)),
    Scenario("shift_fifth", "a harsh, noisy picture on a random fifth of the exams", (SHIFTED,),
             124, 180, variations=(replace(HARSH, contrast=3.0, noise=2.0, part=0.2),)),
    Scenario("software_upgrade", "new software sharpens, takes noise away and says so",
             (ACQUIRED,), 125, 120, 60, ("borealis", "aurora"), variations=(UPGRADE,),
             also=("software_version",), course="recalibrate"),
    Scenario("version_only", "a new software version, images as before",
             (("software_version",),), 126, 45, scanners=("borealis", "aurora"),
             variations=(Variation(software_version="ADS_56.0", scanners=("borealis",)),)),
    Scenario("detector_ageing", "a detector grows noisy and soft, exam by exam", (ACQUIRED,),
             127, 160, 60, ("aurora", "cygnus"), course="recalibrate",
             variations=(Variation(noise=1.8, blur=1.8, exposure=1.4, ramp=True,
                                   scanners=("aurora",)),)),
    Scenario("prevalence_up", "nearly every woman has a cancer; outcomes tell", (OTHER_WOMEN,),
             15, 90, cancer_rate=0.95, outcomes=True),
    # some cancers are needed: that they rank as before tells it from lost sensitivity
    Scenario("prevalence_down", "few women have a cancer; outcomes tell", (OTHER_WOMEN,), 129,
             200, cancer_rate=0.04, outcomes=True),
    Scenario("population_ageing", "women are 14 years older", (OTHER_WOMEN,), 130, 120,
             variations=(Variation(older_years=14.0),)),
    Scenario("label_delay", "outcomes come three months later", (), 131, outcomes=True,
             outcome_days=151),
    Scenario("fault_inverted", "one scanner's images arrive inverted", (FAULTY,), 14,
             scanners=("borealis",), inverted=True),
    Scenario("fault_window", "one scanner's images come in a window of 0.4 the width", (FAULTY,),
             132, scanners=("borealis", "aurora"),
             variations=(Variation(window=0.4, scanners=("borealis",)),)),
    Scenario("fault_missing", "a scanner's transfer loses a view of each exam", (FAULTY,), 133,
             scanners=("cygnus",), variations=(LOSSES,)),
    Scenario("several", "new software on one scanner, lost views on another, more cancers",
             (ACQUIRED, FAULTY), 134, 120, cancer_rate=0.7, at_once=True,
             also=("prevalence", "mixed", "software_version"),
             variations=(UPGRADE, LOSSES)),
    Scenario("concept", "cancers are hardly seen; outcomes tell", (("concept",),), 16, 90,
             conspicuity=0.05, outcomes=True, course="retrain"),
    # last, since two releases come into service one after the other
    Scenario("scanner_replaced", "a scanner is replaced by a new one", (ACQUIRED,), 13,
             120, 90, (NEW_SCANNER,), course="retrain"),
)  # fmt: skip

ALIASES = {
    "quiet": "none",
    "scanner": "scanner_replaced",
    "inverted": "fault_inverted",
    "prevalence": "prevalence_up",
}
"""Names that the drill's trials had before."""


def choose_scenarios(names: Sequence[str]) -> tuple[Scenario, ...]:
    """Return the scenarios of these names, in the table's order; all for none.

    Raises SourceInvalid, which names those that there are.
    """
    known = {one.name: one for one in SCENARIOS}
    wanted = {ALIASES.get(name, name) for name in names}
    if unknown := sorted(wanted - set(known)):
        raise SourceInvalid(f"No scenario {', '.join(unknown)}; there are {', '.join(known)}.")
    return tuple(one for one in SCENARIOS if not names or one.name in wanted)
