"""Actions that someone must be able to account for, stored with the action itself."""

from __future__ import annotations

from typing import Any

import structlog
from sqlalchemy.ext.asyncio import AsyncSession

from api_gateway import context
from api_gateway.auth.guard import Caller
from api_gateway.database.models import AuditLine

log = structlog.get_logger("audit")


def record(session: AsyncSession, caller: Caller, action: str, target: str, **detail: Any) -> None:
    """Add an audit line to the transaction that does the action."""
    session.add(
        AuditLine(
            api_key_id=caller.key_id,
            actor=caller.name,
            action=action,
            target=target,
            detail=detail,
            request_id=context.request_id.get(),
        )
    )
    log.info(action, actor=caller.name, target=target, **detail)
