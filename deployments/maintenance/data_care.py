"""Old trajectories are compressed, and results whose time is over are cleared away (section 8).

Every step can be cut off and done again: a file is compressed beside itself, told to the database
and only then removed; a result leaves the database first, its files after it, and files without a
result are found again. The gateway serves a compressed file as if it were not.
"""

from __future__ import annotations

import gzip
import os
import shutil
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import psycopg

from mofsim_settings import Settings

_UNPACKED_SECONDS = 86_400.0
"""Unpacked copies that the gateway made for readers go after a day without a reader."""


@dataclass(frozen=True)
class DueFile:
    """A trajectory that is old enough to be compressed."""

    file_id: str
    path: str
    size_bytes: int


@dataclass(frozen=True)
class DueResult:
    """A result whose time is over."""

    task_id: str
    stored_bytes: int


@dataclass(frozen=True)
class Plan:
    """What a run would do."""

    compress: tuple[DueFile, ...]
    clear: tuple[DueResult, ...]


def plan(connection: psycopg.Connection[Any], settings: Settings) -> Plan:
    """Look what is due; nothing is changed."""
    storage = settings.storage
    clear: list[DueResult] = []
    if storage.clear_expired:
        rows = connection.execute("SELECT * FROM results_to_clear(%s)", [storage.keep_results_days])
        clear = [DueResult(*row) for row in rows]
    rows = connection.execute("SELECT * FROM files_to_compress(%s)", [storage.compress_after_days])
    compress = [DueFile(*row) for row in rows]
    return Plan(tuple(compress), tuple(clear))


def care(settings: Settings, tell: Callable[[str], None] = lambda line: None) -> Plan:
    """Do what is due, and answer what that was.

    Raises
    ------
    psycopg.OperationalError, OSError
        When the database or the disk fails; the next run goes on.
    """
    url = settings.database.url.get_secret_value()
    with psycopg.connect(url, autocommit=True, application_name="mofsim-care") as connection:
        due = plan(connection, settings)
        for result in due.clear:
            _clear(connection, settings, result)
        for file in due.compress:
            _compress(connection, settings.storage_root, file)
    _forget_unpacked(settings.storage_root / "unpacked")
    tell(f"{len(due.compress)} trajectories compressed, {len(due.clear)} results cleared away")
    return due


def _compress(connection: psycopg.Connection[Any], root: Path, file: DueFile) -> None:
    raw = root / file.path
    packed = raw.with_name(f"{raw.name}.gz")
    if raw.is_file():
        partial = packed.with_name(f"{packed.name}.partial")
        with partial.open("wb") as target:
            with raw.open("rb") as source, gzip.GzipFile("", "wb", fileobj=target, mtime=0) as stream:
                shutil.copyfileobj(source, stream, 1 << 20)
            target.flush()
            os.fsync(target.fileno())
        partial.replace(packed)
    if packed.is_file():
        connection.execute("SELECT file_compressed(%s, %s)", [file.file_id, packed.stat().st_size])
        raw.unlink(missing_ok=True)


def _clear(connection: psycopg.Connection[Any], settings: Settings, result: DueResult) -> None:
    row = connection.execute(
        "SELECT result_clear(%s, %s)", [result.task_id, settings.storage.keep_results_days]
    ).fetchone()
    if row is None or not row[0]:
        return
    folder = settings.storage_root / "results" / result.task_id
    if folder.is_dir():
        shutil.rmtree(folder)
    connection.execute("SELECT files_cleared(%s)", [result.task_id])


def _forget_unpacked(folder: Path) -> None:
    if not folder.is_dir():
        return
    for file in folder.iterdir():
        if time.time() - file.stat().st_mtime > _UNPACKED_SECONDS:
            file.unlink(missing_ok=True)
