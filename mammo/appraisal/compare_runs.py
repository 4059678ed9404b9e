"""What can be compared: a release, an MLflow run, or the folder of a release."""

from __future__ import annotations

import contextlib
import json
import re
import shutil
import tempfile
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pandas as pd

from mammo.appraisal.release_scores import read_release_scores
from mammo.continual.fit import RUN_CONFIG
from mammo.continual.split import trained_patients
from mammo.data.durable import DRAFT
from mammo.errors import (
    DigestMismatch,
    IndexMissing,
    NotComparable,
    ReleaseNotFound,
    RunUnknown,
)
from mammo.kept_files import DAY_SECONDS
from mammo.models.tracking import EXPERIMENT, KIND, TOLD_OF_ALL, mlflow_client, named_run
from mammo.release import MANIFEST, RECALIBRATED, Release
from mammo.settings import Settings

Progress = Callable[[str, int, int], None]
RUN_ID = re.compile(r"[0-9a-f]{8,32}")
"""An id of MLflow, or at least the eight digits that a page shows of it."""
RUN_DIGITS = 32
ARTIFACTS = "release"
LEAST_RUNS, MOST_RUNS = 2, 8
"""Beyond eight the curves cannot be told apart, and each pair costs of the Holm adjustment."""


@dataclass(frozen=True, eq=False)
class ComparedRun:
    """One of the models: its release, its scores, and whom it was trained on.

    ``scores`` are checked (`mammo.appraisal.scores`), of every part; ``config`` is what it was
    trained with, None where its folder does not keep that; ``run_id`` is MLflow's, empty where
    it was never registered.
    """

    release: Release
    directory: Path
    scores: pd.DataFrame
    trained: frozenset[str]
    config: dict[str, Any] | None
    run_id: str

    @property
    def name(self) -> str:
        """The release's id."""
        return self.release.id


def read_runs(
    settings: Settings, names: Sequence[str], progress: Progress | None = None
) -> list[ComparedRun]:
    """Return the runs in the order named.

    Raises
    ------
    RunUnknown
        One is no release, run or folder; the message names those there are.
    NotComparable
        Fewer than two or more than eight, one twice, other targets, no scores.
    """
    if not LEAST_RUNS <= len(names) <= MOST_RUNS:
        raise NotComparable(
            f"found {len(names)} run{'s' * (len(names) != 1)}; a comparison has "
            f"{LEAST_RUNS} to {MOST_RUNS}: name releases, MLflow runs or folders of releases"
        )
    places = [find_run(settings, name) for name in names]
    releases = [Release.read(place, verify=True) for place in places]
    _require_different(names, releases)
    _require_one_target(releases)
    return [
        _read(settings, place, release, progress)
        for place, release in zip(places, releases, strict=True)
    ]


def list_runs(settings: Settings) -> pd.DataFrame:
    """Return the runs that MLflow knows of a network of their own, newest first, one row a run.

    Columns: run_id, release, started_at, target, architecture, golden_auc. Recalibrations are
    left out, for they score as their parents do; and runs of an older mammo that do not tell
    their target, where their release is not here either. Raises RunUnknown where none is left.
    """
    rows = [
        _told(settings, one) for one in _runs(mlflow_client(settings)) if not _is_recalibrated(one)
    ]
    known = [row for row in rows if row["target"] is not None]
    if not known:
        raise RunUnknown(
            "MLflow knows no run of `mammo train` here yet: train two releases to compare them"
        )
    return pd.DataFrame(known).sort_values("started_at", ascending=False, ignore_index=True)


def _runs(client: Any) -> list[Any]:
    """Return MLflow's runs that hold a release."""
    experiment = client.get_experiment_by_name(EXPERIMENT)
    found = [] if experiment is None else client.search_runs([experiment.experiment_id])
    return [one for one in found if "release" in one.data.tags]


def _is_recalibrated(run: Any) -> bool:
    # runs of an older mammo have no kind, and a parameter that says it
    return run.data.tags.get(KIND) == RECALIBRATED or RECALIBRATED in run.data.params


def _told(settings: Settings, run: Any) -> dict[str, Any]:
    place = settings.releases_dir / str(run.data.tags["release"])
    facts = dict.fromkeys(TOLD_OF_ALL) | {
        name: run.data.params[name] for name in TOLD_OF_ALL if name in run.data.params
    }
    if None in facts.values() and (place / MANIFEST).is_file():
        manifest = Release.read(place)
        facts = {"target": manifest.target, "architecture": manifest.architecture}
    return {
        "run_id": run.info.run_id,
        "release": run.data.tags["release"],
        "started_at": pd.Timestamp(run.info.start_time, unit="ms", tz="UTC"),
        **facts,
        "golden_auc": run.data.metrics.get("golden_auc.value"),
    }


