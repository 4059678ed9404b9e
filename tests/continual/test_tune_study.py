"""A whole study on phantoms: who is seen by it, what it gained, and its run in MLflow."""

from __future__ import annotations

import json
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
from PIL import Image
from sklearn.metrics import roc_auc_score

from mammo.continual import tune as tuning
from mammo.continual import tune_trial
from mammo.continual.fit import labelled_index
from mammo.continual.split import Parts, split_index
from mammo.continual.tune import StudyResult, default_storage, prepare_job, tune
from mammo.continual.tune_gain import Gain, gain_sentences, measure_gain
from mammo.continual.tune_looks import BOOK, look_once, patients_digest
from mammo.continual.tune_record import EXPERIMENT
from mammo.continual.tune_space import check_over, check_space
from mammo.continual.tune_study import Search, open_study
from mammo.data.dataset import ViewDataset
from mammo.errors import SourceInvalid, StudyConflict
from mammo.evaluation.bootstrap import Interval
from mammo.models.config import TrainConfig
from mammo.models.tracking import mlflow_client
from mammo.settings import Settings

pytest.importorskip("optuna")
SPACE: dict[str, Any] = {
    "learning_rate": {"low": 1e-4, "high": 1e-2, "log": True},
    "pooling": {"choices": ["mean", "max"]},
}
SEARCH = Search(pruner="none", seed=1)


@pytest.fixture(scope="module")
def parts(installation: Settings) -> Parts:
    base = prepare_job(installation, "first", "smoke", SPACE, 2)[0].objective.base  # type: ignore[attr-defined]
    return split_index(labelled_index(installation), base)


class Seen:
    """The patients of whom a mammogram was put before a network, by what was going on."""

    def __init__(self) -> None:
        self.trials: set[str] = set()
        self.fitted: set[str] = set()
        self.scored: set[str] = set()
        self.phase = self.trials

    def see(self, rows: pd.DataFrame) -> None:
        """Note the patients of rows."""
        self.phase.update(rows["patient_id"])


@pytest.fixture(scope="module")
def study(installation: Settings) -> Iterator[tuple[StudyResult, Seen]]:
    """A study of three trials; every image of it is read through `ViewDataset`."""
    seen, made = Seen(), ViewDataset.__init__
    fit, score, look = tune_trial.fit_network, tune_trial.view_logits, tuning.score_holdout

    def make(self: ViewDataset, index: pd.DataFrame, *args: Any, **more: Any) -> None:
        seen.see(index)
        made(self, index, *args, **more)

    def during(phase: set[str], what: Any) -> Any:
        def run(*args: Any, **more: Any) -> Any:
            seen.phase = phase
            return what(*args, **more)

        return run

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(ViewDataset, "__init__", make)
        patch.setattr(tune_trial, "fit_network", during(seen.fitted, fit))
        patch.setattr(tune_trial, "view_logits", during(seen.scored, score))
        patch.setattr(tuning, "score_holdout", during(seen.fitted, look))
        yield tune(installation, "first", "smoke", SPACE, 3, search=SEARCH), seen


def test_no_trial_sees_a_golden_or_holdout_patient(
    study: tuple[StudyResult, Seen], parts: Parts
) -> None:
    seen = study[1]
    sealed = set(parts.golden["patient_id"]) | set(parts.holdout["patient_id"])
    assert len(sealed) > 10
    assert seen.trials == set(parts.train["patient_id"])
    assert not seen.trials & sealed


def test_the_holdout_is_scored_once_and_never_learnt_from(
    study: tuple[StudyResult, Seen], parts: Parts
) -> None:
    seen = study[1]
    assert seen.scored == set(parts.holdout["patient_id"])
    assert seen.fitted == set(parts.train["patient_id"])
    assert not (seen.scored | seen.fitted | seen.trials) & set(parts.golden["patient_id"])


def test_the_gain_is_that_of_the_best_trial_over_the_default(
    study: tuple[StudyResult, Seen], installation: Settings
) -> None:
    found = study[0]
    objective = prepare_job(installation, "first", "smoke", SPACE, 3)[0].objective
    default, best = (objective.scores(one) for one in ({}, found.params))  # type: ignore[attr-defined]
    exact = [roc_auc_score(one["label"].astype(int), one["logit"]) for one in (default, best)]
    assert [found.default, found.best] == pytest.approx(exact, abs=1e-9)
    assert found.gain.gain.value == pytest.approx(exact[1] - exact[0], abs=1e-9)
    assert found.holdout is not None and found.holdout.gain.n_patients > 5


