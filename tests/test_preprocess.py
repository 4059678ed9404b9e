"""The pixel-to-tensor code: windows against pydicom, geometry, determinism, real films."""

from __future__ import annotations

import csv
import os
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import cv2
import imagecodecs
import numpy as np
import pytest
from pydicom.dataset import Dataset
from pydicom.pixels import apply_rescale, apply_voi, apply_windowing

from mammo.dicom.codestream import read_codestream
from mammo.dicom.jpeg2000 import decode_reduced
from mammo.dicom.read import read_mammogram
from mammo.display import apply_window, display_table
from mammo.errors import NoBreastFound
from mammo.preprocess import (
    FEATURE_NAMES,
    Geometry,
    Prepared,
    PreprocessConfig,
    StoredImage,
    VoiLut,
    Window,
    _percentiles,
    prepare,
    to_tensor,
)

SHARED = Path(
    os.environ.get("MAMMO_TEST_DATA", Path(__file__).parents[1].parent / "shared" / "data")
)
CONFIG = PreprocessConfig()


def draw_breast(
    rows: int = 800, columns: int = 600, right: bool = False, dtype: Any = np.uint16
) -> np.ndarray:
    """Return a half ellipse at the chest wall with texture, a label and dark air."""
    y, x = np.mgrid[:rows, :columns]
    inside = ((y - rows / 2) / (rows * 0.35)) ** 2 + (x / (columns * 0.6)) ** 2 < 1
    texture = np.random.default_rng(0).normal(0, 60, (rows, columns))
    image = np.where(inside, 1500 + 900 * np.sin(x / 25) * np.sin(y / 31) + texture, 20)
    image[40:70, columns - 90 : columns - 30] = 4095  # a side marker
    image = np.clip(image, 0, 4095)
    return (image[:, ::-1] if right else image).astype(dtype)


def as_dataset(image: StoredImage) -> Dataset:
    """Return the pydicom data set that shows the same image."""
    dataset = Dataset()
    dataset.PhotometricInterpretation = "MONOCHROME2"
    dataset.BitsStored, dataset.BitsAllocated = image.bits_stored, 8 * image.pixels.itemsize
    dataset.PixelRepresentation = int(image.pixels.dtype.kind == "i")
    dataset.RescaleSlope, dataset.RescaleIntercept = str(image.slope), str(image.intercept)
    if image.window:
        dataset.WindowCenter, dataset.WindowWidth = (
            str(image.window.center),
            str(image.window.width),
        )
        dataset.VOILUTFunction = image.window.function
    if image.voi_lut:
        item = Dataset()
        first = image.voi_lut.first
        item.add_new("LUTDescriptor", "SS" if first < 0 else "US",
                     [len(image.voi_lut.values), first, image.voi_lut.bits])  # fmt: skip
        item.add_new("LUTData", "US", image.voi_lut.values.tolist())
        dataset.VOILUTSequence = [item]
    return dataset


@pytest.mark.parametrize("slope", [(1.0, 0.0), (2.0, -100.0), (0.5, 7.0)])
@pytest.mark.parametrize(
    "window",
    [
        Window(2048, 4096),
        Window(1000, 500),
        Window(1000.5, 1),
        Window(2048, 4096, "LINEAR_EXACT"),
        Window(300, 0.5, "LINEAR_EXACT"),
        Window(2653, 900, "SIGMOID"),
    ],
    ids=str,
)
@pytest.mark.parametrize(("dtype", "bits"), [(np.uint16, 12), (np.int16, 12), (np.uint16, 16)])
def test_window_agrees_with_pydicom(
    dtype: Any, bits: int, window: Window, slope: tuple[float, float]
) -> None:
    low = -(2 ** (bits - 1)) if dtype is np.int16 else 0
    stored = np.arange(low, low + 2**bits).astype(dtype).reshape(2, -1)
    image = StoredImage(stored, bits, False, *slope, window=window)
    rescaled = apply_rescale(stored, as_dataset(image))
    shown = apply_windowing(rescaled, as_dataset(image))
    # pydicom scales to the range of the modality values
    first = low * slope[0] + slope[1]
    span = (2**bits - 1) * slope[0]
    expected = (shown - first) / span
    np.testing.assert_allclose(apply_window(rescaled.astype(float), window), expected, atol=1e-9)
    table = display_table(image)[stored.view(np.uint16)]
    assert np.abs(table.astype(float) - expected * 65535).max() <= 0.5 + 1e-6


