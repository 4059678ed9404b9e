"""STOW-RS (PS3.18 section 10.5): images by HTTP into the same inbox as by C-STORE.

The answer says of each object whether it is on the disk and booked. The gateway's process
scores the study when it is quiet; while that process is down, the study waits.
"""

from __future__ import annotations

import json
from collections.abc import Sequence
from functools import cached_property
from typing import TYPE_CHECKING, Any

from fastapi import FastAPI, Request
from fastapi.responses import Response

from bentos.gateway.inbox import MB, Inbox, Taken
from bentos.screening import schema
from bentos.screening.received import Arriving
from bentos.screening.stow_body import receive_parts
from mammo.errors import EmptyRequest
from mammo.settings import Settings

if TYPE_CHECKING:
    from bentos.screening.work import Service

STOW = "/dicom-web/studies"
DICOM_JSON = "application/dicom+json"
SOP_CLASS, SOP_INSTANCE = "00081150", "00081155"
WARNING_REASON, FAILURE_REASON = "00081196", "00081197"
FAILED, STORED, OTHER_FAILED = "00081198", "00081199", "0008119A"
"""Failed, Referenced and Other Failures SOP Sequence (PS3.18 table I.2-1)."""
ELEMENTS_DISCARDED = 0xB006
REASONS = {"no room": 0xA700, "refused": 0xC000}
"""PS3.18 table I.2-2; a wrong study or identity is 0xA900."""
BODY = {
    "requestBody": {
        "required": True,
        "content": {
            'multipart/related; type="application/dicom"': {
                "schema": {"type": "string", "format": "binary"}
            }
        },
    }
}
ANSWERS: dict[int | str, dict[str, Any]] = {
    200: {"content": {DICOM_JSON: {}}, "description": "Every object is kept."},
    202: {"content": {DICOM_JSON: {}}, "description": "Some are kept, or with a warning."},
    409: {"content": {DICOM_JSON: {}}, "description": "None is kept; each has its reason."},
    507: {"content": {DICOM_JSON: {}}, "description": "The disk is full; none is kept."},
}


class Desk:
    """The inbox of the service's process; made when the first object comes."""

    def __init__(self, settings: Settings) -> None:
        self._settings = settings

    @cached_property
    def inbox(self) -> Inbox:
        """Where objects go."""
        return Inbox(self._settings)

    def take(self, parts: Sequence[Arriving], study_uid: str | None) -> list[Taken]:
        """Keep each part, in order; the files are read one at a time."""
        return [self.inbox.take(one.receive().data, "stow", study_uid=study_uid) for one in parts]


def add_stow(app: FastAPI, service: Service) -> None:
    """Add the two routes, with and without the study."""
    desk, most = Desk(service.settings), service.settings.dicom_max_mb * MB

    async def store(request: Request, study_uid: str | None) -> Response:
        with service.admission.upload(_stated_bytes(request)):
            parts = await receive_parts(request, service.settings.arriving_dir, most)
            try:
                if not parts:
                    raise EmptyRequest("No object came with the request; send one to many.")
                taken: list[Taken] = await service.run(desk.take, parts, study_uid)
            finally:
                for one in parts:
                    one.close()
        exams = dict.fromkeys(one.arrival.study for one in taken if one.arrival and one.is_kept)
        await service.note_each(request, "stow", list(exams))
        return _answer(taken)

    told: dict[str, Any] = {
        "tags": ["studies"],
        "response_class": Response,
        "responses": ANSWERS | schema.problems(400, 408, 413, 415, 503),
        "openapi_extra": BODY,
    }

    @app.post(STOW, summary="Store images (STOW-RS)", **told)
    async def store_instances(request: Request) -> Response:
        """Keep DICOM objects of any study; PS3.18 10.5."""
        return await store(request, None)

    @app.post(f"{STOW}/{{study}}", summary="Store images of one study (STOW-RS)", **told)
    async def store_study(request: Request, study: str) -> Response:
        """Keep DICOM objects of this study; those of another one are refused."""
        return await store(request, study)


def _stated_bytes(request: Request) -> int:
    stated = request.headers.get("content-length", "")
    return int(stated) if stated.isdigit() else 0


def _answer(taken: Sequence[Taken]) -> Response:
    """Return the Store Instances Response Module as DICOM JSON (PS3.18 I.2)."""
    sequences: dict[str, list[dict[str, Any]]] = {STORED: [], FAILED: [], OTHER_FAILED: []}
    for one in taken:
        where = STORED if one.is_kept else OTHER_FAILED if one.arrival is None else FAILED
        sequences[where].append(_item(one))
    body = {tag: {"vr": "SQ", "Value": items} for tag, items in sequences.items() if items}
    text = json.dumps(body, separators=(",", ":"))
    return Response(text, _status(taken), media_type=DICOM_JSON)


def _status(taken: Sequence[Taken]) -> int:
    if all(one.status in ("stored", "known") for one in taken):
        return 200
    if any(one.is_kept for one in taken):
        return 202
    return 507 if any(one.status == "no room" for one in taken) else 409


def _item(one: Taken) -> dict[str, Any]:
    item: dict[str, Any] = {}
    if one.arrival is not None:
        item[SOP_CLASS] = {"vr": "UI", "Value": [one.arrival.sop_class]}
        item[SOP_INSTANCE] = {"vr": "UI", "Value": [one.arrival.sop_instance]}
    if one.status == "incident":
        item[WARNING_REASON] = {"vr": "US", "Value": [ELEMENTS_DISCARDED]}
    if not one.is_kept:
        mismatch = one.code in ("IDENTITY_MISMATCH", "STUDY_MISMATCH")
        reason = 0xA900 if mismatch else REASONS[one.status]
        item[FAILURE_REASON] = {"vr": "US", "Value": [reason]}
    return item
