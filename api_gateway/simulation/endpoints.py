"""`/system/gpus/{gpu_id}/simulation`."""

from __future__ import annotations

from typing import Annotated

from fastapi import APIRouter, Path

from api_gateway.auth.credentials import Scope
from api_gateway.envelope import Envelope, ok
from api_gateway.routing import By, GuardedRoute, Using, operation
from api_gateway.simulation import service
from api_gateway.simulation.schemas import Simulation

router = APIRouter(prefix="/system/gpus", tags=["system"], route_class=GuardedRoute)
GpuId = Annotated[int, Path(description="Number of the GPU.")]


@router.get("/{gpu_id}/simulation", **operation(Scope.ADMIN, 30005))
async def get_simulation(using: Using, gpu_id: GpuId) -> Envelope[Simulation]:
    """Show what the sensor of a simulated GPU was made to show."""
    return ok(await service.get(using, gpu_id))


@router.put("/{gpu_id}/simulation", **operation(Scope.ADMIN, 30005, 40003))
async def set_simulation(using: Using, by: By, gpu_id: GpuId, body: Simulation) -> Envelope[Simulation]:
    """Make the sensor of a simulated GPU show this from its next report on, within a second or so.

    Only installations with simulated GPUs (`compute.simulated`) have this route: with it one tries
    how placement and alerts take a hot, full, lost or failing GPU.
    """
    return ok(await service.put(using, by, gpu_id, body))
