"""Structures on disk, and the one place where they are parsed: a process apart."""

from __future__ import annotations

import asyncio
import hashlib
import shutil
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import BinaryIO, TypeVar

import anyio
from anyio import BrokenWorkerProcess, CapacityLimiter, to_process

from api_gateway.errors import FileTooLargeError
from api_gateway.structures.parsing import (
    BuiltinEntry,
    ParsedFile,
    build_builtin,
    list_builtins,
    parse_file,
)
from mof_benchmark.errors import InvalidFileError, InvalidParameterError

PARSE_SECONDS = 60.0
PARSERS = 2
_CHUNK_BYTES = 1024**2
T = TypeVar("T")


@dataclass(frozen=True)
class Draft:
    """A folder of the storage that stays only when `kept` is called."""

    id: str
    folder: Path
    keep: Callable[[], None]


@dataclass(frozen=True)
class Copied:
    """A file that was copied into the storage."""

    path: Path
    sha256: str
    size_bytes: int


class StructureStorage:
    """The `structures` folder of the storage root.

    Parameters
    ----------
    root
        The storage root.
    max_bytes
        Largest structure file.
    """

    def __init__(self, root: Path, max_bytes: int) -> None:
        self.root = root
        self._max_bytes = max_bytes
        self._limiter: CapacityLimiter | None = None
        self._builtin: dict[str, ParsedFile] = {}
        self._catalogue: list[BuiltinEntry] | None = None
        self._builtin_lock = asyncio.Lock()

    def folder(self, structure_id: str) -> Path:
        return self.root / "structures" / structure_id

    @asynccontextmanager
    async def draft(self, structure_id: str) -> AsyncIterator[Draft]:
        """A new folder; whatever goes wrong in the block, nothing is left behind."""
        folder = self.folder(structure_id)
        kept = False

        def keep() -> None:
            nonlocal kept
            kept = True

        await asyncio.to_thread(folder.mkdir, parents=True)
        try:
            yield Draft(structure_id, folder, keep)
        finally:
            if not kept:
                with anyio.CancelScope(shield=True):
                    await self.remove(structure_id)

    async def remove(self, structure_id: str) -> None:
        await asyncio.to_thread(shutil.rmtree, self.folder(structure_id), ignore_errors=True)

    async def copy(self, source: BinaryIO, target: Path) -> Copied:
        """Copy a stream to disk, digesting it on the way.

        Raises
        ------
        FileTooLargeError
            When it is larger than allowed.
        InvalidFileError
            When it is empty.
        """
        return await asyncio.to_thread(self._copy, source, target)

    def _copy(self, source: BinaryIO, target: Path) -> Copied:
        digest, size = hashlib.sha256(), 0
        with target.open("wb") as file:
            while chunk := source.read(_CHUNK_BYTES):
                size += len(chunk)
                if size > self._max_bytes:
                    raise FileTooLargeError(f"The file is larger than {self._max_bytes} bytes", field="file")
                digest.update(chunk)
                file.write(chunk)
        if size == 0:
            raise InvalidFileError("The file is empty", field="file")
        return Copied(target, digest.hexdigest(), size)

    async def parse(self, source: Path, format_hint: str | None, canonical: Path) -> ParsedFile:
        """Parse in a worker process.

        Raises
        ------
        UnsupportedFormatError, InvalidFileError
            When the file cannot be used, or takes more time or memory than a structure may.
        """
        return await self._in_worker(partial(parse_file, source, format_hint, canonical))

    async def builtin(self, name: str) -> ParsedFile:
        """A structure that comes with the service, its canonical form made on first use.

        Raises
        ------
        StructureNotFoundError
            When there is none of that name.
        """
        async with self._builtin_lock:
            if name not in self._builtin:
                work = partial(build_builtin, name, self.builtin_path(name))
                self._builtin[name] = await self._in_worker(work)
            return self._builtin[name]

    async def builtins(self) -> list[BuiltinEntry]:
        """All of them, as their catalogue says."""
        async with self._builtin_lock:
            if self._catalogue is None:
                self._catalogue = await self._in_worker(list_builtins)
            return self._catalogue

    def builtin_path(self, name: str) -> Path:
        """Canonical form of a structure that comes with the service."""
        return self.folder(f"builtin-{name}") / "structure.extxyz"

    async def _in_worker(self, work: Callable[[], T]) -> T:
        if self._limiter is None:
            self._limiter = CapacityLimiter(PARSERS)
        try:
            async with self._limiter:
                # The clock starts with the work, not with the wait for a free process.
                with anyio.fail_after(PARSE_SECONDS):
                    return await to_process.run_sync(work, cancellable=True)
        except TimeoutError:
            raise InvalidFileError(f"Parsing took longer than {PARSE_SECONDS:.0f} s", field="file") from None
        except (BrokenWorkerProcess, MemoryError):
            raise InvalidFileError(
                "Parsing took more memory or processor time than a structure may", field="file"
            ) from None


def clean_name(name: str) -> str:
    """A name for people: no control characters, no folders, at most 200 characters.

    Raises
    ------
    InvalidParameterError
        When nothing is left.
    """
    printable = "".join(character for character in name if character.isprintable())
    last = printable.replace("\\", "/").rpartition("/")[2].strip()[:200]
    if not last:
        raise InvalidParameterError("The name is empty", field="name")
    return last
