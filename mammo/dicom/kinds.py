"""What kind of object a file is: a mammogram, or which other.

Of two-dimensional mammograms for presentation everything else is told apart,
because it looks much like one: volumes and slices of tomosynthesis, the raw
image of the detector, specimens. An image synthesised from tomosynthesis is
one view of one breast, and is kept with the quality code SYNTHETIC_2D.

Vendors mark tomosynthesis in their own ways; an Image Type (0008,0008) of
synthetic images often says TOMOSYNTHESIS too, so the synthetic ones are
recognised first:

1. standard: the SOP classes of Breast Tomosynthesis and Breast Projection
   X-Ray, and every object with several frames (GE, Siemens, Planmed; also under
   private SOP classes with Modality MG);
2. Hologic's SCO: Secondary Capture whose real pixels lie in private group 7E01
   (creator ``HOLOGIC, Inc.``);
3. slices as single files: Image Type has TOMO or TOMOSYNTHESIS or, in value 3,
   VOLUME (Siemens, IMS Giotto), or the file is one part of a concatenation with
   volumetric properties (Fujifilm);
4. Secondary Capture described as tomosynthesis.
"""

from __future__ import annotations

import re
from dataclasses import dataclass

from mammo.dicom.tags import Tags
from mammo.dicom.terms import BODY_PARTS, INTENTS, MODALITIES, name_term, name_uid
from mammo.dicom.view_codes import is_specimen
from mammo.errors import ForProcessing, NotMammography, Tomosynthesis

_STORAGE = "1.2.840.10008.5.1.4.1.1."
MAMMOGRAPHY_CLASSES = frozenset((_STORAGE + "1.2", _STORAGE + "1.2.1"))
TOMOSYNTHESIS_CLASSES = frozenset(_STORAGE + end for end in ("13.1.3", "13.1.4", "13.1.5"))
PROCESSING_CLASSES = frozenset(_STORAGE + end for end in ("1.1.1", "1.2.1"))
CAPTURE_CLASSES = frozenset(_STORAGE + end for end in ("7", "7.2", "7.3"))
PROJECTION_CLASSES = (
    MAMMOGRAPHY_CLASSES | CAPTURE_CLASSES | {_STORAGE + end for end in ("1", "1.1", "1.1.1")}
)
"""CR, DX and Secondary Capture, in which mammograms are found too."""
STANDARD_ROOT = "1.2.840.10008."
BREAST_MODALITIES = frozenset(("CR", "DX", "RG"))
"""Modalities under which a mammogram is one only if the body part is BREAST."""
MOST_FRAMES = 2**31 - 1

SYNTHETIC_TYPES = frozenset(
    (
        *("GENERATED_2D", "TOMO_2D", "TOMO_PROJ", "SYNTHETIC", "SYNTHETIC_2D", "SYNTHESIZED_2D"),
        *("C-VIEW", "CVIEW", "C_VIEW", "S-VIEW", "S_VIEW", "G-VIEW", "V_PREVIEW", "V-PREVIEW"),
        *("INSIGHT2D", "INSIGHT_2D", "INTELLIGENT_2D"),
    )
)
"""Values of Image Type. GENERATED_2D is a defined term (PS3.3 C.8.21.3.1); TOMO_2D and
TOMO_PROJ are Fujifilm's, the others vendors' names of their products."""
SYNTHETIC_TEXT = re.compile(
    r"(?<![A-Z])[CSG][_-]?VIEW(?![A-Z])|V[ _-]?PREVIEW|INSIGHT[ _-]?2D|INTELLIGENT[ _-]?2D"
    r"|SYNTHETI[CZ]|SYNTHESI[SZ]ED|GENERATED[ _]2D"
)
"""Vendors' names in free text. A letter and a blank before VIEW is no name: "Special C view"."""
SYNTHESISING_MODELS = frozenset(("FDR-3000AWS",))
"""Models whose derived primary images are synthetic though nothing else says so."""
SLICE_TYPES = frozenset(("TOMO", "TOMOSYNTHESIS"))
CONTRAST_TYPES = frozenset(("POST_CONTRAST", "SUBTRACTION", "RECOMBINED"))
RAW_TYPES = frozenset(("RAW", "FOR_PROCESSING"))
"""Values of Image Type that say For Processing where Presentation Intent Type is absent."""


@dataclass(frozen=True, slots=True)
class Kind:
    """The facts that tell a mammogram from other objects; absent ones are empty.

    ``synthetic``, ``slices`` (tomosynthesis in vendors' forms), ``raw`` (For
    Processing without the intent) and ``specimen`` are found by this module.
    """

    modality: str
    sop_class: str
    intent: str
    body_part: str
    image_type: tuple[str, ...]
    frames: int
    synthetic: bool
    slices: bool
    raw: bool
    specimen: bool

    @property
    def quality(self) -> tuple[str, ...]:
        """Codes of what is read nevertheless."""
        codes = {
            "SYNTHETIC_2D": self.synthetic,
            "CONTRAST_ENHANCED": not CONTRAST_TYPES.isdisjoint(self.image_type),
        }
        return tuple(code for code, holds in codes.items() if holds)


