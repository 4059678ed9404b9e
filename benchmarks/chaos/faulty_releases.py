"""Releases with a planted fault that pass every check before the service: for the guard."""

from __future__ import annotations

import shutil
from dataclasses import replace
from pathlib import Path

import numpy as np
import yaml

from bentos.screening.packaging import carry_signature
from mammo.continual.golden import write_golden
from mammo.release import FOR_TRAINING, MANIFEST, Release
from mammo.screening import Screener
from mammo.settings import Settings
from tests.bentos.judging import permit

GOOD, ERRORS, SLOW, RECALLS = (
    f"r-20260302-{name}" for name in ("00000000", "e0000000", "51000000", "a1000000")
)
FAULTS = {
    ERRORS: "every exam fails (its network says NaN)",
    SLOW: "an exam takes over ten times as long",
    RECALLS: "every exam is recalled",
}
CHANNELS, LAYERS = 96, 5
"""Of the convolutions that make a release slow and change no score."""


def write_first(settings: Settings, release_id: str, exams: list[list[tuple[str, bytes]]]) -> float:
    """Write the release that recalls a tenth of these exams; return the bias that does it."""
    from benchmarks.chaos.releases import write_good

    directory = write_good(settings, release_id)
    screener = Screener.load(directory, verify=False)
    key = settings.pseudonym_key()
    logits = [screener.score_files(one, key=key, site="site-1").logit for one in exams]
    bias = -float(np.quantile(logits, 0.9))
    shutil.rmtree(directory)
    write_good(settings, release_id, bias)
    lay_bento(settings, release_id)
    return bias


def write_faulty(settings: Settings, release_id: str, bias: float) -> None:
    """Write one of GOOD, ERRORS, SLOW and RECALLS, permitted, signed and packaged."""
    from benchmarks.chaos.releases import write_good, write_nan

    if release_id == ERRORS:
        write_nan(settings, release_id)
    else:
        directory = write_good(settings, release_id, 9.0 if release_id == RECALLS else bias)
        if release_id == SLOW:
            _weigh_down(directory, settings)
    lay_bento(settings, release_id)


def lay_bento(settings: Settings, release_id: str) -> None:
    """Lay a release's Bento into the store as a build does, judged and approved."""
    directory = settings.releases_dir / release_id
    release = Release.read(directory)
    permit(settings, release)
    bento = settings.bentoml_home / "bentos" / "screening" / f"{release_id}-c0de"
    embedded = bento / "src" / "release"
    embedded.mkdir(parents=True)
    for name in (MANIFEST, *(one for one in release.files if one not in FOR_TRAINING)):
        shutil.copy2(directory / name, embedded / name)
    carry_signature(directory, embedded, settings)
    told = {"version": bento.name, "labels": {"release": release_id}, "creation_time": release_id}
    (bento / "bento.yaml").write_text(yaml.safe_dump(told))


def _weigh_down(directory: Path, settings: Settings) -> None:
    """Add convolutions to the network whose result, times nought, goes into the logit."""
    import onnx
    from onnx import helper, numpy_helper

    model = onnx.load(directory / "model.onnx")
    graph = model.graph
    dice, last = np.random.default_rng(1), "image"
    for layer in range(LAYERS):
        shape = (CHANNELS, 1 if layer == 0 else CHANNELS, 3, 3)
        weight = numpy_helper.from_array(dice.normal(0, 0.05, shape).astype("f4"), f"w{layer}")
        graph.initializer.append(weight)
        node = helper.make_node("Conv", [last, f"w{layer}"], [f"c{layer}"], pads=[1, 1, 1, 1])
        graph.node.append(node)
        last = f"c{layer}"
    for name, value in (("nought", np.float32(0)), ("all", np.array([1, 2, 3], np.int64))):
        graph.initializer.append(numpy_helper.from_array(np.asarray(value), name))
    add = next(one for one in graph.node if one.output[0] == "logit")
    add.output[0] = "light logit"
    graph.node.append(helper.make_node("ReduceSum", [last, "all"], ["heavy"], keepdims=0))
    graph.node.append(helper.make_node("Mul", ["heavy", "nought"], ["nothing"]))
    graph.node.append(helper.make_node("Add", ["light logit", "nothing"], ["logit"]))
    onnx.save(model, directory / "model.onnx")
    release = Release.read(directory)
    write_golden(directory, Screener(release, directory))
    replace(release, files={}).seal(directory, settings.keys_dir)
