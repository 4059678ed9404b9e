"""A planted shortcut is found in the data and in the model that learnt it; an honest one passes."""

import json

import numpy as np
import pytest

from mammo.appraisal import shortcut_changes as changes
from mammo.appraisal.shortcut_readings import FULL_SCALE, READINGS, find_breasts
from mammo.appraisal.shortcuts import measure_alone, study_shortcuts
from mammo.errors import TooFewLabels
from mammo.evaluation.metrics import roc_auc
from tests.appraisal.shortcut_views import COLUMNS, ROWS, make_views, read_lesion, train_on


@pytest.fixture(scope="module")
def clean():
    return make_views()


@pytest.fixture(scope="module")
def marked():
    return make_views("marker")


def by_name(rows):
    return {one.name: one for one in rows}


def test_an_honest_model_on_clean_data_passes_everything(clean):
    found = study_shortcuts(clean, read_lesion)
    assert roc_auc(clean.labels, read_lesion(clean.pixels)) > 0.9
    assert found.passed and found.betrayed == ()
    alone = by_name(found.alone)
    # the six numbers see the lesion; painted out, little is left of it
    assert alone["six numbers of the image"].auc.low > 0.8
    assert alone["six numbers, lesions painted out"].auc.value < 0.7
    told = by_name(found.changes)
    assert told["lesions painted out"].difference.high < -0.2
    assert abs(told["as much painted elsewhere"].difference.value) < 0.1
    assert json.loads(json.dumps(found.to_dict()))["passed"] is True


@pytest.mark.parametrize(
    ("plant", "name"),
    [
        ("marker", "outside the breast"),
        ("border", "border"),
        ("padding", "padding"),
        ("scanner", "scanner, software, site"),
        ("side", "left or right"),
    ],
)
def test_each_planted_shortcut_is_read_alone(plant, name, clean):
    reading = next(one for one in READINGS if one.name == name)
    assert measure_alone(reading, make_views(plant)).betrays
    assert not measure_alone(reading, clean).betrays


def test_a_model_that_learnt_the_marker_fails(marked):
    """Trained on pixels of other patients, of whom the cancers carry the marker."""
    score = train_on(make_views("marker", seed=1))
    assert roc_auc(marked.labels, score(marked.pixels)) > 0.9  # it looks splendid
    found = study_shortcuts(marked, score)
    assert not found.passed and "outside the breast" in found.betrayed
    told = by_name(found.changes)
    black = told["outside the breast black"]
    assert not black.passed and black.difference.high < -0.1
    swapped = told["outside of the other outcome"]  # the marker goes from one class to the other
    assert not swapped.passed and swapped.auc_after < 0.3
    assert told["lesions painted out"].difference.low > black.difference.high  # not the lesion


def test_an_honest_model_passes_on_data_with_a_marker(marked):
    found = study_shortcuts(marked, read_lesion)
    assert "outside the breast" in found.betrayed  # the data betray it,
    assert found.passed  # the model does not listen


def read_border(pixels):
    return pixels[:, changes.border_mask(pixels.shape[1:])].mean(1) / FULL_SCALE * 50


def read_wall(pixels):
    """The lesion, and on which side the chest wall is."""
    half = pixels.shape[2] // 2
    left, right = (part.mean((1, 2)) for part in (pixels[:, :, :half], pixels[:, :, half:]))
    return 3.0 * (left > right) + read_lesion(pixels)


def read_brightness(pixels):
    return np.median(pixels[:, 20:44, 1:8].reshape(len(pixels), -1), axis=1) / FULL_SCALE * 200


@pytest.mark.parametrize(
    ("plant", "score", "change"),
    [
        ("border", read_border, "border black"),
        ("", read_wall, "mirrored"),
        ("scanner", read_brightness, "another scanner's grey values"),
    ],
)
def test_a_model_of_something_else_fails(plant, score, change):
    views = make_views(plant)
    wanted = [one for one in changes.CHANGES if one.name == change]
    found = study_shortcuts(views, score, readings=(), changes=wanted)
    assert not found.passed, found.changes
    assert study_shortcuts(views, read_lesion, readings=(), changes=wanted).passed


def test_changes_do_what_they_say(clean, marked):
    black = changes.blacken_outside(marked)
    assert (black[~marked.breast] == 0).all() and (black == marked.pixels)[marked.breast].all()
    assert marked.pixels[~marked.breast].max() > 50_000
    swapped = changes.swap_outside(marked)
    assert (swapped == marked.pixels)[marked.breast].all()
    corner = swapped[:, 4, 24] > 50_000
    assert corner[~marked.labels].mean() > 0.8 and not corner[marked.labels].any()
    painted = changes.paint_marker(clean)
    assert (painted == clean.pixels)[clean.breast].all()
    assert ((painted != clean.pixels).any((1, 2))).all()
    assert (changes.mirror(clean)[:, :, 0] == clean.pixels[:, :, -1]).all()
    padded = changes.widen_padding(clean)
    assert padded.shape == clean.pixels.shape and not padded[:, :, -1].any()
    assert padded[:, :, 0].any()  # still against the chest wall
    assert changes.swap_scanners(make_views("marker", images=20)) is None


def test_what_is_painted_lies_in_the_box_alone(clean):
    painted = changes.paint_out_lesions(clean)
    moved = (painted != clean.pixels).any((1, 2))
    assert moved[clean.labels].all()
    assert moved[~clean.labels].mean() > 0.9  # both kinds are painted, or the paint would tell
    x0, y0, x1, y1 = (round(edge) for edge in clean.boxes[0][0])
    centre = (slice(None), (y0 + y1) // 2, (x0 + x1) // 2)
    assert painted[centre][0] < 0.8 * clean.pixels[centre][0]
    outside = np.ones_like(painted[0], bool)
    outside[y0 - 4 : y1 + 4, max(x0 - 4, 0) : x1 + 4] = False
    assert (painted[0] == clean.pixels[0])[outside].all()


def test_too_few_patients_are_refused():
    with pytest.raises(TooFewLabels, match="found 3 patients with a positive image and 3 with a n"):
        study_shortcuts(make_views(images=12))


def test_fat_belongs_to_the_breast_where_the_gland_alone_stands_out():
    """Cropped closely, Otsu's threshold lies above the fat; the share from ingest mends it."""
    y, x = np.mgrid[:ROWS, :COLUMNS]
    breast = ((y - 32) / 31) ** 2 + (x / 31) ** 2 < 1
    gland = ((y - 32) / 14) ** 2 + ((x - 8) / 12) ** 2 < 1
    pixels = np.where(gland, 50_000, np.where(breast, 5_000, 200)).astype(np.uint16)[None]
    told = find_breasts(pixels, np.array([breast.mean()]))[0]
    assert told[breast].mean() > 0.97 and told[~breast].mean() < 0.35  # the margin
    assert find_breasts(pixels)[0][breast].mean() < 0.7  # what it is for
    lettered = pixels.copy()
    lettered[0, 2:8, 25:31] = 60_000
    found = find_breasts(lettered, np.array([breast.mean()]))[0]
    assert not found[3:6, 28:30].any() and found[breast].mean() > 0.9
