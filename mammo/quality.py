"""What every code says, in one sentence, and what to do about a refusal.

``Mammogram.quality``, ``Prepared.quality`` and the exam's quality hold the codes
of :data:`QUALITY_CODES`: the image was read, and this is what to know of it.
:data:`REFUSALS` has the codes of :class:`mammo.errors.ReadError`: the file was
not read. Both are stable: a code is never given another meaning.
``docs/reading_cases.md`` and `mammo inspect` take their words from here.
"""

from __future__ import annotations

QUALITY_CODES: dict[str, str] = {
    # what the image is
    "NON_STANDARD_VIEW": "The projection is not CC or MLO, or the view is of a diagnostic work-up.",
    "VIEW_UNKNOWN": "The projection was found nowhere; the image is kept, the side is known.",
    "SPOT_COMPRESSION": "A small paddle pressed a part of the breast (view modifier).",
    "MAGNIFICATION": "The breast was nearer to the tube and is enlarged; sizes are not comparable.",
    "TANGENTIAL": "The beam passed tangentially to the skin or a palpable finding.",
    "CLEAVAGE": "The inner parts of both breasts are in the image (valley view).",
    "AXILLARY_TAIL": "The image is of the breast's tail towards the armpit.",
    "ROLLED": "The breast was rolled, so that overlying tissue moved apart.",
    "AXILLARY_TISSUE": "Taken to show more of the armpit (view modifier).",
    "ANTERIOR_COMPRESSION": "Only the front of the breast was compressed (view modifier).",
    "INFRAMAMMARY_FOLD": "Taken to show the fold below the breast (view modifier).",
    "NIPPLE_IN_PROFILE": "Taken so that the nipple is in profile; the whole breast is in it.",
    "PARTIAL_VIEW": "The image shows a part of the breast; others of the exam show the rest.",
    "SYNTHETIC_2D": "The image was computed from tomosynthesis, not acquired as such.",
    "CONTRAST_ENHANCED": "Taken with contrast medium: low-energy, subtracted or recombined.",
    "IMPLANT": "The header, or a view with the implant displaced, says that there is one.",
    "IMPLANT_DISPLACED": "The implant was pushed back out of the image (Eklund view).",
    # elements that contradict each other
    "LATERALITY_CONFLICT": "Two elements name different sides; the preferred element was believed.",
    "VIEW_CONFLICT": "Two elements name different projections; the preferred one was believed.",
    "ORIENTATION_CONFLICT": "Patient Orientation contradicts the side or the projection.",
    "SIZE_CONFLICT": "The set's table gives another number of pixels than the file has.",
    # what was done to the pixels before they came here
    "POLARITY_CONFLICT": "Photometric Interpretation and Presentation LUT Shape contradict each "
    "other; the inverting one was believed.",
    "LOSSY_COMPRESSED": "The pixels were compressed with loss; small details may be lost.",
    "FIELD_OF_VIEW_FLIPPED": "The device mirrored the image already; it is not mirrored again.",
    "FIELD_OF_VIEW_ROTATED": "The device rotated the image already; it is not rotated again.",
    "BURNED_IN_ANNOTATION": "The pixels hold text, which may name a patient.",
    "PRECISION_MISMATCH": "The codestream states other bits, or another sign, than the header.",
    "BITS_ABOVE_STORED": "Bits outside Bits Stored were set, as of old overlays; they were masked.",
    "SPACING_DETECTOR": "The spacing is that of the detector: the body is magnified on it.",
    # elements that cannot be used
    "WINDOW_INVALID": "The first window is malformed; the next valid one, or none, was used.",
    "VOI_LUT_INVALID": "The VOI LUT is malformed and was left out.",
    "LUT_BITS_CORRECTED": "A look-up table states other bits than its entries have; theirs count.",
    "RESCALE_TYPE": "Rescale Type names a unit, such as HU, that no mammogram has.",
    "RESCALE_INVALID": "Rescale or the Modality LUT is malformed and was left out.",
    "CHARSET_INVALID": "Specific Character Set is unknown or does not fit the texts.",
    "UID_INVALID": "A UID has another form than PS3.5 section 9 allows; it is used as a text only.",
    "PREAMBLE_MISSING": "The file lacks the 128 bytes and the prefix DICM of PS3.10 section 7.1.",
    "IDENTITY_IN_TEXT": "A text of the device held words of the identity and was left out.",
    "FINDING_LEFT_OUT": "A region of the set has no mask or outline that fits; it was left out.",
    # what preprocessing saw
    "WHOLE_IMAGE": "No breast stood out from the background; nothing was cropped.",
    "SATURATED": "Over a quarter of the breast is at either end of the window.",
    "LOW_CONTRAST": "The breast spans less than a twentieth of the window.",
    # of the exam as a whole
    "MISSING_VIEW": "The exam lacks a CC or MLO of either breast.",
    "UNKNOWN_SCANNER": "The release has no operating point for this scanner; the default is used.",
    "FILE_REFUSED": "At least one file of the exam was refused.",
}
"""Quality code -> what it says."""

