"""Set and show what a simulated GPU's sensor reads."""

from __future__ import annotations

from api_gateway import audit
from api_gateway.auth.guard import Caller
from api_gateway.errors import GpuNotFoundError
from api_gateway.services import Services
from api_gateway.simulation import repository
from api_gateway.simulation.schemas import Simulation


async def get(services: Services, gpu_id: int) -> Simulation:
    _require_slot(services, gpu_id)
    async with services.database.reading() as session:
        return Simulation.model_validate(await repository.find(session, gpu_id))


async def put(services: Services, caller: Caller, gpu_id: int, simulation: Simulation) -> Simulation:
    _require_slot(services, gpu_id)
    document = simulation.model_dump(mode="json")
    async with services.database.begin() as session:
        await repository.put(session, gpu_id, document)
        audit.record(session, caller, "gpu.simulate", str(gpu_id), **document)
    return simulation


def _require_slot(services: Services, gpu_id: int) -> None:
    slots = services.settings.compute.slots
    if not 0 <= gpu_id < slots:
        raise GpuNotFoundError(f"there are the GPUs 0 to {slots - 1}")
