"""The routes for those who run the service: release, health, metrics, the audit's end."""

from __future__ import annotations

from typing import TYPE_CHECKING

from fastapi import FastAPI
from fastapi.responses import Response
from prometheus_client import CONTENT_TYPE_LATEST

from bentos.screening import schema

if TYPE_CHECKING:
    from bentos.screening.work import Service


def add_operations(app: FastAPI, service: Service) -> None:
    """Add the routes."""
    _add_release(app, service)
    _add_health(app, service)
    _add_audit(app, service)


def _add_release(app: FastAPI, service: Service) -> None:
    @app.get(
        "/v1/release",
        tags=["release"],
        summary="The release in service, its challenger, and what each worker follows",
        response_model=schema.ReleaseAnswer,
        responses=schema.problems(503),
    )
    async def get_release() -> schema.ReleaseAnswer:
        service.rollout.require()
        return schema.release_answer(service.rollout, await service.run(service.rollout.workers))


def _add_health(app: FastAPI, service: Service) -> None:
    @app.get("/healthz", tags=["health"], summary="Does the process live?")
    async def healthz() -> schema.HealthAnswer:
        return schema.HealthAnswer()

    app.add_api_route("/livez", healthz, include_in_schema=False)  # BentoML's name for it

    @app.get(
        "/readyz",
        tags=["health"],
        summary="Can it score?",
        responses=schema.problems(503),
    )
    async def readyz() -> schema.ReadyAnswer:
        rollout = service.rollout
        return schema.ReadyAnswer(
            release=rollout.require().release.id,
            refused=schema.RefusedRelease.of(rollout.refused or rollout.challenger_refused),
        )

    @app.get("/metrics", tags=["health"], summary="For Prometheus", response_class=Response)
    async def metrics() -> Response:
        text = await service.run(service.metrics.render)
        return Response(text, media_type=CONTENT_TYPE_LATEST)


def _add_audit(app: FastAPI, service: Service) -> None:
    @app.get(
        "/v1/audit/head",
        tags=["release"],
        summary="Where the audit log ends, to be kept elsewhere",
        responses=schema.problems(503),
    )
    async def get_audit_head() -> schema.AuditHead:
        """Keep it out of this machine's reach: `mammo audit verify --head` proves by it
        that nothing was cut off the log's end."""
        head = await service.run(service.audit.head)
        return schema.AuditHead(seq=head.seq, hash=head.hash)
