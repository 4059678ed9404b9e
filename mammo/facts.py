"""The facts that reading found in a file, each with its element and the reason.

A fact is for people: `mammo inspect` prints it and draws it. Values from the
file are quoted only where they are defined terms or numbers; free text may name
a patient.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

from pydicom.datadict import dictionary_description, tag_for_keyword
from pydicom.tag import Tag

from mammo.dicom.file import DicomFile
from mammo.dicom.header import CODECS, MAMMOGRAPHY_CLASSES, PROJECTION_CLASSES, Header
from mammo.dicom.image import StoredImage, Window
from mammo.dicom.read import ReadFile
from mammo.dicom.tags import Tags
from mammo.dicom.terms import INTENTS, MODALITIES, name_term, name_uid
from mammo.exam import Laterality
from mammo.preprocess import Prepared, PreprocessConfig
from mammo.quality import explain

GROUPS = ("object", "view", "pixels", "display", "prepared", "quality")
"""Groups of facts, in the order in which they are told."""
SIDES = {Laterality.LEFT: "left", Laterality.RIGHT: "right", Laterality.UNKNOWN: "unknown"}


@dataclass(frozen=True, slots=True)
class Fact:
    """One thing understood: its ``source`` is an element's name and tag, or how it was found."""

    group: str
    name: str
    value: str
    source: str = ""
    why: str = ""


def name_element(keyword: str) -> str:
    """Return ``Image Laterality (0020,0062)`` for ``ImageLaterality``."""
    tag = tag_for_keyword(keyword)
    if tag is None:
        return keyword
    number = Tag(tag)
    return f"{dictionary_description(tag)} ({number.group:04X},{number.element:04X})"


def object_facts(file: DicomFile, header: Header) -> Iterator[Fact]:
    """Say what kind of object the file holds and how it is encoded."""
    stated = "SOPClassUID" in file.dataset
    source = name_element("SOPClassUID" if stated else "MediaStorageSOPClassUID")
    yield Fact("object", "kind", name_uid(header.sop_class), source, _why_mammography(header))
    yield Fact(
        "object", "modality", name_term(header.modality, MODALITIES), name_element("Modality")
    )
    why = "" if header.intent else "absent is taken as For Presentation, unless the kind says other"
    source = name_element("PresentationIntentType")
    yield Fact("object", "intent", name_term(header.intent, INTENTS), source, why)
    yield from _encoding_facts(header)


def _why_mammography(header: Header) -> str:
    """Say what makes it a mammogram; empty where that is for :func:`check_kind` to say."""
    if header.sop_class in MAMMOGRAPHY_CLASSES:
        return "a class of mammography"
    if header.sop_class not in PROJECTION_CLASSES:
        return ""
    if header.modality == "MG":
        return "a class of projection images, and the modality is MG"
    return "" if header.modality else "a class of projection images, and no modality speaks against"


def _encoding_facts(header: Header) -> Iterator[Fact]:
    layout = header.layout
    yield Fact(
        "pixels",
        "size",
        f"{layout.rows} rows x {layout.columns} columns",
        "Rows, Columns (0028,0010-0011)",
    )
    sign = "signed" if layout.signed else "unsigned"
    yield Fact(
        "pixels",
        "values",
        f"{layout.bits_stored} bits in {layout.bits_allocated}, {sign}",
        "Bits Allocated, Bits Stored, High Bit, Pixel Representation (0028,0100-0103)",
    )
    codec = CODECS.get(header.syntax)
    why = f"decoded by the codec {codec}" if codec else "no codec for it here"
    yield Fact(
        "pixels",
        "transfer syntax",
        name_uid(header.syntax),
        name_element("TransferSyntaxUID"),
        why,
    )


def view_facts(read: ReadFile) -> Iterator[Fact]:
    """Say which breast and projection it is, and where that was found."""
    found, quality = read.found, read.mammogram.quality
    yield Fact(
        "view",
        "side",
        SIDES[found.view.laterality],
        _name_source(found.laterality_from),
        "another element says otherwise" if "LATERALITY_CONFLICT" in quality else "",
    )
    position = found.view.position
    unknown = position.value == "U"
    yield Fact(
        "view",
        "projection",
        "unknown" if unknown else position.value,
        name_element(found.position_from) if found.position_from else "found nowhere",
        "another element says otherwise" if "VIEW_CONFLICT" in quality else "",
    )
    if found.modifiers:
        modifiers = ", ".join(found.modifiers)
        yield Fact("view", "modified by", modifiers, "the codes or the text of the view")
    if letters := orientation(read):
        source = name_element("PatientOrientation")
        yield Fact("view", "rows and columns run to", " and ".join(letters), source)


def _name_source(keyword: str) -> str:
    return "the table beside the files" if keyword == "told" else name_element(keyword)


def orientation(read: ReadFile) -> tuple[str, str] | tuple[()]:
    """Return where a row and a column run to (PS3.3 C.7.6.1.1.1); empty where not stated."""
    values = tags_of(read).texts("PatientOrientation")
    if len(values) != 2 or not all(v and len(v) <= 3 and set(v) <= set("APLRHF") for v in values):
        return ()
    return values[0], values[1]


def tags_of(read: ReadFile) -> Tags:
    """Return the elements of a read file."""
    return Tags(read.file.dataset, read.file.little_endian)


