"""From a release and a detector to a child release that has both, to be judged by the gate.

    joined = join_detector(settings, "r-20261122-1a2b3c4d", Path("detectors/ssd"))

The classifier stays as it is. The weights of the joint score, and the score from which
a mark is a finding, come from the training patients that the detector was not trained
on, or from all of them, marked out of fold; with the classifier's out-of-fold logits:
neither has seen them. The child's operating points are set on the holdout, as those of
every release. The detector may know no patient of the holdout or of the golden set.
"""

from __future__ import annotations

import shutil
from collections.abc import Callable
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

from mammo.continual.box_frames import COLUMNS as BOX_COLUMNS
from mammo.continual.box_frames import require_box_frames
from mammo.continual.detector_patients import learnt_patients
from mammo.continual.exported import child_draft, evaluate_child, parent_parts
from mammo.continual.fold_marks import marks_out_of_fold
from mammo.continual.golden import golden_tensor
from mammo.continual.joinable import require_joinable
from mammo.continual.joint_fit import fit_joint
from mammo.continual.judge import read_run_config
from mammo.continual.score import infer_rows
from mammo.continual.scores import OUT_OF_FOLD
from mammo.continual.seal import Trained
from mammo.continual.spent import Meter, write_spent
from mammo.continual.split import Parts, known_parts
from mammo.continual.start import start_network
from mammo.continual.unseen import Unseen, best_of_breasts, find_unseen, least_score
from mammo.data.index import read_index
from mammo.detection.carried import GRAPH, CarriedDetector, Marks, best_scores
from mammo.detection.detector import MANIFEST, WEIGHTS, DetectorManifest, NetworkDetector
from mammo.detection.registry import load_detector
from mammo.export.detector import export_detector
from mammo.models.config import TrainConfig
from mammo.models.tracking import Registered, register_release
from mammo.release import DETECTOR_TRAINING, JOINED, Release, find_release, new_release_id
from mammo.screening import Screener
from mammo.settings import Settings

Progress = Callable[[str, int, int], None]


@dataclass(frozen=True, eq=False)
class JoinedRelease:
    """A sealed child with a detector, where it is registered, and what was fitted."""

    release: Release
    directory: Path
    registered: Registered

    def to_dict(self) -> dict[str, Any]:
        """Return ids and the fit as JSON-able data."""
        metrics = self.release.metrics
        return {
            "release": self.release.id,
            "kind": self.release.kind,
            "parent": self.release.parent,
            "directory": str(self.directory),
            "mlflow_version": self.registered.version,
            **metrics[JOINED],
            **{name: metrics[name] for name in ("holdout_auc",) if name in metrics},
        }


def join_detector(
    settings: Settings,
    release_id: str,
    folder: Path,
    *,
    findings_only: bool = False,
    folds: int = 0,
    keep_box_frame: bool = False,
    progress: Progress | None = None,
) -> JoinedRelease:
    """Make a child release that carries the detector in ``folder``.

    With ``findings_only`` the scores stay the classifier's, to the last bit. With ``folds``,
    at least 2, the weights are fitted on all training patients, marked by detectors that
    are trained without their fold (`mammo.continual.fold_marks`); without, on those that
    the detector held out. Boxes tell which marks are false, and teach the detectors of the
    folds: they are held to their frame as in `mammo.continual.fit_detector.fit_detector`.

    Raises
    ------
    ReleaseNotFound, DigestMismatch
        There is no such release or detector, or it was changed.
    SourceInvalid
        The release carries a detector or was recalibrated, the detector's images are
        prepared otherwise, or an older mammo kept it without the digests of its files.
    PatientLeak
        The detector was trained on patients or files of the holdout or the golden set.
    SettingsInvalid
        The detector has no graph for the service.
    BoxFrameSuspect
        Boxes seem to be counted from the bottom edge; not with ``keep_box_frame``.
    TooFewLabels
        Too few patients that neither has seen.
    """
    report = progress or (lambda stage, done, total: None)
    meter = Meter()
    parent = find_release(settings.releases_dir, release_id)
    manifest = Release.read(parent, verify=True)
    detector, facts = load_detector(folder)
    index = read_index(settings.index_path, columns=["patient_id", "sha256", *BOX_COLUMNS])
    require_joinable(manifest, facts, parent, index)
    config = replace(read_run_config(parent), preprocess=manifest.preprocess)
    parts = parent_parts(settings, parent, config)
    unseen = find_unseen(parent, parts, facts, folds)
    if not keep_box_frame:
        require_box_frames(settings, index[index["source"].isin(unseen.rows["source"])])
    child = replace(
        manifest,
        id=new_release_id(manifest.id, facts.weights_sha256, findings_only),
        parent=manifest.id,
        kind=JOINED,
        created_at=datetime.now(UTC).isoformat(),
        detector=facts.name,
    )
    with child_draft(settings, parent, child.id) as draft:
        assert isinstance(detector, NetworkDetector)
        _write_detector(detector, facts, folder, draft)
        marks = None
        if folds:
            marks = marks_out_of_fold(settings, facts, unseen.rows, config.target, folds, report)
        fitted = _fit(settings, child, draft, unseen, marks, findings_only, report)
        fitted["fit"]["folds"] = folds
        kept = _metrics_kept(manifest, findings_only=findings_only)
        child = replace(child, metrics=kept | {JOINED: fitted})
        learnt = learnt_patients(facts, index)
        child = _seal(settings, config, parent, parts, child, draft, learnt, report)
        write_spent(draft, meter.read(resumed=False))
        directory = draft.with_name(child.id)
        draft.replace(directory)
    registered = register_release(settings, child, directory, {"detector": facts.name}, [])
    return JoinedRelease(child, directory, registered)


