"""What each model costs: its training, parameters, its graph's size, and the time of a view.

Latency is measured in one run, the models taking turns on one thread, and is
that thread's own time: a machine that is busy with other things preempts the
slower model more often, and would make it look slower yet. It is the graph that
the service runs, on the release's own golden image, and that of the detector, with the
suppression of its marks, where the release carries one. Milliseconds are of this
machine; what carries over is the ratio.
"""

from __future__ import annotations

import time
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Self

import numpy as np
import pandas as pd

from mammo.appraisal.compare_runs import ComparedRun
from mammo.continual.spent import Spent, read_spent
from mammo.detection.carried import GRAPH, OUTPUTS, suppress
from mammo.release import DETECTOR_TRAINING, Release

ROUNDS = 15
NOT_KEPT = "not kept"
STATISTICS = ("running_mean", "running_var", "num_batches_tracked")


@dataclass(frozen=True)
class Cost:
    """One model's cost; ``ratio`` is the median over rounds of its time to the first's.

    A detector that the release carries is in all of them. ``training`` is None for a release
    that did not keep what its training spent; ``kind`` is the release's, since what a join
    spent is no training's.
    """

    run: str
    parameters: int
    graph_mb: float
    milliseconds: float
    ratio: float
    height: int
    width: int
    training: Spent | None = None
    kind: str = "trained"

    def to_dict(self) -> dict[str, Any]:
        """Return the fields."""
        spent = None if self.training is None else dict(vars(self.training))
        return dict(vars(self)) | {"training": spent}


def measure_costs(runs: Sequence[ComparedRun], rounds: int = ROUNDS) -> list[Cost]:
    """Return what each run costs, in their order."""
    seconds = _time([_View.load(run.directory) for run in runs], rounds)
    return [
        Cost(
            run.name,
            count_parameters(run.directory),
            sum(one.stat().st_size for one in _graphs(run.directory)) / 2**20,
            1000 * float(np.median(own)),
            float(np.median(own / seconds[0])),
            run.release.preprocess.height,
            run.release.preprocess.width,
            read_spent(run.directory),
            run.release.kind,
        )
        for run, own in zip(runs, seconds, strict=True)
    ]


def count_parameters(directory: Path) -> int:
    """Return the numbers that a release's networks learnt or started from; no batch statistics.

    Those of its detector, where it keeps the weights of one, are counted too.
    """
    detector = directory / DETECTOR_TRAINING[0]
    files = [directory / "weights.safetensors", *([detector] if detector.is_file() else [])]
    return sum(_count(one) for one in files)


def _count(path: Path) -> int:
    from safetensors import safe_open

    with safe_open(path, framework="numpy") as tensors:
        names = [name for name in tensors.keys() if name.rsplit(".", 1)[-1] not in STATISTICS]  # noqa: SIM118
        return int(sum(np.prod(tensors.get_slice(name).get_shape()) for name in names))


def _graphs(directory: Path) -> list[Path]:
    """Return the classifier's graph and, where the manifest names one, the detector's."""
    carried = Release.read(directory).detector is not None
    return [directory / name for name in ("model.onnx", *([GRAPH] if carried else []))]


@dataclass(frozen=True)
class _View:
    """The sessions that score a view, classifier first, on one thread, and the golden image."""

    sessions: tuple[Any, ...]
    feed: dict[str, np.ndarray]

    @classmethod
    def load(cls, directory: Path) -> Self:
        import onnxruntime

        options = onnxruntime.SessionOptions()
        options.intra_op_num_threads = options.inter_op_num_threads = 1
        sessions = tuple(
            onnxruntime.InferenceSession(str(one), options, providers=["CPUExecutionProvider"])
            for one in _graphs(directory)
        )
        golden = np.load(directory / "golden.npz", allow_pickle=False)
        return cls(sessions, {"image": golden["tensor"][np.newaxis]})

    def score(self) -> None:
        classifier, *detectors = self.sessions
        classifier.run(["logit"], self.feed)
        for one in detectors:
            boxes, scores = one.run(list(OUTPUTS), self.feed)
            suppress(boxes[0], scores[0])


def _time(views: Sequence[_View], rounds: int) -> np.ndarray:
    """Return the thread's seconds a view, (runs, rounds): each round, every model scores one."""
    for one in views:
        one.score()  # the first one allocates
    seconds = np.zeros((len(views), rounds))
    for turn in range(rounds):
        for place, one in enumerate(views):
            started = time.thread_time()
            one.score()
            seconds[place, turn] = time.thread_time() - started
    return seconds


def differing_settings(runs: Sequence[ComparedRun]) -> dict[str, list[Any]]:
    """Return the settings in which the runs' configurations differ: name -> a value a run.

    Those that are kept are compared with each other; "-" is a setting that a configuration
    lacks, `NOT_KEPT` the place of a run whose configuration is not known.
    """
    from mammo.models.tracking import flatten

    flat = [None if run.config is None else flatten(run.config) for run in runs]
    kept = [one for one in flat if one is not None]
    names = sorted({name for one in kept for name in one} - {"name"})
    differ = [name for name in names if len({str(one.get(name, "-")) for one in kept}) > 1]
    return {
        name: [NOT_KEPT if one is None else one.get(name, "-") for one in flat] for name in differ
    }


def cost_table(costs: Sequence[Cost]) -> pd.DataFrame:
    """Return one row a run: parameters, size of the graph, time as times the first's."""
    rows = [
        {
            "run": one.run, "parameters": one.parameters, "graph_mb": one.graph_mb,
            "times_the_first": one.ratio, "image": f"{one.height} x {one.width}",
        }
        for one in costs
    ]  # fmt: skip
    return pd.DataFrame(rows).set_index("run")


def settings_table(runs: Sequence[ComparedRun]) -> pd.DataFrame:
    """Return `differing_settings` with a row a setting and a column a run, as text.

    Where a run's configuration is not kept, the first row says whose.
    """
    kept = ["kept" if run.config is not None else NOT_KEPT for run in runs]
    differ = ({"configuration": kept} if NOT_KEPT in kept else {}) | differing_settings(runs)
    rows = [[str(one) for one in values] for values in differ.values()]
    columns = [run.name for run in runs]
    return pd.DataFrame(rows, index=pd.Index(differ, name="setting"), columns=columns)


def graph_of(release: Release) -> str:
    """Return the network in words: ``resnet50, 512 x 256``."""
    size = release.preprocess
    return f"{release.architecture}, {size.height} x {size.width}"
