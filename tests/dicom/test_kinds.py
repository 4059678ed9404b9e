"""Kinds of object as archives hold them -> read, flagged or refused by name."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from pydicom.dataset import Dataset
from pydicom.uid import (
    BreastProjectionXRayImageStorageForPresentation,
    BreastProjectionXRayImageStorageForProcessing,
    BreastTomosynthesisImageStorage,
    ComputedRadiographyImageStorage,
    CTImageStorage,
    DigitalMammographyXRayImageStorageForProcessing,
    DigitalXRayImageStorageForPresentation,
    DigitalXRayImageStorageForProcessing,
    MammographyCADSRStorage,
    MultiFrameGrayscaleWordSecondaryCaptureImageStorage,
    RawDataStorage,
    SecondaryCaptureImageStorage,
    UltrasoundImageStorage,
)

from mammo.dicom.read import read_mammogram_header
from mammo.errors import ReadError

from .builders import code_item, make_dataset, make_file, to_bytes
from .test_views import coded

PRIVATE_CLASS = "1.2.840.113619.99.1"
"""A vendor's own storage class."""


def quality_of(data: bytes) -> tuple[str, ...]:
    return read_mammogram_header(data, key=b"key", site="site").quality


def refusal_of(data: bytes) -> ReadError:
    with pytest.raises(ReadError) as caught:
        quality_of(data)
    return caught.value


def image_type(text: str, **more: Any) -> dict[str, Any]:
    return {"ImageType": text.split("\\"), **more}


@pytest.mark.parametrize(
    ("changes", "text"),
    [
        ({"Modality": "CT", "SOPClassUID": CTImageStorage}, "is CT, SOP Class"),
        ({"SOPClassUID": CTImageStorage}, "CT Image Storage"),
        ({"Modality": None, "SOPClassUID": CTImageStorage}, "is absent"),
        ({"Modality": "US", "SOPClassUID": UltrasoundImageStorage}, "is US"),
        ({"Modality": "SR", "SOPClassUID": MammographyCADSRStorage}, "Mammography CAD SR"),
        ({"SOPClassUID": RawDataStorage}, "Raw Data Storage"),
        (
            {"Modality": "DX", "SOPClassUID": DigitalXRayImageStorageForPresentation},
            "allowed is mammography (MG)",
        ),
        (
            {"Modality": "CR", "SOPClassUID": ComputedRadiographyImageStorage},
            "Body Part Examined (0018,0015) is absent",
        ),
        (
            {
                "Modality": "DX",
                "SOPClassUID": DigitalXRayImageStorageForPresentation,
                "BodyPartExamined": "CHEST",
            },
            "CHEST",
        ),
        (
            {
                "Modality": None,
                "SOPClassUID": SecondaryCaptureImageStorage,
                "BodyPartExamined": "CHEST",
            },
            "CHEST",
        ),
        ({"Modality": "OT", "SOPClassUID": SecondaryCaptureImageStorage}, "is OT"),
        ({"SOPClassUID": "1.2.3.4"}, "not a registered UID"),
        ({"SOPClassUID": PRIVATE_CLASS}, "not a registered UID"),
        ({"ViewPosition": "SPECIMEN"}, "tissue specimen"),
        ({"ViewCodeSequence": coded("G-8310", "SRT")}, "tissue specimen"),
        ({"ViewCodeSequence": coded("127457009", "SCT")}, "tissue specimen"),
        ({"SpecimenDescriptionSequence": [code_item("A", "B")]}, "tissue specimen"),
        # what is no defined term is not quoted
        ({"Modality": "SECRET", "SOPClassUID": CTImageStorage}, "is not a defined term"),
        (
            {"Modality": "CT", "SOPClassUID": CTImageStorage, "BodyPartExamined": "MARY"},
            "Examined (0018,0015) is not a defined term",
        ),
    ],
)
def test_other_kinds_are_not_mammography(changes: dict[str, Any], text: str) -> None:
    refusal = refusal_of(make_file(**changes))
    assert (refusal.code, text in refusal.message) == ("NOT_MAMMOGRAPHY", True), refusal.message


