"""Structures: take in, show, delete."""

from __future__ import annotations

import asyncio
import dataclasses
import io
import re
from dataclasses import dataclass
from pathlib import Path
from typing import BinaryIO, TypedDict

from sqlalchemy.exc import IntegrityError

from api_gateway.audit import record
from api_gateway.auth.guard import Caller
from api_gateway.database import Database
from api_gateway.database.models import Structure
from api_gateway.envelope import Page
from api_gateway.errors import ResourceInUseError, StructureNotFoundError
from api_gateway.paging import Paging
from api_gateway.structures import repository
from api_gateway.structures.schemas import BuiltinView, StructurePreview, StructureView
from api_gateway.structures.storage import StructureStorage, clean_name
from mof_benchmark.identifiers import new_id
from mof_benchmark.schemas import CellParameters, StructureInput

_SUFFIX = re.compile(r"\.[a-z]{1,10}")
BUILTIN_PREFIX = "builtin:"
"""A structure that comes with the service is named `builtin:NAME` in tasks."""


class SpaceGroup(TypedDict):
    """The two fields that name a space group."""

    space_group: str | None
    space_group_number: int | None


@dataclass(frozen=True)
class UsableStructure:
    """A structure a task can be made of."""

    input: StructureInput
    elements: tuple[str, ...]
    n_atoms: int
    neighbours: dict[float, int] | None
    """Ordered pairs of atoms within each of some radii, Å; None when they were never counted."""


def safe_suffix(file_name: str) -> str:
    """The suffix of a client's file name, which is all of it that ever names a file of ours."""
    suffix = Path(file_name.lower()).suffix
    return suffix if _SUFFIX.fullmatch(suffix) else ""


