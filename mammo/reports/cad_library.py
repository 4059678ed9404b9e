"""The image library of a Mammography CAD SR: each image described once (TID 4020)."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from pydicom.dataset import Dataset
from pydicom.sr.codedict import codes
from pydicom.sr.coding import Code

from mammo.reports.codes import breast_code, view_code
from mammo.reports.content import ACQUIRED, code, container, image, number, text, when
from mammo.reports.material import ReportMaterial

DCM = codes.DCM
LIBRARY = (1, 2)
"""Where it is in the tree: the second item of the root."""
PIXELS = Code("{pixels}", "UCUM", "pixels")
MILLIMETERS = Code("mm", "UCUM", "millimeter")
SPACINGS = ("PixelSpacing", "ImagerPixelSpacing")


def describe_images(material: ReportMaterial, images: Sequence[Dataset]) -> Dataset:
    """Return the library: in the order of the material's images, the refused ones last."""
    views = dict(zip(material.scored, material.views, strict=True)) if material.scored else {}
    entries = [image(one, _entry(one, views.get(place, {}))) for place, one in enumerate(images)]
    return container(DCM.ImageLibrary, entries)


def _entry(of: Dataset, view: Mapping[str, Any]) -> Iterator[Dataset]:
    """Yield what the header and the answer tell of one image, in the order of TID 4020."""
    side, position = view.get("laterality"), view_code(view.get("view", ""))
    if side and (found := breast_code(side)):
        yield code(DCM.ImageLaterality, found, ACQUIRED)
    if position:
        yield code(DCM.ImageView, position, ACQUIRED)
    oriented = of.get("PatientOrientation") or ""
    if not isinstance(oriented, str) and len(oriented) == 2 and all(oriented):  # not CBIS's "CC"
        yield text(DCM.PatientOrientationRow, str(oriented[0]), ACQUIRED)
        yield text(DCM.PatientOrientationColumn, str(oriented[1]), ACQUIRED)
    for keyword in ("StudyDate", "StudyTime", "ContentDate", "ContentTime"):
        if value := str(of.get(keyword) or ""):
            yield when(getattr(DCM, keyword), value, ACQUIRED)
    yield from _sizes(of)


def _sizes(of: Dataset) -> Iterator[Dataset]:
    told = [of[name].value for name in SPACINGS if of.get(name) and of[name].VM == 2]
    if told and all(float(one) > 0 for one in told[0]):
        between_rows, between_columns = (float(one) for one in told[0])
        yield number(DCM.HorizontalPixelSpacing, between_columns, MILLIMETERS, ACQUIRED)
        yield number(DCM.VerticalPixelSpacing, between_rows, MILLIMETERS, ACQUIRED)
    if of.get("Rows") and of.get("Columns"):
        yield number(DCM.PixelDataRows, float(of.Rows), PIXELS, ACQUIRED)
        yield number(DCM.PixelDataColumns, float(of.Columns), PIXELS, ACQUIRED)