@pytest.mark.parametrize(("first", "bits"), [(0, 12), (100, 12), (-50, 10), (0, 16)])
def test_voi_lut_agrees_with_pydicom(first: int, bits: int) -> None:
    values = np.random.default_rng(0).integers(0, 2**bits, 1000).astype(np.uint16)
    dtype = np.int16 if first < 0 else np.uint16
    stored = np.arange(-100 if first < 0 else 0, 2000).astype(dtype).reshape(1, -1)
    image = StoredImage(stored, 12, False, voi_lut=VoiLut(first, values, bits))
    expected = apply_voi(stored, as_dataset(image)) / (2**bits - 1) * 65535
    table = display_table(image)[stored.view(np.uint16)]
    assert np.abs(table.astype(float) - expected).max() <= 0.5 + 1e-6


def test_the_voi_lut_goes_before_the_window() -> None:
    lut = VoiLut(0, np.arange(4096, dtype=np.uint16), 12)
    pixels = np.zeros((4, 4), np.uint16)
    both = StoredImage(pixels, 12, False, window=Window(5, 5), voi_lut=lut)
    np.testing.assert_array_equal(
        display_table(both), display_table(StoredImage(pixels, 12, False, voi_lut=lut))
    )


@pytest.mark.parametrize(
    "window", [None, Window(2048, 3000), Window(2000, 900, "SIGMOID")], ids=str
)
def test_monochrome1_is_inverted_exactly_once(window: Window | None) -> None:
    plain = draw_breast()
    mirrored = window and Window(4095 - window.center, window.width, "LINEAR_EXACT")
    exact = window and Window(window.center, window.width, "LINEAR_EXACT")
    if window and window.function == "SIGMOID":
        exact, mirrored = window, Window(4095 - window.center, window.width, "SIGMOID")
    first = prepare(StoredImage(plain, 12, False, window=exact), CONFIG)
    second = prepare(StoredImage((4095 - plain), 12, True, window=mirrored), CONFIG)
    assert second.geometry == first.geometry
    assert np.abs(second.pixels.astype(int) - first.pixels.astype(int)).max() <= 2


@pytest.mark.parametrize("inverted", [False, True])
def test_padding_is_black_and_no_breast(inverted: bool) -> None:
    pixels = draw_breast()
    pixels = 4095 - pixels if inverted else pixels
    plain = prepare(StoredImage(pixels, 12, inverted, window=Window(2048, 4096)), CONFIG)
    padded = pixels.copy()
    padded[:, -200:] = 3000  # would be bright, and is declared padding
    image = StoredImage(padded, 12, inverted, window=Window(2048, 4096), padding=(3000, 3000))
    prepared = prepare(image, CONFIG)
    assert prepared.geometry == plain.geometry
    assert display_table(image)[3000] == 0


def test_signed_values_are_shown_like_unsigned_ones() -> None:
    pixels = draw_breast()
    unsigned = prepare(StoredImage(pixels, 12, False, window=Window(2048, 4096)), CONFIG)
    shifted = StoredImage(pixels.astype(np.int16) - 2048, 12, False, window=Window(0, 4096))
    np.testing.assert_array_equal(prepare(shifted, CONFIG).pixels, unsigned.pixels)


@pytest.mark.parametrize("right", [False, True])
def test_the_breast_is_cropped_and_padded_away_from_the_chest_wall(right: bool) -> None:
    prepared = prepare(StoredImage(draw_breast(right=right), 12, False), CONFIG)
    geometry = prepared.geometry
    assert prepared.pixels.shape == (512, 256)
    assert 60 < geometry.y0 < 120
    assert 680 < geometry.y1 < 740
    assert (
        (geometry.x1 == 600, geometry.x0 > 200) if right else (geometry.x0 == 0, geometry.x1 < 400)
    )
    tall = PreprocessConfig(height=512, width=512)
    wall = prepare(StoredImage(draw_breast(right=right), 12, False), tall).pixels
    touched, free = (wall[:, -1], wall[:, 0]) if right else (wall[:, 0], wall[:, -1])
    assert touched[200:300].min() > 0
    assert free.max() == 0


