"""GET /healthz, /readyz, /metrics: for whoever operates the server."""

from __future__ import annotations

from fastapi import APIRouter, Request, Response
from prometheus_client import CONTENT_TYPE_LATEST, generate_latest

from app.api.problems import problem_responses
from app.errors import failure
from app.services import Services

router = APIRouter(tags=["operation"])


@router.get("/healthz", summary="Whether the process lives")
async def healthz() -> dict[str, str]:
    return {"status": "ok"}


@router.get("/readyz", summary="Whether a worker can take a stream", responses=problem_responses(503))
async def readyz(request: Request) -> dict[str, str | int]:
    """Ready once the weights are loaded, and while a slot is free; says why not."""
    services: Services = request.app.state.services
    if services.closing.is_set():
        raise failure("shutting_down")
    if not services.pool.is_ready:
        raise failure("not_ready", reason=services.pool.reason)
    if services.pool.free_slots == 0:
        raise failure("no_slot", slots=services.settings.total_slots)
    return {"status": "ready", "free_slots": services.pool.free_slots}


@router.get("/metrics", summary="Prometheus series", response_class=Response)
async def metrics(request: Request) -> Response:
    services: Services = request.app.state.services
    return Response(generate_latest(services.metrics.registry), media_type=CONTENT_TYPE_LATEST)
