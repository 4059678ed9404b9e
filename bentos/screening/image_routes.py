"""The routes of images, for viewers: what there is, the pixels, the heat to lay over them.

    GET /v1/exams/{exam}/images                    how to show each, and where its pixels are
    GET /v1/exams/{exam}/images/{image}/pixels     rows x columns of little-endian uint16
    GET /v1/exams/{exam}/images/{image}/voi_lut    entries of little-endian uint16
    GET /v1/exams/{exam}/images/{image}/heat.png   RGBA, over the whole image, 1024 rows at most

All take ``?request=`` for another scoring than the latest; the links carry it. Each look
is a line of the audit log. Right after the answer the images may still be on their way:
``503 IMAGES_NOT_READY`` with Retry-After.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Annotated, Any

import numpy as np
from fastapi import FastAPI, Query, Request
from fastapi.responses import Response
from imagecodecs import gzip_decode

from bentos.screening import schema
from bentos.screening.exams import EXAMS
from mammo.contract_images import ImagesAnswer
from mammo.errors import ExamUnknown, ImagesNotReady, LogUnavailable, ResultUnknown
from mammo.kept_images import KeptImages
from mammo.kept_result import KeptView
from mammo.results import KeptResult

if TYPE_CHECKING:
    from bentos.screening.work import Service

HEAT_ROWS = 1024
IMAGES = f"{EXAMS}/{{exam}}/images"
ONE = f"{IMAGES}/{{image}}"
OfRequest = Annotated[
    str | None,
    Query(alias="request", description="a scoring of the exam; left out, the latest"),
]
Binary = dict[int | str, dict[str, Any]]
BYTES: Binary = {200: {"content": {"application/octet-stream": {}}, "description": "The bytes."}}
PNG: Binary = {200: {"content": {"image/png": {}}, "description": "The heat, to lie over it."}}


@dataclass(frozen=True)
class Looked:
    """A kept scoring and its kept images."""

    result: KeptResult
    images: KeptImages


def add_images(app: FastAPI, service: Service) -> None:
    """Add the routes."""
    _add_list(app, service)
    _add_pixels(app, service)
    _add_heat(app, service)


def _add_list(app: FastAPI, service: Service) -> None:
    @app.get(
        IMAGES,
        tags=["images"],
        summary="The images of an exam, and how to show them",
        response_model=ImagesAnswer,
        responses=schema.problems(404, 503),
    )
    async def get_images(request: Request, exam: str, request_id: OfRequest = None) -> Any:
        """Tell what each image is, its windows and spacing, and where its pixels are."""
        looked = await service.run(look, service, exam, request_id)
        answer = await service.run(tell_images, service, looked)
        await service.note(request, "images", exam, answer["release"])
        return answer


def _add_pixels(app: FastAPI, service: Service) -> None:
    @app.get(
        f"{ONE}/pixels",
        tags=["images"],
        summary="The pixels of an image at full depth",
        response_class=Response,
        responses=BYTES | schema.problems(404, 503),
    )
    async def get_pixels(
        request: Request, exam: str, image: str, request_id: OfRequest = None
    ) -> Response:
        """Send rows x columns of little-endian uint16, gzipped where the caller takes that."""
        images, release = await service.run(find_images, service, exam, request_id)
        tag = f'"{images.request_id}/{image}"'
        await service.note(request, "pixels", exam, release)
        if image in images.ids and tag in request.headers.get("if-none-match", ""):
            return Response(status_code=304, headers={"ETag": tag})
        found = await service.run(images.image, image)
        return await _send(service, request, found.pixels_gz, tag)

    @app.get(
        f"{ONE}/voi_lut",
        tags=["images"],
        summary="The VOI LUT of an image",
        response_class=Response,
        responses=BYTES | schema.problems(404, 503),
    )
    async def get_voi_lut(exam: str, image: str, request_id: OfRequest = None) -> Response:
        """Send the entries of the table as little-endian uint16."""
        images, _ = await service.run(find_images, service, exam, request_id)
        found = await service.run(images.image, image)
        if found.lut is None:
            raise ResultUnknown("The image has no VOI LUT; show it by its windows.")
        table = np.array(found.lut.values, "<u2").tobytes()
        return Response(table, media_type="application/octet-stream")


async def _send(service: Service, request: Request, packed: bytes, tag: str) -> Response:
    headers = {"ETag": tag, "Vary": "Accept-Encoding, Authorization"}
    if "gzip" in request.headers.get("accept-encoding", ""):
        headers["Content-Encoding"] = "gzip"
        return Response(packed, headers=headers, media_type="application/octet-stream")
    plain = await service.run(gzip_decode, packed)
    return Response(plain, headers=headers, media_type="application/octet-stream")


def _add_heat(app: FastAPI, service: Service) -> None:
    @app.get(
        f"{ONE}/heat.png",
        tags=["images"],
        summary="Where the score comes from, to lie over one image",
        response_class=Response,
        responses=PNG | schema.problems(404, 503),
    )
    async def get_heat(
        request: Request, exam: str, image: str, request_id: OfRequest = None
    ) -> Response:
        """Draw it in the scale of all of the exam's images, as `heatmap.png` does."""
        result = await service.run(kept_of, service, exam, request_id)
        drawn = await service.run(draw_heat_of, result, image)
        await service.note(request, "heatmap", exam, result.answer["release"])
        return Response(drawn, media_type="image/png")


