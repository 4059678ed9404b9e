"""The perceptual hash: copies are near, other breasts are not, and every machine says the same."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import cv2
import numpy as np
import pytest
from PIL import Image

from mammo.data.likeness import BITS, NEAR_BITS, distance, near_pairs, perceptual_hash
from mammo.preprocess import PreprocessConfig, StoredImage, prepare

CONFIG = PreprocessConfig(height=512, width=256)
Pixels = np.ndarray


def breast(seed: int, rows: int = 400, columns: int = 300) -> Pixels:
    """Return a 12-bit breast: an outline and a tissue of its own."""
    rng = np.random.default_rng(seed)
    y, x = np.mgrid[0:rows, 0:columns]
    tall, wide = rng.uniform(0.35, 0.48) * rows, rng.uniform(0.6, 0.9) * columns
    inside = ((y - rows / 2) / tall) ** 2 + (x / wide) ** 2 < 1
    tissue = cv2.resize(rng.normal(0, 600, (12, 9)), (columns, rows), interpolation=cv2.INTER_CUBIC)
    return np.where(inside, 1800 + tissue, 20).clip(0, 4095).astype(np.uint16)


def hash_of(pixels: Pixels, bits: int = 12) -> str:
    return perceptual_hash(
        prepare(StoredImage(pixels, bits_stored=bits, inverted=False), CONFIG).pixels
    )


def as_jpeg(pixels: Pixels) -> Pixels:
    _, coded = cv2.imencode(".jpg", (pixels >> 4).astype(np.uint8), [cv2.IMWRITE_JPEG_QUALITY, 60])
    return cv2.imdecode(coded, cv2.IMREAD_GRAYSCALE).astype(np.uint16) << 4


COPIES = {
    "re-encoded": as_jpeg,
    "half the size": lambda p: cv2.resize(p, None, fx=0.5, fy=0.5, interpolation=cv2.INTER_AREA),
    "brighter": lambda p: np.clip(p * 0.9 + 150, 0, 4095).astype(np.uint16),
    "cropped by 1 %": lambda p: p[4:-4, : -(p.shape[1] // 100)],
    "mirrored": lambda p: np.ascontiguousarray(p[:, ::-1]),
}


@pytest.mark.parametrize("change", COPIES.values(), ids=COPIES.keys())
@pytest.mark.parametrize("seed", range(4))
def test_a_changed_copy_is_near(change: object, seed: int) -> None:
    original = breast(seed)
    assert distance(hash_of(original), hash_of(change(original))) <= NEAR_BITS  # type: ignore[operator]


def test_other_breasts_are_not() -> None:
    hashes = [hash_of(breast(seed)) for seed in range(30)]
    apart = [distance(a, b) for at, a in enumerate(hashes) for b in hashes[:at]]
    assert min(apart) > 2 * NEAR_BITS


@pytest.mark.slow
def test_real_breasts_are_apart_and_their_copies_near(shared: Path) -> None:
    paths = sorted((shared / "mini-mias" / "images").glob("*.png"))[:30]
    images = [np.asarray(Image.open(path)) for path in paths]
    hashes = [hash_of(image, 8) for image in images]
    assert min(distance(a, b) for at, a in enumerate(hashes) for b in hashes[:at]) >= 55
    mirrored = [hash_of(np.ascontiguousarray(image[:, ::-1]), 8) for image in images]
    assert max(map(distance, hashes, mirrored)) <= NEAR_BITS


def test_the_bits_are_fixed() -> None:
    """The column is part of the store's bytes: another machine or version must say the same."""
    y, x = np.mgrid[0:512, 0:256]
    picture = ((x * 37 + y * 91 + (x * y) % 1009 * 40) % 60_000).astype(np.uint16)
    assert perceptual_hash(picture) == FIXED


FIXED = "aaaadf7155556eed24512aaa8555ae055555eb713dd5355515ff8b9a5551ed51"


@pytest.mark.parametrize(("height", "width"), [(512, 256), (128, 64), (33, 17), (1, 1)])
def test_any_size_and_a_flat_image_hash(height: int, width: int) -> None:
    flat = np.zeros((height, width), np.uint16)
    assert perceptual_hash(flat) == "0" * (BITS // 4)


def test_it_costs_the_readers_process_no_library() -> None:
    code = (
        "import sys, mammo.data.likeness; "
        "print([name for name in ('scipy', 'PIL', 'cv2') if name in sys.modules])"
    )
    told = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert told.stdout.strip() == "[]"


@pytest.mark.parametrize("threshold", [0, 7, NEAR_BITS, 31])
def test_every_near_pair_is_found_once(threshold: int) -> None:
    rng = np.random.default_rng(threshold)
    hashes = [rng.bytes(32).hex() for _ in range(300)]
    for row in range(100):
        changed = bytearray(bytes.fromhex(hashes[row]))
        for bit in rng.choice(BITS, rng.integers(0, 40), replace=False):
            changed[bit // 8] ^= 1 << (bit % 8)
        hashes.append(bytes(changed).hex())
    found = [
        (int(a), int(b), int(bits))
        for first, second, apart in near_pairs(hashes, threshold)
        for a, b, bits in zip(first, second, apart, strict=True)
    ]
    wanted = [
        (a, b, distance(hashes[a], hashes[b]))
        for b in range(len(hashes))
        for a in range(b)
        if distance(hashes[a], hashes[b]) <= threshold
    ]
    assert sorted(found) == sorted(wanted)


@pytest.mark.parametrize("threshold", [-1, 32])
def test_a_threshold_that_cannot_be_kept_is_refused(threshold: int) -> None:
    with pytest.raises(ValueError, match="0 to 31"):
        list(near_pairs(["0" * 64, "1" * 64], threshold))
