"""Which rows a strategy draws, what it holds, and what it refuses."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest

from mammo.continual.lesson import Lesson, plan_lesson, repeat_lesson
from mammo.continual.selection import SELECTION, read_selection, selection_digest
from mammo.errors import SourceInvalid, TooFewLabels
from mammo.models.config import TrainConfig

OLD, NEW, SPARE = 40, 12, 4


@pytest.fixture
def rows() -> pd.DataFrame:
    """Training rows of two old scanners and a new one, every fourth image positive."""
    scanners = ["a"] * (OLD - SPARE) + ["b"] * SPARE + ["new"] * NEW
    numbers = np.arange(len(scanners))
    return pd.DataFrame(
        {
            "image_id": [f"I-{one}" for one in numbers],
            "sha256": [f"{one:064x}" for one in numbers],
            "patient_id": [f"P-{one // 2}" for one in numbers], "scanner": scanners,
            "cancer": pd.array((numbers % 4 == 0).astype(int), "Int8"),
            "acquired_on": pd.to_datetime("2025-01-01") + pd.to_timedelta(numbers * 5, "D"),
            "exam_id": [f"E-{one // 2}" for one in numbers], "density": "B", "site": "s",
            "age_years": 50, "laterality": "L", "source": "made-up",
            "software_version": "1", "implant": False,
        }
    )  # fmt: skip


@pytest.fixture
def parent(tmp_path: Path, rows: pd.DataFrame) -> Path:
    """What a release keeps that was trained on the old rows."""
    images = rows[["image_id", "sha256"]].iloc[:OLD].assign(part="train")
    images.loc[3, "part"] = "holdout"
    images.to_parquet(tmp_path / "images.parquet")
    return tmp_path


def lesson_of(rows: pd.DataFrame, parent: Path | None, focus: str | None, **more: Any) -> Lesson:
    return plan_lesson(TrainConfig.from_dict(more), rows, parent=parent, focus=focus)


@pytest.mark.parametrize(
    ("retraining", "images", "focus", "replay"),
    [
        ("scratch", 0, OLD + NEW, 0),
        ("scratch", 8, OLD + NEW, 0),  # a training from scratch has nothing to replay
        ("fine_tune", 8, NEW, 0),
        ("ewc", 0, NEW, 0),
        ("replay", 0, NEW, OLD),
        ("replay", 8, NEW, 8),
        ("replay", 1000, NEW, OLD),
        ("distill", 8, NEW, 8),
    ],
)
def test_what_each_strategy_draws(
    rows: pd.DataFrame, parent: Path, retraining: str, images: int, focus: int, replay: int
) -> None:
    lesson = lesson_of(rows, parent, "new", retraining=retraining, replay_images=images)
    assert lesson.counts() == {"focus": focus, "replay": replay}
    assert lesson.weights.sum() == pytest.approx(1)
    drawn = lesson.rows["scanner"].eq("new").to_numpy()
    share = 0.5 if replay else drawn.mean() if retraining == "scratch" else 1.0
    if retraining != "scratch":
        assert lesson.weights[drawn].sum() == pytest.approx(share)
        assert (drawn == ~lesson.replayed).all()


@pytest.mark.parametrize(
    ("focus", "of_parent", "expected"),
    [
        ("new", True, ["new"]),
        (None, True, ["a", "new"]),  # one image of a was held out: it is new, too
        ("absent", True, ["a", "new"]),
        (None, False, ["a", "b", "new"]),  # no parent: from scratch
    ],
)
def test_what_is_new(
    rows: pd.DataFrame, parent: Path, focus: str | None, of_parent: bool, expected: list[str]
) -> None:
    lesson = lesson_of(rows, parent if of_parent else None, focus)
    assert sorted(set(lesson.rows["scanner"][~lesson.replayed])) == expected


def test_all_rows_are_new_to_a_parent_that_knows_them_all(rows: pd.DataFrame, parent: Path) -> None:
    rows[["image_id", "sha256"]].assign(part="train").to_parquet(parent / "images.parquet")
    assert lesson_of(rows, parent, None).counts() == {"focus": OLD + NEW, "replay": 0}


def test_an_image_sent_anew_is_new(rows: pd.DataFrame, parent: Path) -> None:
    rows.loc[7, "sha256"] = "f" * 64
    new = lesson_of(rows, parent, None)
    assert "I-7" in set(new.rows["image_id"][~new.replayed])


@pytest.mark.parametrize("retraining", ["fine_tune", "ewc"])
def test_new_rows_of_one_class_are_refused(
    rows: pd.DataFrame, parent: Path, retraining: str
) -> None:
    rows.loc[rows["scanner"] == "new", "cancer"] = 0
    with pytest.raises(TooFewLabels, match=f"{retraining} would train on {NEW} images, 0 of them"):
        lesson_of(rows, parent, "new", retraining=retraining)
    assert lesson_of(rows, parent, "new").counts()["focus"] == NEW  # replay has old positives


def test_watched_rows_are_never_drawn(rows: pd.DataFrame, parent: Path) -> None:
    lesson = lesson_of(rows, parent, "new", monitor="watch_auc", watch_fraction=0.25)
    assert 0 < lesson.watched.sum() < len(rows)
    assert (lesson.weights[lesson.watched] == 0).all()
    assert lesson.weights[~lesson.watched].sum() == pytest.approx(1)


def test_a_selection_repeats_the_lesson_after_more_came(rows: pd.DataFrame, parent: Path) -> None:
    config = TrainConfig.from_dict(
        {"replay_images": 8, "monitor": "watch_auc", "watch_fraction": 0.25}
    )
    made = plan_lesson(config, rows, parent=parent, focus="new")
    made.selection().to_parquet(parent / SELECTION)
    table = read_selection(parent)
    later = rows.assign(image_id="later-" + rows["image_id"])
    grown = pd.concat([later, rows.iloc[::-1]], ignore_index=True)
    again = repeat_lesson(config, grown, table, parent=parent)
    assert selection_digest(again.selection()) == selection_digest(made.selection())
    assert (again.watched == made.watched).all()
    changed = grown.assign(sha256=grown["sha256"].str.replace("0", "1"))
    with pytest.raises(SourceInvalid, match=r"20 of the 20 images .* `mammo data checkout`"):
        repeat_lesson(config, changed, table, parent=parent)


def test_a_release_without_a_selection_says_so(tmp_path: Path) -> None:
    with pytest.raises(SourceInvalid, match=r"keeps no selection\.parquet"):
        read_selection(tmp_path)


@pytest.mark.parametrize("change", [{"part": "replay"}, {"weight": 0.5}, {"sha256": "0"}])
def test_a_digest_is_of_all_that_a_selection_says(
    rows: pd.DataFrame, parent: Path, change: dict[str, Any]
) -> None:
    table = lesson_of(rows, parent, "new").selection()
    assert selection_digest(table.assign(**change)) != selection_digest(table)
    assert selection_digest(table.iloc[::-1]) != selection_digest(table)
