"""The budget and the delay by simulation, on the class that runs in production."""

from __future__ import annotations

import json

import numpy as np
import pytest

from monitoring.config import MonitorConfig
from monitoring.control import StratumControl
from monitoring.threshold import cusum_threshold

pytestmark = pytest.mark.slow

CONFIG = MonitorConfig(streams=200)
CHANNELS = tuple(f"channel_{i}" for i in range(9))
COMMON = 0.4
"""Correlation between channels, as score, recall and embedding have it."""


def exams(rng: np.random.Generator, count: int) -> np.ndarray:
    own = rng.standard_normal((count, len(CHANNELS)))
    return np.sqrt(COMMON) * rng.standard_normal((count, 1)) + np.sqrt(1 - COMMON) * own


def start(rng: np.random.Generator, reference: int, threshold: float, **how) -> StratumControl:
    return StratumControl.start(CHANNELS, exams(rng, reference), CONFIG, threshold=threshold, **how)


def feed(control: StratumControl, values: np.ndarray, name: str = "") -> StratumControl:
    for number, row in enumerate(values):
        control.update(row, f"{name}{number}", CONFIG)
    return control


def threshold_for(reference: int) -> float:
    return cusum_threshold(exams(np.random.default_rng(9), reference), np.zeros(9), CONFIG)


@pytest.mark.parametrize("reference", [20, 60, 500])
def test_false_alarms_stay_within_the_budget(reference):
    """One alert per 5000 exams over the first 1000, most of them early: 4.5 in 25 streams."""
    threshold = threshold_for(reference)
    alerts = confirmed = 0
    for seed in range(25):
        rng = np.random.default_rng([reference, seed])
        control = start(rng, reference, threshold)
        first = None
        for number, row in enumerate(exams(rng, 320)):
            control.update(row, f"{seed}-{number}", CONFIG)
            first = control.alert_at or first
        alerts += first is not None
        confirmed += control.confirmed_at is not None
    assert alerts <= 9
    assert confirmed <= min(alerts, 4)


@pytest.mark.parametrize(
    ("reference", "shift", "moved", "alert", "confirmed"),
    [(500, 1.0, 1, 25, 32), (500, 1.0, 3, 20, 25), (60, 1.0, 3, 20, 35), (60, 2.0, 1, 12, 15)],
)
def test_a_shift_is_found_soon(reference, shift, moved, alert, confirmed):
    threshold = threshold_for(reference)
    alerts, confirmations = [], []
    for seed in range(15):
        rng = np.random.default_rng([1, reference, seed])
        values = exams(rng, 80)
        values[:, :moved] += shift
        control = start(rng, reference, threshold)
        first = None
        for number, row in enumerate(values):
            control.update(row, f"{seed}-{number}", CONFIG)
            first = first or control.alert_at
        alerts.append(first or 999)
        confirmations.append(control.confirmed_at or 999)
    assert np.median(alerts) <= alert
    assert np.median(confirmations) <= confirmed


def test_a_new_stratum_needs_less_evidence_and_errs_seldom():
    threshold = threshold_for(60)
    found, false = [], 0
    for seed in range(15):
        rng = np.random.default_rng([2, seed])
        values = exams(rng, 60)
        values[:, :3] += 1.0
        known = feed(start(rng, 60, threshold, known_start=True), values, str(seed))
        later = feed(start(np.random.default_rng([2, seed]), 60, threshold), values, str(seed))
        found.append((known.confirmed_at or 999) - (later.confirmed_at or 999))
        quiet = start(rng, 60, threshold, known_start=True)
        false += feed(quiet, exams(rng, 100), f"q{seed}").confirmed_at is not None
    assert np.median(found) < 0
    assert false <= 1


@pytest.mark.parametrize("at", [0, 10, 40])
def test_one_outlier_never_alarms(at):
    rng = np.random.default_rng(at)
    values = exams(rng, 60)
    values[at] = 1e6
    control = start(rng, 60, threshold_for(60))
    for number, row in enumerate(values):
        control.update(row, str(number), CONFIG)
        assert control.alert_at is None


def test_the_change_point_is_near_the_change():
    rng = np.random.default_rng(5)
    values = exams(rng, 140)
    values[100:, 2] -= 2.0
    control = feed(start(rng, 500, threshold_for(500)), values)
    assert control.lead == (1, 2), "down, third channel"
    assert 95 <= control.change_at <= 106
    assert control.change_at < control.alert_at <= control.confirmed_at <= 125


def test_state_goes_through_json_and_goes_on_the_same():
    rng = np.random.default_rng(6)
    values = exams(rng, 90)
    values[50:, 0] += 1.5
    values[3, 1] = np.nan
    whole = feed(start(np.random.default_rng(7), 60, 10.0), values)
    half = feed(start(np.random.default_rng(7), 60, 10.0), values[:45])
    text = json.dumps(half.to_dict(), allow_nan=False)
    resumed = StratumControl.from_dict(json.loads(text), half.reference)
    for number, row in enumerate(values[45:], start=45):
        resumed.update(row, str(number), CONFIG)
    assert resumed.to_dict() == whole.to_dict()
    assert resumed.confirmed_at is not None


def test_memory_is_bounded():
    rng = np.random.default_rng(8)
    config = MonitorConfig(calibration_cap=100, recent_exams=10, trace_exams=20)
    control = StratumControl.start(CHANNELS, exams(rng, 60), config, threshold=1e9)
    for number, row in enumerate(exams(rng, 300)):
        control.update(row, str(number), config)
    assert len(control.calibration(config)) == 100
    assert (len(control.recent), len(control.trace)) == (10, 20)
    assert len(json.dumps(control.to_dict())) < 40_000


def test_a_stratum_that_learns_is_silent_until_it_knows_itself():
    rng = np.random.default_rng(10)
    control = start(rng, 60, threshold_for(60), learn_first=True)
    feed(control, exams(rng, CONFIG.learn_exams) + 5.0, "learn")
    assert control.state(CONFIG) == "in_control"
    assert not control.trace
    feed(control, exams(rng, 60) + 5.0, "same")
    assert control.state(CONFIG) == "in_control", "its own level is normal now"
    feed(control, exams(rng, 30) + 8.0, "other")
    assert control.state(CONFIG) == "confirmed"


def test_tolerance_lets_scanners_differ_as_scanners_do():
    rng = np.random.default_rng(12)
    reference, values = exams(rng, 200), exams(rng, 60) + 0.7
    strict = StratumControl.start(CHANNELS, reference, CONFIG, threshold=9.0)
    spread = np.full(len(CHANNELS), 0.5)
    lenient = StratumControl.start(CHANNELS, reference, CONFIG, tolerance=spread, threshold=9.0)
    assert feed(strict, values).alert_at is not None
    assert feed(lenient, values).alert_at is None


@pytest.mark.parametrize("reference", [1, 5, 19])
def test_a_tiny_reference_still_gives_a_threshold(reference):
    assert 9.0 < threshold_for(reference) < 16.0
