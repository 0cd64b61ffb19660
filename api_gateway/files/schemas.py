"""Headers of a file's answer."""

from __future__ import annotations

from typing import Any

DOWNLOAD: dict[int | str, dict[str, Any]] = {
    200: {
        "description": "The file.",
        "content": {"application/octet-stream": {"schema": {"type": "string", "format": "binary"}}},
        "headers": {
            "ETag": {"schema": {"type": "string"}, "description": "SHA-256 of the content."},
            "Accept-Ranges": {"schema": {"type": "string"}},
            "Content-Disposition": {"schema": {"type": "string"}},
        },
    },
    206: {"description": "The part asked for by `Range`."},
    304: {"description": "The client's copy is the present one."},
    416: {"description": "No such range."},
}
