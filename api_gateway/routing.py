"""What every operation declares: the scope it needs and the codes it may answer."""

from __future__ import annotations

from collections.abc import Callable, Coroutine
from typing import Annotated, Any, cast

from fastapi import Depends, Request, Security
from fastapi.routing import APIRoute
from fastapi.security import APIKeyHeader, HTTPBearer
from starlette.responses import Response

from api_gateway.auth.credentials import Scope
from api_gateway.auth.guard import Caller
from api_gateway.envelope import ErrorEnvelope
from api_gateway.errors import CODES
from api_gateway.services import Services

_bearer = HTTPBearer(auto_error=False, scheme_name="Bearer", description="`Authorization: Bearer <key>`")
_header = APIKeyHeader(name="X-API-Key", auto_error=False, scheme_name="ApiKey")
_ALWAYS = (10001, 10002, 20001, 20002, 20003, 20004, 40002, 40029)
_PUBLIC = (10001, 10002)


class Requires:
    """Marks an operation with the scope it needs; `GuardedRoute` checks it."""

    def __init__(self, scope: Scope) -> None:
        self.scope = scope

    async def __call__(
        self, bearer: Annotated[Any, Security(_bearer)], header: Annotated[Any, Security(_header)]
    ) -> None:
        """Only declares the key in OpenAPI: the check has run before the body was read."""


class GuardedRoute(APIRoute):
    """Checks key, rate and scope before a byte of the body is read."""

    def get_route_handler(self) -> Callable[[Request], Coroutine[Any, Any, Response]]:
        handle = super().get_route_handler()
        scopes = [
            depends.dependency.scope
            for depends in self.dependencies
            if isinstance(depends.dependency, Requires)
        ]

        async def guarded(request: Request) -> Response:
            for scope in scopes:
                await (await services(request)).guard.admit(request, scope)
            return await handle(request)

        return guarded


# Coroutines, though they wait for nothing: FastAPI would run plain functions in a thread each time.
async def services(request: Request) -> Services:
    """What the application started, for the endpoints."""
    return cast(Services, request.app.state.services)


async def caller(request: Request) -> Caller:
    """The key the request came with."""
    return cast(Caller, request.state.key)


Using = Annotated[Services, Depends(services)]
By = Annotated[Caller, Depends(caller)]


def operation(
    scope: Scope | None, *codes: int, answers: dict[int | str, dict[str, Any]] | None = None
) -> dict[str, Any]:
    """Arguments of a route.

    Parameters
    ----------
    scope
        What a key needs; None: no key is needed.
    codes
        Codes the operation may answer besides those that every operation may.
    answers
        Answers to describe that are not the usual envelope.
    """
    by_status: dict[int, list[int]] = {}
    for code in sorted({*codes, *(_ALWAYS if scope else _PUBLIC)}):
        by_status.setdefault(CODES[code].status, []).append(code)
    return {
        "dependencies": [Depends(Requires(scope))] if scope else [],
        "responses": (answers or {}) | {status: _answer(group) for status, group in by_status.items()},
    }


def event_stream(*events: str) -> dict[str, Any]:
    """The content of an answer that is a stream of server-sent events, described event by event."""
    data = {"type": "string", "description": "A JSON document."}
    fields = {"id": {"type": "string"}, "event": {"type": "string", "enum": list(events)}, "data": data}
    return {"text/event-stream": {"schema": {"type": "object", "properties": fields, "required": ["event"]}}}


def _answer(codes: list[int]) -> dict[str, Any]:
    return {
        "model": ErrorEnvelope,
        "description": "; ".join(f"{code} {CODES[code].message_en}" for code in codes),
        "content": {
            "application/json": {
                "examples": {
                    str(code): {"summary": CODES[code].message_en, "value": _example(code)} for code in codes
                }
            }
        },
    }


def _example(code: int) -> dict[str, Any]:
    kind = CODES[code]
    return {
        "success": False,
        "code": code,
        "message": kind.message_en,
        "error": {"type": kind.__name__, "detail": kind.message_en, "field": None},
        "timestamp": "2026-01-30T10:00:00.000Z",
        "request_id": "req_abc123",
    }
