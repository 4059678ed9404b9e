"""The page of an evaluation: self-contained, and what it says follows from the numbers."""

from __future__ import annotations

import json
import re
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
import typer
from typer.testing import CliRunner

from flows.cli_evaluate import add_evaluate_command
from mammo.appraisal.evaluate import evaluate_scores
from mammo.appraisal.evaluate_report import Asked, evaluate_file, evaluate_release
from mammo.appraisal.evaluate_words import Words, auc_sentences, is_phantoms, judged_warnings
from mammo.appraisal.groups import age_band
from mammo.appraisal.metric_names import METRIC_NAMES
from mammo.appraisal.scores import check_scores
from mammo.data.index import index_from_rows, write_index
from mammo.exam import OperatingPoint
from mammo.preprocess import PreprocessConfig
from mammo.release import Release, write_json
from mammo.settings import Settings
from tests.appraisal.tables import scores_table

ASKED = Asked(resamples=100)


def write_bare_release(home: Path, scores: pd.DataFrame, **changes: Any) -> Path:
    """Write a release of a manifest and scores alone."""
    points = {
        name: OperatingPoint(name, 1.0, 0.3, 0.4, 0.25) for name in ("*", "Maker/A", "Maker/B")
    }
    facts: dict[str, Any] = {
        "id": "r-20260301-0000aaaa", "parent": None, "kind": "trained",
        "created_at": "2026-03-01T09:00:00+00:00", "target": "cancer", "architecture": "tiny",
        "data_version": "d1", "trained_on": "480 mammograms of 120 patients (made)",
        "preprocess": PreprocessConfig(height=128, width=64), "operating_points": points,
    }  # fmt: skip
    release = Release(**(facts | changes))
    directory = home / "releases" / release.id
    directory.mkdir(parents=True)
    write_json(directory / "manifest.json", release.to_dict())
    scores.to_parquet(directory / "scores.parquet")
    return directory


@pytest.fixture(scope="module")
def home(tmp_path_factory: pytest.TempPathFactory) -> Path:
    home = tmp_path_factory.mktemp("home")
    write_bare_release(home, scores_table())
    return home


@pytest.fixture(scope="module")
def settings(home: Path) -> Settings:
    return Settings(home=home, _env_file=None)


@pytest.fixture(scope="module")
def page(home: Path, settings: Settings) -> str:
    directory, to = home / "releases" / "r-20260301-0000aaaa", home / "corrected.html"
    asked = Asked(prevalence=0.0078, resamples=100)
    return evaluate_release(settings, directory, asked, to=to).path.read_text()


def test_the_page_asks_nobody_for_anything(page: str) -> None:
    addresses = re.findall(r'\b(?:src|href|xlink:href|action|data)="([^"]+)"', page)
    assert addresses
    assert all(one.startswith(("#", "data:")) for one in addresses)
    assert "<script" not in page
    assert not re.search(r"url\((?!#)", page)
    ids = re.findall(r'\bid="([^"]+)"', page)
    assert len(ids) == len(set(ids))
    assert page.count("<figure>") == 5
    assert str(Path.home()) not in page


def test_the_page_has_every_metric_at_every_level(page: str) -> None:
    for told in METRIC_NAMES.values():
        assert f"<td>{told.title}</td>" in page
    for text in ("trained on", "480 mammograms of 120 patients (made)", "Data version:\nd1",
                 "Maker/A", "any other scanner", "scanner: Maker/B", "finding type: mass",
                 "view: CC", "age: 70 and over"):  # fmt: skip
        assert text in page, text


def test_the_page_says_what_was_corrected_and_what_need_not_be(page: str) -> None:
    assert "Corrected to the stated prevalence of 0.78% of exams" in page
    assert "What is not in it (AUC, ROC curve, sensitivity" in page
    assert "State a prevalence" not in page


def numbers(text: str) -> list[float]:
    return [float(one) for one in re.findall(r"\d+\.\d+", text)]