def _metrics_kept(manifest: Release, *, findings_only: bool) -> dict[str, Any]:
    """Return the parent's metrics that are the child's too.

    Out-of-fold numbers are of the classifier's score: of a joint one nothing is known by folds.
    """
    return {
        name: value
        for name, value in manifest.metrics.items()
        if findings_only or not name.startswith(OUT_OF_FOLD)
    }


def _write_detector(
    detector: NetworkDetector, facts: DetectorManifest, folder: Path, draft: Path
) -> None:
    """Write graph, weights, and on whom it was trained, into the draft."""
    export_detector(detector, draft / GRAPH)
    weights, training = DETECTOR_TRAINING
    shutil.copyfile(folder / WEIGHTS, draft / weights)
    shutil.copyfile(folder / MANIFEST, draft / training)
    # findings of any score, until it is known which one is low enough
    CarriedDetector(facts.name, facts.weights_sha256, 0.0).write(draft)


def _fit(
    settings: Settings,
    child: Release,
    draft: Path,
    unseen: Unseen,
    marks: Marks | None,
    findings_only: bool,
    report: Progress,
) -> dict[str, Any]:
    """Set weights and least score, write them into the draft, and return what is told of them."""
    screener = Screener(child, draft)
    assert screener.detector is not None
    if marks is None:
        marks = infer_rows(
            screener, unseen.rows, settings.shards_dir, lambda d, t: report("detecting", d, t)
        ).marks
    assert marks is not None
    least = least_score(settings, unseen.rows, marks)
    best = best_of_breasts(unseen, marks)
    joint, told = fit_joint(unseen.breasts["breast_logit"], best, unseen.breasts["label"])
    golden = screener.infer_views(golden_tensor(child.preprocess)[np.newaxis]).marks
    assert golden is not None
    carried = replace(
        screener.detector,
        least_score=least,
        joint=None if findings_only else joint,
        golden_best=float(best_scores(golden)[0]),
    )
    carried.write(draft)
    weights = None if carried.joint is None else {n: getattr(joint, n) for n in joint.__slots__}
    return {
        "detector": carried.name,
        "least_score": least,
        "weights": weights,
        "fit": told.to_dict() | {"patients": int(unseen.breasts["patient_id"].nunique())},
    }


def _seal(
    settings: Settings,
    config: TrainConfig,
    parent: Path,
    parts: Parts,
    child: Release,
    draft: Path,
    learnt: set[str],
    report: Progress,
) -> Release:
    """Calibrate on the holdout, evaluate, and seal; the detector's patients are learnt from."""
    net, origin = start_network(config, parent)
    trained = Trained(config, net.eval(), origin, parent, parts, child.data_version, None)
    evaluate_child(settings, trained, draft, child, report)
    _add_patients(draft, learnt)
    return Release.read(draft).seal(draft, settings.keys_dir)


def _add_patients(draft: Path, patients: set[str]) -> None:
    """Add those that only the detector was trained on to the release's training patients.

    Their files stay in `DETECTOR_TRAINING`, where the gate looks for them as well:
    ``images.parquet`` is of the classifier, and each of its rows must be in the release's
    data version (`mammo.continual.trace`), which files from another home are not.
    """
    more = sorted(patients - set(known_parts(draft)))
    table = pd.read_parquet(draft / "patients.parquet")
    added = pd.DataFrame({"patient_id": more, "part": "train"})
    pd.concat([table, added], ignore_index=True).to_parquet(draft / "patients.parquet", index=False)
