"""Actions that someone must be able to account for, stored with the action itself."""

from __future__ import annotations

from typing import Any

import structlog
from sqlalchemy.ext.asyncio import AsyncSession

from api_gateway import context
from api_gateway.auth.guard import Caller
from api_gateway.database.models import AuditLine

log = structlog.get_logger("audit")


COMMAND_LINE = "command line"
"""Actor of what is done on the database itself, by someone who may read the home folder."""


def record(session: AsyncSession, caller: Caller | None, action: str, target: str, **detail: Any) -> None:
    """Add an audit line to the transaction that does the action; without a caller, of the command line."""
    session.add(
        AuditLine(
            api_key_id=caller.key_id if caller is not None else None,
            actor=caller.name if caller is not None else COMMAND_LINE,
            action=action,
            target=target,
            detail=detail,
            request_id=context.request_id.get() or None,
        )
    )
    if caller is not None:
        log.info(action, actor=caller.name, target=target, **detail)