@pytest.mark.parametrize(
    "changes",
    [
        {"Modality": None},
        {"Modality": "CR"},
        {"Modality": None, "SOPClassUID": None},
        {"SOPClassUID": SecondaryCaptureImageStorage},
        {"SOPClassUID": DigitalXRayImageStorageForPresentation},
        {"SOPClassUID": ComputedRadiographyImageStorage},
        {"Modality": None, "SOPClassUID": DigitalXRayImageStorageForPresentation},
        {
            "Modality": "CR",
            "SOPClassUID": ComputedRadiographyImageStorage,
            "BodyPartExamined": "BREAST",
        },
        {
            "Modality": "DX",
            "SOPClassUID": DigitalXRayImageStorageForPresentation,
            "BodyPartExamined": "BREAST",
        },
        {
            "Modality": None,
            "SOPClassUID": SecondaryCaptureImageStorage,
            "BodyPartExamined": "BREAST",
        },
        {"PresentationIntentType": None},
        {"NumberOfFrames": 1},
        {"SpecimenDescriptionSequence": []},
    ],
    ids=str,
)
def test_mammograms_with_few_or_other_tags_are_read(changes: dict[str, Any]) -> None:
    media_class = changes.get("SOPClassUID") or None
    assert quality_of(make_file(media_class=media_class, **changes)) == ()


SC, SC_WORD = SecondaryCaptureImageStorage, MultiFrameGrayscaleWordSecondaryCaptureImageStorage


@pytest.mark.parametrize(
    ("changes", "text"),
    [
        (
            {"SOPClassUID": BreastTomosynthesisImageStorage},
            "Breast Tomosynthesis Image Storage with 1",
        ),
        ({"SOPClassUID": BreastProjectionXRayImageStorageForPresentation}, "Breast Projection"),
        ({"SOPClassUID": BreastProjectionXRayImageStorageForProcessing}, "Breast Projection"),
        ({"NumberOfFrames": 60}, "with 60 frames"),
        ({"SOPClassUID": SC_WORD, "NumberOfFrames": 40}, "with 40 frames"),
        ({"SOPClassUID": PRIVATE_CLASS, "NumberOfFrames": 15}, "not a registered UID with 15"),
        (
            {
                "SOPClassUID": DigitalMammographyXRayImageStorageForProcessing,
                "NumberOfFrames": 9,
            },
            "9 frames",
        ),
        (image_type(r"DERIVED\PRIMARY\TOMOSYNTHESIS\NONE\\\\\150000"), "marked as"),
        (image_type(r"DERIVED\PRIMARY\TOMOSYNTHESIS"), "marked as"),
        (image_type(r"DERIVED\PRIMARY\TOMO\NONE"), "marked as"),
        (image_type(r"ORIGINAL\PRIMARY\TOMO"), "marked as"),
        (image_type(r"DERIVED\PRIMARY\VOLUME\NONE"), "marked as"),
        (image_type(r"DERIVED\PRIMARY\TOMO", SOPClassUID=PRIVATE_CLASS), "marked as"),
        (
            image_type(
                r"DERIVED\PRIMARY", VolumetricProperties="VOLUME", InConcatenationTotalNumber=52
            ),
            "marked as",
        ),
        ({"SOPClassUID": SC, "SeriesDescription": "R MLO Tomosynthesis"}, "Secondary Capture"),
        (
            {"SOPClassUID": BreastTomosynthesisImageStorage, "NumberOfFrames": 60}
            | image_type(r"DERIVED\PRIMARY\TOMOSYNTHESIS\GENERATED_2D"),
            "with 60 frames",
        ),
    ],
)
def test_tomosynthesis_is_refused(changes: dict[str, Any], text: str) -> None:
    refusal = refusal_of(make_file(**changes))
    assert (refusal.code, text in refusal.message) == ("TOMOSYNTHESIS", True), refusal.message


def test_tomosynthesis_in_hologic_private_elements_is_refused() -> None:
    dataset = make_dataset(np.zeros((8, 8), "u1"), "1.2.840.10008.1.2.1", 8, SOPClassUID=SC)
    block = dataset.private_block(0x7E01, "HOLOGIC, Inc.", create=True)
    block.add_new(0x02, "SH", "")
    block.add_new(0x10, "SQ", [Dataset()])
    refusal = refusal_of(to_bytes(dataset))
    assert (refusal.code, "Secondary Capture" in refusal.message) == ("TOMOSYNTHESIS", True)


