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
from collections.abc import Sequence
from dataclasses import replace
from functools import cached_property
from pathlib import Path
from typing import Self

import numpy as np

from mammo.abstention import abstention_codes
from mammo.breast_logits import HEADS, aggregate_logits, head_feed
from mammo.detection.carried import CarriedDetector
from mammo.errors import EmptyRequest, ReadError
from mammo.exam_features import header_features, header_numbers, image_features
from mammo.exam_report import BreastScore, ExamReport, Refused, ViewScore
from mammo.exam_scores import (
    decide_breasts,
    exam_quality,
    require_finite,
    require_one_exam,
    score_breasts,
    score_views,
)
from mammo.findings import Agreement, SourcedFinding, measure_agreement
from mammo.geometry import Geometry
from mammo.golden_check import LOGIT_TOLERANCE, check_golden
from mammo.heat_findings import HeatFinding
from mammo.heat_map import Grid
from mammo.networks import Networks, ViewInference
from mammo.patience import Patience
from mammo.preprocess import to_tensor
from mammo.reading import ReadView, ViewReader, default_reader
from mammo.reference_exams import ReferenceExams
from mammo.release import Release
from mammo.scoring import ReadExam, Scoring, add_marks, find_in_views

__all__ = [
    "LOGIT_TOLERANCE",
    "BreastScore",
    "ExamReport",
    "ReadExam",
    "Refused",
    "Scoring",
    "Screener",
    "ViewInference",
    "ViewScore",
    "decide_breasts",
    "exam_quality",
    "score_breasts",
]

EMBEDDING_SIZE = 32


