"""The report of a scoring: a Comprehensive SR by TID 1500 (PS3.16), in the patient's study.

What a radiologist finds in the archive beside the images: whether the exam was
scored and with what reserve, the probability of the exam and of each breast with
scale and decision, and a box for each finding, on its image. Probabilities are in
percent (UCUM ``%``), as DCM 111047 *Probability of cancer* has them. Of an exam that was
not scored the report says so, and why.

What the Standard has no code for is coded under ``99MAMMO``. The report is
complete and unverified (Verification Flag (0040,A493) UNVERIFIED): a device wrote
it, nobody has read it. The Mammography CAD SR (:mod:`mammo.reports.cad`) is another object.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from typing import TYPE_CHECKING, Any

import numpy as np
from pydicom.dataset import Dataset
from pydicom.sr.codedict import codes
from pydicom.sr.coding import Code
from pydicom.uid import generate_uid

from mammo import INTENDED_USE, __version__
from mammo.reports.codes import (
    MANUFACTURER,
    PROBABILITY_OF_CANCER,
    decision_code,
    failure_code,
    own_code,
    percent,
    reserve_code,
)
from mammo.reports.document import DEVICE_UID, common, to_bytes
from mammo.reports.identities import as_images, told_as_unknown
from mammo.reports.kinds import ReportKind, earlier_document
from mammo.reports.material import ReportMaterial, Status

if TYPE_CHECKING:
    from highdicom.sr import (
        ComprehensiveSR,
        MeasurementReport,
        MeasurementsAndQualitativeEvaluations,
        PlanarROIMeasurementsAndQualitativeEvaluations,
    )

DESCRIPTION = "Decision support: screening scores"
PROCEDURE = Code("363679005", "SCT", "Imaging procedure")
"""What CID 100 has that holds for a mammogram; the images say that they are some."""
SIDES = {"L": codes.SCT.Left, "R": codes.SCT.Right}


def write_report(material: ReportMaterial) -> bytes:
    """Return the report as the bytes of a DICOM file.

    Raises
    ------
    ResultUnknown
        The identity of an original is malformed, as without UIDs; a report needs the study.
    """
    with told_as_unknown():
        return to_bytes(_build(material, as_images(material.images)), material)


def _build(material: ReportMaterial, images: Sequence[Dataset]) -> ComprehensiveSR:
    from highdicom.sr import ComprehensiveSR

    kind = ReportKind.REPORT
    earlier = earlier_document(kind, material, images[0].StudyInstanceUID)
    return ComprehensiveSR(
        evidence=list(images),
        content=_content(material, images),
        is_complete=True,
        is_final=False,
        is_verified=False,
        previous_versions=earlier or None,
        **common(kind, material, DESCRIPTION),
    )


def _content(material: ReportMaterial, images: Sequence[Dataset]) -> MeasurementReport:
    from highdicom.sr import (
        DeviceObserverIdentifyingAttributes,
        MeasurementReport,
        ObservationContext,
        ObserverContext,
    )

    name = material.release or f"mammo {__version__}"
    device = ObserverContext(
        observer_type=codes.DCM.Device,
        observer_identifying_attributes=DeviceObserverIdentifyingAttributes(
            uid=DEVICE_UID, name=name, manufacturer_name=MANUFACTURER
        ),
    )
    groups: list[Any] = [_exam_group(material, images), *_breast_groups(material, images)]
    groups += _finding_groups(material, images)
    return MeasurementReport(
        observation_context=ObservationContext(observer_device_context=device),
        procedure_reported=PROCEDURE,
        imaging_measurements=groups,
        title=codes.DCM.ImagingMeasurementReport,
    )


def _exam_group(
    material: ReportMaterial, images: Sequence[Dataset]
) -> MeasurementsAndQualitativeEvaluations:
    """Return the exam as a whole: status first, then score, decision and reserves."""
    from highdicom.sr import Measurement, QualitativeEvaluation

    answer = material.answer
    told = [QualitativeEvaluation(own_code("STATUS"), own_code(_status(material)))]
    if answer is None:
        told.append(QualitativeEvaluation(own_code("FAILURE"), failure_code(str(material.code))))
        return _group("exam", material, None, images, [], told)
    decided = decision_code(answer["decision"] == "recall")
    told.append(QualitativeEvaluation(own_code("DECISION"), decided))
    told += [
        QualitativeEvaluation(own_code("ABSTENTION"), reserve_code(code))
        for code in answer.get("abstention") or []
    ]
    threshold = Measurement(own_code("THRESHOLD"), percent(answer["threshold"]), codes.UCUM.Percent)
    scores = [*_scores(answer["score"], answer.get("scale")), threshold]
    return _group("exam", material, None, images, scores, told)


def _status(material: ReportMaterial) -> str:
    if material.answer is None:
        return "FAILED"
    if material.answer.get("abstention"):
        return "RESERVED"
    return "PARTLY" if material.status is Status.PARTLY else "SCORED"


def _breast_groups(
    material: ReportMaterial, images: Sequence[Dataset]
) -> Iterator[MeasurementsAndQualitativeEvaluations]:
    from highdicom.sr import QualitativeEvaluation

    for breast in material.answer["breasts"] if material.answer else ():
        told = [QualitativeEvaluation(own_code("DECISION"), decision_code(breast["recall"]))]
        scores = _scores(breast["probability"], breast.get("scale"))
        side = breast["laterality"]
        own = [image for view, image in _scored(material, images) if view["laterality"] == side]
        yield _group(f"breast {side}", material, side, own, scores, told)


def _scored(
    material: ReportMaterial, images: Sequence[Dataset]
) -> Iterator[tuple[Mapping[str, Any], Dataset]]:
    for place, view in zip(material.scored, material.views, strict=False):
        yield view, images[place]


def _group(
    name: str,
    material: ReportMaterial,
    side: str | None,
    images: Sequence[Dataset],
    scores: Sequence[Any],
    told: Sequence[Any],
) -> MeasurementsAndQualitativeEvaluations:
    from highdicom.sr import MeasurementsAndQualitativeEvaluations, SourceImageForMeasurementGroup

    return MeasurementsAndQualitativeEvaluations(
        tracking_identifier=_tracking(material, name),
        finding_type=own_code("EXAM" if side is None else "BREAST"),
        algorithm_id=_algorithm(material),
        finding_sites=[_site(side)],
        measurements=scores,
        qualitative_evaluations=told,
        source_images=[SourceImageForMeasurementGroup.from_source_image(one) for one in images],
    )


def _finding_groups(
    material: ReportMaterial, images: Sequence[Dataset]
) -> Iterator[PlanarROIMeasurementsAndQualitativeEvaluations]:
    for place, (view, image) in enumerate(_scored(material, images), start=1):
        for number, finding in enumerate(view["findings"], start=1):
            yield _region(material, view, image, finding, f"image {place} region {number}")


def _region(
    material: ReportMaterial,
    view: Mapping[str, Any],
    image: Dataset,
    finding: Mapping[str, Any],
    name: str,
) -> PlanarROIMeasurementsAndQualitativeEvaluations:
    from highdicom.sr import (
        ImageRegion,
        PlanarROIMeasurementsAndQualitativeEvaluations,
        SourceImageForRegion,
    )

    left, top, right, bottom = (finding[n] for n in ("x_min", "y_min", "x_max", "y_max"))
    # a closed polyline in columns and rows of the image (PS3.3 C.18.6)
    corners = [(left, top), (right, top), (right, bottom), (left, bottom), (left, top)]
    source = SourceImageForRegion.from_source_image(image)
    return PlanarROIMeasurementsAndQualitativeEvaluations(
        tracking_identifier=_tracking(material, name),
        referenced_region=ImageRegion("POLYLINE", np.array(corners), source),
        finding_type=own_code("REGION"),
        algorithm_id=_algorithm(material),
        finding_sites=[_site(view["laterality"])],
        measurements=_evidence(finding),
    )


def _evidence(finding: Mapping[str, Any]) -> list[Any] | None:
    """Return the region's part of the evidence; None of a place that a detector alone names."""
    from highdicom.sr import Measurement

    if finding.get("share") is None:
        return None
    return [Measurement(own_code("EVIDENCE"), percent(finding["share"]), codes.UCUM.Percent)]


def _scores(probability: float, scale: int | None) -> list[Any]:
    from highdicom.sr import Measurement

    scores = [Measurement(PROBABILITY_OF_CANCER, percent(probability), codes.UCUM.Percent)]
    if scale is not None:
        scores.append(Measurement(own_code("SCALE"), float(scale), codes.UCUM.NoUnits))
    return scores


def _tracking(material: ReportMaterial, name: str) -> Any:
    from highdicom.sr import TrackingIdentifier

    uid = generate_uid(entropy_srcs=[material.seed, name])
    return TrackingIdentifier(uid=uid, identifier=name)


def _algorithm(material: ReportMaterial) -> Any:
    from highdicom.sr import AlgorithmIdentification

    return AlgorithmIdentification(
        name="mammo", version=material.release or __version__, parameters=[INTENDED_USE]
    )


def _site(side: str | None) -> Any:
    from highdicom.sr import FindingSite

    return FindingSite(codes.SCT.Breast, laterality=SIDES.get(side or ""))
