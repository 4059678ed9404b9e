"""What the service tells of an exam's images, for viewers; see `mammo.contract`."""

from __future__ import annotations

from datetime import date
from typing import Literal

from pydantic import BaseModel, Field

from mammo import INTENDED_USE
from mammo.contract import FindingAnswer


class WindowAnswer(BaseModel):
    """A window of modality values (PS3.3 C.11.2.1.2 and C.11.2.1.3)."""

    center: float
    width: float
    function: Literal["LINEAR", "LINEAR_EXACT", "SIGMOID"]
    explanation: str = Field(
        description="the vendor's name where it is a known term; COMPUTED where the file has no "
        "window and this one is from the breast's own values"
    )


class LutAnswer(BaseModel):
    """A VOI LUT (PS3.3 C.11.2.1.1); it goes before the windows.

    ``values`` is where the table is, little-endian uint16. The modality value ``first`` and
    all below it map to the first entry; white is ``2**bits - 1``.
    """

    first: int
    bits: int
    entries: int
    explanation: str
    values: str


class ImageAnswer(BaseModel):
    """One image. A modality value is ``pixel * slope + intercept``."""

    image_id: str
    laterality: str
    view: str
    rows: int
    columns: int
    bits_stored: int
    minimum: int = Field(description="least pixel as sent, outside of the padding")
    maximum: int
    slope: float = Field(description="1 for nearly every mammogram: then pixels are the values")
    intercept: float = Field(description="negative where signed values were raised to be sent")
    spacing_mm: tuple[float, float] | None = Field(
        description="from row to row, from column to column"
    )
    spacing_kind: Literal["imager", "calibrated"] | None = Field(
        description="calibrated: of the body's plane; imager: of the detector's, where lengths "
        "are some percent above the body's"
    )
    windows: list[WindowAnswer]
    voi_lut: bool
    lut: LutAnswer | None = None
    monochrome1: bool = Field(description="white is low: inverted once, after the window")
    padding: int | None = Field(description="pixel that shows no tissue, the first of the range")
    padding_range: tuple[int, int] | None = Field(description="both ends belong to it")
    quality: list[str]
    probability: float | None
    findings: list[FindingAnswer]
    pixels: str = Field(description="rows x columns of little-endian uint16")
    heat: str | None = Field(description="PNG with opacity, to be laid over the whole image")
    heat_size: tuple[int, int] | None = Field(description="rows and columns of that PNG")


class PriorAnswer(BaseModel):
    """The same patient's exam before this one whose images are still kept."""

    exam: str
    acquired_on: date | None


class ImagesAnswer(BaseModel):
    """The images of an exam's latest scoring, or of the request asked for."""

    exam: str
    request: str
    release: str
    images: list[ImageAnswer]
    missing: list[str] = Field(default=[], description="images that were scored and not kept")
    prior: PriorAnswer | None
    intended_use: str = INTENDED_USE
