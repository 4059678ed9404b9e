"""A carried detector that gives NaN or infinity: nothing is told, and the gate names it."""

from __future__ import annotations

import math
import shutil
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import onnx
import pytest
from onnx import TensorProto, helper

from mammo.continual.infrastructure import infrastructure_checks
from mammo.detection.carried import GRAPH, CarriedDetector, JointScore, suppress
from mammo.errors import ScoreNotFinite
from mammo.networks import Networks
from mammo.release import Release
from mammo.screening import Screener
from mammo.settings import Settings
from tests.heat_release import KEY, load, one_exam, write_heat_release

JOINT = JointScore(0.7, 0.4, -0.3)
BOX = (10.0, 10.0, 30.0, 30.0)
CHECKS = ("repeatable", "alone or together", "finite")


def write_detector_graph(path: Path, box: tuple[float, ...], score: float, black: bool) -> None:
    """Write a graph of one box and one score; with ``black``, a black image's score is 0 / 0."""
    nodes = [
        helper.make_node("ReduceSum", ["image", "axes"], ["sum"], keepdims=0),
        helper.make_node("Unsqueeze", ["sum", "last"], ["row"]),
        helper.make_node("Mul", ["row", "zero"], ["nothing"]),
        helper.make_node("Unsqueeze", ["nothing", "last"], ["wide"]),
        helper.make_node("Add", ["wide", "box"], ["boxes"]),
        helper.make_node("Div", ["row", "row"], ["one"]),
        helper.make_node("Mul", ["one" if black else "nothing", "score"], ["part"]),
        helper.make_node("Add", ["part", "zero" if black else "score"], ["scores"]),
    ]
    constants = [
        helper.make_tensor("axes", TensorProto.INT64, [3], [1, 2, 3]),
        helper.make_tensor("last", TensorProto.INT64, [1], [1]),
        helper.make_tensor("zero", TensorProto.FLOAT, [1, 1], [0.0]),
        helper.make_tensor("box", TensorProto.FLOAT, [1, 1, 4], box),
        helper.make_tensor("score", TensorProto.FLOAT, [1, 1], [score]),
    ]
    kinds = {"image": ["n", 1, "h", "w"], "boxes": ["n", 1, 4], "scores": ["n", 1]}
    image, *told = [
        helper.make_tensor_value_info(name, TensorProto.FLOAT, shape)
        for name, shape in kinds.items()
    ]
    graph = helper.make_graph(nodes, "detector", [image], told, constants)
    opset = [helper.make_opsetid("", 17)]
    onnx.save(helper.make_model(graph, opset_imports=opset, ir_version=9), path)


@pytest.fixture(scope="module")
def plain(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_heat_release(tmp_path_factory.mktemp("home") / "releases", "r-plain")


def carrying(
    plain: Path, folder: Path, joint: JointScore | None = JOINT, *,
    box: tuple[float, ...] = BOX, score: float = 0.5, black: bool = False,
) -> Path:  # fmt: skip
    """Return a copy of a release with such a graph, whose golden image is marked with 0.5."""
    directory = folder / "r-carrying"
    shutil.copytree(plain, directory)
    write_detector_graph(directory / GRAPH, box, score, black)
    CarriedDetector("ssd", "digest", 0.0, joint, golden_best=0.5).write(directory)
    replace(Release.read(plain), id=directory.name, detector="ssd", files={}).seal(directory)
    return directory


@pytest.mark.parametrize("joint", [JOINT, None], ids=["in the score", "findings only"])
@pytest.mark.parametrize(
    ("box", "score"),
    [
        (BOX, math.nan),
        (BOX, math.inf),
        ((10.0, math.nan, 30.0, 30.0), 0.5),
        ((10.0, 10.0, math.inf, 30.0), 0.5),
    ],
)
def test_an_exam_is_refused_of_which_the_detector_gives_no_number(
    plain: Path, tmp_path: Path, box: tuple[float, ...], score: float, joint: JointScore | None
) -> None:
    files = one_exam(tmp_path / "exam")
    sound = load(carrying(plain, tmp_path / "sound", joint))
    assert sound.score_files(files, key=KEY, site="site-1").breasts
    broken = load(carrying(plain, tmp_path / "broken", joint, box=box, score=score))
    with pytest.raises(ScoreNotFinite, match=r"gave 1000 of 1000 marks that are no finite"):
        broken.score_files(files, key=KEY, site="site-1")


def test_one_number_that_is_none_makes_all_marks_of_its_view_none() -> None:
    boxes = np.array([BOX, (40, 40, 60, 60)], np.float32)
    assert np.isfinite(suppress(boxes, np.array([0.9, 0.8], np.float32))).all()
    # the second, below every threshold, would have gone without a word
    assert np.isnan(suppress(boxes, np.array([0.9, np.nan], np.float32))).all()


def test_no_number_stays_none_through_the_joint_score() -> None:
    marks = np.zeros((2, 50, 5), np.float32)
    marks[0] = np.nan
    facts = CarriedDetector("ssd", "digest", 0.0, JOINT)
    for order in (marks, marks[::-1]):
        assert math.isnan(facts.breast_logits({"L": 1.0}, ["L", "L"], order)["L"])
    assert np.isnan(facts.view_logits([1.0, 1.0], marks)).tolist() == [True, False]


def failing(directory: Path) -> dict[str, str]:
    settings = Settings(home=directory.parent, require_signature=False, _env_file=None)
    checks = infrastructure_checks(settings, directory, None)
    assert {*CHECKS} <= {one.name for one in checks}, checks
    return {one.name: one.text for one in checks if one.name in CHECKS and not one.passed}


@pytest.mark.parametrize("joint", [JOINT, None], ids=["in the score", "findings only"])
def test_the_gate_tries_the_detector_on_black_and_noise(
    plain: Path, tmp_path: Path, joint: JointScore | None
) -> None:
    assert failing(carrying(plain, tmp_path / "sound", joint)) == {}
    told = failing(carrying(plain, tmp_path / "broken", joint, black=True))
    assert list(told) == ["finite"] and "not marks" in told["finite"]
    assert ("scores" in told["finite"]) == (joint is not None)


def test_the_gate_holds_marks_and_scores_against_each_other(
    plain: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    directory = carrying(plain, tmp_path)
    real = Networks._marks
    draws = np.random.default_rng(0)

    def restless(self: Networks, *asked: Any) -> np.ndarray | None:
        marks = real(self, *asked)
        assert marks is not None
        marks[:, 0, 4] += draws.uniform(0, 1e-4, len(marks)).astype(np.float32)
        return marks

    monkeypatch.setattr(Networks, "_marks", restless)
    told = failing(directory)
    assert list(told) == ["repeatable", "alone or together"]
    assert all("not marks, scores" in words for words in told.values())
    assert Screener.load(directory).detector is not None