class Screener:
    """A loaded release that scores exams; safe to call from several threads.

    ``reader`` reads their files, by default with the default limits.
    """

    def __init__(
        self,
        release: Release,
        directory: Path,
        *,
        threads: int = 1,
        reader: ViewReader | None = None,
    ) -> None:
        self.release = release
        self.directory = directory
        self._reader = reader or default_reader()
        self.detector = None if release.detector is None else CarriedDetector.read(directory)
        self._networks = Networks(
            directory,
            threads=threads,
            head=release.aggregation in HEADS,
            detector=self.detector is not None,
        )

    @classmethod
    def load(
        cls,
        directory: Path,
        *,
        verify: bool = True,
        threads: int = 1,
        reader: ViewReader | None = None,
    ) -> Self:
        """Load a release; with ``verify``, check digests and recompute the golden.

        Raises ReleaseNotFound, DigestMismatch or ParityError.
        """
        release = Release.read(directory, verify=verify, served=True)
        screener = cls(release, directory, threads=threads, reader=reader)
        if verify:
            screener.check_golden()
        _ = screener.reference  # no exam is to wait for it
        return screener

    @cached_property
    def reference(self) -> ReferenceExams:
        """What the release knows of exams: scale and distances."""
        return ReferenceExams.read(self.directory, self.release)

    @property
    def familiarity_judged(self) -> bool:
        """True where OUT_OF_DISTRIBUTION is told of exams unlike the reference's."""
        return self.reference.judges_familiarity

    @cached_property
    def _told_grid(self) -> Grid | None:
        """Where the heat's cells look, as the golden image's file has it."""
        with np.load(self.directory / "golden.npz", allow_pickle=False) as golden:
            return Grid(*golden["grid"].tolist()) if "grid" in golden else None

    def same_preparation(self, other: Screener) -> bool:
        """True where what one has read (`read_exam`) can be scored by the other."""
        return self.release.preprocess == other.release.preprocess

    def check_golden(self) -> None:
        """Raise ParityError when the golden image no longer gives its tensor, logit or mark."""
        check_golden(self.release, self.directory, self.infer_views, self.detector)

    def infer(self, tensors: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """Return logits (N,) and embeddings (N, 32) of tensors (N, 1, H, W) float32."""
        found = self.infer_views(tensors)
        return found.logits, found.embeddings

    def infer_views(
        self,
        tensors: np.ndarray,
        *,
        features: bool = False,
        heat: bool = False,
        patience: Patience | None = None,
        side_by_side: bool = True,
    ) -> ViewInference:
        """Run the networks over tensors (N, 1, H, W) float32 in [0, 1].

        With the marks of the detector, where there is one, and features where there is a
        head to feed, or where they are asked for. The numbers may be NaN or infinite;
        `score_read` refuses those. Not ``side_by_side``, the views are run one after the
        other in the caller's thread.
        """
        return self._networks.infer(
            tensors, features=features, heat=heat, patience=patience, side_by_side=side_by_side
        )

    def breast_logits(
        self,
        lateralities: Sequence[str],
        logits: np.ndarray,
        features: np.ndarray | None,
        marks: np.ndarray | None = None,
    ) -> dict[str, float]:
        """Return laterality -> logit from the pooled views of one exam.

        ``logits`` is (V,), ``features`` (V, F) where there is a head, ``marks``
        (V, 50, 5) where there is a detector. The only place where views become
        breasts, in service and in evaluation.
        """
        found = self._classifier_logits(lateralities, logits, features)
        if self.detector is None:
            return found
        assert marks is not None  # `infer_views` gives them where there is a detector
        return self.detector.breast_logits(found, lateralities, marks)

    def _classifier_logits(
        self, lateralities: Sequence[str], logits: np.ndarray, features: np.ndarray | None
    ) -> dict[str, float]:
        if not self._networks.has_head:
            pairs = zip(lateralities, logits, strict=True)
            return aggregate_logits(pairs, self.release.aggregation)
        assert features is not None  # `infer_views` gives them where there is a head
        sides, feed = head_feed(lateralities, features)
        return dict(zip(sides, self._networks.join(feed).tolist(), strict=True))

    def view_logits(self, found: ViewInference) -> np.ndarray:
        """Return (N,) the logits that a breast of each view alone would have.

        The classifier's, where no detector is part of the score; a head is left out.
        """
        if self.detector is None or found.marks is None:
            return found.logits
        return self.detector.view_logits(found.logits, found.marks)

    def findings_of(
        self, found: ViewInference, geometries: Sequence[Geometry]
    ) -> Sequence[tuple[HeatFinding | SourcedFinding, ...]]:
        """Return the findings of each view, of which ``found`` has the heat.

        The heat's alone, or one list with the detector's marks; original pixels. Also
        the only place, in service and in evaluation.
        """
        regions = find_in_views(geometries, found.heat, self._grid(found.heat))
        if self.detector is None or found.marks is None:
            return regions
        return add_marks(regions, self.detector, found.marks, geometries)

    def agreement_of(
        self,
        lateralities: Sequence[str],
        findings: Sequence[tuple[HeatFinding | SourcedFinding, ...]],
    ) -> tuple[Agreement, ...]:
        """Return how far heat and detector agree on the breasts of one exam's pooled views.

        Empty where one of the two is not there.
        """
        if self.detector is None or not self._networks.tells_heat:
            return ()
        told = list(zip(lateralities, findings, strict=True))
        return tuple(
            measure_agreement(
                side,
                [
                    [one for one in of_view if isinstance(one, SourcedFinding)]
                    for of, of_view in told
                    if of == side
                ],
            )
            for side in sorted(set(lateralities))
        )

    def score_files(
        self,
        files: Sequence[tuple[str, bytes]],
        *,
        key: bytes,
        site: str,
        patience: Patience | None = None,
    ) -> ExamReport:
        """Score one exam from its files: `read_exam` and `score_read`, and what they raise."""
        read = self.read_exam(files, key=key, site=site, patience=patience)
        return self.score_read(read, patience=patience).report

    def read_exam(
        self,
        files: Sequence[tuple[str, bytes]],
        *,
        key: bytes,
        site: str,
        patience: Patience | None = None,
        identity: bool = False,
    ) -> ReadExam:
        """Read and prepare the files of one exam, given as (name, bytes).

        A file that cannot be read is listed in ``refused``. With ``identity`` each
        view keeps the ids of its original, for a report in the patient's own study.
        Raises EmptyRequest, MixedExams, NothingReadable when every file was refused,
        and DeadlineExceeded or RequestCancelled when ``patience`` ends.
        """
        started = time.perf_counter()
        if not files:
            raise EmptyRequest("No file came with the request; send one to many DICOM files.")

        contents = [data for _, data in files]
        config = self.release.preprocess
        results = self._reader.read(
            contents, key, site, config, patience=patience, identity=identity
        )
        views = tuple(one for one in results if isinstance(one, ReadView))
        refused = tuple(
            Refused(name, error.code, error.message)
            for (name, _), error in zip(files, results, strict=True)
            if isinstance(error, ReadError)
        )
        require_one_exam(views, refused)
        return ReadExam(views, refused, started)

    def score_read(
        self,
        read: ReadExam,
        *,
        patience: Patience | None = None,
        role: str = "champion",
        side_by_side: bool = True,
    ) -> Scoring:
        """Score an exam that was read by this screener or one of the `same_preparation`.

        ``role`` is noted for the log; see `infer_views` for ``side_by_side``. Raises
        ScoreNotFinite where the networks give NaN or infinity, and DeadlineExceeded or
        RequestCancelled when ``patience`` ends.
        """
        pixels = np.stack([view.prepared.pixels for view in read.views])
        tensors = to_tensor(pixels, self.release.preprocess)
        began = time.perf_counter()
        found = self.infer_views(tensors, heat=True, patience=patience, side_by_side=side_by_side)
        took = time.perf_counter() - began
        require_finite(self.release.id, **found._asdict())
        grid = self._grid(found.heat)
        return Scoring(self._report(read, found), read.views, found.heat, grid, role, took)

    def _grid(self, heat: np.ndarray | None) -> Grid | None:
        if heat is None:
            return None
        config = self.release.preprocess
        even = Grid.even((config.height, config.width), (heat.shape[1], heat.shape[2]))
        return self._told_grid or even

    def _report(self, read: ReadExam, found: ViewInference) -> ExamReport:
        views, refused, reference = read.views, read.refused, self.reference
        first = views[0].mammogram
        point = self.release.operating_point(first.scanner.key)
        findings = self.findings_of(found, [view.prepared.geometry for view in views])
        scores = score_views(views, found.logits, point, findings, self.view_logits(found))
        pooled = [place for place, score in enumerate(scores) if score.pooled]
        sides = [scores[i].laterality for i in pooled]
        logits = self.breast_logits(sides, *found.of_breasts(pooled))
        require_finite(self.release.id, breasts=np.array(list(logits.values())))
        breasts = tuple(
            replace(one, scale=reference.scale_of(one.probability))
            for one in decide_breasts(logits, point)
        )
        worst = max(breasts, key=lambda breast: breast.logit)
        features = image_features([views[i].prepared.features for i in pooled])
        told = header_features(header_numbers(views[i].mammogram) for i in pooled)
        embedding = found.embeddings[pooled].mean(axis=0)
        quality = exam_quality(scores, self.release.knows(first.scanner.key), bool(refused))
        foreign = reference.is_foreign(embedding, features)
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
            quality=quality,
            refused=refused,
            embedding=embedding,
            features=features | told,
            latency_ms=1000.0 * (time.perf_counter() - read.started),
            scale=reference.scale_of(worst.probability),
            abstention=abstention_codes(scores, refused, quality, foreign=foreign),
            familiarity_judged=reference.judges_familiarity,
            data_version=self.release.data_version,
            operating_point=point,
            localised=found.heat is not None,
            agreement=self.agreement_of(sides, [findings[i] for i in pooled]),
        )
