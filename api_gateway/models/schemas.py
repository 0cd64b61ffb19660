"""Documents of the model resource."""

from __future__ import annotations

from typing import Any, Literal

from pydantic import BaseModel, ConfigDict, Field

from api_gateway.database.models import SlotAction
from api_gateway.envelope import Timestamp


class ModelView(BaseModel):
    """A model of the registry."""

    name: str = Field(examples=["sevennet_prod"])
    display_name: str = Field(examples=["SevenNet-0 (11 July 2024)"])
    framework: str = Field(examples=["sevennet"])
    with_d3: bool = Field(description="Whether PBE-D3(BJ) is added by default.")
    dtype: str
    supported_elements: list[str] | None = Field(description="Null when only the checkpoint can tell.")
    available: bool = Field(description="Whether it can be used on this host.")
    reason: str | None = Field(description="Why not, when not.")
    what_to_do: str | None = Field(description="How to get what is missing.")
    loaded_on: list[int] = Field(description="GPUs that hold it warm.")
    custom: bool
    validated: bool
    licence: str
    citation: str


class ModelDetail(ModelView):
    """A model with its settings."""

    settings: dict[str, Any]
    weights: str = Field(description="How the weights are obtained.")


class Placement(BaseModel):
    """Which GPU."""

    model_config = ConfigDict(extra="forbid")

    gpu_id: int = Field(ge=0, le=2**31 - 1, examples=[0])


class CommandView(BaseModel):
    """A request to a GPU host."""

    command_id: str
    model: str
    gpu_id: int
    action: SlotAction
    state: Literal["pending", "done", "failed"]
    error: dict[str, Any] | None
    created_at: Timestamp
    done_at: Timestamp | None
