"""The one inference path: files of an exam in, an ExamReport out.

    screener = Screener.load(Path("releases/r-20261122-1a2b3c4d"))
    report = screener.score_files([("1.dcm", data), ...], key=key, site="site-1")

The service, `mammo predict`, the release's reference and the monitor's numbers
all come through `Screener`; training shares `prepare` and `to_tensor` with it.
Files are read in processes that may die (:mod:`mammo.reading`). The logit of a
breast comes from its views, of repeats and special views only the preferred
ones (:mod:`mammo.preferred`), as the release says: their mean, their maximum, or
the multi-view head; that of an exam is the maximum over its breasts.
"""

from __future__ import annotations

import time
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import NamedTuple, Self

import numpy as np
import onnxruntime

from mammo.breast_logits import HEADS, aggregate_logits, head_feed
from mammo.errors import EmptyRequest, MixedExams, NothingReadable, ParityError, ReadError
from mammo.exam import STANDARD_VIEWS, Laterality, OperatingPoint
from mammo.exam_report import BreastScore, ExamReport, Refused, ViewScore
from mammo.preferred import PART_VIEWS, suitable
from mammo.preprocess import StoredImage, prepare, to_tensor
from mammo.reading import ReadView, ViewReader, default_reader
from mammo.release import HEAD, Release

__all__ = [
    "BreastScore",
    "ExamReport",
    "Refused",
    "Screener",
    "ViewInference",
    "ViewScore",
    "decide_breasts",
    "exam_quality",
    "score_breasts",
]

EMBEDDING_SIZE = 32
LOGIT_TOLERANCE = 1e-3
"""How far the golden logit may lie from the stored one.

The tensor must be equal bit for bit; the logit passes through matrix kernels
that differ between processors in the last bits of float32.
"""


class ViewInference(NamedTuple):
    """What the networks say of N views.

    ``logits`` (N,), ``embeddings`` (N, 32) and, where the release has a head,
    ``features`` (N, F), all float32.
    """

    logits: np.ndarray
    embeddings: np.ndarray
    features: np.ndarray | None

    def of_breasts(self, views: Sequence[int] | np.ndarray) -> tuple[np.ndarray, np.ndarray | None]:
        """Return logits and features of these views, for `Screener.breast_logits`."""
        features = None if self.features is None else self.features[views]
        return self.logits[views], features


def score_breasts(
    logits: Iterable[tuple[str, float]], point: OperatingPoint
) -> tuple[BreastScore, ...]:
    """Average (laterality, view logit) pairs to breasts, sorted by laterality, and decide."""
    return decide_breasts(aggregate_logits(logits), point)


def decide_breasts(logits: Mapping[str, float], point: OperatingPoint) -> tuple[BreastScore, ...]:
    """Calibrate and decide the breasts of an exam, given laterality -> logit."""
    return tuple(
        BreastScore(side, logit, point.probability(logit), point.recalls(logit))
        for side, logit in sorted(logits.items())
    )


