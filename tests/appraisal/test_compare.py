"""Comparison of runs: on whom, by how much, how surely, in words, and what is refused."""

from __future__ import annotations

import itertools
import json
import os
import shutil
import time
from dataclasses import replace
from html.parser import HTMLParser
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from sklearn.metrics import average_precision_score, brier_score_loss, roc_auc_score

from mammo.appraisal.compare import Comparison, compare_runs
from mammo.appraisal.compare_cost import (
    Cost,
    count_parameters,
    differing_settings,
    measure_costs,
    settings_table,
)
from mammo.appraisal.compare_groups import compare_groups
from mammo.appraisal.compare_report import write_comparison
from mammo.appraisal.compare_runs import ComparedRun, fetch_release, list_runs, read_runs
from mammo.appraisal.compare_words import (
    best_sentence,
    cost_sentences,
    group_sentences,
    needed_positives,
    needed_sentence,
    pair_sentence,
    selection_sentences,
    warnings,
)
from mammo.backup.contents import find_contents
from mammo.continual.spent import Spent, write_spent
from mammo.errors import MammoError, NotComparable, RunUnknown
from mammo.release import Release
from mammo.settings import Settings

from .runs import noisier, write_run, write_three
from .tables import scores_table

RESAMPLES = 300


@pytest.fixture(scope="module")
def settings(tmp_path_factory: pytest.TempPathFactory) -> Settings:
    home = tmp_path_factory.mktemp("home")
    made = Settings(home=home, mlflow_port=9, service_port=9, _env_file=None)
    write_three(made.releases_dir)
    return made


@pytest.fixture(scope="module")
def runs(settings: Settings) -> list[ComparedRun]:
    return read_runs(settings, ["r-good", "r-alike", "r-guess"])


@pytest.fixture(scope="module")
def found(runs: list[ComparedRun]) -> Comparison:
    return compare_runs(runs, resamples=RESAMPLES)


def breasts(scores: pd.DataFrame) -> pd.DataFrame:
    """Aggregate by hand: mean of the views, the fixture's operating point."""
    rows = scores.groupby(["exam_id", "laterality"])[["logit", "label"]].agg(
        {"logit": "mean", "label": "max"}
    )
    return rows.assign(probability=1 / (1 + np.exp(-(rows["logit"] + 0.5))))


def test_the_numbers_are_those_of_scikit_learn(runs: list[ComparedRun], found: Comparison) -> None:
    for run in runs:
        units = breasts(run.scores)
        metrics = found.evaluations[run.name].main.metrics
        expected = {
            "auc": roc_auc_score(units["label"], units["logit"]),
            "average_precision": average_precision_score(units["label"], units["logit"]),
            "brier": brier_score_loss(units["label"], units["probability"]),
        }
        for name, value in expected.items():
            assert metrics[name].interval.value == pytest.approx(value)


def test_pairs_are_differences_of_the_runs(found: Comparison) -> None:
    names = list(found.evaluations)
    assert [(one.a, one.b) for one in found.pairs] == list(itertools.combinations(names, 2))
    for pair in found.pairs:
        auc = pair.difference("auc")
        a, b = (
            found.evaluations[one].main.metrics["auc"].interval.value for one in (pair.a, pair.b)
        )
        assert auc.difference == pytest.approx(b - a)
        assert auc.delong is not None and auc.delong.difference == pytest.approx(b - a)
        assert auc.low <= auc.difference <= auc.high
        assert pair.p_holm["auc"] >= auc.p_value


def test_the_better_is_told_and_the_equal_is_not(found: Comparison) -> None:
    alike, guess, other = (pair_sentence(pair) for pair in found.pairs)
    assert alike.startswith("r-good and r-alike cannot be told apart")
    assert "would have been seen with a power of 80% or more" in alike
    assert guess.startswith("r-good is better than r-guess by 0.")
    assert other.startswith("r-alike is better than r-guess by 0.")
    assert "it cannot be told apart" in best_sentence(found)


def test_more_noise_needs_more_cancers(found: Comparison) -> None:
    alike, guess = found.pairs[0], found.pairs[1]
    assert needed_positives(guess, 0.03) > needed_positives(alike, 0.03)
    assert "some 0 patients" not in needed_sentence(guess)
    assert f"some {needed_positives(guess, 0.03)} patients" in needed_sentence(guess)
    assert needed_positives(guess, 0.06) == pytest.approx(
        needed_positives(guess, 0.03) / 4, rel=0.1
    )