def find_run(settings: Settings, name: str) -> Path:
    """Return the folder of the release that a name stands for; RunUnknown."""
    folder = Path(name)
    if (folder / MANIFEST).is_file():
        return folder
    own = settings.releases_dir / name
    if "/" not in name and (own / MANIFEST).is_file():
        return own
    if RUN_ID.fullmatch(name):
        return _from_mlflow(settings, name)
    known = sorted(path.parent.name for path in settings.releases_dir.glob(f"r-*/{MANIFEST}"))
    raise RunUnknown(
        f"no release, MLflow run or folder of a release is named {folder.name!r}. "
        f"Releases here: {', '.join(known[-5:]) or 'none yet, `mammo train` makes one'}."
    )


def _from_mlflow(settings: Settings, run_id: str) -> Path:
    """Return the release of an MLflow run: the folder here, else fetched from the artifacts."""
    from mlflow.exceptions import MlflowException

    client = mlflow_client(settings)
    if len(run_id) < RUN_DIGITS:
        ids = [str(one.info.run_id) for one in _runs(client)]
        same = sorted(one for one in ids if one.startswith(run_id))
        if len(same) != 1:
            raise RunUnknown(
                f"{len(same)} of MLflow's runs begin with {run_id}: give more of its digits"
            )
        run_id = same[0]
    try:
        run = client.get_run(run_id)
    except MlflowException as error:
        raise RunUnknown(
            f"MLflow has no run {run_id}: `mammo status` tells where it is, its page lists the runs"
        ) from error
    own = settings.releases_dir / str(run.data.tags.get("release", ""))
    if (own / MANIFEST).is_file():
        return own
    kept = settings.home / "compared" / run_id
    if not _is_whole(kept / ARTIFACTS):
        if not client.list_artifacts(run_id, ARTIFACTS):
            raise RunUnknown(f"MLflow's run {run_id} holds no release: it is none of `mammo train`")
        fetch_release(client, run_id, kept)
    return kept / ARTIFACTS


def fetch_release(client: Any, run_id: str, kept: Path) -> None:
    """Fetch a run's release into the folder ``kept``, which appears when it is complete.

    What is there already and is not whole makes room: half of it, from an older mammo that
    was killed. Another call that fetches the same meanwhile does no harm. What a call that
    was killed left a day ago, of any run, is removed.
    """
    kept.parent.mkdir(parents=True, exist_ok=True)
    _sweep(kept.parent)
    with tempfile.TemporaryDirectory(dir=kept.parent, prefix=f"{DRAFT}{run_id}-") as folder:
        draft = Path(folder, "fetched")
        draft.mkdir()
        client.download_artifacts(run_id, ARTIFACTS, str(draft))
        if kept.exists() and not _is_whole(kept / ARTIFACTS):
            kept.replace(Path(folder, "half"))
        try:
            draft.replace(kept)
        except OSError:  # a folder that is not empty: the other call's
            if not _is_whole(kept / ARTIFACTS):
                raise


def _sweep(folder: Path) -> None:
    for draft in folder.glob(f"{DRAFT}*"):
        with contextlib.suppress(FileNotFoundError):  # its own call, or another sweep, was faster
            if draft.stat().st_mtime < time.time() - DAY_SECONDS:
                shutil.rmtree(draft)


def _is_whole(directory: Path) -> bool:
    try:
        Release.read(directory, verify=True)
    except (ReleaseNotFound, DigestMismatch, ValueError):  # half a manifest is no JSON
        return False
    return True


def _require_different(names: Sequence[str], releases: Sequence[Release]) -> None:
    seen: dict[str, str] = {}
    for name, release in zip(names, releases, strict=True):
        if release.id in seen:
            told = Path(name).name
            also = f" ({seen[release.id]} and {told})" if told != seen[release.id] else ""
            raise NotComparable(f"release {release.id} is named twice{also}: name each run once")
        seen[release.id] = Path(name).name


def _require_one_target(releases: Sequence[Release]) -> None:
    targets = {release.target for release in releases}
    if len(targets) > 1:
        told = ", ".join(f"{one.id} for {one.target}" for one in releases)
        raise NotComparable(
            f"the runs answer different questions ({told}): compare runs of one target"
        )


def _read(
    settings: Settings, directory: Path, release: Release, progress: Progress | None
) -> ComparedRun:
    try:
        scores = read_release_scores(directory, release, settings, progress)
    except IndexMissing as error:
        raise NotComparable(
            f"release {release.id} keeps no scores, and there is no index to score it on: "
            "ingest the data it is to be compared on, or train it again"
        ) from error
    config = directory / RUN_CONFIG
    return ComparedRun(
        release,
        directory,
        scores,
        frozenset(trained_patients(directory)),
        json.loads(config.read_text()) if config.is_file() else None,
        named_run(directory) or "",
    )
