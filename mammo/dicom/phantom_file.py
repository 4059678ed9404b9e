"""The DICOM file of a phantom view: header, encoded pixels, bytes.

Digital Mammography X-Ray Image Storage - For Presentation (PS3.3 A.26), with
the attributes that mammography devices write and readers look for.
"""

from __future__ import annotations

import struct
from collections.abc import Callable
from dataclasses import dataclass
from datetime import date
from io import BytesIO

import imagecodecs
import numpy as np
from pydicom.dataset import Dataset, FileDataset, FileMetaDataset
from pydicom.encaps import encapsulate
from pydicom.uid import (
    UID,
    DigitalMammographyXRayImageStorageForPresentation,
    ExplicitVRLittleEndian,
    JPEG2000Lossless,
    JPEGLosslessSV1,
    JPEGLSLossless,
    RLELossless,
    generate_uid,
)

from mammo.dicom.phantom_profiles import FULL_SCALE, ScannerProfile
from mammo.exam import Exposure, Laterality, View, ViewPosition

VIEW_CODES = {
    ViewPosition.CC: ("399162004", "cranio-caudal"),
    ViewPosition.MLO: ("399368009", "medio-lateral oblique"),
}

ONLY_VOLTAGE = Exposure(kvp=29)
"""What is told of an image that nobody's breast was pressed for."""


@dataclass(frozen=True)
class ViewIdentity:
    """Who, when, where and how one phantom image was made; ``key`` fixes its UIDs.

    Of an ``exposure`` only what is known is written.
    """

    key: str
    patient_id: int
    image_id: int
    age: int
    view: View
    acquired_on: date
    software_version: str
    exposure: Exposure = ONLY_VOLTAGE


def make_uid(*parts: object) -> UID:
    """Return a UID that depends on the parts alone."""
    return generate_uid(entropy_srcs=[str(part) for part in ("mammo-phantom", *parts)])


def encode_pixels(stored: np.ndarray, transfer_syntax: UID) -> bytes:
    """Return pixel data of uint16 (rows, columns) values, losslessly, for its element.

    Raises KeyError for a syntax that no profile uses.
    """
    if transfer_syntax == ExplicitVRLittleEndian:
        return stored.astype("<u2", copy=False).tobytes()
    encoders: dict[UID, Callable[[], bytes | bytearray]] = {
        JPEGLosslessSV1: lambda: imagecodecs.ljpeg_encode(stored, bitspersample=12),
        JPEGLSLossless: lambda: imagecodecs.jpegls_encode(stored),
        RLELossless: lambda: _rle(stored),
        JPEG2000Lossless: lambda: imagecodecs.jpeg2k_encode(
            stored, codecformat="j2k", bitspersample=12, reversible=True, level=0
        ),
    }
    return bytes(encapsulate([bytes(encoders[transfer_syntax]())]))


def _rle(stored: np.ndarray) -> bytes:
    """Encode 16-bit values as two RLE segments, high byte first (PS3.5 annex G)."""
    planes = ((stored >> 8).astype(np.uint8), stored.astype(np.uint8))
    segments = [b"".join(map(imagecodecs.packbits_encode, plane)) for plane in planes]
    padded = [segment + b"\0" * (len(segment) % 2) for segment in segments]
    return struct.pack("<16L", 2, 64, 64 + len(padded[0]), *[0] * 13) + b"".join(padded)


def make_dataset(
    stored: np.ndarray, identity: ViewIdentity, profile: ScannerProfile
) -> FileDataset:
    """Return the file's data set with pixels encoded in the profile's syntax."""
    meta = FileMetaDataset()
    meta.MediaStorageSOPClassUID = DigitalMammographyXRayImageStorageForPresentation
    meta.MediaStorageSOPInstanceUID = make_uid(identity.key, identity.image_id)
    meta.TransferSyntaxUID = profile.transfer_syntax
    dataset = FileDataset("", {}, file_meta=meta, preamble=b"\0" * 128)
    dataset.SOPClassUID = meta.MediaStorageSOPClassUID
    dataset.SOPInstanceUID = meta.MediaStorageSOPInstanceUID
    _add_exam(dataset, identity)
    _add_device(dataset, identity, profile)
    _add_view(dataset, identity.view)
    _add_image(dataset, stored, profile)
    return dataset


def _add_exam(dataset: Dataset, identity: ViewIdentity) -> None:
    day = identity.acquired_on.strftime("%Y%m%d")
    dataset.SpecificCharacterSet = "ISO_IR 100"
    dataset.ImageType = ["DERIVED", "PRIMARY"]
    dataset.Modality = "MG"
    dataset.PresentationIntentType = "FOR PRESENTATION"
    dataset.StudyInstanceUID = make_uid(identity.key, identity.patient_id)
    dataset.SeriesInstanceUID = make_uid(identity.key, identity.patient_id, identity.view)
    dataset.StudyDate = dataset.SeriesDate = dataset.AcquisitionDate = dataset.ContentDate = day
    dataset.StudyTime = dataset.AcquisitionTime = dataset.ContentTime = "100000"
    dataset.PatientID = str(identity.patient_id)
    dataset.PatientName = "Phantom^Phantom"
    dataset.PatientSex = "F"
    dataset.PatientBirthDate = ""
    dataset.PatientAge = f"{identity.age:03d}Y"
    dataset.AccessionNumber = ""
    dataset.ReferringPhysicianName = ""
    dataset.StudyID = dataset.SeriesNumber = "1"
    dataset.InstanceNumber = str(identity.image_id % 10)
    dataset.BodyPartExamined = dataset.OrganExposed = "BREAST"
    dataset.AcquisitionContextSequence = []