class StructureService:
    """What can be done with structures."""

    def __init__(self, database: Database, storage: StructureStorage) -> None:
        self._database = database
        self._storage = storage

    async def upload(self, file: BinaryIO, file_name: str, name: str | None, caller: Caller) -> Structure:
        """Take in a file; the same content twice is one structure.

        Raises
        ------
        FileTooLargeError, UnsupportedFormatError, InvalidFileError
            When it cannot be used; then nothing is left of it.
        """
        shown = _shown_name(name, file_name)
        structure, _ = await self._take_in(file, safe_suffix(file_name), None, shown, caller)
        return structure

    async def preview(self, file: BinaryIO, file_name: str, name: str | None) -> StructurePreview:
        """Read a file as `upload` would, and keep nothing of it.

        Raises
        ------
        FileTooLargeError, UnsupportedFormatError, InvalidFileError
        """
        async with self._storage.draft(new_id("struct")) as draft:
            copied = await self._storage.copy(file, draft.folder / f"source{safe_suffix(file_name)}")
            parsed = await self._storage.parse(copied.path, None, draft.folder / "structure.extxyz")
        summary = parsed.summary
        return StructurePreview(
            name=_shown_name(name, file_name),
            format=parsed.format,
            n_atoms=summary.n_atoms,
            formula=summary.formula,
            elements=list(parsed.elements),
            **_space_group(summary.space_group),
            cell_parameters=summary.cell_parameters,
            density_g_cm3=summary.density_g_cm3,
            warnings=list(parsed.warnings),
            size_bytes=copied.size_bytes,
        )

    async def inline(
        self, content: str, format_hint: str, name: str | None, caller: Caller
    ) -> tuple[Structure, bool]:
        """Take in a structure that came inside a request; also says whether it is a new one."""
        return await self._take_in(
            io.BytesIO(content.encode()), "", format_hint, clean_name(name or "inline"), caller
        )

    async def _take_in(
        self, source: BinaryIO, suffix: str, format_hint: str | None, name: str, caller: Caller
    ) -> tuple[Structure, bool]:
        async with self._storage.draft(new_id("struct")) as draft:
            copied = await self._storage.copy(source, draft.folder / f"source{suffix}")
            async with self._database.reading() as session:
                known = await repository.find_by_content(session, copied.sha256)
            if known is not None:
                return known, False
            parsed = await self._storage.parse(copied.path, format_hint, draft.folder / "structure.extxyz")
            summary = parsed.summary
            path = draft.folder / f"source.{parsed.format}"
            await asyncio.to_thread(copied.path.rename, path)
            structure = Structure(
                id=draft.id,
                name=name,
                format=parsed.format,
                source_path=str(path.relative_to(self._storage.root)),
                source_sha256=copied.sha256,
                size_bytes=copied.size_bytes,
                path=str((draft.folder / "structure.extxyz").relative_to(self._storage.root)),
                sha256=parsed.sha256,
                n_atoms=summary.n_atoms,
                formula=summary.formula,
                elements=list(parsed.elements),
                space_group=summary.space_group,
                cell_parameters=summary.cell_parameters and summary.cell_parameters.model_dump(),
                density_g_cm3=summary.density_g_cm3,
                neighbours={str(radius): count for radius, count in parsed.neighbours.items()},
                warnings=list(parsed.warnings),
                api_key_id=caller.key_id,
            )
            try:
                async with self._database.begin() as session:
                    session.add(structure)
                draft.keep()
            except IntegrityError:
                # Another request brought the same content in the meantime.
                async with self._database.reading() as session:
                    known = await repository.find_by_content(session, copied.sha256)
                if known is None:
                    raise
                return known, False
        return structure, True

    async def get(self, structure_id: str) -> Structure:
        async with self._database.reading() as session:
            structure = await repository.find(session, structure_id)
        if structure is None:
            raise StructureNotFoundError(f"There is no structure {structure_id!r}")
        return structure

    async def page(self, wanted: Paging) -> Page[StructureView]:
        async with self._database.reading() as session:
            structures, total = await repository.page(session, wanted)
        return Page(items=[view(structure) for structure in structures], pagination=wanted.pagination(total))

    async def delete(self, structure_id: str, caller: Caller) -> None:
        """Remove a structure and its files.

        Raises
        ------
        StructureNotFoundError, ResourceInUseError
        """
        async with self._database.begin() as session:
            structure = await repository.find_for_deletion(session, structure_id)
            if structure is None:
                raise StructureNotFoundError(f"There is no structure {structure_id!r}")
            if await repository.is_in_use(session, structure_id):
                raise ResourceInUseError("A task that has not ended needs this structure")
            await repository.mark_deleted(session, structure)
            record(session, caller, "structure.delete", structure_id, name=structure.name)
        await self._storage.remove(structure_id)

    async def discard(self, structure_id: str) -> None:
        """Remove a structure that was taken in for a request which was then refused."""
        async with self._database.begin() as session:
            structure = await repository.find_for_deletion(session, structure_id)
            if structure is None or await repository.is_in_use(session, structure_id):
                return
            await session.delete(structure)
        await self._storage.remove(structure_id)

    async def builtins(self) -> list[BuiltinView]:
        """The structures that come with the service."""
        return [
            BuiltinView(
                **dataclasses.asdict(entry.info)
                | {"space_group": entry.space_group, "space_group_number": entry.info.space_group}
            )
            for entry in await self._storage.builtins()
        ]

    async def builtin_for_use(self, name: str) -> UsableStructure:
        """A structure that comes with the service, for a task.

        Raises
        ------
        StructureNotFoundError
        """
        parsed = await self._storage.builtin(name)
        return UsableStructure(
            StructureInput(
                structure_id=f"{BUILTIN_PREFIX}{name}",
                name=name,
                path=str(self._storage.builtin_path(name).relative_to(self._storage.root)),
                sha256=parsed.sha256,
            ),
            parsed.elements,
            parsed.summary.n_atoms,
            parsed.neighbours,
        )


def _shown_name(name: str | None, file_name: str) -> str:
    return clean_name(name or Path(file_name).stem or "structure")


def _space_group(found: str | None) -> SpaceGroup:
    """Symbol and number apart, from spglib's `Fm-3m (225)`."""
    symbol, _, number = (found or "").rstrip(")").rpartition(" (")
    return {"space_group": symbol or None, "space_group_number": int(number) if number else None}


def usable(structure: Structure) -> UsableStructure:
    """An uploaded structure, for a task."""
    return UsableStructure(
        StructureInput(
            structure_id=structure.id, name=structure.name, path=structure.path, sha256=structure.sha256
        ),
        tuple(structure.elements),
        structure.n_atoms,
        None
        if structure.neighbours is None
        else {float(radius): count for radius, count in structure.neighbours.items()},
    )


def view(structure: Structure) -> StructureView:
    return StructureView(
        file_id=structure.id,
        name=structure.name,
        format=structure.format,
        n_atoms=structure.n_atoms,
        formula=structure.formula,
        elements=structure.elements,
        **_space_group(structure.space_group),
        cell_parameters=CellParameters(**structure.cell_parameters) if structure.cell_parameters else None,
        density_g_cm3=structure.density_g_cm3,
        warnings=structure.warnings,
        size_bytes=structure.size_bytes,
        created_at=structure.created_at,
    )