def test_the_run_in_mlflow_holds_plots_trials_and_numbers(
    study: tuple[StudyResult, Seen], installation: Settings, tmp_path: Path
) -> None:
    found, client = study[0], mlflow_client(installation)
    run = client.get_run(found.mlflow_run_id)
    assert run.data.metrics["best"] == pytest.approx(found.best)
    assert run.data.metrics["gain.gain.low"] == pytest.approx(found.gain.gain.low)
    assert run.data.metrics["holdout.gain.value"] == pytest.approx(found.holdout.gain.value)  # type: ignore[union-attr]
    assert len(client.get_metric_history(found.mlflow_run_id, "trial_auc")) == 3
    folder = Path(client.download_artifacts(found.mlflow_run_id, "tuning", str(tmp_path)))
    trials = pd.read_csv(folder / "trials.csv")
    assert trials["auc"].max() == pytest.approx(found.best)
    assert trials["auc_after_fold_3"].tolist() == pytest.approx(trials["auc"].tolist())
    for name in ("history", "slice", "importance"):
        with Image.open(folder / f"{name}.png") as picture:
            drawn = np.asarray(picture.convert("L"))
        assert min(drawn.shape) > 300 and drawn.std() > 5, name  # not an empty sheet


def test_asked_again_it_adds_trials_to_the_same_run(
    study: tuple[StudyResult, Seen], installation: Settings
) -> None:
    again = tune(installation, "first", "smoke", SPACE, 4, search=SEARCH)
    assert again.trials == 4 and again.mlflow_run_id == study[0].mlflow_run_id
    client = mlflow_client(installation)
    runs = client.search_runs([client.get_experiment_by_name(EXPERIMENT).experiment_id])
    assert [run.info.run_id for run in runs] == [again.mlflow_run_id]
    assert again.holdout_looks == len(book_of(installation, "first"))
    keys = [one["key"] for one in book_of(installation, "first")]
    assert len(set(keys)) == len(keys)  # a look a winner, not one a call


def book_of(settings: Settings, study: str) -> list[dict[str, Any]]:
    """Return the looks of a study at the only holdout that there is."""
    (looks,) = json.loads((settings.home / "tuning" / BOOK).read_text()).values()
    return [one for one in looks if one["study"] == study]


def test_another_study_looks_at_a_holdout_that_was_seen(
    study: tuple[StudyResult, Seen], installation: Settings
) -> None:
    before = len(book_of(installation, "first"))
    other = tune(installation, "second", "smoke", SPACE, 1, search=SEARCH)
    assert other.holdout_looks == before + 1
    assert f"{before + 1} times in all studies" in other.sentences[-1]


@pytest.mark.parametrize("fraction", [0.1, 0.6])
def test_no_golden_patient_of_the_release_in_service_is_seen(
    installation: Settings, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, fraction: float
) -> None:
    ours = prepare_job(installation, "third", "smoke", SPACE, 1)[0].objective.base  # type: ignore[attr-defined]
    assert ours.golden_fraction not in (fraction, 1)
    served = split_index(labelled_index(installation), replace(ours, golden_fraction=fraction))
    served.patients().to_parquet(tmp_path / "patients.parquet")
    monkeypatch.setattr(tuning, "in_service", lambda settings: tmp_path)
    job, parts = prepare_job(installation, "third", "smoke", SPACE, 1)
    golden, held = (set(one["patient_id"]) for one in (served.golden, served.holdout))
    searched = set(job.objective.parts.train["patient_id"])  # type: ignore[attr-defined]
    assert searched and not searched & (golden | held)
    assert not parts.holdout.empty and not set(parts.holdout["patient_id"]) & golden


@pytest.mark.parametrize(
    "wrong",
    [
        {"prevalence": {"choices": [0.01]}, "calibration": {"choices": ["platt", "temperature"]}},
        {"fit": {"choices": ["gradient", "places"]}, "retraining": {"choices": ["replay", "ewc"]}},
    ],
)
def test_settings_that_do_not_go_together_are_refused_before_a_trial(
    installation: Settings, wrong: dict[str, Any]
) -> None:
    check_space(wrong)  # each by itself over the defaults is one
    with pytest.raises(SourceInvalid, match="over the configuration smoke the space proposes"):
        prepare_job(installation, "wrong", "smoke", wrong, 1)


def test_a_setting_that_the_configuration_refuses_is_refused() -> None:
    base = TrainConfig.from_dict({"name": "own", "prevalence": 0.01, "calibration": "platt"})
    with pytest.raises(SourceInvalid, match="over the configuration own"):
        check_over({"calibration": {"choices": ["beta", "temperature"]}}, base)
    check_over({"calibration": {"choices": ["beta", "isotonic"]}}, base)


def test_another_configuration_under_the_same_name_is_refused(
    study: tuple[StudyResult, Seen], installation: Settings
) -> None:
    with pytest.raises(StudyConflict, match="config"):
        tune(installation, "first", "demo", SPACE, 4)


OWN = "keeps a file or folder of that name"


@pytest.mark.parametrize(
    ("name", "told"),
    [
        *((name, "64 at most") for name in ("../up", "", "a b", "x" * 65)),
        *((name, OWN) for name in ("studies.db", "Studies.DB-wal", "studies.db-journal")),
        *(
            (name, OWN)
            for name in (BOOK, "holdout_looks", "holdout_looks.lock", "scores", "SCORES")
        ),
        ("first.lock", OWN),
    ],
)
def test_a_name_that_cannot_be_a_folder_is_refused(
    installation: Settings, name: str, told: str
) -> None:
    with pytest.raises(SourceInvalid, match=told):
        tune(installation, name, "smoke", SPACE, 1)