def test_sentences_follow_from_the_numbers(home: Path, settings: Settings) -> None:
    report = evaluate_release(settings, home / "releases" / "r-20260301-0000aaaa", ASKED)
    main = report.evaluation.main
    json.dumps(report.to_dict(), allow_nan=False)
    auc = main.metrics["auc"].interval
    told = next(one for one in report.leads if one.startswith("The AUC by breast"))
    unseen = 2.8 * (auc.high - auc.low) / 3.92
    assert numbers(told) == pytest.approx([auc.value, auc.low, auc.high, unseen], abs=0.005)
    assert f"{auc.n_positive} patients with cancer" in told
    exam = report.evaluation.levels["exam"]
    recalled = exam.confusion["tp"] + exam.confusion["fp"]
    assert any(f"{recalled} exams of 120 are recalled" in one for one in report.leads)
    assert any("of these exams are positive, in screening about" in one for one in report.warnings)
    assert any("The holdout calibrated the scores" in one for one in report.warnings)


def said(table: pd.DataFrame, *, points: bool = True) -> tuple[list[str], list[str]]:
    """Return the warnings and the sentences on the AUC, without drawing the page."""
    scores = check_scores(table)
    found = evaluate_scores(scores, resamples=60)
    parts = scores["part"].value_counts().to_dict()
    words = Words("cancer", points, is_phantoms(scores), parts)
    return judged_warnings(found, words), auc_sentences(found, words)


@pytest.mark.parametrize(
    ("columns", "points", "warned"),
    [
        ({"source": "phantoms"}, True, "The scores are of phantoms"),
        ({"scanner": "Phantom Aurora/Lumen 3D"}, True, "The scores are of phantoms"),
        ({"part": "out_of_fold"}, True, "come from the networks of the cross-validation"),
        ({"part": "holdout"}, True, "The holdout calibrated the scores and set the thresholds"),
        ({}, False, "No operating points were given"),
    ],
)
def test_what_makes_numbers_weaker_is_said(
    columns: dict[str, str], points: bool, warned: str
) -> None:
    plain, _ = said(scores_table(40, part="golden"))
    assert not any(warned in one for one in plain)
    weaker, _ = said(scores_table(40, **({"part": "golden"} | columns)), points=points)
    assert any(warned in one for one in weaker)


def test_an_auc_too_good_is_called_a_leak() -> None:
    warnings, _ = said(scores_table(40, shift=9.0))
    assert any("treat it as a leak of the outcome" in one for one in warnings)


@pytest.mark.parametrize(
    ("factor", "told"),
    [(-1, "the scores run against the outcome"), (0, "The interval holds 0.5")],
)
def test_an_auc_that_is_none_is_called_so(factor: int, told: str) -> None:
    table = scores_table(80)
    _, sentences = said(table.assign(logit=factor * table["logit"]))
    assert told in sentences[0]
    assert told not in said(table)[1][0]


def test_a_table_of_scores_takes_the_points_of_a_release(
    home: Path, settings: Settings, tmp_path: Path
) -> None:
    path = tmp_path / "scores.csv"
    scores_table(40).to_csv(path, index=False)
    release = Release.read(home / "releases" / "r-20260301-0000aaaa")
    report = evaluate_file(settings, path, ASKED, release=release, to=tmp_path / "page.html")
    assert set(report.evaluation.units["exam"]["threshold"]) == {0.4}
    assert "scores.csv: what its scores are worth" in report.path.read_text()
    assert str(tmp_path) not in report.path.read_text()


def test_a_release_that_was_only_cross_validated(settings: Settings, tmp_path: Path) -> None:
    directory = write_bare_release(tmp_path, scores_table(60, part="out_of_fold"))
    assert evaluate_release(settings, directory, ASKED).evaluation.part == "out_of_fold"