def test_only_exams_that_all_scored_and_none_was_trained_on(
    runs: list[ComparedRun],
) -> None:
    good, alike, guess = runs
    fewer = replace(alike, scores=alike.scores[alike.scores["exam_id"] > "E-0009"])
    trained = replace(guess, trained=frozenset({"P-0020", "P-0021", "P-0003"}))
    found = compare_runs([good, fewer, trained], resamples=RESAMPLES)
    kept = {f"E-{i:04d}" for i in range(10, 150)} - {"E-0020", "E-0021"}
    for one in found.evaluations.values():
        assert set(one.units["exam"]["exam_id"]) == kept
    chosen = found.selection
    assert (chosen.exams, chosen.trained_on) == (138, 2)
    assert chosen.unscored == {"r-good": 10, "r-alike": 0, "r-guess": 10}
    told = " ".join(selection_sentences(found))
    assert "same 138 exams" in told and "10 of r-good and 10 of r-guess" in told
    assert "2 exams that are of a patient one was trained on" in told


def test_an_exam_that_was_scored_by_other_images_is_left_out(runs: list[ComparedRun]) -> None:
    """One lacks a breast, the other another: the subgroups' rows must stay the same breasts."""
    pair = [
        replace(run, scores=run.scores[~run.scores["image_id"].str.startswith(start)])
        for run, start in zip(runs[:2], ("I-0004-L", "I-0005-R"), strict=True)
    ]
    found = compare_runs(pair, resamples=RESAMPLES)
    assert found.selection.exams == 148
    first, second = (one.units["breast"]["unit"].tolist() for one in found.evaluations.values())
    assert sorted(first) == sorted(second)
    told = " ".join(selection_sentences(found))
    assert "exams that not all scored by the same images (2 of r-good and 2 of r-alike)" in told


def test_out_of_fold_scores_may_be_of_training_patients(runs: list[ComparedRun]) -> None:
    trained = frozenset(runs[0].scores["patient_id"])
    folded = [
        replace(run, trained=trained, scores=run.scores.assign(part="out_of_fold"))
        for run in runs[:2]
    ]
    assert compare_runs(folded, part="out_of_fold", resamples=RESAMPLES).selection.exams == 150
    with pytest.raises(MammoError, match=r"untouched.*no mammogram"):
        compare_runs(folded)


def test_an_exam_of_an_unknown_outcome_is_none(runs: list[ComparedRun]) -> None:
    unknown = runs[0].scores.assign(
        label=runs[0].scores["label"].where(runs[0].scores["exam_id"] != "E-0007")
    )
    pair = [replace(runs[0], scores=unknown), runs[1]]
    assert compare_runs(pair, resamples=RESAMPLES).selection.exams == 149


def test_no_exam_in_common_is_said_with_the_counts(runs: list[ComparedRun]) -> None:
    every = frozenset(runs[0].scores["patient_id"])
    with pytest.raises(NotComparable, match="150 were scored by all, 150 of them trained on"):
        compare_runs([runs[0], replace(runs[1], trained=every)])
    moved = runs[1].scores.assign(exam_id="other-" + runs[1].scores["exam_id"])
    with pytest.raises(NotComparable, match="0 were scored by all"):
        compare_runs([runs[0], replace(runs[1], scores=moved)])


def test_other_outcomes_of_the_same_exams_are_refused(runs: list[ComparedRun]) -> None:
    scores = runs[1].scores
    few = scores["exam_id"] < "E-0005"
    flipped = scores.assign(label=scores["label"].where(~few, 1 - scores["label"]))
    with pytest.raises(MammoError, match="disagree on the outcome of 10 of 300 breasts"):
        compare_runs([runs[0], replace(runs[1], scores=flipped)], resamples=RESAMPLES)


def test_warnings_follow_from_the_runs(found: Comparison) -> None:
    told = " ".join(warnings(found))
    assert "patients with a positive outcome" in told and "2 data versions" in told
    assert "phantom" not in told
    assert "phantoms" in " ".join(warnings(replace(found, phantoms=True)))