def _add_device(dataset: Dataset, identity: ViewIdentity, profile: ScannerProfile) -> None:
    dataset.Manufacturer = profile.manufacturer
    dataset.ManufacturerModelName = profile.model
    dataset.SoftwareVersions = identity.software_version
    dataset.DeviceSerialNumber = str(profile.machine_id)
    dataset.StationName = f"MG{profile.machine_id}"
    spacing = [f"{profile.spacing_mm:g}"] * 2
    dataset.ImagerPixelSpacing = spacing
    dataset.PixelSpacing = spacing
    _add_exposure(dataset, identity.exposure)
    dataset.PositionerType = "MAMMOGRAPHIC"
    dataset.DetectorType = "DIRECT"
    dataset.BurnedInAnnotation = "NO"
    dataset.BreastImplantPresent = "NO"


def _add_exposure(dataset: Dataset, exposure: Exposure) -> None:
    elements = {
        "BodyPartThickness": exposure.thickness_mm,
        "CompressionForce": exposure.compression_n,
        "KVP": exposure.kvp,
        "Exposure": exposure.exposure_mas,
    }
    for keyword, value in elements.items():
        if value is not None:
            setattr(dataset, keyword, f"{value:g}")  # VR DS, of Exposure IS


def _add_view(dataset: Dataset, view: View) -> None:
    left = view.laterality is Laterality.LEFT
    dataset.ImageLaterality = view.laterality.value
    dataset.ViewPosition = view.position.value
    downwards = "F" if view.position is ViewPosition.MLO else ""
    dataset.PatientOrientation = ["A", f"{downwards}R"] if left else ["P", f"{downwards}L"]
    value, meaning = VIEW_CODES[view.position]
    dataset.ViewCodeSequence = [_code(value, "SCT", meaning)]
    dataset.ViewCodeSequence[0].ViewModifierCodeSequence = []
    dataset.AnatomicRegionSequence = [_code("76752008", "SCT", "Breast")]


def _code(value: str, scheme: str, meaning: str) -> Dataset:
    item = Dataset()
    item.CodeValue, item.CodingSchemeDesignator, item.CodeMeaning = value, scheme, meaning
    return item


def _add_image(dataset: Dataset, stored: np.ndarray, profile: ScannerProfile) -> None:
    dataset.SamplesPerPixel = 1
    dataset.PhotometricInterpretation = "MONOCHROME1" if profile.inverted else "MONOCHROME2"
    dataset.PresentationLUTShape = "INVERSE" if profile.inverted else "IDENTITY"
    dataset.Rows, dataset.Columns = stored.shape
    dataset.BitsAllocated, dataset.BitsStored, dataset.HighBit = 16, 12, 11
    dataset.PixelRepresentation = 0
    dataset.PixelIntensityRelationship = "LOG"
    dataset.PixelIntensityRelationshipSign = -1 if profile.inverted else 1
    dataset.RescaleIntercept, dataset.RescaleSlope, dataset.RescaleType = "0", "1", "US"
    dataset.LossyImageCompression = "00"
    _add_display(dataset, profile)
    dataset.PixelData = encode_pixels(stored, profile.transfer_syntax)
    dataset["PixelData"].VR = "OW"
    if profile.transfer_syntax != ExplicitVRLittleEndian:
        dataset["PixelData"].VR = "OB"
        dataset["PixelData"].is_undefined_length = True


def _add_display(dataset: Dataset, profile: ScannerProfile) -> None:
    if profile.window is not None:
        centre, width, function = profile.window
        dataset.WindowCenter, dataset.WindowWidth = f"{centre:g}", f"{width:g}"
        dataset.WindowCenterWidthExplanation = "NORMAL"
        dataset.VOILUTFunction = function
        return
    item = Dataset()
    ramp = np.linspace(0, 1, FULL_SCALE + 1)
    values = np.round(FULL_SCALE * (3 * ramp**2 - 2 * ramp**3) ** 0.9)
    item.add_new("LUTDescriptor", "US", [FULL_SCALE + 1, 0, 12])
    item.LUTExplanation = "NORMAL"
    item.add_new("LUTData", "OW", values.astype("<u2").tobytes())
    dataset.VOILUTSequence = [item]


def write_bytes(dataset: FileDataset) -> bytes:
    """Return the data set as a DICOM file (PS3.10)."""
    buffer = BytesIO()
    dataset.save_as(buffer, enforce_file_format=True)
    return buffer.getvalue()
