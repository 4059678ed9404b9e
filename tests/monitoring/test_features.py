from __future__ import annotations

import numpy as np
import pandas as pd
import pytest

from monitoring.config import MonitorConfig
from monitoring.features import ChannelMap, EmbeddingMap, robust_z

CONFIG = MonitorConfig()


def test_channels_of_a_full_reference(make_reference):
    channels, values = ChannelMap.fit(make_reference(), CONFIG)
    assert channels.names == (
        *("score", "recall", "missing", "quality"),
        *("embedding_1", "embedding_2", "embedding_distance"),
        *("mean_intensity", "contrast", "sharpness", "noise"),
    )
    assert values.shape == (120, 11)
    assert np.isfinite(values).all()


@pytest.mark.parametrize(
    ("quality", "missing", "flagged"),
    [
        ("", 0, 0),
        (None, 0, 0),
        ("UNKNOWN_SCANNER", 0, 0),
        ("NON_STANDARD_VIEW|UNKNOWN_SCANNER", 0, 0),
        ("MISSING_VIEW", 1, 0),
        ("FILE_REFUSED|SATURATED", 1, 1),
        ("LOW_CONTRAST", 0, 1),
        ("PRECISION_MISMATCH|SPACING_DETECTOR", 0, 0),
    ],
)
def test_quality_codes(make_reference, quality, missing, flagged):
    reference = make_reference(10)
    channels, _ = ChannelMap.fit(reference, CONFIG)
    values = channels.values(reference.head(1).assign(quality=quality))[0]
    assert (values[2], values[3]) == (missing, flagged)


def test_distances_of_the_reference_are_those_of_new_exams():
    """In-sample distances would be shorter, and every new exam would look strange."""
    rng = np.random.default_rng(0)
    names = [f"e_{i:02d}" for i in range(32)]
    mix = rng.standard_normal((32, 32)) / 6
    frame = pd.DataFrame(rng.standard_normal((60, 32)) @ mix, columns=names)
    frame = frame.assign(logit=0.0, recall=False, quality="")
    channels, values = ChannelMap.fit(frame, CONFIG)
    new = pd.DataFrame(rng.standard_normal((2000, 32)) @ mix, columns=names)
    new = new.assign(logit=0.0, recall=False, quality="")
    at = channels.names.index("embedding_distance")
    in_sample = channels.embedding.distance(frame[names].to_numpy())
    typical = np.median(channels.values(new)[:, at])
    spread = values[:, at].std()
    assert abs(np.median(values[:, at]) - typical) < 0.5 * spread
    assert typical - np.median(in_sample) > 0.5 * spread


def test_the_map_does_not_depend_on_the_sign_of_eigenvectors():
    vectors = np.random.default_rng(1).standard_normal((50, 32)) * np.linspace(3, 1, 32)
    again = EmbeddingMap.fit(vectors[::-1])
    assert np.allclose(EmbeddingMap.fit(vectors).axes, again.axes)


@pytest.mark.parametrize(
    ("drop", "gone"),
    [
        ("f_sharpness", {"sharpness"}),
        ("e_", {"embedding_1", "embedding_2", "embedding_distance"}),
    ],
)
def test_channels_that_the_reference_lacks_are_left_out(make_reference, drop, gone):
    reference = make_reference()
    everything, _ = ChannelMap.fit(reference, CONFIG)
    part = reference[[name for name in reference if not name.startswith(drop)]]
    channels, _ = ChannelMap.fit(part, CONFIG)
    assert set(everything.names) - set(channels.names) == gone


def test_what_the_exam_lacks_is_missing_not_zero(make_reference):
    reference = make_reference()
    channels, _ = ChannelMap.fit(reference, CONFIG)
    exam = reference.head(2).drop(columns=["f_noise"])
    exam.loc[0, "e_05"] = np.nan
    values = pd.DataFrame(channels.values(exam), columns=channels.names)
    assert values["noise"].isna().all()
    assert values["embedding_distance"].isna().tolist() == [True, False]
    no_embedding = exam[[name for name in exam if not name.startswith("e_")]]
    assert np.isnan(channels.values(no_embedding)[:, 4:7]).all()


def test_robust_z_of_constant_and_skewed_channels():
    reference = np.column_stack([np.zeros(100), np.r_[np.zeros(95), np.ones(5)], np.arange(100.0)])
    z = robust_z(np.array([[1.0, 1.0, 49.5]]), reference)[0]
    assert z[0] == np.inf
    assert 5 < z[1] < 12
    assert z[2] == pytest.approx(0.0)
