"""The networks of a release in ONNX Runtime: prepared images in, numbers out.

What is asked for beside the logit costs nothing (measured: 0.72 ms a batch with
and without): features and heat are on the way to it. A run ends early when
nobody waits for it any more (``RunOptions.terminate``, between two nodes of the
graph).
"""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import onnxruntime

from mammo.patience import Patience
from mammo.release import HEAD

HEAT = "heat"


class ViewInference(NamedTuple):
    """What the networks say of N views.

    ``logits`` (N,), ``embeddings`` (N, 32) and, where the release has a head,
    ``features`` (N, F), all float32. ``heat`` (N, h, w) is what each place adds to
    the logit, where it was asked for and the graph tells it.
    """

    logits: np.ndarray
    embeddings: np.ndarray
    features: np.ndarray | None
    heat: np.ndarray | None = None

    def of_breasts(self, views: Sequence[int] | np.ndarray) -> tuple[np.ndarray, np.ndarray | None]:
        """Return logits and features of these views, for `Screener.breast_logits`."""
        features = None if self.features is None else self.features[views]
        return self.logits[views], features


class Networks:
    """The sessions of a release's graphs; safe to call from several threads."""

    def __init__(self, directory: Path, *, threads: int, head: bool) -> None:
        self._model = _session(directory / "model.onnx", threads)
        self._encoder = _session(directory / "encoder.onnx", threads)
        self._head = _session(directory / HEAD, threads) if head else None
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
    ) -> ViewInference:
        """Run both networks over tensors (N, 1, H, W) float32 in [0, 1].

        With features where there is a head to feed, or where they are asked for, and
        heat where it is asked for and told. Raises DeadlineExceeded and
        RequestCancelled when ``patience`` ends.
        """
        feed = {"image": tensors}
        wanted = ["features"] if features or self.has_head else []
        wanted += [HEAT] if heat and self.tells_heat else []
        found = _run(self._model, ["logit", *wanted], feed, patience)
        told = dict(zip(wanted, found[1:], strict=True))
        embeddings = _run(self._encoder, ["embedding"], feed, patience)[0]
        return ViewInference(found[0], embeddings, told.get("features"), told.get(HEAT))

    def join(self, feed: dict[str, np.ndarray]) -> np.ndarray:
        """Return the head's logits (B,) of what `mammo.breast_logits.head_feed` gives."""
        assert self._head is not None, "only where `has_head`"
        return np.asarray(_run(self._head, ["logit"], feed, None)[0])


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
