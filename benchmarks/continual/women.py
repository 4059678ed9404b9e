"""The women: age, breast density, compressed thickness, whether they have cancer.

Each of these hidden factors moves several channels at once, which is what makes the
channels of an exam dependent. They are standard normal within a site.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from benchmarks.continual.events import Effects
from benchmarks.continual.outcomes_delay import Flags
from benchmarks.continual.volumes import DAYS_IN_YEAR, Floats, Ints, list_machines

PREVALENCE = 0.008
"""Cancers per exam within 24 months: that of a programme. RSNA has 4.1 % of patients,
because cancers were enriched; only its mix of scanners and ages is used."""
AGE_LOG_ODDS = 0.05
"""Log-odds of cancer per year of age, as logistic regression on RSNA train.csv gives (0.051)."""
AGE_SPREAD_YEARS = 9.9
"""SD over all patients of RSNA train.csv; their mean is 58.6 years."""
AGE_MEAN_YEARS = 58.6
AGE_DENSITY = -0.25
"""Correlation of age and density A to D at site 1 of RSNA train.csv."""
AGE_THICKNESS, DENSITY_THICKNESS = 0.15, -0.35
"""Choices: dense breasts are thinner under compression, those of older women thicker."""
CASE_MIX_SEASON, CASE_MIX_WEEKDAY = 0.03, 0.03
"""Choices: a true season and weekday of age and thickness, in SD, which no rule may call drift."""
REPEATS = 0.04
"""A choice: exams proposed as a woman's second within days; half are, the others would be at
the other site. Programmes hold technical repeats below 3 %. Her body and truth are the same."""
REPEAT_WITHIN_EXAMS = 750


@dataclass(frozen=True)
class Women:
    """Who came: age (years) and standardised factors, each (n,); ``patient`` is an index.

    ``first`` (n,) is the index of the woman's first exam: her own place where there is one.
    """

    age_years: Floats
    age: Floats
    density: Floats
    thickness: Floats
    cancer: Flags
    first: Ints


def draw_women(
    rng: np.random.Generator, day: Ints, stratum: Ints, site: Ints, effects: Effects
) -> Women:
    """Draw the women of these exams; ``site`` (n,) tells where a repeat can be."""
    n = len(day)
    noise, luck = rng.standard_normal((3, n)), rng.random(n)
    first = draw_first(rng, site)
    noise, luck = noise[:, first], luck[first]
    mix = case_mix(day)
    machines = list_machines()
    mean = np.array([machine.age_mean for machine in machines])[stratum]
    spread = np.array([machine.age_sd for machine in machines])[stratum]
    years = mean + spread * (noise[0] + mix) + effects.age_years
    years = np.clip(np.rint(years), 30.0, 89.0)  # whole years, as RSNA has
    # the body follows the age, so that an older population also has other breasts
    age = (years - mean) / spread
    density = AGE_DENSITY * age + np.sqrt(1 - AGE_DENSITY**2) * noise[1]
    own = np.sqrt(1 - AGE_THICKNESS**2 - DENSITY_THICKNESS**2)
    thickness = AGE_THICKNESS * age + DENSITY_THICKNESS * noise[1] + own * noise[2] + mix
    cancer = luck < cancer_risk(years, effects)
    return Women(years, age, density, thickness, cancer, first)


def density_thickness() -> float:
    """Return the correlation of density and thickness, age's part included."""
    own = np.sqrt(1 - AGE_DENSITY**2) * DENSITY_THICKNESS
    return float(AGE_DENSITY * AGE_THICKNESS + own)


def cancer_risk(age_years: Floats, effects: Effects) -> Floats:
    """Return each woman's probability of cancer, (n,); its mean is `PREVALENCE`."""
    # the mean of exp over normal ages, so that the programme's prevalence is as stated
    convexity = AGE_LOG_ODDS**2 * AGE_SPREAD_YEARS**2 / 2
    risk = AGE_LOG_ODDS * (age_years - AGE_MEAN_YEARS) - convexity + effects.log_odds
    return np.asarray(np.minimum(PREVALENCE * np.exp(risk), 0.5))


def case_mix(day: Ints) -> Floats:
    """Return the season's and weekday's shift of case mix, (n,), in SD."""
    season = CASE_MIX_SEASON * np.cos(2 * np.pi * day / DAYS_IN_YEAR)
    weekday = CASE_MIX_WEEKDAY * np.cos(2 * np.pi * (day % 7) / 5)
    return np.asarray(season + weekday)


def draw_first(rng: np.random.Generator, site: Ints) -> Ints:
    """Return the index of each woman's first exam, (n,), at the same site."""
    place = np.arange(len(site))
    back = place - rng.integers(1, REPEAT_WITHIN_EXAMS, len(site))
    again = (rng.random(len(site)) < REPEATS) & (back >= 0)
    back = np.maximum(back, 0)
    again &= site == site[back]
    again &= ~again[back]  # a repeat is never of a repeat
    return np.where(again, back, place)
