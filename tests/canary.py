"""A canary: one made-up patient, planted in every text of a file.

Every token is unlike anything a program writes by itself, so that finding one
anywhere means that it came from the file.
"""

from __future__ import annotations

import io
from collections.abc import Iterator
from itertools import cycle

from pydicom._dicom_dict import DicomDictionary, RepeatersDictionary
from pydicom.dataelem import DataElement
from pydicom.dataset import Dataset, FileDataset
from pydicom.encaps import encapsulate, generate_frames
from pydicom.uid import UID, RLELossless

FAMILY, GIVEN, MAIDEN = "Qxvanterburg", "Zyphelinde", "Wobbrecznik"
BIRTH, PATIENT, ACCESSION = "19370523", "KZ7731905527", "AQ90417733"
PHONE, STREET, STUDY = "5550198273", "Wolkenschieberweg", "STU60358814"
UID_ROOT = "1.2.826.0.1.73310958274411"
IDEOGRAPHIC, PHONETIC = "蠻蝦龜", "ヴゥヰヱ"
TOKENS = (
    *(FAMILY, GIVEN, MAIDEN, BIRTH, PATIENT, ACCESSION, PHONE, STREET, STUDY),
    *(UID_ROOT.rpartition(".")[2], IDEOGRAPHIC, PHONETIC),
)
SHORT = (FAMILY, GIVEN, MAIDEN, PATIENT, ACCESSION, PHONE, STREET[:16], STUDY)
LONG = (f"{FAMILY} {GIVEN} {PATIENT} {ACCESSION}", f"{MAIDEN} {BIRTH} {PHONE} {STREET} {STUDY}")
EVERYTHING = " ".join((FAMILY, GIVEN, MAIDEN, BIRTH, PATIENT, ACCESSION, PHONE, STREET, STUDY))
PADDED = EVERYTHING.encode() + b" " * (-len(EVERYTHING) % 4)
NAME = f"{FAMILY}^{GIVEN}"

NEEDED = frozenset(
    (
        *("SpecificCharacterSet", "Modality", "PresentationIntentType", "ImageLaterality"),
        *("PhotometricInterpretation", "PresentationLUTShape", "VOILUTFunction", "ViewPosition"),
        *("BitsAllocated", "PixelRepresentation", "ModalityLUTType", "ImageType", "Laterality"),
        *("StudyDate", "SeriesDate", "AcquisitionDate", "ContentDate", "AcquisitionDateTime"),
        *("NumberOfFrames", "RescaleSlope", "RescaleIntercept", "WindowCenter", "WindowWidth"),
        *("PixelSpacing", "ImagerPixelSpacing", "BodyPartExamined", "LossyImageCompression"),
        *("PatientName", "PatientID", "PatientBirthDate", "AccessionNumber", "StudyID"),
        *("PatientAddress", "PatientTelephoneNumbers", "PatientBirthName"),
        *("EstimatedRadiographicMagnificationFactor", "FieldOfViewRotation", "PatientAge"),
    )
)
"""What makes the file readable, and where the tokens belong."""
READ_SEQUENCES = frozenset(
    (
        *("VOILUTSequence", "ModalityLUTSequence", "SpecimenDescriptionSequence"),
        *("PerFrameFunctionalGroupsSequence", "SharedFunctionalGroupsSequence"),
    )
)
"""Sequences that change what the file is."""


def plant(dataset: Dataset) -> None:
    """Fill every text element of the standard, public and private, flat and nested."""
    _plant_identity(dataset)
    _plant_texts(dataset)
    _plant_sequences(dataset)
    _plant_private(dataset)


def _plant_identity(dataset: Dataset) -> None:
    dataset.PatientName, dataset.PatientBirthName = NAME, MAIDEN
    dataset.PatientID, dataset.PatientBirthDate = PATIENT, BIRTH
    dataset.AccessionNumber, dataset.StudyID = ACCESSION, STUDY
    dataset.PatientTelephoneNumbers, dataset.PatientAddress = PHONE, STREET
    dataset.StudyInstanceUID = f"{UID_ROOT}.1"
    dataset.SeriesInstanceUID = f"{UID_ROOT}.2"


def _plant_texts(dataset: Dataset) -> None:
    short, long = cycle(SHORT), cycle(LONG)
    entries = [(tag, *entry[:1], entry[4]) for tag, entry in DicomDictionary.items()]
    entries += [
        (int(tag.replace("x", "0"), 16), entry[0], "") for tag, entry in RepeatersDictionary.items()
    ]
    for tag, vr, keyword in entries:
        if keyword in NEEDED or tag >> 16 < 8 or tag >> 16 >= 0x7FE0:
            continue
        if (value := _value(vr, short, long)) is not None:
            dataset.add(DataElement(tag, vr, value, validation_mode=0))


def _value(vr: str, short: Iterator[str], long: Iterator[str]) -> object:
    """Return a value with as many tokens as its representation holds (PS3.5 6.2)."""
    return {
        "PN": lambda: f"{NAME}={IDEOGRAPHIC}^{IDEOGRAPHIC}={PHONETIC}",
        **dict.fromkeys(("LO", "UC"), lambda: next(long)),
        **dict.fromkeys(("LT", "ST", "UT"), lambda: EVERYTHING),
        **dict.fromkeys(("SH", "AE", "CS"), lambda: next(short)),
        "UR": lambda: f"http://{FAMILY}/{PATIENT}?{ACCESSION}",
        "DA": lambda: BIRTH,
        "DT": lambda: f"{BIRTH}101500",
        **dict.fromkeys(("DS", "IS"), lambda: PHONE),
        "UN": lambda: EVERYTHING.encode() + b" " * (len(EVERYTHING) % 2),
        "OB": lambda: EVERYTHING.encode() + b" " * (len(EVERYTHING) % 2),
    }.get(vr, lambda: None)()  # fmt: skip


