from __future__ import annotations

from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from mammo.dicom.facts import POSSIBLE
from mammo.exam_features import HEADER_NAMES
from monitoring.config import MonitorConfig
from monitoring.features import (
    BLOCKS,
    DECISIONS,
    EMBEDDING,
    GROUPS,
    HEADER,
    POPULATION,
    ChannelMap,
    channel_columns,
    channel_group,
    embeddings,
    robust_z,
)

CONFIG = MonitorConfig()


def test_channels_of_a_full_reference(make_reference):
    channels, values = ChannelMap.fit(make_reference(), CONFIG)
    assert channels.names == (
        *("score", "recall", "missing", "refused", "quality"),
        *("embedding_1", "embedding_2", "embedding_distance"),
        *("mean_intensity", "contrast", "sharpness", "noise", "breast_fraction"),
    )
    assert values.shape == (120, 13)
    assert np.isfinite(values).all()


@pytest.mark.parametrize(
    ("quality", "flags"),
    [
        ("", (0, 0, 0)),
        (None, (0, 0, 0)),
        ("UNKNOWN_SCANNER", (0, 0, 0)),
        ("NON_STANDARD_VIEW|UNKNOWN_SCANNER", (0, 0, 0)),
        ("MISSING_VIEW", (1, 0, 0)),
        ("FILE_REFUSED|SATURATED", (0, 1, 1)),
        ("FILE_REFUSED|MISSING_VIEW", (1, 1, 0)),
        ("LOW_CONTRAST", (0, 0, 1)),
        ("PRECISION_MISMATCH|SPACING_DETECTOR", (0, 0, 0)),
    ],
)
def test_quality_codes(make_reference, quality, flags):
    reference = make_reference(10)
    channels, _ = ChannelMap.fit(reference, CONFIG)
    values = channels.values(reference.head(1).assign(quality=quality))[0]
    assert channels.names[2:5] == ("missing", "refused", "quality")
    assert tuple(values[2:5]) == flags


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
    at = [channels.names.index(name) for name in EMBEDDING]
    assert np.isnan(channels.values(no_embedding)[:, at]).all()


def test_robust_z_of_constant_and_skewed_channels():
    reference = np.column_stack([np.zeros(100), np.r_[np.zeros(95), np.ones(5)], np.arange(100.0)])
    z = robust_z(np.array([[1.0, 1.0, 49.5]]), reference)[0]
    assert z[0] == np.inf
    assert 5 < z[1] < 12
    assert z[2] == pytest.approx(0.0)


def test_arrays_give_what_the_frame_gives(make_reference):
    reference = make_reference().assign(f_thickness_mm=55.0, f_age_years=np.arange(120) % 40 + 40.0)
    channels, values = ChannelMap.fit(reference, CONFIG)
    again, of_arrays = ChannelMap.fit_columns(
        channel_columns(reference, CONFIG), embeddings(reference), CONFIG
    )
    assert channels.names == again.names
    assert channels.names[-2:] == ("thickness_mm", "age_years")
    assert np.array_equal(values, of_arrays)
    exams = reference.tail(7)
    given = channels.values_of(channel_columns(exams, CONFIG), embeddings(exams))
    assert np.array_equal(channels.values(exams), given)


@pytest.mark.parametrize(("known", "kept"), [(0, False), (19, False), (20, True), (120, True)])
def test_a_header_channel_needs_some_exams_of_the_reference(make_reference, known, kept):
    thickness = np.where(np.arange(120) < known, 50.0 + np.arange(120) % 30, np.nan)
    channels, values = ChannelMap.fit(make_reference().assign(f_thickness_mm=thickness), CONFIG)
    assert ("thickness_mm" in channels.names) is kept
    if kept:
        told = values[:, channels.names.index("thickness_mm")]
        assert np.array_equal(np.isfinite(told), np.isfinite(thickness))


@pytest.mark.parametrize(
    ("vectors", "name"),
    [
        (np.zeros((3, 31)), "another width"),
        (np.zeros((3, 0)), "none"),
        (np.full((3, 32), np.nan), "missing"),
        (np.full((3, 32), np.inf), "infinite"),
    ],
    ids=lambda value: value if isinstance(value, str) else "",
)
def test_embeddings_that_are_none_say_nothing(make_reference, vectors, name):
    channels, _ = ChannelMap.fit(make_reference(), CONFIG)
    values = channels.values_of({"score": np.array([0.0, np.inf, -np.inf])}, vectors)
    assert np.isnan(values[:, [channels.names.index(one) for one in EMBEDDING]]).all(), name
    assert np.isnan(channels.phi(vectors)).all()
    assert np.array_equal(values[:, 0], [0.0, np.nan, np.nan], equal_nan=True)


@pytest.mark.parametrize("exams", [0, 1])
def test_few_exams_have_channels_too(make_reference, exams):
    reference = make_reference()
    channels, _ = ChannelMap.fit(reference, CONFIG)
    frame = reference.head(exams)
    assert channels.values(frame).shape == (exams, len(channels.names))
    assert channels.phi(embeddings(frame)).shape == (exams, 64)


@pytest.mark.parametrize("exams", [1, 2])
def test_a_reference_of_hardly_any_exam_has_no_embedding(make_reference, exams):
    reference = make_reference().head(exams)
    channels, values = ChannelMap.fit(reference, CONFIG)
    assert not set(EMBEDDING) & set(channels.names)
    assert values.shape == (exams, len(channels.names))
    assert np.isnan(channels.phi(embeddings(reference))).all()


def test_every_channel_has_a_group(make_reference):
    reference = make_reference().assign(f_kvp=28.0)
    channels, _ = ChannelMap.fit(reference, CONFIG)
    groups = {name: channel_group(name) for name in channels.names}
    assert groups["refused"] == "missing"
    assert groups["kvp"] == "header"
    assert groups["breast_fraction"] == "image"
    assert set(groups.values()) <= {*GROUPS.values(), "image"}


def test_every_number_of_the_header_is_watched():
    assert {*HEADER, *POPULATION} == set(HEADER_NAMES)


def test_the_page_tells_every_channel_and_range():
    page = (Path(__file__).parents[2] / "docs/channels.md").read_text()
    channels = (*DECISIONS, *CONFIG.image_features, *EMBEDDING, *HEADER, *POPULATION, *BLOCKS)
    rows = [line for line in page.splitlines() if line.startswith("| `")]
    for name in channels:
        (row,) = [line for line in rows if f"`{name}`" in line.split("|")[1]]
        assert row.split("|")[2].strip() == channel_group(name)
    for low, high in POSSIBLE.values():
        assert f"{low:g} to {high:g} " in page


def test_reference_exams_without_embedding_are_left_out_of_its_map(make_reference):
    reference = make_reference()
    whole, _ = ChannelMap.fit(reference.iloc[30:].reset_index(drop=True), CONFIG)
    reference.loc[:29, "e_05"] = np.nan
    channels, values = ChannelMap.fit(reference, CONFIG)
    at = [channels.names.index(name) for name in EMBEDDING]
    assert np.isnan(values[:30, at]).all()
    assert np.isfinite(values[30:, at]).all()
    assert np.isfinite(values[:, 0]).all()
    assert np.array_equal(channels.embedding.axes, whole.embedding.axes)


def test_a_constant_channel_stays_watched(make_reference):
    reference = make_reference().assign(f_kvp=28.0)
    channels, values = ChannelMap.fit(reference, CONFIG)
    at = channels.names.index("kvp")
    assert (values[:, at] == 28.0).all()
    assert channels.values(reference.head(1).assign(f_kvp=31.0))[0, at] == 31.0