FAULT_CODES = frozenset(
    (
        *("WHOLE_IMAGE", "SATURATED", "LOW_CONTRAST"),
        *("LATERALITY_CONFLICT", "VIEW_CONFLICT", "ORIENTATION_CONFLICT", "POLARITY_CONFLICT"),
        *("WINDOW_INVALID", "VOI_LUT_INVALID", "RESCALE_INVALID", "RESCALE_TYPE"),
        *("LOSSY_COMPRESSED", "BURNED_IN_ANNOTATION", "BITS_ABOVE_STORED"),
    )
)
"""Codes of which a clinic should see few: when they grow, something went wrong on the way.

The others tell what an image is (a view, an implant, how a scanner writes).
"""

REFUSALS: dict[str, tuple[str, str]] = {
    "EMPTY_FILE": ("The file has no bytes.", "Send it again."),
    "NOT_DICOM": (
        "The bytes are no DICOM file, or its header is damaged.",
        "Export the image as DICOM from the archive; pictures, PDF and ZIP are not read.",
    ),
    "DICOM_TRUNCATED": ("The file ends before its data does.", "Send it again, whole."),
    "TOO_LARGE": (
        "The file, its pixel matrix or what it inflates to is above the limit.",
        "Check that it is a single 2-D image; a mammogram is far below the limit.",
    ),
    "NOT_MAMMOGRAPHY": (
        "Modality, SOP Class or body part say that it is no mammogram.",
        "Nothing, unless it is a mammogram: then correct Modality (0008,0060) to MG.",
    ),
    "TOMOSYNTHESIS": (
        "A stack of tomosynthesis or another object of several frames.",
        "Send the 2-D image of the same view, acquired or synthetic.",
    ),
    "FOR_PROCESSING": (
        "The raw image of the detector, For Processing.",
        "Send the For Presentation image that the device made from it.",
    ),
    "UNSUPPORTED_SYNTAX": (
        "The transfer syntax is none that is decoded here.",
        "Let the archive send it uncompressed (Explicit VR Little Endian).",
    ),
    "PIXELS_UNREADABLE": (
        "The pixel data is absent, damaged, in colour or not what the header says.",
        "Fetch the file again from the archive; if that fails too, let it send it uncompressed.",
    ),
    "NO_BREAST_FOUND": (
        "All pixels have the same value, or nothing in them could be a breast.",
        "Look at the image: it is blank, or its padding covers all of it.",
    ),
    "VIEW_UNKNOWN": (
        "The side of the breast is in none of the elements where files keep it.",
        "Set Image Laterality (0020,0062) to L or R.",
    ),
    "DUPLICATE_IMAGE": (
        "A file with the same SOP Instance UID and other bytes was read before.",
        "Keep the one that is right; the first is in the index.",
    ),
    "EXECUTABLE_PREAMBLE": (
        "The 128 bytes before DICM begin a program (CVE-2019-11687).",
        "Find out who wrote it; do not run it. A clean copy has 128 zero bytes there.",
    ),
    "NESTED_TOO_DEEP": (
        "Sequences lie deeper inside each other than any real object needs.",
        "Find out who wrote it: it looks made to crash its readers.",
    ),
    "DECODER_CRASHED": (
        "The process that read the file died; it was a separate one, nothing else was lost.",
        "Treat the file as hostile or damaged; let the archive send it uncompressed.",
    ),
    "DECODER_TIMEOUT": (
        "Reading took longer than the limit, and was ended.",
        "As for DECODER_CRASHED; on a busy machine, try once more.",
    ),
    "DECODER_MEMORY": (
        "Reading asked for more memory than the limit.",
        "As for DECODER_CRASHED.",
    ),
    "MASK_INVALID": (
        "A mask or outline of a data set does not fit its image, or cannot be read.",
        "Take it anew from the set; the image is in the index without this finding.",
    ),
    "ROW_INVALID": (
        "A row of a label table cannot be right, or its file is not the one that it describes.",
        "Correct the row, or take the table anew, and ingest again.",
    ),
    "FILE_VANISHED": (
        "The file was there when it was listed, and is gone.",
        "Nothing: the next ingest looks again.",
    ),
    "FILE_CHANGED": (
        "The bytes changed between listing and reading: it was still being written.",
        "Nothing: the next ingest takes it.",
    ),
}
"""Refusal code -> what it says, and what to do."""


def explain(code: str) -> str:
    """Return the sentence of a quality code; of an unknown one, that it is unknown."""
    return QUALITY_CODES.get(code, "This version has no sentence for this code.")


def advise(code: str) -> str:
    """Return what to do about a refusal; empty for an unknown code."""
    return REFUSALS[code][1] if code in REFUSALS else ""
