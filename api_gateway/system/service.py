"""GPUs, queue and configuration as they are shown."""

from __future__ import annotations

import re
from typing import Any

from api_gateway.database.models import GpuSlot, Priority
from api_gateway.envelope import Page
from api_gateway.scheduling.estimates import Kind
from api_gateway.services import Services
from api_gateway.system import repository
from api_gateway.system.schemas import AuditFilter, AuditView, ConfigView, GpuView, QueueView, RunningTask
from mof_benchmark.schemas import TaskType

_CREDENTIALS = re.compile(r"(?<=://)[^/@\s]+@")


async def gpus(services: Services) -> list[GpuView]:
    async with services.database.reading() as session:
        slots = await repository.slots(session)
    return [_gpu(services, slot) for slot in slots]


async def queue(services: Services) -> QueueView:
    async with services.database.reading() as session:
        counts = await repository.counts_by_status(session)
        by_priority = await repository.queued_by_priority(session)
        oldest = await repository.oldest_queued_at(session)
        forecast = await services.queue.forecast(session)
    newcomer = forecast.join(Priority.NORMAL, Kind(TaskType.OPTIMIZATION, ""))
    return QueueView(
        counts=counts,
        queued_by_priority={priority.name: count for priority, count in by_priority.items()},
        capacity=services.settings.gateway.max_queued_tasks,
        oldest_queued_at=oldest,
        usable_gpus=forecast.usable_slots,
        idle_gpus=forecast.idle_slots,
        estimated_wait_seconds=newcomer.estimated_wait_seconds,
    )


async def audit(services: Services, wanted: AuditFilter) -> Page[AuditView]:
    async with services.database.reading() as session:
        lines, total = await repository.audit(session, wanted)
    return Page(
        items=[
            AuditView(
                **{name: getattr(line, name) for name in AuditView.model_fields},
            )
            for line in lines
        ],
        pagination=wanted.pagination(total),
    )


def config(services: Services) -> ConfigView:
    return ConfigView(settings=_masked(services.settings.model_dump(mode="json")))


def _masked(value: Any) -> Any:
    """Credentials inside addresses; secret fields mask themselves."""
    if isinstance(value, dict):
        return {name: _masked(inner) for name, inner in value.items()}
    if isinstance(value, list):
        return [_masked(inner) for inner in value]
    return _CREDENTIALS.sub("***@", value) if isinstance(value, str) else value


def _gpu(services: Services, slot: GpuSlot) -> GpuView:
    report = slot.report
    current = report.get("current")
    if not repository.is_alive(slot, services.settings.scheduling.lost_after_seconds):
        state = "lost"
    elif not report.get("ok"):
        state = "unhealthy"
    else:
        state = "busy" if current else "idle"
    return GpuView(
        gpu_id=slot.gpu_id,
        state=state,
        host=report.get("host"),
        device=report.get("device"),
        simulated=bool(report.get("simulated")),
        spare=slot.gpu_id == services.settings.compute.spare_gpu,
        memory_total_MB=report.get("memory_total_MB"),
        memory_free_MB=report.get("memory_free_MB"),
        temperature_C=report.get("temperature_C"),
        utilisation_percent=report.get("utilisation_percent"),
        warm_models=report.get("warm_models", []),
        current=RunningTask.model_validate(current) if current else None,
        error=report.get("error"),
        booted_at=slot.booted_at,
        reported_at=slot.reported_at,
    )
