"""What a release's logit is made of, place by place, for files and in their own pixels.

    explainer = Explainer.load(directory)
    views, refused = explain_files(settings, explainer, paths)
    picture = draw_heat([heat_row(one) for one in views])

The heat is the network's own sum (``ViewNet.outputs``), no second model: all
cells and the bias are the logit of the view. What a multi-view head makes of
several views is not told by it. Where a detector is part of the score, the heat is of
the classifier's logit alone; probability and recall are of the joint logit, as in service.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Any, Self

import numpy as np
from numpy.typing import NDArray

from mammo.errors import IndexMissing, ReadError
from mammo.exam import Finding, Mammogram, parse_findings
from mammo.exam_scores import require_one_exam
from mammo.heat_map import Grid, HeatMap, Place
from mammo.heat_picture import HeatRow, ShownView, read_shown
from mammo.preprocess import to_tensor
from mammo.release import Release
from mammo.screening import BreastScore, Refused, Screener, score_breasts
from mammo.settings import Settings

if TYPE_CHECKING:
    from mammo.models.breast_net import ViewNet

HEAT = "heat"


class Explainer:
    """A release that says where its logits come from; its graph, else its weights."""

    def __init__(self, release: Release, directory: Path) -> None:
        import onnxruntime

        self.release, self.directory = release, directory
        session = onnxruntime.InferenceSession(
            str(directory / "model.onnx"), providers=["CPUExecutionProvider"]
        )
        has_heat = HEAT in {one.name for one in session.get_outputs()}
        self._session = session if has_heat else None

    @classmethod
    def load(cls, directory: Path) -> Self:
        """Load a release and check its digests; ReleaseNotFound, DigestMismatch."""
        return cls(Release.read(directory, verify=True), directory)

    def explain(
        self, tensors: NDArray[np.float32]
    ) -> tuple[NDArray[np.float32], NDArray[np.float32]]:
        """Return logits (N,) and heat (N, h, w) of tensors (N, 1, H, W) float32 in [0, 1]."""
        if self._session is not None:
            logits, heat = self._session.run(["logit", HEAT], {"image": tensors})
            return logits, heat
        # a release of before the graph had this output
        from mammo.models.heat import network_heat

        return network_heat(self.network, tensors)

    def score_logits(
        self, tensors: NDArray[np.float32], logits: NDArray[np.float32]
    ) -> NDArray[Any]:
        """Return (N,) the logits that a breast of each view alone would have, as in service.

        ``tensors`` and ``logits`` are `explain`'s. They differ where a detector is part of
        the score; the operating points are of these.
        """
        if not self.is_joint:
            return logits
        assert self._screener is not None
        return self._screener.view_logits(self._screener.infer_views(tensors))

    @property
    def is_joint(self) -> bool:
        """True where a detector is part of the score."""
        screener = self._screener
        return (
            screener is not None
            and screener.detector is not None
            and screener.detector.joint is not None
        )

    @cached_property
    def _screener(self) -> Screener | None:
        return None if self.release.detector is None else Screener(self.release, self.directory)

    @cached_property
    def network(self) -> ViewNet:
        """The release's network in PyTorch."""
        from mammo.appraisal.network import read_view_net

        return read_view_net(self.directory)

    @cached_property
    def grid(self) -> Grid:
        """Where the cells of the heat look, by the release's golden image."""
        from mammo.models.heat import network_grid

        golden = np.load(self.directory / "golden.npz", allow_pickle=False)
        return network_grid(self.network, golden["tensor"])


@dataclass(frozen=True, eq=False)
class ExplainedView:
    """One mammogram, its score as if the breast had this view alone, and where it is from.

    ``logit`` is the classifier's, which the heat adds up to. ``breast`` has the logit of the
    score; with a detector in it (``is_joint``) that is another one.
    """

    file: str
    mammogram: Mammogram
    shown: NDArray[np.uint8]
    heat: HeatMap
    logit: float
    breast: BreastScore
    places: tuple[Place, ...]
    findings: tuple[Finding, ...]
    is_joint: bool = False

    def to_dict(self) -> dict[str, Any]:
        """Return what is told of the view; ids are pseudonyms, no file name."""
        height, width = self.heat.cell
        return {
            "image": self.mammogram.image_id,
            "view": str(self.mammogram.view),
            "rows": self.mammogram.rows,
            "columns": self.mammogram.columns,
            "logit": self.logit,
            **({"joint_logit": self.breast.logit} if self.is_joint else {}),
            "probability": self.breast.probability,
            "recall": self.breast.recall,
            "where": [one.to_dict() for one in self.places],
            "cell": {"height": round(height, 1), "width": round(width, 1)},
            "heat_in_padding": self.heat.beside_crop(),
            "boxes": [[one.x_min, one.y_min, one.x_max, one.y_max] for one in self.findings],
        }


