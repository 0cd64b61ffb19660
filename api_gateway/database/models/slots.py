"""GPU slots as their hosts report them, and what they are asked to do."""

from __future__ import annotations

from datetime import datetime
from enum import StrEnum

from sqlalchemy import Index, text
from sqlalchemy.orm import Mapped, mapped_column

from api_gateway.database.models.base import Base, CreatedAt, Identifier, Json, text_enum


class GpuSlot(Base):
    """The latest report of a GPU host."""

    __tablename__ = "gpu_slots"

    gpu_id: Mapped[int] = mapped_column(primary_key=True, autoincrement=False)
    boot_id: Mapped[str]
    """Changes with every start of the host process."""
    booted_at: Mapped[CreatedAt]
    """First report of this boot."""
    report: Mapped[Json]
    reported_at: Mapped[CreatedAt]
    kill_requested_at: Mapped[datetime | None]
    """The host of this boot must be killed; a new boot clears it."""
    kill_reason: Mapped[str | None]


class SlotAction(StrEnum):
    """What a host can be asked to do with a model."""

    LOAD = "load"
    UNLOAD = "unload"


class SlotCommand(Base):
    """A request to a host, open until it says that it is done."""

    __tablename__ = "slot_commands"
    __table_args__ = (
        Index("ix_slot_commands_open", "gpu_id", "created_at", postgresql_where=text("done_at IS NULL")),
    )

    id: Mapped[Identifier] = mapped_column(primary_key=True)
    gpu_id: Mapped[int]
    action: Mapped[SlotAction] = mapped_column(text_enum(SlotAction, "action"))
    model: Mapped[str]
    request_id: Mapped[str | None]
    created_at: Mapped[CreatedAt]
    done_at: Mapped[datetime | None]
    error: Mapped[Json | None]


class SimulatedGpu(Base):
    """What the sensor of a simulated GPU shows, where somebody set it."""

    __tablename__ = "simulated_gpus"

    gpu_id: Mapped[int] = mapped_column(primary_key=True, autoincrement=False)
    simulation: Mapped[Json]


class PoolWorker(Base):
    """The pool worker of a machine, for as long as it has not left in good order."""

    __tablename__ = "pool_workers"

    host: Mapped[str] = mapped_column(primary_key=True)
    pid: Mapped[int]
    reported_at: Mapped[CreatedAt]