@pytest.mark.slow
def test_a_release_without_scores_is_scored_anew(tmp_path: Path) -> None:
    from tests.bentos.releases import write_release

    settings = Settings(home=tmp_path, _env_file=None)
    directory = write_release(settings.releases_dir, "r-20260301-0000bbbb")
    rng = np.random.default_rng(0)
    settings.shards_dir.mkdir(parents=True)
    pixels = rng.integers(0, 65_535, size=(48, 1, 1), dtype=np.uint16) + np.zeros(
        (48, 128, 64), np.uint16
    )
    np.save(settings.shards_dir / "s.npy", pixels)
    rows = [
        {
            "image_id": f"I-{row}", "exam_id": f"E-{row // 4}", "patient_id": f"P-{row // 4}",
            "laterality": "LR"[row % 2], "view": ("CC", "MLO")[row // 2 % 2], "scanner": "Maker/A",
            "site": "site-1", "source": "made", "shard": "s", "shard_row": row, "sha256": f"{row}",
            "rows": 128, "columns": 64, "quality": "", "cancer": int(row // 4 % 3 == 0),
        }
        for row in range(48)
    ]  # fmt: skip
    write_index(index_from_rows(rows), settings.index_path)
    found = evaluate_release(settings, directory, ASKED).evaluation
    assert found.levels["exam"].counts["patients"] == 11  # P-1 was trained on
    units = found.units["image"].set_index("unit")
    assert "I-4" not in units.index
    shown = pixels[8].mean() / 65_535  # the tiny network's logit is the mean of the image
    assert units.loc["I-8", "score"] == pytest.approx(shown, abs=0.02)


@pytest.fixture
def command(home: Path, monkeypatch: pytest.MonkeyPatch) -> typer.Typer:
    monkeypatch.setenv("MAMMO_HOME", str(home))
    app = typer.Typer()
    add_evaluate_command(app)
    return app


def test_the_command_answers_in_json(command: typer.Typer, tmp_path: Path) -> None:
    page = tmp_path / "page.html"
    asked = ["r-20260301-0000aaaa", "--part", "golden", "--level", "exam", "--to", str(page)]
    result = CliRunner().invoke(command, [*asked, "--resamples", "100", "--json"])
    assert result.exit_code == 0, result.output
    told = json.loads(result.stdout)
    assert (told["part"], told["level"]) == ("golden", "exam")
    assert told["levels"]["exam"]["metrics"]["auc"]["low"] < 1
    assert told["subgroups"][0]["name"] == "all"
    assert page.is_file()


@pytest.mark.parametrize(
    ("asked", "code"),
    [
        (["r-20260301-0000aaaa", "--part", "gilded"], "PART_UNKNOWN"),
        (["r-20260301-0000aaaa", "--part", "out_of_fold"], "PART_UNKNOWN"),
        (["r-20260301-0000aaaa", "--level", "side"], "LEVEL_UNKNOWN"),
        (["r-20260301-0000aaaa", "--prevalence", "1.5"], "SCORES_INVALID"),
        (["r-20200101-00000000"], "RELEASE_NOT_FOUND"),
        (["--scores", "nowhere.csv"], "SOURCE_NOT_FOUND"),
    ],
)
def test_the_command_refuses_with_a_code(command: typer.Typer, asked: list[str], code: str) -> None:
    result = CliRunner().invoke(command, [*asked, "--resamples", "50"])
    assert result.exit_code == 2
    assert f"error {code}: " in result.stderr
    assert "Traceback" not in result.output


@pytest.mark.parametrize("wrong", [["--seed", "-1"], ["--to", "."]])
def test_options_that_cannot_be_are_refused_before_work(
    command: typer.Typer, wrong: list[str]
) -> None:
    result = CliRunner().invoke(command, ["r-20260301-0000aaaa", *wrong])
    assert result.exit_code == 2
    assert f"Invalid value for '{wrong[0]}'" in result.stderr


def test_the_page_tells_of_any_other_scanner_and_of_nobody_recalled(
    settings: Settings, tmp_path: Path
) -> None:
    directory = write_bare_release(
        tmp_path,
        scores_table(40),
        operating_points={"*": OperatingPoint("*", 1.0, 0.0, 1.0, 0.1)},
    )
    asked = Asked(prevalence=0.01, resamples=60)
    page = evaluate_release(settings, directory, asked, to=tmp_path / "page.html").path.read_text()
    row = re.search(r"any other scanner(.*?)</tr>", page, re.DOTALL)
    assert row is not None and re.findall(r">(\d+|-)<", row[1])[:2] == ["40", "0"]
    assert "with nobody recalled there is no PPV1" in page and "nan" not in page.split("<svg")[0]


@pytest.mark.parametrize(
    ("age", "band"),
    [(39, "under 40"), (40, "40 to 49"), (69, "60 to 69"), (70, "70 and over"),
     (np.nan, "not stated")],
)  # fmt: skip
def test_age_bands(age: float, band: str) -> None:
    assert age_band(age) == band