@pytest.mark.parametrize(
    ("changes", "quality"),
    [
        (image_type(r"ORIGINAL\PRIMARY"), ()),
        (image_type(r"DERIVED\PRIMARY"), ()),
        (image_type(r"DERIVED\SECONDARY"), ()),
        (image_type(r"ORIGINAL\PRIMARY\\\\\\\150000"), ()),
        (image_type(r"ORIGINAL\PRIMARY\POST_PROCESSED\\\\\\50000"), ()),
        (image_type(r"DERIVED\PRIMARY\TOMOSYNTHESIS\GENERATED_2D\\\\\150000"), ("SYNTHETIC_2D",)),
        (image_type(r"DERIVED\PRIMARY\TOMO\GENERATED_2D\\\\\150000"), ("SYNTHETIC_2D",)),
        (image_type(r"DERIVED\PRIMARY\TOMO_2D\LEFT\\\\\150000"), ("SYNTHETIC_2D",)),
        (image_type(r"DERIVED\PRIMARY\TOMO_PROJ\RIGHT\\\\\150000"), ("SYNTHETIC_2D",)),
        (image_type(r"DERIVED\PRIMARY", SeriesDescription="L CC C-View"), ("SYNTHETIC_2D",)),
        (image_type(r"DERIVED\PRIMARY", SeriesDescription="R MLO S-View"), ("SYNTHETIC_2D",)),
        (image_type(r"DERIVED\PRIMARY", SeriesDescription="ROUTINE V-Preview"), ("SYNTHETIC_2D",)),
        (image_type(r"DERIVED\PRIMARY", SeriesDescription="L-CC Insight 2D"), ("SYNTHETIC_2D",)),
        (image_type(r"DERIVED\PRIMARY", SeriesDescription="RCC Intelligent 2D"), ("SYNTHETIC_2D",)),
        (image_type(r"DERIVED\PRIMARY", SeriesDescription="L MLO Synthesized"), ("SYNTHETIC_2D",)),
        (image_type(r"DERIVED\PRIMARY", SeriesDescription="Chest wall RC view"), ()),
        (image_type(r"DERIVED\PRIMARY", SeriesDescription="Special C view"), ()),
        (image_type(r"DERIVED\PRIMARY", SeriesDescription="R CC S VIEW"), ()),
        (image_type(r"DERIVED\PRIMARY", SeriesDescription="L CC CVIEW"), ("SYNTHETIC_2D",)),
        (image_type(r"ORIGINAL\PRIMARY", SeriesDescription="L CC C-View"), ()),
        (
            image_type(r"DERIVED\PRIMARY\\\\\\\150000", ManufacturerModelName="FDR-3000AWS"),
            ("SYNTHETIC_2D",),
        ),
        (
            image_type(
                r"DERIVED\PRIMARY\POST_CONTRAST\SUBTRACTION", ManufacturerModelName="FDR-3000AWS"
            ),
            ("CONTRAST_ENHANCED",),
        ),
        (
            image_type(r"DERIVED\PRIMARY\POST_CONTRAST\SUBTRACTION\\\\\50000"),
            ("CONTRAST_ENHANCED",),
        ),
        # a synthetic image in the class of tomosynthesis is one image all the same
        (
            image_type(
                r"DERIVED\PRIMARY\TOMOSYNTHESIS\GENERATED_2D",
                SOPClassUID=BreastTomosynthesisImageStorage,
                NumberOfFrames=1,
            ),
            ("SYNTHETIC_2D",),
        ),
        # volumetric properties of a single image, as Fujifilm writes them
        (image_type(r"DERIVED\PRIMARY", VolumetricProperties="VOLUME"), ()),
        ({"SeriesDescription": "L CC Tomosynthesis"}, ()),
    ],
)
def test_image_types(changes: dict[str, Any], quality: tuple[str, ...]) -> None:
    assert quality_of(make_file(**changes)) == quality


@pytest.mark.parametrize(
    ("changes", "text"),
    [
        ({"PresentationIntentType": "FOR PROCESSING"}, "is FOR PROCESSING"),
        ({"SOPClassUID": DigitalMammographyXRayImageStorageForProcessing}, "For Processing"),
        ({"SOPClassUID": DigitalXRayImageStorageForProcessing}, "Digital X-Ray"),
        (image_type(r"ORIGINAL\PRIMARY\RAW", PresentationIntentType=None), "is RAW"),
    ],
)
def test_raw_images_are_refused(changes: dict[str, Any], text: str) -> None:
    refusal = refusal_of(make_file(**changes))
    assert (refusal.code, text in refusal.message) == ("FOR_PROCESSING", True), refusal.message


def test_the_intent_goes_before_a_hint() -> None:
    assert quality_of(make_file(**image_type(r"ORIGINAL\PRIMARY\RAW"))) == ()
