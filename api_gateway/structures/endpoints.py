"""`/structures`."""

from __future__ import annotations

from typing import Annotated

from fastapi import APIRouter, File, Form, Path, Query, UploadFile

from api_gateway.auth.credentials import Scope
from api_gateway.envelope import Envelope, Page, ok
from api_gateway.paging import Paging
from api_gateway.routing import By, GuardedRoute, Using, operation
from api_gateway.structures.schemas import BuiltinView, Deleted, StructurePreview, StructureView
from api_gateway.structures.service import StructureService, view

router = APIRouter(prefix="/structures", tags=["structures"], route_class=GuardedRoute)
StructureId = Annotated[str, Path(max_length=64, description="`struct_…`")]


def _service(using: Using) -> StructureService:
    return StructureService(using.database, using.structures)


_UPLOAD_CODES = (10004, 40001, 40002, 40003, 40004, 40005)
SentFile = Annotated[UploadFile, File(description="CIF, XYZ, extended XYZ or POSCAR, at most 100 MB.")]
SentName = Annotated[str | None, Form(max_length=200, description="Name for people; default: the file's.")]


@router.post("", status_code=201, **operation(Scope.WRITE, *_UPLOAD_CODES))
async def upload_structure(
    using: Using, by: By, file: SentFile, name: SentName = None
) -> Envelope[StructureView]:
    """Upload a structure. The same content uploaded twice gives the same `file_id`."""
    structure = await _service(using).upload(file.file, file.filename or "", name, by)
    return ok(view(structure), 201)


@router.post("/preview", **operation(Scope.WRITE, *_UPLOAD_CODES))
async def preview_structure(
    using: Using, file: SentFile, name: SentName = None
) -> Envelope[StructurePreview]:
    """Show what would be read from a file, warnings included, without keeping it."""
    return ok(await _service(using).preview(file.file, file.filename or "", name))


@router.get("", **operation(Scope.READ, 40002))
async def list_structures(using: Using, wanted: Annotated[Paging, Query()]) -> Envelope[Page[StructureView]]:
    """List the uploaded structures, newest first."""
    return ok(await _service(using).page(wanted))


@router.get("/builtin", **operation(Scope.READ, 40002))
async def list_builtin_structures(
    using: Using, wanted: Annotated[Paging, Query()]
) -> Envelope[Page[BuiltinView]]:
    """List the structures that come with the service, by name."""
    return ok(wanted.cut(await _service(using).builtins()))


@router.get("/{structure_id}", **operation(Scope.READ, 30002))
async def get_structure(using: Using, structure_id: StructureId) -> Envelope[StructureView]:
    """Show what was read from an uploaded structure."""
    return ok(view(await _service(using).get(structure_id)))


@router.delete("/{structure_id}", **operation(Scope.ADMIN, 30002, 30015))
async def delete_structure(using: Using, by: By, structure_id: StructureId) -> Envelope[Deleted]:
    """Delete an uploaded structure that no unfinished task needs."""
    await _service(using).delete(structure_id, by)
    return ok(Deleted(id=structure_id))
