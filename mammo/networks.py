"""The networks of a release in ONNX Runtime: prepared images in, numbers out.

What is asked for beside the logit costs nothing (measured: 0.72 ms a batch with
and without): features and heat are on the way to it. A run ends early when
nobody waits for it any more (``RunOptions.terminate``, between two nodes of the
graph).

Views are run one by one, as many side by side as there are cores, each on one
thread. The numbers are the same to the last bit; it costs no more than one run of
four views on two threads, and less on a busy machine, where the threads of a run
wait for each other (docs/service_speed.md). And a run ends sooner that nobody
waits for.
"""

from __future__ import annotations

import os
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from functools import cache, partial
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import onnxruntime

from mammo.detection.carried import GRAPH, OUTPUTS, suppress
from mammo.patience import Patience
from mammo.release import HEAD

HEAT = "heat"


class ViewInference(NamedTuple):
    """What the networks say of N views.

    ``logits`` (N,), ``embeddings`` (N, 32) and, where the release has a head,
    ``features`` (N, F), all float32. ``heat`` (N, h, w) is what each place adds to
    the logit, where it was asked for and the graph tells it. ``marks`` (N, 50, 5) are the
    boxes of the release's detector (`mammo.detection.carried.Marks`), None without one.
    """

    logits: np.ndarray
    embeddings: np.ndarray
    features: np.ndarray | None
    heat: np.ndarray | None = None
    marks: np.ndarray | None = None

    def of_breasts(
        self, views: Sequence[int] | np.ndarray
    ) -> tuple[np.ndarray, np.ndarray | None, np.ndarray | None]:
        """Return logits, features and marks of these views, for `Screener.breast_logits`."""
        features = None if self.features is None else self.features[views]
        marks = None if self.marks is None else self.marks[views]
        return self.logits[views], features, marks


class Networks:
    """The sessions of a release's graphs; safe to call from several threads.

    ``threads`` is of one run; a service that has many exams is best off with 1.
    """

    def __init__(
        self, directory: Path, *, threads: int, head: bool, detector: bool = False
    ) -> None:
        self._model = _session(directory / "model.onnx", threads)
        self._encoder = _session(directory / "encoder.onnx", threads)
        self._head = _session(directory / HEAD, threads) if head else None
        self._detector = _session(directory / GRAPH, threads) if detector else None
        self.tells_heat = HEAT in {one.name for one in self._model.get_outputs()}

    @property
    def has_head(self) -> bool:
        """True where a trained graph puts the views of a breast together."""
        return self._head is not None

    def infer(
        self,
        tensors: np.ndarray,
        *,
        features: bool = False,
        heat: bool = False,
        patience: Patience | None = None,
        side_by_side: bool = True,
    ) -> ViewInference:
        """Run the networks over tensors (N, 1, H, W) float32 in [0, 1].

        With features where there is a head to feed, or where they are asked for, heat
        where it is asked for and told, and marks where there is a detector. Not
        ``side_by_side``, all is done in the caller's thread, at its priority. Raises
        DeadlineExceeded and RequestCancelled when ``patience`` ends.
        """
        if len(tensors) < 2:
            return self._infer(tensors, features, heat, patience)
        rows = np.split(tensors, len(tensors))
        each = partial(self._infer, features=features, heat=heat, patience=patience)
        found = list(_lanes().map(each, rows) if side_by_side else map(each, rows))
        return stack_views(found)

    def _infer(
        self, tensors: np.ndarray, features: bool, heat: bool, patience: Patience | None
    ) -> ViewInference:
        feed = {"image": tensors}
        wanted = ["features"] if features or self.has_head else []
        wanted += [HEAT] if heat and self.tells_heat else []
        found = _run(self._model, ["logit", *wanted], feed, patience)
        told = dict(zip(wanted, found[1:], strict=True))
        embeddings = _run(self._encoder, ["embedding"], feed, patience)[0]
        marks = self._marks(tensors, patience)
        return ViewInference(found[0], embeddings, told.get("features"), told.get(HEAT), marks)

    def _marks(self, tensors: np.ndarray, patience: Patience | None) -> np.ndarray | None:
        """Return the marks of the detector (N, 50, 5); its graph takes one view at a time."""
        if self._detector is None:
            return None
        names = list(OUTPUTS)
        rows = np.split(tensors, len(tensors))
        each = [_run(self._detector, names, {"image": row}, patience) for row in rows]
        return np.stack([suppress(boxes[0], scores[0]) for boxes, scores in each])

    def join(self, feed: dict[str, np.ndarray]) -> np.ndarray:
        """Return the head's logits (B,) of what `mammo.breast_logits.head_feed` gives."""
        assert self._head is not None, "only where `has_head`"
        return np.asarray(_run(self._head, ["logit"], feed, None)[0])


@cache
def _lanes() -> ThreadPoolExecutor:
    """Return the threads in which the views of all exams and releases are run."""
    return ThreadPoolExecutor(os.cpu_count() or 1, thread_name_prefix="view")


def stack_views(found: Sequence[ViewInference]) -> ViewInference:
    """Return what was said of several batches as of one; at least one."""

    def column(name: str) -> Any:
        parts = [getattr(one, name) for one in found]
        return None if parts[0] is None else np.concatenate(parts)

    return ViewInference(*(column(name) for name in ViewInference._fields))


def _run(
    session: onnxruntime.InferenceSession,
    outputs: list[str],
    feed: dict[str, np.ndarray],
    patience: Patience | None,
) -> list[Any]:
    if patience is None:
        return list(session.run(outputs, feed))
    patience.require()
    options = onnxruntime.RunOptions()

    def stop() -> None:
        options.terminate = True

    try:
        with patience.stopping(stop):
            return list(session.run(outputs, feed, options))
    except Exception:
        patience.require()  # it was ended: say why
        raise


def _session(path: Path, threads: int) -> onnxruntime.InferenceSession:
    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = threads
    return onnxruntime.InferenceSession(str(path), options, providers=["CPUExecutionProvider"])
