"""Requests to GPU hosts about models."""

from __future__ import annotations

from sqlalchemy.ext.asyncio import AsyncSession

from api_gateway.database.models import SlotAction, SlotCommand
from mof_benchmark.identifiers import new_id


async def add_command(
    session: AsyncSession, gpu_id: int, action: SlotAction, model: str, request_id: str
) -> str:
    """Leave a request for the host of `gpu_id`, which asks for its requests every second."""
    command = SlotCommand(id=new_id("cmd"), gpu_id=gpu_id, action=action, model=model, request_id=request_id)
    session.add(command)
    await session.flush()
    return command.id


async def find_command(session: AsyncSession, command_id: str) -> SlotCommand | None:
    return await session.get(SlotCommand, command_id)