def spacing_fact(read: ReadFile) -> Fact:
    """Say how far the pixels are apart, and whether on the body or the detector."""
    spacing = read.spacing
    if spacing.mm is None:
        return Fact("pixels", "spacing", "unknown", "stated nowhere, or not believed")
    source, factor = name_element(spacing.source), spacing.magnification
    if "SPACING_DETECTOR" in spacing.quality:
        why = "the breast lies above the detector, so in the body it is a little less"
        return Fact("pixels", "spacing", f"{spacing.mm:.4g} mm on the detector", source, why)
    magnified = factor and spacing.source == "ImagerPixelSpacing"
    why = f"divided by the magnification factor {factor:.4g}" if magnified else ""
    return Fact("pixels", "spacing", f"{spacing.mm:.4g} mm in the body", source, why)


def exposure_facts(read: ReadFile) -> Iterator[Fact]:
    """Say how the breast was pressed and exposed, where the header tells."""
    told = read.mammogram.exposure
    stated = Tags(read.file.dataset, read.file.little_endian).number("Exposure")
    for keyword, name, value, unit in (
        ("BodyPartThickness", "thickness", told.thickness_mm, "mm"),
        ("CompressionForce", "compression", told.compression_n, "N"),
        ("KVP", "tube voltage", told.kvp, "kV"),
        ("Exposure" if stated else "ExposureInuAs", "exposure", told.exposure_mas, "mAs"),
    ):
        if value is not None:
            yield Fact("view", name, f"{value:.4g} {unit}", name_element(keyword))


def display_facts(read: ReadFile, image: StoredImage, config: PreprocessConfig) -> Iterator[Fact]:
    """Say how stored values become brightness, in the order in which it is done."""
    shown = read.presentation
    if image.reduction:
        value = f"1/{2**image.reduction} of the resolution"
        yield Fact("pixels", "decoded at", value, "the configuration")
    if shown.modality_lut is not None:
        yield Fact("display", "rescale", "look-up table", name_element("ModalityLUTSequence"))
    elif (image.slope, image.intercept) != (1.0, 0.0):
        value = f"stored value x {image.slope:.6g} + {image.intercept:.6g}"
        yield Fact("display", "rescale", value, "Rescale Slope, Intercept (0028,1052-1053)")
    yield _voi_fact(read, image, config)
    yield _inversion_fact(read)
    if image.padding:
        low, high = image.padding
        source = name_element("PixelPaddingValue")
        yield Fact("display", "padding", f"{low} to {high}", source, "shown black, no breast in it")


def _voi_fact(read: ReadFile, image: StoredImage, config: PreprocessConfig) -> Fact:
    """Say what maps values to brightness, and why that of all there are."""
    shown = read.presentation
    if image.voi_lut is not None:
        lut, why = image.voi_lut, "a VOI LUT goes before a window: it is the vendor's own curve"
        if (count := sum(1 for _ in tags_of(read).items("VOILUTSequence"))) > 1:
            why = f"the first of {count}{_named((shown.voi_lut_name,))}; {why}"
        if shown.windows:
            why += f" ({len(shown.windows)} valid windows left aside)"
        value = f"VOI LUT of {lut.values.size} entries from {lut.first}, {lut.bits} bits"
        return Fact("display", "shown by", value, name_element("VOILUTSequence"), why)
    if image.window is not None:
        source = "Window Center, Width (0028,1050-1051)"
        value = f"window {name_window(image.window)}"
        return Fact("display", "shown by", value, source, _why_window(read))
    low, high = config.percentile_low, config.percentile_high
    value = f"window from percentile {low:g} to {high:g} of the breast"
    return Fact("display", "shown by", value, "the pixels", "no VOI LUT and no valid window")


def _why_window(read: ReadFile) -> str:
    shown = read.presentation
    first = "the first valid one" if "WINDOW_INVALID" in shown.quality else "the first"
    if len(shown.windows) < 2:
        return "the only valid one"
    count = len(shown.windows)
    return f"{first} of {count}{_named(shown.window_names)}: the device shows it first"


def _named(names: tuple[str, ...]) -> str:
    return f" ({', '.join(names)})" if names and all(names) else ""


def _inversion_fact(read: ReadFile) -> Fact:
    photometric = read.header.layout.photometric  # one of two, or it would have been refused
    source = name_element("PhotometricInterpretation")
    if photometric == "MONOCHROME1":
        return Fact("display", "inverted", "yes, once, after the window", source, photometric)
    if read.presentation.inverted:
        element = name_element("PresentationLUTShape")
        return Fact("display", "inverted", "yes, once, after the window", element, "INVERSE")
    return Fact("display", "inverted", "no", source, photometric)


def prepared_facts(prepared: Prepared, config: PreprocessConfig) -> Iterator[Fact]:
    """Say what the model gets."""
    place = prepared.geometry
    share = (place.x1 - place.x0) * (place.y1 - place.y0) / (place.rows * place.columns)
    why = (
        "nothing stood out: the whole image"
        if "WHOLE_IMAGE" in prepared.quality
        else (f"the breast's box and {config.margin:.0%} more, {share:.0%} of the image")
    )
    value = f"columns {place.x0} to {place.x1}, rows {place.y0} to {place.y1}"
    yield Fact("prepared", "crop", value, "the pixels (Otsu on a subsample)", why)
    value = f"{config.height} x {config.width}, {place.scale:.4g} of the original's scale"
    free = config.width - max(1, round((place.x1 - place.x0) * place.scale))
    away = "right" if place.pad_x == 0 else "left"
    why = f"{free} empty columns added at the {away}, away from the chest wall" if free else ""
    yield Fact("prepared", "size", value, "the configuration", why)


def quality_facts(codes: tuple[str, ...]) -> Iterator[Fact]:
    """Give each quality code its sentence."""
    yield from (Fact("quality", code, explain(code)) for code in codes)


def name_window(window: Window) -> str:
    """Return center, width and function in words."""
    return f"center {window.center:g}, width {window.width:g}, {window.function}"
