"""The elements whose text outlives de-identification: an explicit allow list.

PS3.15 table E.1-1 lists what must go and lets everything else stay. Here a text
stays only when it is named below, because a site can type a name into any text;
numbers stay unless the table removes them. Each list is one way of checking.
"""

from __future__ import annotations

DEVICE = frozenset(
    (*("Manufacturer", "ManufacturerModelName", "SoftwareVersions", "PaddleDescription"),)
)
"""Equipment without what numbers one device: kept unless the text holds an identity."""

DESCRIPTORS = frozenset(
    (
        *("StudyDescription", "SeriesDescription", "ProtocolName", "RequestedProcedureDescription"),
        *("PerformedProcedureStepDescription", "AcquisitionDeviceProcessingDescription"),
        *("DerivationDescription", "ImageComments", "LUTExplanation", "RescaleType"),
        "WindowCenterWidthExplanation",
    )
)
"""Free texts: kept when every word is one of `IMAGING_WORDS` (Clean Descriptors Option)."""

DAYS = frozenset(("StudyDate", "SeriesDate", "AcquisitionDate", "ContentDate"))
"""Days of acquisition (Retain Longitudinal Temporal Information with Full Dates Option)."""

UIDS = frozenset(("SOPClassUID", "ReferencedSOPClassUID", "CodingSchemeUID"))
"""UIDs of things and not of instances; kept where registered in PS3.6 annex A."""

CODES = frozenset(
    (
        *("ImageType", "Modality", "ConversionType", "PresentationIntentType", "BodyPartExamined"),
        *("ViewPosition", "ImageLaterality", "Laterality", "FrameLaterality", "PatientOrientation"),
        *("PatientPosition", "PositionerType", "TomoType", "OrganExposed", "PartialView"),
        *("BreastImplantPresent", "QualityControlImage", "CalibrationImage"),
        *("DetectorType", "DetectorConfiguration", "DetectorActiveShape", "DetectorGeometry"),
        *("DetectorConditionsNominalFlag", "FieldOfViewShape", "FieldOfViewHorizontalFlip"),
        *("CollimatorShape", "ShutterShape", "Grid", "FilterType", "FilterMaterial"),
        *("AnodeTargetMaterial", "ExposureControlMode", "ExposureStatus", "AcquisitionType"),
        *("PhotometricInterpretation", "PresentationLUTShape", "PixelIntensityRelationship"),
        *("VOILUTFunction", "BurnedInAnnotation", "RecognizableVisualFeatures"),
        *("LossyImageCompression", "LossyImageCompressionMethod", "PixelSpacingCalibrationType"),
        *("VolumetricProperties", "VolumeBasedCalculationTechnique", "ContentQualification"),
        *("FilmDestination", "ScanOptions"),
    )
)
"""Code strings (VR CS): kept when every value has their repertoire and no identity."""

CODING_SCHEMES = frozenset(("SCT", "SRT", "SNM3", "DCM", "UCUM"))
"""Schemes of which coded entries (PS3.3 table 8.8-1) are kept; a local one may code anything."""

_IMAGING_WORDS = """
2d 3d ap at axillary bilateral biopsy breast breasts cad cc center centre cleavage combo
compression conventional craniocaudal cv dbt de des diag diagnostic digital digitale direct
display exam exposure ffdm film for full generated hd id identity image images imaging implant
implants medio exaggerated laterally medially entire caudocranial iso kv
l lateral left linear lm lmo lo magnification mama mamas mammo mammografia
mammografie mammogram mammograms mammographic mammographie mammography mamo mastografia medial
mediolateral mg ml mlo normal oblique of og picture presentation proc processed processing r raw
rcc reconstruction right rl rm rmlo rolled routine scr screen screening sd sein seins sequence
series sf sigmoid sio spec specimen spot standard static std synthesized synthetic tail tan
tangential the tomo tomosynthese tomosynthesis und unilateral us v view views with x xccl xccm
xray lcc lmlo lml rml llm rlm lxccl rxccl lat obl cranio caudal rutin rutina rutine kontroll
links rechts gauche droite destra sinistra izquierda derecha direita esquerda both beide
"""
IMAGING_WORDS = frozenset(_IMAGING_WORDS.split())
"""Words of views and procedures; a text with any other is dropped, short numbers are none."""
