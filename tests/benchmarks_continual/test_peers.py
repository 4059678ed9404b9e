"""The peers are what they say they are: SciPy's and Evidently's own numbers on real windows."""

from __future__ import annotations

import numpy as np
import pandas as pd
import pytest
from scipy.spatial.distance import jensenshannon
from scipy.stats import chisquare, ks_2samp, wasserstein_distance

from benchmarks.continual.peers import (
    DISTANCE_LIMIT,
    DRIFT_SHARE,
    LEVEL,
    KnownReference,
    WindowRule,
    YearTests,
    day_bounds,
    largest_psi,
    peer_columns,
    peers,
    run_bounds,
    sweep,
)
from benchmarks.continual.windows import (
    PSI_FLOOR,
    ReferenceColumn,
    ks_p_value,
    learn_columns,
    test_windows,
)
from benchmarks.continual.world import SimExams, SimYear, World


@pytest.fixture(scope="module")
def streams() -> tuple[SimYear, SimExams]:
    world = World(exams_per_open_day=60)
    year = world.year(np.random.default_rng(4), "software_upgrade", days=30)
    return year, world.reference(np.random.default_rng(3))


def _known(streams: tuple[SimYear, SimExams]) -> tuple[dict, dict, KnownReference]:
    year, reference = streams
    known = KnownReference.of(reference)
    columns = [peer_columns(exams, known.mean, known.axes) for exams in (year, reference)]
    return columns[0], columns[1], known


@pytest.mark.parametrize("name", ["score", "kvp", "thickness_mm", "embedding_1"])
def test_numbers_are_those_of_scipy(name: str, streams: tuple[SimYear, SimExams]) -> None:
    current, reference, known = _known(streams)
    bounds = day_bounds(streams[0].day)
    tested = test_windows({name: current[name]}, streams[0].day, bounds, known.columns)
    old = reference[name][np.isfinite(reference[name])]
    for k in range(len(bounds) - 1):
        new = current[name][bounds[k] : bounds[k + 1]]
        new = new[np.isfinite(new)]
        p = ks_2samp(old, new, method="asymp").pvalue
        assert np.log(tested.p[k, 0]) == pytest.approx(np.log(p), abs=2e-3)
        distance = wasserstein_distance(old, new) / old.std()
        assert tested.distance[k, 0] == pytest.approx(distance, abs=1e-9)


@pytest.mark.parametrize("name", ["recall", "missing", "quality"])
def test_rates_are_compared_as_scipy_does(name: str, streams: tuple[SimYear, SimExams]) -> None:
    current, reference, known = _known(streams)
    bounds = day_bounds(streams[0].day)
    tested = test_windows({name: current[name]}, streams[0].day, bounds, known.columns)
    rate = reference[name].mean()
    for k in range(len(bounds) - 1):
        new = current[name][bounds[k] : bounds[k + 1]]
        expected = len(new) * np.array([1 - rate, rate])
        p = chisquare([len(new) - new.sum(), new.sum()], expected).pvalue
        assert tested.p[k, 0] == pytest.approx(p, rel=1e-9)
        distance = jensenshannon([1 - rate, rate], [1 - new.mean(), new.mean()])
        assert tested.distance[k, 0] == pytest.approx(distance, abs=1e-9)


def test_psi_is_the_usual_recipe() -> None:
    rng = np.random.default_rng(0)
    old, new = rng.normal(size=3000), rng.normal(0.4, 1.2, 150)
    edges = np.quantile(old, np.arange(1, 10) / 10)
    shares = [
        np.maximum(np.histogram(x, [-np.inf, *edges, np.inf])[0] / len(x), PSI_FLOOR)
        for x in (old, new)
    ]
    expected = ((shares[1] - shares[0]) * np.log(shares[1] / shares[0])).sum()
    tested = test_windows(
        {"a": new}, np.zeros(150, int), np.array([0, 150]), learn_columns({"a": old})
    )
    assert tested.psi[0, 0] == pytest.approx(expected, rel=1e-9)


@pytest.mark.parametrize(
    ("values", "p"),
    [
        ([np.nan] * 4, np.nan),  # no embedding arrived that day
        ([np.nan, np.inf, 0.0, np.nan], 1.0),  # one exam, in the middle of the reference
    ],
)
def test_windows_without_values_are_not_tested(values: list[float], p: float) -> None:
    known = {"a": ReferenceColumn.of(np.linspace(-1, 1, 101))}
    tested = test_windows({"a": np.array(values)}, np.zeros(4, int), np.array([0, 4]), known)
    assert tested.p[0, 0] == pytest.approx(p, abs=1e-6, nan_ok=True)
    assert np.isnan(tested.psi[0, 0]) == np.isnan(p)


