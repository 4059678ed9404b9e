"""A pipeline's fault to plant: phantoms whose header says black where it should say white."""

from __future__ import annotations

from pathlib import Path

import pydicom

OTHER = {"MONOCHROME1": "MONOCHROME2", "MONOCHROME2": "MONOCHROME1"}


def invert_phantoms(directory: Path) -> int:
    """Swap Photometric Interpretation (0028,0004) of every file; return how many were swapped.

    The pixels stay, so that each image is read as its negative: what a sender does
    that copies pixels and loses the header. Presentation LUT Shape (2050,0020) goes along.
    """
    paths = sorted(directory.rglob("*.dcm"))
    for path in paths:
        dataset = pydicom.dcmread(path)
        dataset.PhotometricInterpretation = OTHER[dataset.PhotometricInterpretation]
        swapped = dataset.PhotometricInterpretation == "MONOCHROME1"
        dataset.PresentationLUTShape = "INVERSE" if swapped else "IDENTITY"
        dataset.save_as(path)
    return len(paths)
