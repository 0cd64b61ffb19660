"""Rows of simulated GPUs."""

from __future__ import annotations

from typing import Any

from sqlalchemy.dialects.postgresql import insert
from sqlalchemy.ext.asyncio import AsyncSession

from api_gateway.database.models import SimulatedGpu


async def find(session: AsyncSession, gpu_id: int) -> dict[str, Any]:
    """What was set; empty where nothing was."""
    found = await session.get(SimulatedGpu, gpu_id)
    return {} if found is None else found.simulation


async def put(session: AsyncSession, gpu_id: int, simulation: dict[str, Any]) -> None:
    row = insert(SimulatedGpu).values(gpu_id=gpu_id, simulation=simulation)
    await session.execute(
        row.on_conflict_do_update(
            index_elements=[SimulatedGpu.gpu_id], set_={"simulation": row.excluded.simulation}
        )
    )
