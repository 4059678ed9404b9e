"""The DICOM report of a scoring: a Comprehensive SR by TID 1500 (PS3.16), in the patient's study.

What a radiologist finds in the archive beside the images: whether the exam was
scored and with what reserve, the probability of the exam and of each breast with
scale and decision, and a box for each finding, on its image. Probabilities are in
percent (UCUM ``%``), as DCM 111047 *Probability of cancer* has them.

What the Standard has no code for is coded under ``99MAMMO``. The report is
complete and unverified (Verification Flag (0040,A493) UNVERIFIED): a device wrote
it, nobody has read it. The Mammography CAD SR (TID 4000) is another object.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from io import BytesIO
from typing import TYPE_CHECKING, Any

import numpy as np
from pydicom.dataset import Dataset
from pydicom.sr.codedict import codes
from pydicom.uid import generate_uid

from mammo import INTENDED_USE, __version__
from mammo.errors import ResultUnknown
from mammo.kept_result import KeptResult, KeptView
from mammo.report_codes import (
    MANUFACTURER,
    PROBABILITY_OF_CANCER,
    decision_code,
    own_code,
    own_scheme,
    percent,
    reserve_code,
)

if TYPE_CHECKING:
    from highdicom.sr import (
        ComprehensiveSR,
        MeasurementReport,
        MeasurementsAndQualitativeEvaluations,
        PlanarROIMeasurementsAndQualitativeEvaluations,
    )

DEVICE_UID = generate_uid(entropy_srcs=["mammo screening service"])
NEEDED = ("StudyInstanceUID", "SeriesInstanceUID", "SOPClassUID", "SOPInstanceUID")
SERIES_NUMBER = 990
"""High, so that viewers list the report below the images."""
SIDES = {"L": codes.SCT.Left, "R": codes.SCT.Right}


def write_report(result: KeptResult) -> bytes:
    """Return the report as the bytes of a DICOM file.

    Series and SOP Instance UID follow from the request, so that the same scoring
    always gives the same object.

    Raises
    ------
    ResultUnknown
        The identity of the originals was not kept, or it is malformed, as without UIDs;
        a report needs the study.
    """
    if result.original_ids is None:
        raise ResultUnknown(
            "The ids of the original images were not kept with this scoring, and a report "
            "belongs into their study. Send the exam again where they are kept."
        )
    try:
        images = [_evidence(one) for one in result.original_ids]
        stream = BytesIO()
        _build(result, images).save_as(stream, enforce_file_format=True)
    except (AttributeError, KeyError, TypeError, ValueError) as error:
        raise ResultUnknown(
            f"The ids of the original images are malformed ({type(error).__name__}): no report "
            "can be written with them. Correct the images in the archive and send them again."
        ) from None  # the cause quotes values that name the patient
    return stream.getvalue()


def _build(result: KeptResult, images: Sequence[Dataset]) -> ComprehensiveSR:
    from highdicom.sr import ComprehensiveSR

    seed = f"{result.request_id}|{result.answer['release']}"
    report = ComprehensiveSR(
        evidence=list(images),
        content=_content(result, images),
        series_instance_uid=generate_uid(entropy_srcs=[seed, "series"]),
        series_number=SERIES_NUMBER,
        sop_instance_uid=generate_uid(entropy_srcs=[seed, "instance"]),
        instance_number=1,
        manufacturer=MANUFACTURER,
        is_complete=True,
        is_final=False,
        is_verified=False,
        manufacturer_model_name="mammo screening",
        software_versions=[__version__, result.answer["release"]],
        series_description="Decision support: screening scores",
    )
    told = {"ContentDate": "%Y%m%d", "ContentTime": "%H%M%S"}
    for keyword, form in told.items():
        setattr(report, keyword, result.kept_at.strftime(form))
    report.TimezoneOffsetFromUTC = "+0000"
    report.SpecificCharacterSet = "ISO_IR 192"  # names are text here, whatever the image had
    report.CodingSchemeIdentificationSequence = [own_scheme()]
    return report


def _content(result: KeptResult, images: Sequence[Dataset]) -> MeasurementReport:
    from highdicom.sr import (
        DeviceObserverIdentifyingAttributes,
        MeasurementReport,
        ObservationContext,
        ObserverContext,
    )

    device = ObserverContext(
        observer_type=codes.DCM.Device,
        observer_identifying_attributes=DeviceObserverIdentifyingAttributes(
            uid=DEVICE_UID, name=result.answer["release"], manufacturer_name=MANUFACTURER
        ),
    )
    groups: list[Any] = [_exam_group(result, images), *_breast_groups(result, images)]
    groups += _finding_groups(result, images)
    return MeasurementReport(
        observation_context=ObservationContext(observer_device_context=device),
        procedure_reported=codes.SCT.Mammography,
        imaging_measurements=groups,
        title=codes.DCM.ImagingMeasurementReport,
    )


def _exam_group(
    result: KeptResult, images: Sequence[Dataset]
) -> MeasurementsAndQualitativeEvaluations:
    """Return the exam as a whole: status first, then score, decision and reserves."""
    from highdicom.sr import Measurement, QualitativeEvaluation

    answer = result.answer
    reserved = answer.get("abstention") or []
    told = [
        QualitativeEvaluation(own_code("STATUS"), own_code("RESERVED" if reserved else "SCORED"))
    ]
    told.append(
        QualitativeEvaluation(own_code("DECISION"), decision_code(answer["decision"] == "recall"))
    )
    told += [QualitativeEvaluation(own_code("ABSTENTION"), reserve_code(code)) for code in reserved]
    threshold = Measurement(own_code("THRESHOLD"), percent(answer["threshold"]), codes.UCUM.Percent)
    scores = [*_scores(answer["score"], answer.get("scale")), threshold]
    return _group("exam", result, None, images, scores, told)


def _breast_groups(
    result: KeptResult, images: Sequence[Dataset]
) -> Iterator[MeasurementsAndQualitativeEvaluations]:
    from highdicom.sr import QualitativeEvaluation

    for breast in result.answer["breasts"]:
        told = [QualitativeEvaluation(own_code("DECISION"), decision_code(breast["recall"]))]
        scores = _scores(breast["probability"], breast.get("scale"))
        side = breast["laterality"]
        own = [
            image
            for view, image in zip(result.views, images, strict=True)
            if view.facts["laterality"] == side
        ]
        yield _group(f"breast {side}", result, side, own, scores, told)


def _group(
    name: str,
    result: KeptResult,
    side: str | None,
    images: Sequence[Dataset],
    scores: Sequence[Any],
    told: Sequence[Any],
) -> MeasurementsAndQualitativeEvaluations:
    from highdicom.sr import MeasurementsAndQualitativeEvaluations, SourceImageForMeasurementGroup

    return MeasurementsAndQualitativeEvaluations(
        tracking_identifier=_tracking(result, name),
        finding_type=own_code("EXAM" if side is None else "BREAST"),
        algorithm_id=_algorithm(result),
        finding_sites=[_site(side)],
        measurements=scores,
        qualitative_evaluations=told,
        source_images=[SourceImageForMeasurementGroup.from_source_image(one) for one in images],
    )


def _finding_groups(
    result: KeptResult, images: Sequence[Dataset]
) -> Iterator[PlanarROIMeasurementsAndQualitativeEvaluations]:
    for place, (view, image) in enumerate(zip(result.views, images, strict=True), start=1):
        for number, finding in enumerate(view.facts["findings"], start=1):
            yield _region(result, view, image, finding, f"image {place} region {number}")


def _region(
    result: KeptResult, view: KeptView, image: Dataset, finding: dict[str, Any], name: str
) -> PlanarROIMeasurementsAndQualitativeEvaluations:
    from highdicom.sr import (
        ImageRegion,
        Measurement,
        PlanarROIMeasurementsAndQualitativeEvaluations,
        SourceImageForRegion,
    )

    left, top, right, bottom = (finding[n] for n in ("x_min", "y_min", "x_max", "y_max"))
    # a closed polyline in columns and rows of the image (PS3.3 C.18.6)
    corners = [(left, top), (right, top), (right, bottom), (left, bottom), (left, top)]
    source = SourceImageForRegion.from_source_image(image)
    share = Measurement(own_code("EVIDENCE"), percent(finding["share"]), codes.UCUM.Percent)
    return PlanarROIMeasurementsAndQualitativeEvaluations(
        tracking_identifier=_tracking(result, name),
        referenced_region=ImageRegion("POLYLINE", np.array(corners), source),
        finding_type=own_code("REGION"),
        algorithm_id=_algorithm(result),
        finding_sites=[_site(view.facts["laterality"])],
        measurements=[share],
    )


def _scores(probability: float, scale: int | None) -> list[Any]:
    from highdicom.sr import Measurement

    scores = [Measurement(PROBABILITY_OF_CANCER, percent(probability), codes.UCUM.Percent)]
    if scale is not None:
        scores.append(Measurement(own_code("SCALE"), float(scale), codes.UCUM.NoUnits))
    return scores


def _tracking(result: KeptResult, name: str) -> Any:
    from highdicom.sr import TrackingIdentifier

    uid = generate_uid(entropy_srcs=[result.request_id, name])
    return TrackingIdentifier(uid=uid, identifier=name)


def _algorithm(result: KeptResult) -> Any:
    from highdicom.sr import AlgorithmIdentification

    return AlgorithmIdentification(
        name="mammo", version=result.answer["release"], parameters=[INTENDED_USE]
    )


def _site(side: str | None) -> Any:
    from highdicom.sr import FindingSite

    return FindingSite(codes.SCT.Breast, laterality=SIDES.get(side or ""))


def _evidence(ids: dict[str, Any]) -> Dataset:
    """Return what was kept of an original as a data set, with what type 2 asks for."""
    image = Dataset.from_json(ids)
    if not all(image.get(keyword) for keyword in NEEDED):
        raise ResultUnknown(
            "An original image has no Study, Series, SOP Class or SOP Instance UID: no report "
            "can refer to it."
        )
    for keyword in ("PatientID", "PatientName", "PatientBirthDate", "PatientSex"):
        _fill(image, keyword)
    for keyword in ("StudyDate", "StudyTime", "AccessionNumber", "StudyID"):
        _fill(image, keyword)
    _fill(image, "ReferringPhysicianName")
    return image


def _fill(image: Dataset, keyword: str) -> None:
    if keyword not in image:
        setattr(image, keyword, "")
