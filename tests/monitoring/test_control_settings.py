"""Which settings begin the control anew: those it computes with, not those that are shown."""

from __future__ import annotations

from dataclasses import replace

import pytest

from monitoring.config import MonitorConfig
from monitoring.reference import ControlReference

CONFIG = MonitorConfig(streams=20, stream_exams=1000)


@pytest.mark.parametrize(
    ("changes", "same"),
    [
        ({"evidently_on": "never"}, True),
        ({"policy": "evidently", "evidently_threshold": 0.01}, True),
        ({"keep_reports": 5, "window_exams": 200}, True),
        ({"retrain_exams": 100, "retrain_cancers": 5}, True),
        ({"false_alarms_a_year": 1.0}, False),
        ({"seed": 8}, False),
        ({"channel_groups_off": ("image",)}, False),
    ],
)
def test_what_is_only_shown_leaves_the_control_as_it_is(make_reference, changes, same):
    reference = make_reference()
    before, after = (
        ControlReference.of(reference, one).digest for one in (CONFIG, replace(CONFIG, **changes))
    )
    assert (before == after) == same