def test_geometry_there_and_back() -> None:
    geometry = prepare(StoredImage(draw_breast(), 12, False), CONFIG).geometry
    for point in ((0.0, 100.0), (123.5, 400.25), (350.0, 700.0)):
        assert geometry.to_original(*geometry.to_prepared(*point)) == pytest.approx(point)
    assert Geometry.from_dict(geometry.to_dict()) == geometry


def test_a_bright_point_lands_where_the_geometry_says() -> None:
    pixels = draw_breast()
    pixels[395:405, 195:205] = 4095
    prepared = prepare(StoredImage(pixels, 12, False, window=Window(2048, 4096)), CONFIG)
    expected = prepared.geometry.to_prepared(200, 400)
    row, column = np.unravel_index(np.argmax(prepared.pixels), prepared.pixels.shape)
    # the marker is outside the crop or duller after the area mean of a smaller patch
    assert (column, row) == pytest.approx(expected, abs=5)


@pytest.mark.parametrize("value", [0, 100, 4095])
@pytest.mark.parametrize("inverted", [False, True])
def test_a_constant_image_has_no_breast(value: int, inverted: bool) -> None:
    image = StoredImage(np.full((300, 200), value, np.uint16), 12, inverted)
    with pytest.raises(NoBreastFound, match="all 300 x 200 pixels have the same value"):
        prepare(image, CONFIG)


@pytest.mark.parametrize("shape", [(1, 2), (2, 2), (3, 5000), (5000, 3), (17, 13)])
def test_odd_sizes_are_prepared_whole(shape: tuple[int, int]) -> None:
    pixels = np.arange(shape[0] * shape[1], dtype=np.uint16).reshape(shape) % 4096
    prepared = prepare(StoredImage(pixels, 12, False), CONFIG)
    assert prepared.pixels.shape == (512, 256)
    assert set(prepared.features) == set(FEATURE_NAMES)
    assert all(np.isfinite(value) for value in prepared.features.values())


@pytest.mark.parametrize(
    ("window", "code"),
    [(Window(50, 10), "SATURATED"), (Window(2048, 60000), "LOW_CONTRAST"), (None, None)],
)
def test_quality(window: Window | None, code: str | None) -> None:
    prepared = prepare(StoredImage(draw_breast(), 12, False, window=window), CONFIG)
    assert set(prepared.quality) >= ({code} if code else set())
    assert bool(prepared.quality) == bool(code)


@pytest.mark.parametrize("size", [1, 2, 3, 20, 21, 1000])
def test_percentiles_of_counts_are_numpys(size: int) -> None:
    values = np.random.default_rng(size).integers(0, 50, size)
    found = _percentiles(np.bincount(values, minlength=60), (5, 50, 95))
    np.testing.assert_allclose(found, np.percentile(values, (5, 50, 95)))


def test_a_few_bright_samples_are_no_region() -> None:
    pixels = np.zeros((600, 400), np.uint16)
    pixels[100:103, 50:53] = 4000
    assert "WHOLE_IMAGE" in prepare(StoredImage(pixels, 12, False), CONFIG).quality


def test_the_same_bits_every_time_and_not_in_place() -> None:
    pixels = draw_breast()
    before = pixels.copy()
    image = StoredImage(pixels, 12, False)
    first, second = prepare(image, CONFIG), prepare(image, CONFIG)
    np.testing.assert_array_equal(first.pixels, second.pixels)
    assert first.features == second.features
    np.testing.assert_array_equal(pixels, before)


