"""`/health` and `/system`."""

from __future__ import annotations

from typing import Annotated

from fastapi import APIRouter, Query, Response
from starlette.responses import StreamingResponse

from api_gateway.auth.credentials import Scope
from api_gateway.envelope import Envelope, Page, ok
from api_gateway.paging import Paging
from api_gateway.routing import GuardedRoute, Using, operation
from api_gateway.system import health, logs, service
from api_gateway.system.schemas import (
    AuditFilter,
    AuditView,
    ConfigView,
    GpuView,
    HealthEnvelope,
    Probe,
    QueueView,
)

router = APIRouter(tags=["system"], route_class=GuardedRoute)


@router.get("/health", responses={503: {"model": HealthEnvelope, "description": "The database is away."}})
async def get_health(using: Using, response: Response) -> HealthEnvelope:
    """The service and its parts. `degraded`: tasks are taken, but something else is away."""
    found = await health.check(using)
    if found.status == "down":
        response.status_code = 503
    envelope = ok(found)
    return HealthEnvelope(
        success=found.status != "down",
        code=response.status_code or 200,
        message=envelope.message,
        data=found,
        timestamp=envelope.timestamp,
        request_id=envelope.request_id,
        status=found.status,
    )


@router.get("/health/live", **operation(None))
async def live() -> Envelope[Probe]:
    """Kubernetes liveness: the process answers."""
    return ok(Probe())


@router.get("/health/ready", **operation(None))
async def ready(using: Using) -> Envelope[Probe]:
    """Kubernetes readiness: the database answers, so requests can be served."""
    await health.must_be_ready(using)
    return ok(Probe())


@router.get("/system/gpus", **operation(Scope.READ))
async def list_gpus(using: Using, wanted: Annotated[Paging, Query()]) -> Envelope[Page[GpuView]]:
    """Show each GPU: state, memory, temperature, warm models, the task it computes."""
    return ok(wanted.cut(await service.gpus(using)))


@router.get("/system/queue", **operation(Scope.READ))
async def get_queue(using: Using) -> Envelope[QueueView]:
    """Show the queue: tasks by state and priority, capacity, expected wait."""
    return ok(await service.queue(using))


@router.get("/system/config", **operation(Scope.READ))
async def get_config(using: Using) -> Envelope[ConfigView]:
    """Show the settings in force, with every secret masked."""
    return ok(service.config(using))


@router.get("/system/audit", **operation(Scope.ADMIN, 40002))
async def list_audit_lines(
    using: Using, wanted: Annotated[AuditFilter, Query()]
) -> Envelope[Page[AuditView]]:
    """Show who did what, newest first: cancelled, retried, deleted, loaded, uploaded, made a key."""
    return ok(await service.audit(using, wanted))


@router.get(
    "/system/logs/stream",
    response_class=StreamingResponse,
    **operation(Scope.ADMIN, answers=logs.ANSWER),
)
async def stream_logs(using: Using) -> Response:
    """Follow this process's log as server-sent events, from its latest lines on."""
    return StreamingResponse(logs.stream(using.log_ring, using.listener), media_type="text/event-stream")
