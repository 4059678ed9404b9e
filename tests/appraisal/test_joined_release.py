"""What is told of a release whose score rests on a detector too: its own score, its whole cost."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from safetensors.torch import save_file

from mammo.appraisal.compare_cost import STATISTICS, count_parameters, measure_costs
from mammo.appraisal.compare_runs import ComparedRun
from mammo.appraisal.compare_words import cost_sentences
from mammo.appraisal.explain import Explainer, explain_files, heat_row
from mammo.appraisal.shortcut_release import release_score
from mammo.continual.derive import derive_release
from mammo.continual.spent import Spent, read_spent, write_spent
from mammo.detection.carried import GRAPH
from mammo.detection.detector import NetworkDetector
from mammo.heat_map import Grid
from mammo.preprocess import to_tensor
from mammo.release import DETECTOR_TRAINING, Release
from mammo.screening import Screener
from mammo.settings import Settings

from ..heat_release import one_exam, write_heat_release
from ..test_carried import JOINT, carry, stirred

pytestmark = pytest.mark.slow


@pytest.fixture(scope="module")
def settings(tmp_path_factory: pytest.TempPathFactory) -> Settings:
    made = Settings(
        home=tmp_path_factory.mktemp("home"), mlflow_port=9, service_port=9, _env_file=None
    )
    (made.home / "pseudonym.key").write_bytes(bytes(range(32)))
    return made


@pytest.fixture(scope="module")
def ssd() -> NetworkDetector:
    return stirred("ssd")


@pytest.fixture(scope="module")
def plain(settings: Settings) -> Path:
    return write_heat_release(settings.releases_dir, "r-plain")


@pytest.fixture(scope="module")
def joined(plain: Path, ssd: NetworkDetector) -> Path:
    directory = carry(plain, ssd, JOINT)
    save_file(ssd.weights(), directory / DETECTOR_TRAINING[0])
    replace(Release.read(directory), kind="joined").seal(directory)
    return directory


@pytest.fixture(scope="module")
def findings_only(plain: Path, ssd: NetworkDetector) -> Path:
    return carry(plain, ssd, None)


@pytest.fixture(scope="module")
def exam(tmp_path_factory: pytest.TempPathFactory) -> list[tuple[str, bytes]]:
    return one_exam(tmp_path_factory.mktemp("exam"))


def compared(directory: Path) -> ComparedRun:
    return ComparedRun(
        Release.read(directory), directory, pd.DataFrame(), frozenset(), {}, run_id=""
    )


@pytest.mark.parametrize("name", ["plain", "joined", "findings_only"])
def test_explain_tells_the_probability_that_the_service_tells(
    name: str, settings: Settings, exam: list[tuple[str, bytes]],
    request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch,
) -> None:  # fmt: skip
    # the graph has no network in PyTorch behind it to measure where its cells look
    monkeypatch.setattr(Explainer, "grid", Grid.even((128, 64), (8, 4)))
    directory = request.getfixturevalue(name)
    views, _ = explain_files(settings, Explainer.load(directory), exam)
    screener = Screener.load(directory)
    report = screener.score_files(exam, key=settings.pseudonym_key(), site=settings.site)
    served = {one.image_id: one for one in report.views}
    point = report.operating_point
    assert point is not None and len(views) == 4
    for view in views:
        told, other = view.to_dict(), served[view.mammogram.image_id]
        assert told["probability"] == other.probability
        # a breast of one view, so its decision is that of its probability
        assert told["recall"] == (told["probability"] >= point.threshold)
        assert told["logit"] == other.logit  # what the heat adds up to
        assert ("joint_logit" in told) == (name == "joined")
        words = " ".join(heat_row(view).lines)
        assert ("detector" in words) == (name == "joined")


def test_shortcuts_are_those_of_the_score_in_service(plain: Path, joined: Path) -> None:
    pixels = np.random.default_rng(3).integers(0, 65536, (10, 128, 64)).astype(np.uint16)
    screener = Screener.load(joined)
    tensors = to_tensor(pixels, screener.release.preprocess)
    expected = screener.view_logits(screener.infer_views(tensors))
    assert release_score(screener)(pixels).tolist() == expected.tolist()
    alone = Screener.load(plain).infer(tensors)[0]
    assert release_score(Screener.load(plain))(pixels).tolist() == alone.tolist()
    assert np.abs(expected - alone).min() > 0


def test_cost_counts_the_detector(plain: Path, joined: Path, ssd: NetworkDetector) -> None:
    runs = [compared(one) for one in (plain, joined)]
    before, after = measure_costs(runs, rounds=5)
    assert after.graph_mb - before.graph_mb == pytest.approx(
        (joined / GRAPH).stat().st_size / 2**20
    )
    learnt = sum(one.numel() for one in ssd.network.parameters())
    constants = sum(
        one.numel()
        for name, one in ssd.network.named_buffers()
        if name.rsplit(".", 1)[-1] not in STATISTICS
    )
    assert constants <= 2 and after.parameters == before.parameters + learnt + constants
    assert count_parameters(plain) == before.parameters
    assert after.ratio > 2  # an SSD beside a mean of brightness


def test_a_child_does_not_inherit_what_the_training_of_its_parent_spent(
    plain: Path, tmp_path: Path
) -> None:
    spent = Spent(40.0, 20.0, None, "x86_64, 2 processors", False)
    write_spent(plain, spent)
    _, child = derive_release(
        plain, tmp_path, operating_points=Release.read(plain).operating_points, metrics={}
    )
    assert read_spent(plain) == spent and read_spent(child) is None


def test_a_join_is_not_compared_with_a_training(plain: Path, joined: Path) -> None:
    spent = Spent(40.0, 20.0, None, "x86_64, 2 processors", False)
    for one in (plain, joined):
        write_spent(one, spent)
    runs = [compared(one) for one in (plain, joined)]
    costs = measure_costs(runs, rounds=1)
    told = " ".join(cost_sentences(costs))
    assert "cannot be compared" in told and "nor the detector's own training" in told
    alike = [replace(one, kind="trained") for one in costs]
    assert "cannot be compared" not in " ".join(cost_sentences(alike))