def kept_of(service: Service, exam: str, request_id: str | None) -> KeptResult:
    """Return a kept scoring of an exam: of a request, or the latest.

    Raises ExamUnknown where nothing is logged of the exam, ResultUnknown where it is not kept.
    """
    if request_id is None:
        return service.latest_kept(exam)
    try:
        found = service.results.of_request(request_id)
        if found.exam_id == exam:
            return found
    except ResultUnknown:
        if service.durable.exam_report(exam) is not None:
            raise
    raise ExamUnknown("No prediction is logged under this exam id.")


def look(service: Service, exam: str, request_id: str | None) -> Looked:
    """Return a kept scoring with its images; raises what `kept_of` and `images_of` raise."""
    result = kept_of(service, exam, request_id)
    return Looked(result, images_of(service, exam, result.request_id))


def find_images(
    service: Service, exam: str, request_id: str | None
) -> tuple[KeptImages, str | None]:
    """Return the images and the release of a scoring, as `look`, without reading its pictures."""
    answer = service.results.answer(request_id)
    if request_id is None or answer.get("exam") != exam:
        result = kept_of(service, exam, request_id)
        answer, request_id = result.answer, result.request_id
    return images_of(service, exam, request_id), answer["release"]


def images_of(service: Service, exam: str, request_id: str) -> KeptImages:
    """Return the images of a request, those of another one of the exam where it has none.

    Raises ImagesNotReady while they are being made, ResultUnknown where none are kept.
    """
    try:
        return service.images.of_request(request_id)
    except ResultUnknown:
        if service.keeper.expects(request_id):
            raise ImagesNotReady("The images are being made; ask again in a second.") from None
        return service.images.latest(exam)


def tell_images(service: Service, looked: Looked) -> dict[str, Any]:
    """Return the answer of ``GET /v1/exams/{exam}/images``."""
    result, facts = looked.result, {one["image_id"]: one for one in looked.images.facts}
    ids = [view.facts["image_id"] for view in result.views]
    return {
        "exam": result.exam_id,
        "request": result.request_id,
        "release": result.answer["release"],
        "images": [
            tell_image(view, facts[view.facts["image_id"]], result.request_id, result.exam_id)
            for view in result.views
            if view.facts["image_id"] in facts
        ],
        "missing": [one for one in ids if one not in facts],
        "prior": find_prior(service, result.exam_id),
    }


def tell_image(
    view: KeptView, facts: dict[str, Any], request_id: str, exam_id: str
) -> dict[str, Any]:
    """Return what is told of one image: how it is shown, and what was found in it."""
    there = f"{EXAMS}/{exam_id}/images/{facts['image_id']}"
    padding, lut = facts["padding"], facts["lut"]
    told = {name: view.facts[name] for name in ("quality", "probability", "findings")}
    return (
        facts
        | told
        | {
            "voi_lut": lut is not None,
            "lut": lut and _tell_lut(lut, f"{there}/voi_lut?request={request_id}"),
            "padding": padding and padding[0],
            "padding_range": padding,
            "pixels": f"{there}/pixels?request={request_id}",
            "heat": None if view.heat is None else f"{there}/heat.png?request={request_id}",
            "heat_size": None if view.heat is None else heat_size(view),
        }
    )


def _tell_lut(lut: dict[str, Any], there: str) -> dict[str, Any]:
    return lut | {"entries": len(lut["values"]), "values": there}


def heat_size(view: KeptView) -> tuple[int, int]:
    """Return rows and columns of the heat's picture, which covers the whole image."""
    place = view.geometry
    rows = min(HEAT_ROWS, place.rows)
    return rows, max(1, round(place.columns * rows / place.rows))


def draw_heat_of(result: KeptResult, image_id: str) -> bytes:
    """Return the heat of one image as a PNG. Raises ResultUnknown where it has none."""
    from mammo.heat_picture import draw_layer

    heats = [view.heat for view in result.views if view.heat is not None]
    strongest = max((float(np.abs(one.heat).max()) for one in heats), default=0.0) or 1.0
    for view in result.views:
        if view.facts["image_id"] == image_id and view.heat is not None:
            return draw_layer(view.heat.at_original(heat_size(view)), strongest)
    raise ResultUnknown("There is no heat of this image, or no image of this id.")


def find_prior(service: Service, exam_id: str) -> dict[str, Any] | None:
    """Return the same patient's latest exam before this one whose images are kept, or None."""
    try:
        row = service.durable.exam_report(exam_id)
        if row is None or row["acquired_on"] is None:
            return None
        earlier = service.log.earlier_exams(row["patient_id"], row["acquired_on"])
        shown = next((one for one in earlier if _is_shown(service, one["exam_id"])), None)
    except LogUnavailable:  # the images themselves do not need it
        return None
    return shown and {"exam": shown["exam_id"], "acquired_on": shown["acquired_on"]}


def _is_shown(service: Service, exam_id: str) -> bool:
    """Whether a viewer would find images: they are kept, and so is the latest answer."""
    if not service.images.has_exam(exam_id):
        return False
    row = service.durable.exam_report(exam_id)
    request_id = None if row is None else row["request_id"]
    return request_id is None or service.results.request_path(request_id).is_file()