def _item(code: str = "") -> Dataset:
    item = Dataset()
    item.CodeMeaning, item.CodingSchemeVersion = LONG[0], FAMILY
    item.CodeValue, item.CodingSchemeDesignator = code or FAMILY, "SCT" if code else "99XX"
    item.PatientName, item.PatientID, item.AccessionNumber = NAME, PATIENT, ACCESSION
    item.TextValue, item.PersonName, item.Date = EVERYTHING, NAME, BIRTH
    item.ReferencedSOPInstanceUID = f"{UID_ROOT}.9"
    item.LUTExplanation, item.SeriesDescription = LONG[1], LONG[0]
    return item


def _plant_sequences(dataset: Dataset) -> None:
    """Fill some of the thousand sequences, to a depth of three, and those that are read."""
    sequences = [
        tag
        for tag, entry in DicomDictionary.items()
        if entry[0] == "SQ" and tag >> 16 >= 8 and entry[4] not in READ_SEQUENCES
    ]
    for tag in sequences[::30]:
        outer = _item()
        outer.ReferencedSeriesSequence = [_item()]
        outer.ReferencedSeriesSequence[0].ReferencedStudySequence = [_item()]
        dataset.add_new(tag, "SQ", [outer])
    dataset.OriginalAttributesSequence = [_item()]
    dataset.ViewCodeSequence = [_item("399162004")]
    dataset.ViewCodeSequence[0].ViewModifierCodeSequence = [_item()]
    dataset.AnatomicRegionSequence = [_item("76752008")]


def _plant_private(dataset: Dataset) -> None:
    block = dataset.private_block(0x0029, f"{FAMILY} 1", create=True)
    for offset, (vr, value) in enumerate(
        [
            ("LO", LONG[0]),
            ("PN", NAME),
            ("UN", EVERYTHING.encode()),
            ("SH", PATIENT),
            ("OB", EVERYTHING.encode()),
        ]
    ):
        block.add_new(
            offset, vr, value if isinstance(value, str) else value + b" " * (len(value) % 2)
        )
    block.add_new(0x10, "SQ", [_item()])


def to_file(dataset: FileDataset, *, transfer_syntax: str | None = None) -> bytes:
    """Return the file with tokens in preamble and File Meta Information, too."""
    meta = dataset.file_meta
    dataset.preamble = EVERYTHING.encode().ljust(128)[:128]
    meta.SourceApplicationEntityTitle = FAMILY
    meta.SendingApplicationEntityTitle = GIVEN
    meta.ReceivingApplicationEntityTitle = MAIDEN
    meta.ImplementationVersionName = ACCESSION
    meta.PrivateInformationCreatorUID = UID(f"{UID_ROOT}.7")
    meta.PrivateInformation = EVERYTHING.encode() + b" " * (len(EVERYTHING) % 2)
    if transfer_syntax:
        meta.TransferSyntaxUID = UID(transfer_syntax)
    stream = io.BytesIO()
    dataset.save_as(stream, enforce_file_format=True)
    return stream.getvalue()


def plant_beside_pixels(dataset: FileDataset) -> None:
    """Write tokens beside the pixels in Pixel Data, and behind the tables of LUTs."""
    for item in dataset.get("VOILUTSequence", ()):
        item.LUTData = bytes(item.LUTData) + PADDED
    if dataset["PixelData"].is_undefined_length:
        _plant_codestream(dataset)
    else:
        dataset.PixelData = dataset.PixelData + bytes(len(dataset.PixelData) % 2) + PADDED


def _plant_codestream(dataset: FileDataset) -> None:
    """Write tokens into segments of a codestream, an RLE header and the Basic Offset Table."""
    frame = next(generate_frames(dataset.PixelData, number_of_frames=1))
    text = EVERYTHING.encode()
    if frame.startswith(b"\xff\xd8"):
        texts = {
            0xE0: b"JFIF\0\1\2\0\0\1\0\1\0\0" + text, 0xE1: text, 0xE5: b"Adobe" + text,
            0xEE: b"Adobe\0\x64\0\0\0\0\0" + text, 0xFE: text,
        }  # fmt: skip
        segments = (
            bytes((0xFF, marker)) + (len(content) + 2).to_bytes(2, "big") + content
            for marker, content in texts.items()
        )
        frame = frame[:2] + b"".join(segments) + frame[2:]
    elif frame.startswith(b"\xff\x4f"):
        end = 4 + int.from_bytes(frame[4:6], "big")  # after SIZ
        comment = b"\xff\x64" + (len(text) + 4).to_bytes(2, "big") + b"\0\1" + text
        frame = frame[:end] + comment + frame[end:]
    elif dataset.file_meta.TransferSyntaxUID == RLELossless:
        frame = frame[:12] + PADDED[:52] + frame[64:]
    value = encapsulate([frame], has_bot=False)
    dataset.PixelData = value[:4] + len(PADDED).to_bytes(4, "little") + PADDED + value[8:]
    dataset["PixelData"].is_undefined_length = True
