"""`/models/custom`."""

from __future__ import annotations

from typing import Annotated

from fastapi import APIRouter, File, Form, Path, Query, Response, UploadFile

from api_gateway.auth.credentials import Scope
from api_gateway.custom_models.schemas import METADATA_EXAMPLE, CustomModelDetail, CustomModelView
from api_gateway.custom_models.service import CustomModelService, detail
from api_gateway.database.models import CustomModelStatus
from api_gateway.envelope import Envelope, Page, ok
from api_gateway.paging import Paging
from api_gateway.routing import By, GuardedRoute, Using, operation
from api_gateway.structures.schemas import Deleted

router = APIRouter(prefix="/models/custom", tags=["models"], route_class=GuardedRoute)
ModelId = Annotated[str, Path(max_length=64, description="`model_…`")]

_VALIDATE = operation(Scope.ADMIN, 30001)
_VALIDATE["responses"][202] = {"model": Envelope[CustomModelDetail], "description": "Under way; ask again."}


@router.post(
    "", status_code=201, **operation(Scope.ADMIN, 10004, 30013, 40001, 40002, 40003, 40004, 40005, 40009)
)
async def upload_model(
    using: Using,
    by: By,
    file: Annotated[
        UploadFile,
        File(
            description="MACE `.model`, ORB `.pt`/`.pth`/`.ckpt`, SevenNet `.pt`/`.pth`, or bare PyTorch "
            "weights `.pt`/`.pth`; at most 100 MB. It is looked at, not read."
        ),
    ],
    metadata: Annotated[
        str,
        Form(
            max_length=65_536,
            description="JSON: `name`, `framework` (mace, orb, sevennet, pytorch), `description`, `with_d3`, "
            "`config`. ORB needs `config.architecture`, PyTorch `config.interface` and its sizes.",
            examples=[METADATA_EXAMPLE],
        ),
    ],
) -> Envelope[CustomModelDetail]:
    """Upload a model. It can be used once it is validated."""
    model = await CustomModelService(using).upload(file.file, file.filename or "", metadata, by)
    return ok(detail(model), 201)


@router.get("", **operation(Scope.READ, 40002))
async def list_custom_models(
    using: Using, wanted: Annotated[Paging, Query()]
) -> Envelope[Page[CustomModelView]]:
    """List the uploaded models, newest first."""
    return ok(await CustomModelService(using).page(wanted))


@router.get("/{model_id}", **operation(Scope.READ, 30001))
async def get_custom_model(using: Using, model_id: ModelId) -> Envelope[CustomModelDetail]:
    """Show an uploaded model and each check of its validation."""
    return ok(detail(await CustomModelService(using).get(model_id)))


@router.post("/{model_id}/validate", **_VALIDATE)
async def validate_custom_model(
    using: Using, by: By, model_id: ModelId, response: Response
) -> Envelope[CustomModelDetail]:
    """Have a model tried in a confined process: 202, then ask for its detail; 200 when it has passed."""
    model = await CustomModelService(using).validate(model_id, by)
    response.status_code = 200 if model.status is CustomModelStatus.VALIDATED else 202
    return ok(detail(model), response.status_code)


@router.delete("/{model_id}", **operation(Scope.ADMIN, 30001, 30015))
async def delete_custom_model(using: Using, by: By, model_id: ModelId) -> Envelope[Deleted]:
    """Delete an uploaded model that no unfinished task needs."""
    await CustomModelService(using).delete(model_id, by)
    return ok(Deleted(id=model_id))
