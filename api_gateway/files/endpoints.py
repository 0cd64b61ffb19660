"""`GET /files/{file_id}`."""

from __future__ import annotations

from typing import Annotated

from fastapi import APIRouter, Header, Path
from starlette.responses import FileResponse, Response

from api_gateway.auth.credentials import Scope
from api_gateway.files import service
from api_gateway.files.answers import Download
from api_gateway.files.schemas import DOWNLOAD
from api_gateway.routing import GuardedRoute, Using, operation

_RANGE = r"^bytes=\s*(\d+-\d*|-\d+)(\s*,\s*(\d+-\d*|-\d+))*$"
router = APIRouter(prefix="/files", tags=["files"], route_class=GuardedRoute)


@router.get(
    "/{file_id}",
    response_class=FileResponse,
    **operation(Scope.READ, 30004, 30018, 40002, answers=DOWNLOAD),
)
async def download(
    using: Using,
    file_id: Annotated[
        str, Path(max_length=64, description="`file_…`, from a result's `output_files` or a task's `files`.")
    ],
    if_none_match: Annotated[str | None, Header(max_length=4096)] = None,
    wanted: Annotated[
        str | None,
        Header(alias="Range", pattern=_RANGE, max_length=200, description="Parts: `bytes=0-1023`."),
    ] = None,
) -> Response:
    """Download a file. Parts by `Range`; `ETag` is the content's SHA-256, for `If-None-Match`."""
    file = await service.locate(using.database, using.settings, file_id)
    # A file never changes under its identifier.
    headers = {"ETag": file.etag, "Cache-Control": "private, max-age=31536000, immutable"}
    if if_none_match is not None and _names(if_none_match, file.etag):
        return Response(status_code=304, headers=headers)
    return Download(file.path, filename=file.name, media_type=file.media_type, headers=headers)


def _names(if_none_match: str, etag: str) -> bool:
    """Whether the header names this version (RFC 9110, 13.1.2: weakly compared, `*` is any)."""
    tags = (tag.strip().removeprefix("W/") for tag in if_none_match.split(","))
    return if_none_match.strip() == "*" or etag in tags