def test_subgroups_are_tested_inside_and_adjusted(found: Comparison) -> None:
    groups = compare_groups(found, resamples=100)
    assert {one.attribute for one in groups} >= {"age", "density", "scanner", "finding type"}
    scanner = next(one for one in groups if one.name == "Maker/A")
    rows = found.evaluations["r-good"].units["breast"]
    inside = rows[rows["scanner"] == "Maker/A"]
    expected = roc_auc_score(inside["label"], inside["score"])
    assert scanner.aucs["r-good"].value == pytest.approx(expected)
    assert scanner.pair is not None and "r-guess" in scanner.pair
    assert scanner.difference is not None and scanner.p_holm is not None
    assert scanner.p_holm >= scanner.difference.p_value
    assert "is better than r-guess" in scanner.sentence
    small = [one for one in groups if not one.aucs]
    assert all(one.p_holm is None for one in small)
    told = group_sentences(groups)
    assert told[0].startswith("A difference stands after adjustment in") and len(told) == 2
    assert "none of" in group_sentences([replace(scanner, p_holm=0.3)])[0]


SPENT = Spent(40.0, 20.0, None, "x86_64, 2 processors", False)


@pytest.mark.parametrize(
    ("spents", "told"),
    [
        ((SPENT, replace(SPENT, processor_s=50.0)), "b 2.5 times as much. No run's energy"),
        ((SPENT, replace(SPENT, resumed=True)), "cannot be compared"),
        ((SPENT, None), "cannot be compared"),
    ],
)
def test_training_is_compared_where_all_of_it_was_kept(
    spents: tuple[Spent | None, ...], told: str
) -> None:
    costs = [
        Cost(name, 10, 1.0, 2.0, 1.0, 128, 64, spent)
        for name, spent in zip("ab", spents, strict=True)
    ]
    assert told in " ".join(cost_sentences(costs))


def test_energy_is_told_where_a_machine_counted_it(settings: Settings, tmp_path: Path) -> None:
    write_spent(settings.releases_dir / "r-good", replace(SPENT, energy_j=1234.0))
    report = write_comparison(settings, ["r-good", "r-alike"], resamples=60, to=tmp_path / "a.html")
    assert report.to_dict()["costs"][0]["training"]["energy_j"] == 1234.0
    page = report.path.read_text()
    assert "1.23" in page and "not kept" in page and "No run's energy" not in page


def test_cost_counts_what_is_there(runs: list[ComparedRun]) -> None:
    costs = measure_costs(runs, rounds=3)
    assert [one.run for one in costs] == ["r-good", "r-alike", "r-guess"]
    assert costs[0].ratio == 1.0 and all(one.milliseconds > 0 for one in costs)
    size = (runs[0].directory / "model.onnx").stat().st_size
    assert costs[0].graph_mb == pytest.approx(size / 2**20)
    assert count_parameters(runs[0].directory) == 1  # the bias of a brightness


def test_batch_statistics_are_no_parameters(tmp_path: Path) -> None:
    from safetensors.torch import save_file
    from torch import nn

    net = nn.Sequential(nn.Conv2d(1, 4, 3), nn.BatchNorm2d(4))
    save_file(dict(net.state_dict()), tmp_path / "weights.safetensors")
    assert count_parameters(tmp_path) == sum(one.numel() for one in net.parameters())


def test_settings_that_differ_are_told(runs: list[ComparedRun]) -> None:
    assert differing_settings(runs) == {"epochs": [2, 5, 2], "pooling": ["-", "-", "max"]}


LOST = {
    "of one": (["r-alike"], ["r-good", "r-alike"],
               ["The configuration of B is not kept: settings cannot be compared."]),
    "of both": (["r-good", "r-alike"], ["r-good", "r-alike"],
                ["The configurations of A and B are not kept: settings cannot be compared."]),
    "of one of three": (["r-alike"], ["r-good", "r-alike", "r-guess"],
                        ["The configuration of B is not kept: its settings cannot be compared.",
                         "The others differ in 1 setting; all other settings are the same."]),
}  # fmt: skip


