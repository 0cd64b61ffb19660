"""`/system/storage`."""

from __future__ import annotations

from fastapi import APIRouter

from api_gateway.auth.credentials import Scope
from api_gateway.envelope import Envelope, ok
from api_gateway.routing import GuardedRoute, Using, operation
from api_gateway.storage import service
from api_gateway.storage.schemas import DueView, StorageView

router = APIRouter(prefix="/system/storage", tags=["system"], route_class=GuardedRoute)


@router.get("", **operation(Scope.READ))
async def get_storage(using: Using) -> Envelope[StorageView]:
    """Show what is kept, how large it is, and how much room is left."""
    return ok(await service.totals(using))


@router.get("/due", **operation(Scope.ADMIN))
async def get_due(using: Using) -> Envelope[DueView]:
    """Show what the daily data care would compress and clear away if it ran now; nothing changes."""
    return ok(await service.due(using))