def test_threads_do_not_change_the_bits() -> None:
    image, threads = StoredImage(draw_breast(1600, 1200), 12, False), cv2.getNumThreads()
    try:
        results = []
        for count in (1, 4):
            cv2.setNumThreads(count)
            results.append(prepare(image, CONFIG).pixels)
    finally:
        cv2.setNumThreads(threads)
    np.testing.assert_array_equal(*results)


def test_tensors_of_a_batch_have_the_bits_of_single_ones() -> None:
    batch = np.random.default_rng(0).integers(0, 65536, (5, 512, 256), dtype=np.uint16)
    batch[0, 0, :2] = 0, 65535
    tensor = to_tensor(batch, CONFIG)
    assert (tensor.shape, tensor.dtype) == ((5, 1, 512, 256), np.float32)
    assert tensor.flags.c_contiguous
    assert (tensor.min(), tensor.max()) == (0.0, 1.0)
    for single, image in zip(tensor, batch, strict=True):
        np.testing.assert_array_equal(single, to_tensor(image, CONFIG))


@pytest.mark.parametrize(
    "pixels",
    [np.zeros((512, 255), np.uint16), np.zeros((512, 256), np.uint8)],
    ids=["size", "dtype"],
)
def test_other_arrays_are_no_prepared_pixels(pixels: np.ndarray) -> None:
    with pytest.raises(ValueError, match=r"not uint16 \(..., 512, 256\)"):
        to_tensor(pixels, CONFIG)


def test_config_there_and_back() -> None:
    config = PreprocessConfig(height=1024, width=512)
    assert PreprocessConfig.from_dict(config.to_dict()) == config


def test_a_release_of_before_half_resolution_loads() -> None:
    values = PreprocessConfig(height=1024, width=512).to_dict()
    assert PreprocessConfig.from_dict(values | {"jpeg2000_reduce": 1}).jpeg2000_reduce == 1
    del values["jpeg2000_reduce"]
    assert PreprocessConfig.from_dict(values).jpeg2000_reduce == 0


@pytest.mark.parametrize(
    ("values", "text"),
    [
        ({"heigth": 512}, "unknown preprocess keys ['heigth']; allowed are"),
        ({"height": 0}, "sizes are at least 16"),
        ({"margin": 1.0}, "margin is in [0, 1)"),
        ({"percentile_low": 99.9}, "percentiles are ordered"),
        ({"jpeg2000_reduce": 2}, "jpeg2000_reduce is 0 or 1"),
    ],
)
def test_bad_configs_are_errors(values: dict[str, Any], text: str) -> None:
    with pytest.raises(ValueError) as caught:
        PreprocessConfig.from_dict(values)
    assert text in str(caught.value)


@pytest.mark.parametrize(
    ("make", "text"),
    [
        (lambda: Window(5, 0), "LINEAR window has center 5, width 0"),
        (lambda: Window(5, 9, "CUBIC"), "'CUBIC', not"),
        (lambda: StoredImage(np.zeros((2, 2, 2), np.uint8), 8, False), "uint8 (2, 2, 2), not 2-D"),
        (lambda: StoredImage(np.zeros((2, 2), np.uint8), 12, False), "bits stored 12"),
        (
            lambda: StoredImage(
                np.zeros((2, 2), np.uint8), 8, False, reduction=1, full_shape=(5, 4)
            ),
            "pixels (2, 2) are not those of (5, 4) at 1/2",
        ),
        (lambda: VoiLut(0, np.zeros(0, np.uint16), 12), "VOI LUT has shape (0,)"),
    ],
)
def test_bad_images_are_errors(make: Any, text: str) -> None:
    with pytest.raises(ValueError) as caught:
        make()
    assert text in str(caught.value)


def halve(pixels: np.ndarray, **more: Any) -> StoredImage:
    """Return the film as the reader gives it at half resolution."""
    stream = imagecodecs.jpeg2k_encode(
        pixels, level=0, codecformat="j2k", reversible=True, bitspersample=12
    )
    frame = read_codestream(stream, "jpeg2k")
    assert frame is not None
    return StoredImage(
        decode_reduced(frame, 1), 12, False, reduction=1, full_shape=pixels.shape, **more
    )


