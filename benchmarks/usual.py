"""The usual way from DICOM to a model's array: pydicom, scikit-image, PIL.

Written as the well-known notebooks are, with the faster choice wherever they
differ: the region is found on 8 bits, without a Gaussian, and not cleaned.
"""

from __future__ import annotations

from operator import attrgetter
from pathlib import Path

import numpy as np
import pydicom
from numpy.typing import NDArray
from PIL import Image
from pydicom.dataset import Dataset
from pydicom.pixels import apply_modality_lut, apply_voi_lut, get_decoder
from skimage.filters import threshold_otsu
from skimage.measure import label, regionprops

Box = tuple[int, int, int, int]


def plugins(dataset: Dataset) -> tuple[str, ...]:
    """Return pydicom's plugins for the file's transfer syntax, its own choice first."""
    return tuple(get_decoder(dataset.file_meta.TransferSyntaxUID).available_plugins)


def decode(dataset: Dataset, plugin: str = "") -> NDArray[np.uint16]:
    """Decode with one of pydicom's plugins, by default the one it chooses."""
    decoder = get_decoder(dataset.file_meta.TransferSyntaxUID)
    return decoder.as_array(dataset, decoding_plugin=plugin)[0]


def prepare(dataset: Dataset, stored: NDArray[np.uint16], height: int, width: int) -> NDArray:
    """Return stored values as (height, width) uint8: window, invert, crop, resize, pad."""
    picture = show(dataset, stored)
    top, left, bottom, right = find_box(picture)
    return fit(picture[top:bottom, left:right], height, width)


def show(dataset: Dataset, stored: NDArray[np.uint16]) -> NDArray[np.uint8]:
    """Apply modality LUT and VOI LUT, invert MONOCHROME1, scale to 8 bits."""
    shown = apply_voi_lut(apply_modality_lut(stored, dataset), dataset)
    low, high = shown.min(), shown.max()
    if dataset.PhotometricInterpretation == "MONOCHROME1":
        shown = high + low - shown
    return ((shown - low) / (high - low) * 255).astype(np.uint8)


def find_box(picture: NDArray[np.uint8]) -> Box:
    """Return (top, left, bottom, right) of the largest region above Otsu's threshold."""
    regions = regionprops(label(picture > threshold_otsu(picture)))
    return max(regions, key=attrgetter("area")).bbox


def fit(crop: NDArray[np.uint8], height: int, width: int) -> NDArray[np.uint8]:
    """Resize with antialias, keeping the shape, and pad with black."""
    scale = min(height / crop.shape[0], width / crop.shape[1])
    size = max(1, round(crop.shape[1] * scale)), max(1, round(crop.shape[0] * scale))
    small = np.asarray(Image.fromarray(crop).resize(size, Image.Resampling.BILINEAR))
    return np.pad(small, ((0, height - small.shape[0]), (0, width - small.shape[1])))


def file_to_array(path: Path, height: int, width: int, plugin: str = "") -> NDArray[np.uint8]:
    """Read, decode and prepare a file."""
    dataset = pydicom.dcmread(path)
    return prepare(dataset, decode(dataset, plugin), height, width)
