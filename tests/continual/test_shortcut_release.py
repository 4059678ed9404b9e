"""The shortcut study of a release that was trained on phantoms, and its page."""

from __future__ import annotations

import numpy as np
import pandas as pd
import pytest

from mammo.appraisal.shortcut_page import alone_row, change_row, write_page
from mammo.appraisal.shortcut_release import (
    check_release_shortcuts,
    draw_patients,
    prepared_boxes,
    untrained_rows,
)
from mammo.appraisal.shortcuts import ShortcutStudy
from mammo.continual.fit import TrainedRelease
from mammo.continual.split import trained_patients
from mammo.data.index import read_index
from mammo.explore.page import Origin
from mammo.release import Release
from mammo.settings import Settings


@pytest.fixture(scope="module")
def studied(installation: Settings, trained: TrainedRelease) -> tuple[Release, ShortcutStudy]:
    return check_release_shortcuts(installation, trained.directory)


def test_it_is_studied_on_patients_that_it_was_not_trained_on(
    installation: Settings, trained: TrainedRelease, studied: tuple[Release, ShortcutStudy]
) -> None:
    rows = untrained_rows(installation, trained.directory, "cancer")
    assert not set(rows["patient_id"]) & trained_patients(trained.directory)
    release, study = studied
    assert release.id == trained.release.id
    assert (study.images, study.patients) == (len(rows), rows["patient_id"].nunique())
    names = [one.name for one in study.changes]
    assert "lesions painted out" in names and "another scanner's grey values" in names
    assert {one.images for one in study.changes if one.name == "mirrored"} == {study.images}
    assert study.betrayed == (), study.alone  # phantoms have no marker and no border


def test_the_page_tells_every_number(studied: tuple[Release, ShortcutStudy]) -> None:
    release, study = studied
    origin = Origin("v1", "mammo shortcuts", "2026-01-01", "0")
    page = write_page(study, release.id, release.trained_on, origin)
    for cells in [*map(alone_row, study.alone), *map(change_row, study.changes)]:
        for cell in cells:
            assert cell.replace("'", "&#x27;") in page
    assert "phantom" in page.lower() and 'src="http' not in page


def test_boxes_lie_in_prepared_pixels(installation: Settings) -> None:
    index = read_index(installation.index_path)
    positive = index[index["cancer"] == 1].iloc[0]
    boxes = prepared_boxes(positive["geometry"], positive["findings"], "cancer")
    assert boxes
    for x0, y0, x1, y1 in boxes:
        assert 0 <= x0 < x1 <= 64 and 0 <= y0 < y1 <= 128


def test_whole_patients_are_drawn() -> None:
    rows = pd.DataFrame({"patient_id": np.repeat([f"p{n}" for n in range(30)], 4)})
    some = draw_patients(rows, 40, seed=1)
    assert len(some) == 40 and (some["patient_id"].value_counts() == 4).all()
    assert draw_patients(rows, 40, seed=1).equals(some)
    assert not draw_patients(rows, 40, seed=2).equals(some)
    assert len(draw_patients(rows, 500, seed=1)) == 120
