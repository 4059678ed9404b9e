"""A phantom with a cancer is the same phantom without it, but for the tumour itself."""

from dataclasses import fields, replace

import numpy as np
import pytest

from mammo.dicom.phantom_exam import SCREENING_VIEWS, draw_exam, exam_generator, render_view
from mammo.dicom.phantom_profiles import SCANNER_PROFILES
from mammo.exam import Laterality

PROFILE = replace(SCANNER_PROFILES["aurora"], spacing_mm=1.0)


def same_woman(a, b):
    waves = all(np.array_equal(a.waves[side], b.waves[side]) for side in a.waves)
    names = [one.name for one in fields(a) if one.name != "waves"]
    return waves and all(getattr(a, name) == getattr(b, name) for name in names)


@pytest.mark.parametrize("index", range(12))
def test_the_woman_and_what_looks_like_cancer_do_not_depend_on_it(index):
    sick, healthy = (draw_exam(11, index, cancer=cancer) for cancer in (True, False))
    assert same_woman(sick.patient, healthy.patient)
    for side, lesions in healthy.lesions.items():
        added = sick.lesions[side][len(lesions) :]
        assert sick.lesions[side][: len(lesions)] == lesions
        assert [one.malignant for one in added] == [True] * (side is sick.cancer_side)


def test_the_side_is_drawn_by_lot_and_goes_with_nothing():
    exams = [draw_exam(3, index, cancer=True) for index in range(400)]
    left = np.array([one.cancer_side is Laterality.LEFT for one in exams])
    assert left.mean() == pytest.approx(0.5, abs=0.075)  # three standard errors
    for told in (
        [one.patient.glandular for one in exams],
        [one.patient.age for one in exams],
        [sum(not lesion.malignant for lesion in one.lesions[Laterality.LEFT]) for one in exams],
    ):
        assert abs(np.corrcoef(left, told)[0, 1]) < 0.15


@pytest.mark.parametrize("index", [0, 1, 2])
def test_no_pixel_far_from_the_tumour_changes(index):
    sick, healthy = (draw_exam(11, index, cancer=cancer) for cancer in (True, False))
    for number, view in enumerate(SCREENING_VIEWS):
        images, boxes = [], []
        for exam in (sick, healthy):
            stored, found = render_view(exam, view, PROFILE, exam_generator(11, index, 1 + number))
            images.append(stored)
            boxes.append(found)
        differ = images[0] != images[1]
        assert differ.any() == (view.laterality is sick.cancer_side)
        if differ.any():
            tumour = boxes[0][-1]
            size = 3 * (tumour.x_max - tumour.x_min)
            y, x = np.nonzero(differ)
            assert x.min() > tumour.x_min - size and x.max() < tumour.x_max + size
            assert y.min() > tumour.y_min - size and y.max() < tumour.y_max + size