@pytest.mark.parametrize("right", [False, True])
@pytest.mark.parametrize("shape", [(1600, 1200), (1601, 1199), (1234, 803)])
def test_geometry_of_half_resolution_is_of_the_original(
    shape: tuple[int, int], right: bool
) -> None:
    pixels = draw_breast(*shape, right=right)
    y, x = shape[0] // 2 + 37, shape[1] // 3
    x = shape[1] - 1 - x if right else x
    pixels[y - 8 : y + 8, x - 8 : x + 8] = 4095
    config = PreprocessConfig(height=1024, width=512)
    window = Window(3000, 4, "LINEAR_EXACT")  # the mark alone is white
    for image in (StoredImage(pixels, 12, False, window=window), halve(pixels, window=window)):
        prepared = prepare(image, config)
        rows, columns = np.nonzero(prepared.pixels > 60000)
        middle = prepared.geometry.to_original(columns.mean() + 0.5, rows.mean() + 0.5)
        assert (prepared.geometry.rows, prepared.geometry.columns) == shape
        assert middle == pytest.approx((x, y), abs=2)


def test_codes_of_the_decoding_reach_the_prepared_image() -> None:
    image = StoredImage(draw_breast(), 12, False, quality=("LOSSY_COMPRESSED",))
    assert "LOSSY_COMPRESSED" in prepare(image, CONFIG).quality


def test_half_resolution_of_a_real_film_is_close_to_the_full_one() -> None:
    path = SHARED / "dicom" / "rsna_200779059_jpeg2000.dcm"
    if not path.exists():
        pytest.skip(f"the shared data is not at {path}")
    config = PreprocessConfig(height=1024, width=512)
    full, half = (
        prepare(read_mammogram(path, key=b"test", site="test", reduce=reduce)[1], config)
        for reduce in (0, 1)
    )
    aligned = lay_over(half, full.geometry)
    inside = cv2.erode((full.pixels > 0).astype(np.uint8), np.ones((15, 15))) > 0
    difference = np.abs(aligned - full.pixels)[inside] / 65535
    assert difference.mean() < 0.012
    assert np.percentile(difference, 99) < 0.05
    window = cv2.createHanningWindow((512, 1024), cv2.CV_32F)
    shift, _ = cv2.phaseCorrelate(full.pixels.astype(np.float32), aligned, window)
    assert np.hypot(*shift) / full.geometry.scale < 2


def lay_over(prepared: Prepared, geometry: Geometry) -> np.ndarray:
    """Return prepared pixels as ``geometry`` would have placed them, float32."""
    scale = prepared.geometry.scale / geometry.scale
    x, y = prepared.geometry.to_prepared(*geometry.to_original(0.5, 0.5))
    matrix = np.array([[scale, 0, x - 0.5], [0, scale, y - 0.5]])
    flags = cv2.INTER_LINEAR | cv2.WARP_INVERSE_MAP
    size = prepared.pixels.shape[::-1]
    return cv2.warpAffine(prepared.pixels.astype(np.float32), matrix, size, flags=flags)


def list_findings() -> Iterator[tuple[str, float, float]]:
    """Yield image, x and y of every located finding of mini-MIAS."""
    labels = SHARED / "mini-mias" / "labels.csv"
    if not labels.exists():
        pytest.skip(f"mini-MIAS is not at {labels.parent}")
    with labels.open() as file:
        for row in csv.DictReader(file):
            if row["x"] and row["y_from_bottom"]:
                yield row["image"], float(row["x"]), 1024 - float(row["y_from_bottom"])


def test_every_finding_of_mini_mias_is_inside_the_crop() -> None:
    outside, seen = [], 0
    for name, x, y in list_findings():
        pixels = cv2.imread(str(SHARED / "mini-mias" / "images" / f"{name}.png"), -1)
        geometry = prepare(StoredImage(pixels, 8, False), CONFIG).geometry
        seen += 1
        if not (geometry.x0 <= x < geometry.x1 and geometry.y0 <= y < geometry.y1):
            outside.append(name)
        assert geometry.x1 - geometry.x0 < 960, f"{name}: nothing was cropped"
    assert (outside, seen > 50) == ([], True)
