"""What an exam's header adds to the numbers that the log keeps."""

from __future__ import annotations

from dataclasses import asdict
from typing import Any

import numpy as np
import pandas as pd
import pytest

from mammo.exam import Exposure
from mammo.exam_features import HEADER_NAMES, header_features, image_features
from mammo.image_features import FEATURE_NAMES

NO = dict.fromkeys(HEADER_NAMES)


@pytest.mark.parametrize(
    ("views", "told"),
    [
        ([], {}),
        ([NO, NO], {}),
        ([{}], {}),
        ([NO | {"age_years": 57}] * 4, {"age_years": 57.0}),
        ([NO | {"thickness_mm": one} for one in (50, None, 60, np.nan)], {"thickness_mm": 55.0}),
        ([NO | {"kvp": pd.NA}, NO | {"kvp": 28}], {"kvp": 28.0}),
        ([NO | {"kvp": np.inf}], {}),
        ([NO | {"exposure_mas": 0.1}] * 3, {"exposure_mas": 0.1}),
        ([asdict(Exposure(50, 90, 29, 70))],
         {"thickness_mm": 50.0, "compression_n": 90.0, "kvp": 29.0, "exposure_mas": 70.0}),
    ],
)  # fmt: skip
def test_means_over_the_views_that_tell(views: list[dict[str, Any]], told: dict[str, float]):
    assert header_features(views) == told


def test_the_order_of_views_changes_nothing():
    views = [{"compression_n": one} for one in (88.964, 101.3, 97.77, 120.1)]
    assert header_features(views) == header_features(views[::-1])


def test_an_index_column_gives_what_the_header_gave():
    read = [NO | {"age_years": 61, "compression_n": one} for one in (88.964, 101.3)]
    rows = pd.DataFrame(read).astype({"age_years": "Int16", "kvp": "float64"})
    assert header_features(rows.to_dict("records")) == header_features(read)


def test_image_features_are_means():
    views = [dict.fromkeys(FEATURE_NAMES, 0.25), dict.fromkeys(FEATURE_NAMES, 0.75)]
    assert image_features(views) == dict.fromkeys(FEATURE_NAMES, 0.5)
