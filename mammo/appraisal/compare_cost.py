"""What each model costs: its training, parameters, its graph's size, and the time of a view.

Latency is measured in one run, the models taking turns on one thread, and is
that thread's own time: a machine that is busy with other things preempts the
slower model more often, and would make it look slower yet. It is the graph that
the service runs, on the release's own golden image. Milliseconds are of this
machine; what carries over is the ratio.
"""

from __future__ import annotations

import time
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

from mammo.appraisal.compare_runs import ComparedRun
from mammo.continual.spent import Spent, read_spent
from mammo.release import Release

ROUNDS = 15
STATISTICS = ("running_mean", "running_var", "num_batches_tracked")


@dataclass(frozen=True)
class Cost:
    """One model's cost; ``ratio`` is the median over rounds of its time to the first's.

    ``training`` is None for a release that did not keep what its training spent.
    """

    run: str
    parameters: int
    graph_mb: float
    milliseconds: float
    ratio: float
    height: int
    width: int
    training: Spent | None = None

    def to_dict(self) -> dict[str, Any]:
        """Return the fields."""
        spent = None if self.training is None else dict(vars(self.training))
        return dict(vars(self)) | {"training": spent}


def measure_costs(runs: Sequence[ComparedRun], rounds: int = ROUNDS) -> list[Cost]:
    """Return what each run costs, in their order."""
    seconds = _time([run.directory for run in runs], rounds)
    return [
        Cost(
            run.name,
            count_parameters(run.directory),
            (run.directory / "model.onnx").stat().st_size / 2**20,
            1000 * float(np.median(own)),
            float(np.median(own / seconds[0])),
            run.release.preprocess.height,
            run.release.preprocess.width,
            read_spent(run.directory),
        )
        for run, own in zip(runs, seconds, strict=True)
    ]


def count_parameters(directory: Path) -> int:
    """Return the numbers that a release's network learnt or started from; no batch statistics."""
    from safetensors import safe_open

    with safe_open(directory / "weights.safetensors", framework="numpy") as tensors:
        names = [name for name in tensors.keys() if name.rsplit(".", 1)[-1] not in STATISTICS]  # noqa: SIM118
        return int(sum(np.prod(tensors.get_slice(name).get_shape()) for name in names))


def _time(directories: Sequence[Path], rounds: int) -> np.ndarray:
    """Return the thread's seconds a view, (runs, rounds): each round, every model scores one."""
    import onnxruntime

    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = options.inter_op_num_threads = 1
    sessions, feeds = [], []
    for one in directories:
        sessions.append(
            onnxruntime.InferenceSession(
                str(one / "model.onnx"), options, providers=["CPUExecutionProvider"]
            )
        )
        golden = np.load(one / "golden.npz", allow_pickle=False)
        feeds.append({"image": golden["tensor"][np.newaxis]})
        sessions[-1].run(["logit"], feeds[-1])  # the first one allocates
    seconds = np.zeros((len(sessions), rounds))
    for turn in range(rounds):
        for place, (session, feed) in enumerate(zip(sessions, feeds, strict=True)):
            started = time.thread_time()
            session.run(["logit"], feed)
            seconds[place, turn] = time.thread_time() - started
    return seconds


def differing_settings(runs: Sequence[ComparedRun]) -> dict[str, list[Any]]:
    """Return the settings in which the runs' configurations differ: name -> a value a run."""
    from mammo.models.tracking import flatten

    flat = [flatten(run.config) for run in runs]
    names = sorted({name for one in flat for name in one} - {"name"})
    found = {name: [one.get(name, "-") for one in flat] for name in names}
    return {name: values for name, values in found.items() if len({*map(str, values)}) > 1}


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
    """Return `differing_settings` with a row a setting and a column a run, as text."""
    differ = differing_settings(runs)
    rows = [[str(one) for one in values] for values in differ.values()]
    columns = [run.name for run in runs]
    return pd.DataFrame(rows, index=pd.Index(differ, name="setting"), columns=columns)


def graph_of(release: Release) -> str:
    """Return the network in words: ``resnet50, 512 x 256``."""
    size = release.preprocess
    return f"{release.architecture}, {size.height} x {size.width}"