def explain_files(
    settings: Settings, explainer: Explainer, files: Sequence[tuple[str, bytes]]
) -> tuple[list[ExplainedView], tuple[Refused, ...]]:
    """Explain the score of each file, given as (name, bytes).

    Files are read in processes that may die. A file that cannot be read is
    listed; NothingReadable when none could be.
    """
    read, refused = _read(settings, explainer.release, files)
    if not read:
        require_one_exam((), refused)
    known = known_findings(settings, [view.mammogram.image_id for _, view in read])
    return [_explain(explainer, name, view, known) for name, view in read], refused


def known_findings(settings: Settings, images: Sequence[str]) -> dict[str, tuple[Finding, ...]]:
    """Return the boxes that the index has for these images; none without an index."""
    import pyarrow.compute as pc

    from mammo.data.index import read_index

    try:
        rows = read_index(
            settings.index_path, ["image_id", "findings"], pc.field("image_id").isin(list(images))
        )
    except IndexMissing:
        return {}
    pairs = zip(rows["image_id"].astype(str), rows["findings"], strict=True)
    return {image: parse_findings(text) for image, text in pairs}


def heat_row(view: ExplainedView) -> HeatRow:
    """Return the row of the picture for a view."""
    decision = "recall" if view.breast.recall else "no recall"
    padding = view.heat.beside_crop()
    rows, columns = view.heat.heat.shape
    height, width = view.heat.cell
    score = f"this view alone: {view.breast.probability:.0%}, {decision}"
    told = [f"logit {view.logit:.2f}; {score}"]
    if view.is_joint:
        told = [
            f"the classifier's logit {view.logit:.2f}, which the heat is of",
            f"with the detector {view.breast.logit:.2f}; {score}",
        ]
    lines = [
        f"image {view.mammogram.image_id}",
        *told,
        f"grid {rows} x {columns}, a cell is {height:.0f} x {width:.0f} pixels",
    ]
    if padding >= 0.005:
        lines.append(f"{padding:.0%} of the heat is in the padding, beside the mammogram")
    return HeatRow(
        view.shown, view.heat, view.places, view.findings, str(view.mammogram.view), lines
    )


def _explain(
    explainer: Explainer, name: str, view: ShownView, known: dict[str, tuple[Finding, ...]]
) -> ExplainedView:
    release = explainer.release
    tensor = to_tensor(view.prepared.pixels, release.preprocess)
    logits, heat = explainer.explain(tensor[np.newaxis])
    found = HeatMap(heat[0], view.prepared.geometry, explainer.grid)
    mammogram = view.mammogram
    point = release.operating_point(mammogram.scanner.key)
    logit = float(logits[0])
    alone = float(explainer.score_logits(tensor[np.newaxis], logits)[0])
    (breast,) = score_breasts([(mammogram.view.laterality.value, alone)], point)
    findings = known.get(mammogram.image_id, ())
    places = tuple(found.places())
    return ExplainedView(
        name, mammogram, view.shown, found, logit, breast, places, findings, explainer.is_joint
    )


def _read(
    settings: Settings, release: Release, files: Sequence[tuple[str, bytes]]
) -> tuple[list[tuple[str, ShownView]], tuple[Refused, ...]]:
    from mammo.killable import KillablePool
    from mammo.reading import read_limits

    key, site = settings.pseudonym_key(), settings.site
    read, refused = [], []
    with KillablePool(1, read_limits(settings)) as pool:
        tasks = [pool.submit(read_shown, data, key, site, release.preprocess) for _, data in files]
        for (name, _), task in zip(files, tasks, strict=True):
            try:
                read.append((name, task.result()))
            except ReadError as error:
                refused.append(Refused(name, error.code, error.message))
    return read, tuple(refused)