def read_kind(tags: Tags, media_class: str) -> Kind:
    """Read the facts; ``media_class`` is Media Storage SOP Class UID (0002,0002)."""
    frames = tags.number("NumberOfFrames")
    sop_class = tags.text("SOPClassUID") or media_class
    image_type = tuple(value.upper() for value in tags.texts("ImageType"))
    synthetic = _is_synthetic(tags, image_type)
    intent = tags.code("PresentationIntentType")
    return Kind(
        modality=tags.code("Modality"),
        sop_class=sop_class,
        intent=intent,
        body_part=tags.code("BodyPartExamined"),
        image_type=image_type,
        frames=1 if frames is None else int(min(frames, MOST_FRAMES)),
        synthetic=synthetic,
        slices=not synthetic and _is_slice(tags, sop_class, image_type),
        raw=not intent and not RAW_TYPES.isdisjoint(image_type),
        specimen=is_specimen(tags),
    )


def check_kind(kind: Kind) -> None:
    """Refuse objects that are no 2-D mammogram for presentation.

    Raises
    ------
    NotMammography, Tomosynthesis, ForProcessing
    """
    if kind.specimen:
        raise NotMammography(
            "the image is of a tissue specimen (View Code Sequence (0054,0220), View Position "
            "(0018,5101) or Specimen Description Sequence (0040,0560)), not of a breast"
        )
    if not _is_mammography(kind):
        raise NotMammography(
            f"Modality (0008,0060) is {name_term(kind.modality, MODALITIES)}, SOP Class "
            f"(0008,0016) is {name_uid(kind.sop_class)}, Body Part Examined (0018,0015) is "
            f"{name_term(kind.body_part, BODY_PARTS)}; allowed is mammography (MG)"
        )
    if _is_tomosynthesis(kind):
        marked = ", marked as tomosynthesis by its vendor" if kind.slices else ""
        raise Tomosynthesis(
            f"SOP Class (0008,0016) is {name_uid(kind.sop_class)} with {kind.frames} frames"
            f"{marked}; only 2-D mammograms with one frame are read"
        )
    if kind.intent == "FOR PROCESSING" or kind.sop_class in PROCESSING_CLASSES or kind.raw:
        raise ForProcessing(
            f"Presentation Intent Type (0008,0068) is {name_term(kind.intent, INTENTS)}, SOP Class "
            f"is {name_uid(kind.sop_class)}{', Image Type (0008,0008) is RAW' * kind.raw}; "
            "allowed is FOR PRESENTATION"
        )


def _is_mammography(kind: Kind) -> bool:
    """True by SOP Class, else by Modality MG, else by nothing that speaks against it."""
    if kind.sop_class in MAMMOGRAPHY_CLASSES | TOMOSYNTHESIS_CLASSES:
        return True
    known = not kind.sop_class or kind.sop_class in PROJECTION_CLASSES
    if kind.modality == "MG":
        # a vendor's own class is known by what it holds: several frames of a breast
        private = not kind.sop_class.startswith(STANDARD_ROOT)
        return known or (private and (kind.frames > 1 or kind.slices))
    if kind.modality in BREAST_MODALITIES:
        return known and kind.body_part == "BREAST"
    return known and not kind.modality and kind.body_part in ("", "BREAST")


def _is_tomosynthesis(kind: Kind) -> bool:
    """True for volumes, slices and projections; a single synthetic frame is none of them."""
    if kind.frames > 1 or kind.slices:
        return True
    return kind.sop_class in TOMOSYNTHESIS_CLASSES and not kind.synthetic


def _is_synthetic(tags: Tags, image_type: tuple[str, ...]) -> bool:
    """True for a 2-D image computed from tomosynthesis, by Image Type, texts or model."""
    if not SYNTHETIC_TYPES.isdisjoint(image_type):
        return True
    if image_type[:1] == ("ORIGINAL",):
        return False
    for keyword in ("SeriesDescription", "AcquisitionDeviceProcessingDescription"):
        if SYNTHETIC_TEXT.search(tags.code(keyword)):
            return True
    return (
        tags.code("ManufacturerModelName") in SYNTHESISING_MODELS
        and image_type[:2] == ("DERIVED", "PRIMARY")
        and CONTRAST_TYPES.isdisjoint(image_type)
    )


def _is_slice(tags: Tags, sop_class: str, image_type: tuple[str, ...]) -> bool:
    """True for vendors' forms of tomosynthesis, points 2 to 4 of the module's list."""
    if not SLICE_TYPES.isdisjoint(image_type) or image_type[2:3] == ("VOLUME",):
        return True
    if sop_class in CAPTURE_CLASSES:
        hologic = any(name.startswith("HOLOGIC") for name in tags.private_creators(0x7E01))
        return hologic or "TOMO" in tags.code("SeriesDescription")
    parts = tags.word("InConcatenationTotalNumber") or 0
    return parts > 1 and tags.code("VolumetricProperties") == "VOLUME"
