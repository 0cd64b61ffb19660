"""`/models`."""

from __future__ import annotations

from typing import Annotated

from fastapi import APIRouter, Path, Query, Response

from api_gateway.auth.credentials import Scope
from api_gateway.database.models import SlotAction
from api_gateway.envelope import Envelope, Page, ok
from api_gateway.models.schemas import CommandView, ModelDetail, ModelView, Placement
from api_gateway.models.service import ModelService
from api_gateway.paging import Paging
from api_gateway.routing import By, GuardedRoute, Using, operation

router = APIRouter(prefix="/models", tags=["models"], route_class=GuardedRoute)
ModelName = Annotated[str, Path(max_length=128, description="A name from `GET /models`.")]
_COMMAND = operation(Scope.WRITE, 30001, 30005, 30011, 30014, 30017, 40002, 40003)
_COMMAND["responses"][202] = {"model": Envelope[CommandView], "description": "Under way; ask again."}


@router.get("", **operation(Scope.READ, 40002))
async def list_models(using: Using, wanted: Annotated[Paging, Query()]) -> Envelope[Page[ModelView]]:
    """List the models, whether each is ready here, and which GPUs hold it warm."""
    return ok(wanted.cut(await ModelService(using).every()))


@router.get("/{model_name}", **operation(Scope.READ, 30001))
async def get_model(using: Using, model_name: ModelName) -> Envelope[ModelDetail]:
    """Show a model with its settings."""
    return ok(await ModelService(using).get(model_name))


@router.post("/{model_name}/load", **_COMMAND)
async def load_model(
    using: Using, by: By, model_name: ModelName, body: Placement, response: Response
) -> Envelope[CommandView]:
    """Load a model on a GPU: 200 when it is done, 202 while the GPU is busy."""
    return await _command(using, by, model_name, body, SlotAction.LOAD, response)


@router.post("/{model_name}/unload", **_COMMAND)
async def unload_model(
    using: Using, by: By, model_name: ModelName, body: Placement, response: Response
) -> Envelope[CommandView]:
    """Release a model from a GPU: 200 when it is done, 202 while the GPU is busy."""
    return await _command(using, by, model_name, body, SlotAction.UNLOAD, response)


@router.get("/{model_name}/commands/{command_id}", **operation(Scope.READ, 30001))
async def get_command(
    using: Using,
    model_name: ModelName,
    command_id: Annotated[str, Path(max_length=64, description="`cmd_…`, from `load` or `unload`.")],
) -> Envelope[CommandView]:
    """Show what became of a `load` or `unload` that was under way."""
    return ok(await ModelService(using).find_command(model_name, command_id))


async def _command(
    using: Using, by: By, model: str, body: Placement, action: SlotAction, response: Response
) -> Envelope[CommandView]:
    view = await ModelService(using).command(model, body.gpu_id, action, by)
    response.status_code = 202 if view.state == "pending" else 200
    return ok(view, response.status_code)