def test_a_rate_that_the_reference_never_had_drifts() -> None:
    known = {"refused": ReferenceColumn.of(np.zeros(500))}
    columns = {"refused": np.array([0.0, 0, 0, 0, 0, 1])}
    tested = test_windows(columns, np.array([0, 0, 0, 1, 1, 1]), np.array([0, 3, 6]), known)
    assert tested.p[:, 0].tolist() == [1.0, 0.0]


def test_far_statistics_have_small_p_values() -> None:
    p = ks_p_value(np.array([0.0, 0.2, 0.6, 1.0]), np.full(4, 150), 12_000)
    assert p[0] == 1.0
    assert (np.diff(p) < 0).all()
    assert p[-1] > 0


def test_runs_wait_for_their_exams() -> None:
    assert run_bounds(2500, 1000).tolist() == [0, 1000, 2000]
    assert day_bounds(np.array([0, 0, 3, 3, 3, 4])).tolist() == [0, 2, 5, 6]


def test_a_year_is_tested_once_for_all_peers(streams: tuple[SimYear, SimExams]) -> None:
    year, reference = streams
    tests = YearTests()
    alarms = {rule.name: rule.run(year, reference) for rule in [*peers(tests), *sweep(tests)]}
    assert tests.of(year, reference, 0) is tests.of(year, reference, 0)
    assert len(alarms["psi_daily"]) == len(alarms["psi@0.1"]) > len(alarms["psi@0.3"])
    assert len(alarms["ks_any"]) >= len(alarms["ks_bonferroni"])
    assert all(alarm.confirmed for alarm in alarms["ks_any"])


def test_alarms_come_on_the_day_of_the_last_exam(streams: tuple[SimYear, SimExams]) -> None:
    year, reference = streams
    rule = WindowRule("all", "all", largest_psi, 0.0, YearTests(), window=500)
    days = [alarm.day for alarm in rule.run(year, reference)]
    assert days == year.day[499 : len(year) : 500].tolist()


@pytest.mark.slow
@pytest.mark.parametrize("pinned", [True, False])
def test_evidently_decides_the_same(pinned: bool, streams: tuple[SimYear, SimExams]) -> None:
    from evidently import DataDefinition, Dataset, Report
    from evidently.presets import DataDriftPreset

    current, reference, _ = _known(streams)
    tests, (year, exams) = YearTests(), streams
    tested = tests.of(year, exams, 0)
    bounds = day_bounds(year.day)
    yes_no = [name for name in reference if np.isin(reference[name], (0.0, 1.0)).all()]
    settings = {"num_method": "ks", "cat_method": "chisquare"} if pinned else {}
    preset = DataDriftPreset(drift_share=DRIFT_SHARE, **settings)
    definition = DataDefinition(
        numerical_columns=[name for name in reference if name not in yes_no],
        categorical_columns=yes_no,
    )
    for k in (0, 17):
        day = {name: values[bounds[k] : bounds[k + 1]] for name, values in current.items()}
        frames = [
            Dataset.from_pandas(_worded(columns, yes_no), data_definition=definition)
            for columns in (day, reference)
        ]
        result = Report([preset]).run(*frames).dict()
        ours = dict(zip(tested.names, (tested.p if pinned else tested.distance)[k], strict=True))
        theirs = {
            metric["config"]["column"]: float(metric["value"])
            for metric in result["metrics"]
            if "column" in metric["config"]
        }
        assert theirs == pytest.approx({name: ours[name] for name in theirs}, rel=2e-3, abs=1e-9)
        assert set(theirs) == set(ours)
        drifted = (tested.p[k] < LEVEL) if pinned else (tested.distance[k] >= DISTANCE_LIMIT)
        share = next(m["value"]["share"] for m in result["metrics"] if "column" not in m["config"])
        assert share == pytest.approx(drifted.mean())


def _worded(columns: dict, yes_no: list[str]) -> pd.DataFrame:
    words = {name: np.where(columns[name] > 0, "yes", "no") for name in yes_no}
    return pd.DataFrame({**columns, **words})
