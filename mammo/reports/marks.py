"""Grayscale Softcopy Presentation State (PS3.3 A.33.1): the marks, for viewers without CAD SR.

One object for the images of the exam: each with its score and decision as text, and a box
around each region. It shows an image as its own header does: modality LUT, the first window
or VOI LUT, and polarity are copied, since a presentation state that leaves them out shows
the stored values as they are (PS3.4 N.2). highdicom's own class takes images of one size only.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import TYPE_CHECKING, Any

from pydicom.dataset import Dataset

from mammo.dicom.image import WINDOW_FUNCTIONS
from mammo.errors import ResultUnknown
from mammo.reports.document import group_by_series, new_document, to_bytes
from mammo.reports.identities import as_images, in_first_study, told_as_unknown
from mammo.reports.kinds import ReportKind
from mammo.reports.mark_drawing import LAYER, draw_marks
from mammo.reports.material import ReportMaterial

if TYPE_CHECKING:
    from highdicom.pr import GraphicLayer

DESCRIPTION = "Decision support: marks"
LABEL = "MAMMO MARKS"
GRAYSCALE = ("MONOCHROME1", "MONOCHROME2")
RESCALE = ("RescaleIntercept", "RescaleSlope", "RescaleType")
WINDOW = ("WindowCenter", "WindowWidth", "WindowCenterWidthExplanation", "VOILUTFunction")


def write_marks(material: ReportMaterial) -> bytes:
    """Return the presentation state as the bytes of a DICOM file.

    It is of all grayscale images of the first one's study; of an exam that was not scored it
    says so on each.

    Raises
    ------
    ResultUnknown
        The identity of an original is malformed or was kept by a version before this one; or
        the scored images differ in polarity or modality LUT, which one object cannot show.
    """
    with told_as_unknown():
        images = as_images(material.images)
        shown = _shown(material, images)
        document = new_document(ReportKind.MARKS, material, shown[0][1], "PR", DESCRIPTION)
        _identify(document, material)
        _refer(document, [image for _, image in shown])
        document.GraphicAnnotationSequence = list(draw_marks(material, shown))
        document.GraphicLayerSequence = [_layer()]
        return to_bytes(document, material)


def _shown(material: ReportMaterial, images: Sequence[Dataset]) -> list[tuple[int, Dataset]]:
    """Return the images to be marked with their places: what looks like the first one."""
    in_study = {id(one) for one in in_first_study(images)}
    fit = [
        (place, one)
        for place, one in enumerate(images)
        if id(one) in in_study and _is_grayscale(one)
    ]
    alike = [(place, one) for place, one in fit if _look(one) == _look(fit[0][1])]
    if not alike or not {place for place, _ in fit} & set(material.scored) <= {
        place for place, _ in alike
    }:
        raise ResultUnknown(
            "The images of this exam cannot share one presentation state: how they are shown was "
            "not kept, or they differ in polarity or modality LUT. The CAD report has the marks."
        )
    return alike


def _is_grayscale(image: Dataset) -> bool:
    single = int(image.get("NumberOfFrames") or 1) == 1
    return single and image.get("PhotometricInterpretation") in GRAYSCALE and "Rows" in image


def _look(image: Dataset) -> tuple[Any, ...]:
    """Return what a presentation state can say only once, for all of its images."""
    lut = image.get("ModalityLUTSequence")
    told = None if lut is None else lut[0].to_json()
    return (*(image.get(name) for name in RESCALE), told, _is_inverted(image))


def _is_inverted(image: Dataset) -> bool:
    inverse = image.get("PresentationLUTShape") == "INVERSE"
    return bool(image.PhotometricInterpretation == "MONOCHROME1" or inverse)


def _identify(document: Dataset, material: ReportMaterial) -> None:
    """Fill Laterality (PS3.3 C.7.3.1), and Presentation State Identification (C.11.10)."""
    sides = {view["laterality"] for view in material.views} or {""}
    document.Laterality = sides.pop() if len(sides) == 1 else ""  # no value is for both
    document.ContentLabel = LABEL
    document.ContentDescription = "Where the score comes from; no diagnosis"
    document.ContentCreatorName = ""
    document.PresentationCreationDate = document.PresentationCreationTime = ""


def _refer(document: Dataset, images: Sequence[Dataset]) -> None:
    """Say which images are shown, which area of each, and how (PS3.3 C.11.11, C.10.4, C.11.8)."""
    series = []
    for (_, uid), references in group_by_series(images).items():
        item = Dataset()
        item.SeriesInstanceUID = uid
        item.ReferencedImageSequence = references
        series.append(item)
    document.ReferencedSeriesSequence = series
    document.DisplayedAreaSelectionSequence = [_area(one) for one in images]
    first = images[0]
    if first.get("RescaleSlope") and first.get("RescaleIntercept") is not None:
        document.RescaleSlope, document.RescaleIntercept = (
            first.RescaleSlope,
            first.RescaleIntercept,
        )
        document.RescaleType = first.get("RescaleType") or "US"  # unspecified (PS3.3 C.11.1.1.2)
    elif first.get("ModalityLUTSequence"):
        document.ModalityLUTSequence = first.ModalityLUTSequence
    if windows := list(_windows(images)):
        document.SoftcopyVOILUTSequence = windows
    document.PresentationLUTShape = "INVERSE" if _is_inverted(first) else "IDENTITY"


def _area(image: Dataset) -> Dataset:
    item = Dataset()
    item.ReferencedImageSequence = [_reference(image)]
    item.DisplayedAreaTopLeftHandCorner = [1, 1]
    item.DisplayedAreaBottomRightHandCorner = [image.Columns, image.Rows]
    item.PresentationSizeMode = "SCALE TO FIT"
    item.PresentationPixelAspectRatio = [1, 1]
    return item


def _windows(images: Sequence[Dataset]) -> Iterator[Dataset]:
    """Yield the first VOI LUT of each image, else its windows; nothing where it has neither."""
    for image in images:
        item = Dataset()
        item.ReferencedImageSequence = [_reference(image)]
        if image.get("VOILUTSequence"):
            item.VOILUTSequence = [image.VOILUTSequence[0]]
        elif _has_windows(image):
            for name in WINDOW:
                if _fits(image, name):
                    item[name] = image[name]
        else:
            continue
        yield item


def _has_windows(image: Dataset) -> bool:
    """Return whether there are as many centres as widths, one at least."""
    return bool(image.get("WindowCenter")) and _fits(image, "WindowWidth")


def _fits(image: Dataset, name: str) -> bool:
    """Return whether an element of a window is there, and belongs to its centres."""
    if name == "VOILUTFunction":
        return image.get(name) in WINDOW_FUNCTIONS
    return name in image and image[name].VM == image["WindowCenter"].VM


def _reference(image: Dataset) -> Dataset:
    item = Dataset()
    item.ReferencedSOPClassUID = image.SOPClassUID
    item.ReferencedSOPInstanceUID = image.SOPInstanceUID
    return item


def _layer() -> GraphicLayer:
    from highdicom.pr import GraphicLayer

    return GraphicLayer(LAYER, order=1, description="Regions and scores")
