"""`/docs`, `/redoc` and `/docs/errors`, which load nothing from anywhere else.

The scripts and styles are the files that `fastapi-offline` carries. The pages themselves are ours,
because the usual ones start their viewer with a script inside the page, which a strict
Content-Security-Policy forbids.
"""

from __future__ import annotations

from pathlib import Path
from typing import Literal

import fastapi_offline
from fastapi import APIRouter
from starlette.responses import FileResponse, HTMLResponse, Response

from api_gateway.documentation import error_codes

_ASSETS = Path(fastapi_offline.__file__).parent / "static"
_POLICY = "; ".join(
    (
        "default-src 'none'",
        "script-src 'self'",
        # Both viewers write style elements while they run.
        "style-src 'self' 'unsafe-inline'",
        "img-src 'self' data:",
        "font-src 'self' data:",
        "connect-src 'self'",
        # ReDoc's search runs in a worker made of a blob.
        "worker-src blob:",
        "base-uri 'none'",
        "form-action 'none'",
        "frame-ancestors 'none'",
    )
)
HEADERS = {"Content-Security-Policy": _POLICY}
_PAGE = """<!DOCTYPE html>
<html lang="en">
<head>
<meta charset="utf-8">
<meta name="viewport" content="width=device-width, initial-scale=1">
<title>{title}</title>
<link rel="icon" href="/docs/assets/favicon.png">
{head}
</head>
<body>
{body}
</body>
</html>
"""
_SWAGGER = _PAGE.format(
    title="mofsim: REST API",
    head='<link rel="stylesheet" href="/docs/assets/swagger-ui.css">',
    body='<div id="swagger-ui"></div>\n'
    '<script src="/docs/assets/swagger-ui-bundle.js"></script>\n'
    '<script src="/docs/start.js"></script>',
)
_START = """SwaggerUIBundle({
  url: "/openapi.json",
  dom_id: "#swagger-ui",
  deepLinking: true,
  docExpansion: "none",
  persistAuthorization: false,
  tryItOutEnabled: true,
});
"""
_REDOC = _PAGE.format(
    title="mofsim: REST API reference",
    head="<style>body { margin: 0 }</style>",
    body='<redoc spec-url="/openapi.json"></redoc>\n<script src="/docs/assets/redoc.standalone.js"></script>',
)
_ERRORS = _PAGE.format(
    title="mofsim: error codes 错误码", head=f"<style>{error_codes.STYLE}</style>", body=error_codes.table()
)
router = APIRouter(include_in_schema=False)


@router.get("/docs")
async def swagger_ui() -> Response:
    return HTMLResponse(_SWAGGER, headers=HEADERS)


@router.get("/docs/start.js")
async def swagger_start() -> Response:
    return Response(_START, media_type="text/javascript")


@router.get("/redoc")
async def redoc() -> Response:
    return HTMLResponse(_REDOC, headers=HEADERS)


@router.get("/docs/errors")
async def errors() -> Response:
    return HTMLResponse(_ERRORS, headers=HEADERS)


@router.get("/docs/assets/{name}")
async def asset(
    name: Literal["swagger-ui-bundle.js", "swagger-ui.css", "redoc.standalone.js", "favicon.png"],
) -> Response:
    return FileResponse(_ASSETS / name, headers={"Cache-Control": "public, max-age=86400"})
