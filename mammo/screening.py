"""The one inference path: files of an exam in, an ExamReport out.

    screener = Screener.load(Path("releases/r-20261122-1a2b3c4d"))
    report = screener.score_files([("1.dcm", data), ...], key=key, site="site-1")

The service, `mammo predict`, the release's reference and the monitor's numbers
all come through `Screener`; training shares `prepare` and `to_tensor` with it.
Files are read in processes that may die (:mod:`mammo.reading`). The logit of a
breast is the mean over its views, of repeats and special views only the
preferred ones (:mod:`mammo.preferred`); that of an exam is the maximum over its
breasts.
"""

from __future__ import annotations

import time
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from datetime import UTC, date, datetime
from pathlib import Path
from typing import Any, Self

import numpy as np
import onnxruntime

from mammo import INTENDED_USE
from mammo.errors import EmptyRequest, MixedExams, NothingReadable, ParityError, ReadError
from mammo.exam import STANDARD_VIEWS, Laterality, OperatingPoint, Scanner
from mammo.preferred import PART_VIEWS, suitable
from mammo.preprocess import StoredImage, prepare, to_tensor
from mammo.reading import ReadView, ViewReader, default_reader
from mammo.release import Release

EMBEDDING_SIZE = 32
LOGIT_TOLERANCE = 1e-3
"""How far the golden logit may lie from the stored one.

The tensor must be equal bit for bit; the logit passes through matrix kernels
that differ between processors in the last bits of float32.
"""


@dataclass(frozen=True, slots=True)
class Refused:
    """A file that was not read: its name as the caller sent it, and why."""

    file: str
    code: str
    message: str


@dataclass(frozen=True, slots=True)
class ViewScore:
    """One image's raw logit; ``pooled`` is False where a preferred view stands for it."""

    image_id: str
    laterality: str
    view: str
    logit: float
    quality: tuple[str, ...]
    pooled: bool = True


@dataclass(frozen=True, slots=True)
class BreastScore:
    """One breast: the mean logit of its views, calibrated for the scanner."""

    laterality: str
    logit: float
    probability: float
    recall: bool


@dataclass(frozen=True, slots=True, eq=False)
class ExamReport:
    """What a release says of one exam; ids are pseudonyms.

    ``probability`` is calibrated, in [0, 1]; ``embedding`` is (32,) float32;
    ``features`` are means over the pooled views of `preprocess.FEATURE_NAMES`.
    """

    exam_id: str
    patient_id: str
    scanner: Scanner
    site: str
    acquired_on: date | None
    release_id: str
    views: tuple[ViewScore, ...]
    breasts: tuple[BreastScore, ...]
    logit: float
    probability: float
    recall: bool
    threshold: float
    quality: tuple[str, ...]
    refused: tuple[Refused, ...]
    embedding: np.ndarray
    features: dict[str, float]
    latency_ms: float
    scored_at: datetime = field(default_factory=lambda: datetime.now(UTC))

    def to_json(self) -> dict[str, Any]:
        """Return the answer of the service; no embedding, no identity."""
        return {
            "exam": self.exam_id,
            "release": self.release_id,
            "scanner": self.scanner.key,
            "site": self.site,
            "score": self.probability,
            "logit": self.logit,
            "decision": "recall" if self.recall else "no recall",
            "threshold": self.threshold,
            "breasts": [_fields(breast) for breast in self.breasts],
            "views": [_fields(view) | {"quality": list(view.quality)} for view in self.views],
            "quality": list(self.quality),
            "refused": [_fields(one) for one in self.refused],
            "latency_ms": self.latency_ms,
            "scored_at": self.scored_at.isoformat(),
            "intended_use": INTENDED_USE,
        }

    def to_log_rows(self, role: str = "champion") -> list[dict[str, Any]]:
        """Return the rows of the prediction log: one a breast, one for the exam."""
        common = {
            "exam_id": self.exam_id,
            "patient_id": self.patient_id,
            "release_id": self.release_id,
            "role": role,
            "scanner": self.scanner.key,
            "software_version": self.scanner.software_version,
            "site": self.site,
            "acquired_on": self.acquired_on,
            "scored_at": self.scored_at,
            "threshold": self.threshold,
            "quality": "|".join(self.quality),
            "latency_ms": self.latency_ms,
        }
        rows = [common | _breast_row(breast) for breast in self.breasts]
        exam = {
            "level": "exam",
            "laterality": None,
            "logit": self.logit,
            "probability": self.probability,
            "recall": self.recall,
            "embedding": self.embedding.astype(np.float32).tobytes(),
            "features": self.features,
        }
        return [*rows, common | exam]


def _fields(record: Any) -> dict[str, Any]:
    return {name: getattr(record, name) for name in record.__slots__}


def _breast_row(breast: BreastScore) -> dict[str, Any]:
    return _fields(breast) | {"level": "breast", "embedding": None, "features": None}


def score_breasts(
    logits: Iterable[tuple[str, float]], point: OperatingPoint
) -> tuple[BreastScore, ...]:
    """Aggregate (laterality, view logit) pairs into breasts, sorted by laterality."""
    views: dict[str, list[float]] = {}
    for laterality, logit in logits:
        views.setdefault(laterality, []).append(logit)
    breasts = []
    for laterality in sorted(views):
        logit = float(np.mean(views[laterality]))
        probability = point.probability(logit)
        breasts.append(BreastScore(laterality, logit, probability, point.recalls(logit)))
    return tuple(breasts)


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
        release = Release.read(directory, verify=verify)
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
        logit = float(self.infer(tensor[np.newaxis])[0][0])
        if abs(logit - float(golden["logit"])) > LOGIT_TOLERANCE:
            raise ParityError(
                f"Release {self.release.id}: the golden image scores {logit:.5f} here, "
                f"{float(golden['logit']):.5f} where it was made; allowed is {LOGIT_TOLERANCE}."
            )

    def infer(self, tensors: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """Return logits (N,) and embeddings (N, 32) of tensors (N, 1, H, W) float32."""
        feed = {"image": tensors}
        logits = self._model.run(["logit"], feed)[0]
        return logits, self._encoder.run(["embedding"], feed)[0]

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
        logits, embeddings = self.infer(
            to_tensor(np.stack([v.prepared.pixels for v in views]), config)
        )
        first = views[0].mammogram
        point = self.release.operating_point(first.scanner.key)
        scores = _score_views(views, logits)
        pooled = [place for place, score in enumerate(scores) if score.pooled]
        breasts = score_breasts([(scores[i].laterality, scores[i].logit) for i in pooled], point)
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
            embedding=embeddings[pooled].mean(axis=0),
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
