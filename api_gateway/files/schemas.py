"""Headers of a file's answer."""

from __future__ import annotations

from typing import Any

from api_gateway.envelope import ErrorEnvelope

# A file's own type: `chemical/x-cif`, `application/gzip`, ….
_ANY = {"*/*": {"schema": {"type": "string", "format": "binary"}}}
DOWNLOAD: dict[int | str, dict[str, Any]] = {
    200: {
        "description": "The file.",
        "content": _ANY,
        "headers": {
            "ETag": {"schema": {"type": "string"}, "description": "SHA-256 of the content."},
            "Accept-Ranges": {"schema": {"type": "string"}},
            "Content-Disposition": {"schema": {"type": "string"}},
        },
    },
    206: {"description": "The part asked for by `Range`.", "content": _ANY},
    304: {"description": "The client's copy is the present one."},
    416: {
        "model": ErrorEnvelope,
        "description": "40002: the file has no such part.",
        "headers": {
            "Content-Range": {"schema": {"type": "string"}, "description": "Its size: `bytes */2560`."}
        },
    },
}
