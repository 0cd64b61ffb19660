"""The API's documents: OpenAPI with examples, the pages that show it, the page of error codes."""

from __future__ import annotations

from fastapi import FastAPI

from api_gateway.documentation import openapi, pages

__all__ = ["install"]


def install(app: FastAPI) -> None:
    """Serve `/docs`, `/redoc` and `/docs/errors`, and complete `/openapi.json`."""
    openapi.complete(app)
    app.include_router(pages.router)
