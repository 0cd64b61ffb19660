"""The admin key that the command line and the SDK pick up from the home folder."""

from __future__ import annotations

import os
from pathlib import Path

from sqlalchemy import text

from api_gateway.auth import credentials
from api_gateway.auth.credentials import Scope
from api_gateway.database import Database
from api_gateway.keys import repository
from mof_benchmark.identifiers import new_id
from mofsim_settings import Settings

_LOCK = text("SELECT pg_advisory_xact_lock(hashtext('mofsim:admin-key'))")


async def ensure_admin_key(settings: Settings, database: Database | None = None) -> Path:
    """See that `<home>/admin.key` (mode 600) holds a working key with every scope.

    Returns
    -------
    Path
        The file.
    """
    own = database is None
    database = database or Database.from_settings(settings)
    path = settings.admin_key_file
    try:
        async with database.begin() as session:
            # Several gateways may start at once on one home.
            await session.execute(_LOCK)
            held = credentials.parse(path.read_text().strip()) if path.exists() else None
            if held is not None:
                key = await repository.find(session, held.key_id)
                if key is not None and key.usable and credentials.matches(held.secret, key.salt, key.hash):
                    return path
            made = await repository.create(session, new_id("admin"), Scope)
            _write_private(path, f"{made}\n")
    finally:
        if own:
            await database.close()
    return path


def _write_private(path: Path, text: str) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    draft = path.with_name(f".{path.name}.{os.getpid()}")
    with os.fdopen(os.open(draft, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600), "w") as file:
        file.write(text)
    draft.replace(path)
