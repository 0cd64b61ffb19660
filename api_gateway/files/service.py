"""Where a file lies, and that it lies there."""

from __future__ import annotations

import asyncio
from dataclasses import dataclass
from pathlib import Path, PurePosixPath

from api_gateway.database import Database
from api_gateway.errors import FileMissingError, ResultExpiredError
from api_gateway.files import repository
from api_gateway.files.unpacking import unpacked
from mofsim_settings import Settings


@dataclass(frozen=True)
class StoredFile:
    """A file ready to be sent."""

    path: Path
    name: str
    media_type: str
    etag: str


def inside(root: Path, relative: str) -> Path | None:
    """The file `relative` to `root`, links followed; None when that leads out of `root`."""
    path = (root / relative).resolve()
    return path if path.is_relative_to(root.resolve()) else None


async def locate(database: Database, settings: Settings, file_id: str) -> StoredFile:
    """Find a file by its identifier, unpacked if it lies there compressed; reading it is use.

    Raises
    ------
    FileMissingError
        When there is no such file, or its path leads out of the storage root.
    ResultExpiredError
        When it was there once and has been cleared away.
    """
    async with database.begin() as session:
        file = await repository.find(session, file_id)
        if file is not None and file.task_id is not None and settings.storage.extend_on_access:
            await repository.used(session, file.task_id)
    if file is None:
        raise FileMissingError(f"There is no file {file_id!r}")
    root = settings.storage_root
    place = await asyncio.to_thread(inside, root, file.path)
    if place is None:
        raise FileMissingError(f"There is no file {file_id!r}")
    # A copy that was unpacked for an earlier reader would outlive it by a day.
    cleared = file.stored_bytes == 0
    path = None if cleared else await asyncio.to_thread(unpacked, root, place, file_id)
    if path is None:
        raise ResultExpiredError("The file has been cleared away")
    return StoredFile(path, PurePosixPath(file.path).name, file.media_type, f'"{file.sha256}"')