@pytest.mark.parametrize("case", LOST)
def test_a_configuration_that_is_not_kept_is_no_sameness(
    case: str, settings: Settings, tmp_path: Path
) -> None:
    lost, names, told = LOST[case]
    home = settings.model_copy(update={"home": tmp_path / "home"})
    for name in names:
        shutil.copytree(settings.releases_dir / name, home.releases_dir / name)
    for name in lost:
        (home.releases_dir / name / "train_config.json").unlink()
    page = write_comparison(home, names, resamples=20, to=tmp_path / "page.html").path.read_text()
    assert all(one in page for one in told)
    assert "onfigurations are the same" not in page and "configurations differ" not in page
    runs = read_runs(home, names)
    others = {"pooling": ["-", "not kept", "max"]} if len(names) == 3 else {}
    assert differing_settings(runs) == others
    table = settings_table(runs)
    assert [name for name in names if table.at["configuration", name] == "not kept"] == lost


class Page(HTMLParser):
    """The ids, the images and the addresses of a page."""

    def __init__(self) -> None:
        super().__init__()
        self.ids: list[str] = []
        self.links: list[str] = []

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        found = dict(attrs)
        self.ids += [str(found["id"])] if "id" in found else []
        self.links += [str(found[one]) for one in ("href", "src") if one in found]


def test_one_page_tells_it_all(settings: Settings, tmp_path: Path) -> None:
    to = tmp_path / "compare.html"
    report = write_comparison(
        settings, ["r-good", "r-guess"], to=to, resamples=RESAMPLES, level="exam"
    )
    text, page = to.read_text(), Page()
    page.feed(text)
    chapters = ["compared", "differences", "curves", "decisions", "calibration", "subgroups",
                "cost", "training", "limits"]  # fmt: skip
    assert [one for one in page.ids if one in chapters] == chapters
    assert len(page.ids) == len(set(page.ids))
    assert all(one.startswith(("#", "data:")) for one in page.links)
    for words in ("r-good is better than r-guess", "darkness", "not a cleared"):
        assert words in text
    assert str(settings.home) not in text
    told = json.loads(json.dumps(report.to_dict(), default=str))
    assert told["runs"] == ["r-good", "r-guess"] and told["selection"]["exams"] == 150
    assert told["pairs"][0]["p_holm_over_pairs"]["auc"] < 0.01


BAD = {
    "one alone": (["r-good"], "found 1 run; a comparison has 2 to 8"),
    "none": ([], "found 0 runs"),
    "too many": (["r-good"] * 9, "found 9 runs"),
    "twice": (["r-good", "r-good"], "release r-good is named twice: name each run once"),
    "unknown": (["r-good", "r-nope"], "named 'r-nope'. Releases here: .*r-good"),
    "another target": (["r-good", "r-dense"], r"r-good for cancer, r-dense for dense\)"),
    "no scores": (["r-good", "r-mute"], "r-mute keeps no scores, and there is no index"),
}


@pytest.mark.parametrize("case", BAD)
def test_what_cannot_be_compared_is_said(case: str, settings: Settings) -> None:
    names, text = BAD[case]
    for name, scores, facts in (
        ("r-dense", scores_table(20), {"target": "dense"}),
        ("r-mute", None, {}),
    ):
        if not (settings.releases_dir / name).exists():
            write_run(settings.releases_dir, name, scores, **facts)
    with pytest.raises(MammoError, match=text):
        read_runs(settings, names)


def test_a_folder_and_its_id_are_one_run(settings: Settings) -> None:
    with pytest.raises(NotComparable, match="is named twice"):
        read_runs(settings, ["r-good", str(settings.releases_dir / "r-good")])


def test_a_changed_release_is_refused(settings: Settings, tmp_path: Path) -> None:
    place = write_run(tmp_path / "releases", "r-cheat", scores_table(20))
    noisier(scores_table(20), 0.1).to_parquet(place / "scores.parquet")
    with pytest.raises(MammoError, match=r"scores.parquet of release r-cheat has SHA-256"):
        read_runs(settings, ["r-good", str(place)])