class Screener:
    """A loaded release that scores exams; safe to call from several threads.

    ``reader`` reads their files, by default with the default limits.
    """

    def __init__(
        self,
        release: Release,
        directory: Path,
        *,
        threads: int = 2,
        reader: ViewReader | None = None,
    ) -> None:
        self.release = release
        self.directory = directory
        self._reader = reader or default_reader()
        self._model = _session(directory / "model.onnx", threads)
        self._encoder = _session(directory / "encoder.onnx", threads)
        self._head = None
        if release.aggregation in HEADS:
            self._head = _session(directory / HEAD, threads)

    @classmethod
    def load(
        cls,
        directory: Path,
        *,
        verify: bool = True,
        threads: int = 2,
        reader: ViewReader | None = None,
    ) -> Self:
        """Load a release; with ``verify``, check digests and recompute the golden.

        Raises ReleaseNotFound, DigestMismatch or ParityError.
        """
        release = Release.read(directory, verify=verify, served=True)
        screener = cls(release, directory, threads=threads, reader=reader)
        if verify:
            screener.check_golden()
        return screener

    def check_golden(self) -> None:
        """Raise ParityError when the golden image no longer gives its tensor or logit."""
        golden = np.load(self.directory / "golden.npz", allow_pickle=False)
        stored = StoredImage(
            golden["pixels"], bits_stored=int(golden["bits_stored"]), inverted=False
        )
        tensor = to_tensor(prepare(stored, self.release.preprocess).pixels, self.release.preprocess)
        if not np.array_equal(tensor, golden["tensor"]):
            raise ParityError(
                f"Release {self.release.id}: the golden image is prepared differently here "
                f"({int((tensor != golden['tensor']).sum())} of {tensor.size} values differ). "
                "It was made by another version of the preprocessing: train or package it again."
            )
        logit, stated = float(self.infer(tensor[np.newaxis])[0][0]), float(golden["logit"])
        # an int8 graph states its own: a last bit may move a value by a whole rounding step
        allowed = float(golden["tolerance"]) if "tolerance" in golden else LOGIT_TOLERANCE
        if not abs(logit - stated) <= allowed:  # written so that no NaN, of either, passes
            raise ParityError(
                f"Release {self.release.id}: the golden image scores {logit:.5f} here, "
                f"{stated:.5f} where it was made; allowed is {allowed:.3g}."
            )

    def infer(self, tensors: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """Return logits (N,) and embeddings (N, 32) of tensors (N, 1, H, W) float32."""
        found = self.infer_views(tensors)
        return found.logits, found.embeddings

    def infer_views(self, tensors: np.ndarray, *, features: bool = False) -> ViewInference:
        """Run both networks over tensors (N, 1, H, W) float32 in [0, 1].

        With features where there is a head to feed, or where they are asked for.
        """
        feed = {"image": tensors}
        wanted = ["logit"] if self._head is None and not features else ["logit", "features"]
        logits, *others = self._model.run(wanted, feed)
        embeddings = self._encoder.run(["embedding"], feed)[0]
        return ViewInference(logits, embeddings, others[0] if others else None)

    def breast_logits(
        self, lateralities: Sequence[str], logits: np.ndarray, features: np.ndarray | None
    ) -> dict[str, float]:
        """Return laterality -> logit from the pooled views of one exam.

        ``logits`` is (V,), ``features`` (V, F) where there is a head. The only
        place where views become breasts, in service and in evaluation.
        """
        if self._head is None:
            pairs = zip(lateralities, logits, strict=True)
            return aggregate_logits(pairs, self.release.aggregation)
        assert features is not None  # `infer_views` gives them where there is a head
        sides, feed = head_feed(lateralities, features)
        return dict(zip(sides, self._head.run(["logit"], feed)[0].tolist(), strict=True))

    def score_files(
        self, files: Sequence[tuple[str, bytes]], *, key: bytes, site: str
    ) -> ExamReport:
        """Score one exam from its files, given as (name, bytes).

        A file that cannot be read is listed in ``refused`` and the rest is
        scored. Raises EmptyRequest, MixedExams, and NothingReadable when every
        file was refused.
        """
        started = time.perf_counter()
        if not files:
            raise EmptyRequest("No file came with the request; send one to many DICOM files.")

        contents = [data for _, data in files]
        results = self._reader.read(contents, key, site, self.release.preprocess)
        views = [one for one in results if isinstance(one, ReadView)]
        refused = tuple(
            Refused(name, error.code, error.message)
            for (name, _), error in zip(files, results, strict=True)
            if isinstance(error, ReadError)
        )
        _require_one_exam(views, refused)
        return self._report(views, refused, started)

    def _report(
        self, views: Sequence[ReadView], refused: tuple[Refused, ...], started: float
    ) -> ExamReport:
        config = self.release.preprocess
        found = self.infer_views(to_tensor(np.stack([v.prepared.pixels for v in views]), config))
        first = views[0].mammogram
        point = self.release.operating_point(first.scanner.key)
        scores = _score_views(views, found.logits)
        pooled = [place for place, score in enumerate(scores) if score.pooled]
        sides = [scores[i].laterality for i in pooled]
        breasts = decide_breasts(self.breast_logits(sides, *found.of_breasts(pooled)), point)
        worst = max(breasts, key=lambda breast: breast.logit)
        features = [views[i].prepared.features for i in pooled]
        return ExamReport(
            exam_id=first.exam_id,
            patient_id=first.patient_id,
            scanner=first.scanner,
            site=first.site,
            acquired_on=first.acquired_on,
            release_id=self.release.id,
            views=scores,
            breasts=breasts,
            logit=worst.logit,
            probability=worst.probability,
            recall=any(breast.recall for breast in breasts),
            threshold=point.threshold,
            quality=exam_quality(scores, self.release.knows(first.scanner.key), bool(refused)),
            refused=refused,
            embedding=found.embeddings[pooled].mean(axis=0),
            features={name: float(np.mean([f[name] for f in features])) for name in features[0]},
            latency_ms=1000.0 * (time.perf_counter() - started),
        )


def _score_views(views: Sequence[ReadView], logits: np.ndarray) -> tuple[ViewScore, ...]:
    """Return each view's logit, and whether its breast's score pools it."""
    chosen = {id(one) for one in suitable([view.mammogram for view in views])}
    return tuple(
        ViewScore(
            one.mammogram.image_id,
            one.mammogram.view.laterality.value,
            one.mammogram.view.position.value,
            float(logit),
            one.mammogram.quality,
            id(one.mammogram) in chosen,
        )
        for one, logit in zip(views, logits, strict=True)
    )


def exam_quality(
    views: Sequence[ViewScore], scanner_known: bool, some_refused: bool
) -> tuple[str, ...]:
    """Return the exam's quality codes, sorted: the views' own and those of the whole."""
    codes = {code for view in views for code in view.quality}
    have = {
        (view.laterality, view.view)
        for view in views
        if view.pooled and PART_VIEWS.isdisjoint(view.quality)
    }
    sides = (Laterality.LEFT, Laterality.RIGHT)
    if not {(side.value, view.value) for side in sides for view in STANDARD_VIEWS} <= have:
        codes.add("MISSING_VIEW")
    if not scanner_known:
        codes.add("UNKNOWN_SCANNER")
    if some_refused:
        codes.add("FILE_REFUSED")
    return tuple(sorted(codes))


def _session(path: Path, threads: int) -> onnxruntime.InferenceSession:
    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = threads
    return onnxruntime.InferenceSession(str(path), options, providers=["CPUExecutionProvider"])


def _require_one_exam(views: Sequence[ReadView], refused: tuple[Refused, ...]) -> None:
    if not views:
        causes = "; ".join(f"file {i + 1}: {one.code}" for i, one in enumerate(refused))
        raise NothingReadable(f"None of the {len(refused)} files could be read: {causes}.", refused)
    exams = {view.mammogram.exam_id for view in views}
    if len(exams) > 1:
        raise MixedExams(f"The files belong to {len(exams)} exams; send one exam a request.")