def test_a_study_over_a_file_is_refused_before_a_trial(
    installation: Settings, monkeypatch: pytest.MonkeyPatch
) -> None:
    (installation.home / "tuning").mkdir(exist_ok=True)
    (installation.home / "tuning" / "other.db").touch()
    monkeypatch.setattr(tuning, "prepare_job", lambda *args: pytest.fail("it began"))
    with pytest.raises(SourceInvalid, match=r"other\.db.*is a file"):
        tune(installation, "other.db", "smoke", SPACE, 1)


def test_drawing_leaves_pyplot_as_it_was(installation: Settings, tmp_path: Path) -> None:
    from matplotlib import pyplot

    from mammo.continual.tune_record import draw_plots

    own, before = pyplot.figure(), dict(pyplot.rcParams)
    study = open_study(prepare_job(installation, "first", "smoke", SPACE, 4)[0])
    assert {one.name for one in draw_plots(study, tmp_path)} >= {"history.png", "slice.png"}
    assert pyplot.get_fignums() == [own.number]
    assert dict(pyplot.rcParams) == before
    pyplot.close(own)


def table(logits: list[float]) -> pd.DataFrame:
    numbers = range(len(logits))
    return pd.DataFrame(
        {
            "exam_id": [f"E{i}" for i in numbers], "laterality": "L",
            "patient_id": [f"P{i}" for i in numbers], "logit": logits,
            "label": [i % 2 for i in numbers],
        }
    )  # fmt: skip


def test_a_perfect_trial_gains_what_the_default_lacks() -> None:
    rng = np.random.default_rng(0)
    blind = table(list(rng.normal(size=80)))
    found = measure_gain(blind, table([float(i % 2) for i in range(80)]))
    assert found.best.value == 1.0 and found.shown
    assert found.gain.value == pytest.approx(1.0 - found.default.value)
    assert not measure_gain(blind, blind).shown


def test_gains_of_different_breasts_are_refused() -> None:
    with pytest.raises(ValueError, match="alike"):
        measure_gain(table([0.0] * 8), table([0.0] * 6))


@pytest.mark.parametrize(
    ("low", "high", "told"),
    [(0.1, 0.3, "a gain is shown."), (-0.3, -0.1, "a loss is shown."), (-0.1, 0.1, "neither")],
)
def test_the_sentences_say_what_the_holdout_shows(low: float, high: float, told: str) -> None:
    gain = Gain(*[Interval((low + high) / 2, low, high, 40, 12)] * 3)
    said = gain_sentences(gain, gain, 20, 1, 2)
    assert "That flatters" in said[0] and told in said[1] and "2 times" in said[2]
    assert "not looked at" in gain_sentences(gain, None, 20, 0, 0)[1]


def test_no_gain_is_shown_after_the_first_look() -> None:
    gain = Gain(*[Interval(0.2, 0.1, 0.3, 40, 12)] * 3)
    said = " ".join(gain_sentences(gain, gain, 20, 2, 2))
    assert "a gain is shown" not in said and "no gain is shown by look 2" in said


def test_looks_are_counted_over_studies_and_by_patients(tmp_path: Path) -> None:
    measured: list[Gain] = []

    def measure() -> Gain:
        looks = next(iter(json.loads((tmp_path / BOOK).read_text()).values()))
        assert looks[-1]["gain"] is None  # written down before the scores are there
        measured.append(Gain(*[Interval(0.2, 0.1, 0.3, 40, 12)] * 3))
        return measured[-1]

    def look(patients: str, study: str, key: str) -> tuple[int, int]:
        found = look_once(tmp_path, patients, study, key, measure)
        assert found.gain == measured[-1]
        return found.number, found.total

    assert look("p", "a", "1") == (1, 1)
    assert look("p", "a", "1") == (1, 1) and len(measured) == 1
    assert look("p", "a", "2") == (2, 2)
    assert look("p", "b", "1") == (3, 3)
    assert look("p", "a", "1") == (1, 3) and len(measured) == 3


def test_a_look_that_was_killed_counts_and_is_taken_up(tmp_path: Path) -> None:
    gain = Gain(*[Interval(0.2, 0.1, 0.3, 40, 12)] * 3)

    def killed() -> Gain:
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        look_once(tmp_path, "p", "a", "1", killed)
    assert look_once(tmp_path, "p", "b", "1", lambda: gain).number == 2
    assert look_once(tmp_path, "p", "a", "1", lambda: gain).number == 1


def test_the_patients_make_a_holdout_not_their_images() -> None:
    rows = pd.DataFrame({"patient_id": ["b", "a", "a"], "image_id": ["1", "2", "3"]})
    assert patients_digest(rows) == patients_digest(rows.iloc[1::-1])
    assert patients_digest(rows) != patients_digest(rows.iloc[:1])


def test_the_default_storage_is_in_the_home_folder(installation: Settings) -> None:
    assert default_storage(installation).endswith("/tuning/studies.db")