@pytest.mark.slow
def test_runs_of_mlflow_are_found_and_fetched(settings: Settings, tmp_path: Path) -> None:
    from mammo.models.tracking import register_release

    place = write_run(tmp_path / "releases", "r-logged", scores_table(150, seed=3))
    run_id = register_release(settings, Release.read(place), place, {"epochs": 2}, []).run_id
    with pytest.raises(RunUnknown, match="MLflow has no run 0000"):
        read_runs(settings, ["r-good", "0" * 32])
    with pytest.raises(RunUnknown, match="0 of MLflow's runs begin with 00000000"):
        read_runs(settings, ["r-good", "0" * 8])
    assert list_runs(settings)["run_id"].tolist() == [run_id]
    found = read_runs(settings, ["r-good", run_id[:8]])
    assert found[1].name == "r-logged" and "compared" in found[1].directory.parts
    assert found[1].directory.is_relative_to(settings.home)
    for half in (("manifest.json",), ("manifest.json", "model.onnx"), ()):
        for one in found[1].directory.iterdir():  # as a call that was killed has left it
            if one.name not in half:
                one.unlink()
        again = read_runs(settings, ["r-good", run_id])[1]
        assert again.directory == found[1].directory and len(again.scores) == len(found[1].scores)
    (found[1].directory / "manifest.json").write_text('{"id": "r-lo')
    assert read_runs(settings, ["r-good", run_id])[1].name == "r-logged"
    assert [one.name for one in (settings.home / "compared").iterdir()] == [run_id]
    shutil.copytree(place, settings.releases_dir / "r-logged")
    try:
        here = read_runs(settings, ["r-good", run_id])[1]
        assert here.directory == settings.releases_dir / "r-logged" and here.run_id == run_id
    finally:
        shutil.rmtree(settings.releases_dir / "r-logged")


@pytest.mark.slow
def test_runs_that_tell_no_target_have_it_from_their_release(tmp_path: Path) -> None:
    """As an older mammo logged joins, exports and recalibrations: with one parameter each."""
    from mammo.models.tracking import experiment_id, mlflow_client

    settings = Settings(home=tmp_path / "home", mlflow_port=9, service_port=9, _env_file=None)
    with pytest.raises(RunUnknown, match="MLflow knows no run of `mammo train` here yet"):
        list_runs(settings)
    write_run(settings.releases_dir, "r-here", None)
    client = mlflow_client(settings)
    experiment = experiment_id(client, settings)
    for release, param in (
        ("r-here", "detector"),
        ("r-here", "recalibrated"),
        ("r-gone", "export"),
    ):
        run = client.create_run(experiment, tags={"release": release})
        client.log_param(run.info.run_id, param, "GE/X")
    listed = list_runs(settings)
    told = listed[["release", "target", "architecture"]].to_numpy().tolist()
    assert told == [["r-here", "cancer", "brightness"]]


def test_two_calls_may_fetch_the_same_run(settings: Settings, tmp_path: Path) -> None:
    place, kept = settings.releases_dir / "r-good", tmp_path / "compared" / "run"

    class Meanwhile:
        """A download, at whose end another call has brought the same."""

        def download_artifacts(self, _run: str, name: str, folder: str) -> None:
            shutil.copytree(place, Path(folder, name))
            shutil.copytree(place, kept / name)

    fetch_release(Meanwhile(), "run", kept)
    Release.read(kept / "release", verify=True)
    assert [one.name for one in kept.parent.iterdir()] == ["run"]


def test_what_a_killed_fetch_left_goes_and_is_in_no_backup(
    settings: Settings, tmp_path: Path
) -> None:
    place, home = settings.releases_dir / "r-good", tmp_path / "home"
    left: list[Path] = []

    class Artifacts:
        """Each fetch leaves beside its folder a copy of it, as a kill in that moment does."""

        def download_artifacts(self, _run: str, name: str, folder: str) -> None:
            shutil.copytree(place, Path(folder, name))
            fetching = Path(folder).parent
            left.append(fetching.with_name(f"{fetching.name}left"))
            shutil.copytree(fetching, left[-1])
            assert [one.path for one in find_contents(home)] == ["compared"]

    for run in ("first", "second"):
        fetch_release(Artifacts(), run, home / "compared" / run)
        shutil.rmtree(home / "compared" / run)
    two_days_ago = time.time() - 2 * 86_400
    os.utime(left[0], (two_days_ago, two_days_ago))
    fetch_release(Artifacts(), "third", home / "compared" / "third")
    assert {*(home / "compared").iterdir()} == {home / "compared" / "third", *left[1:]}
