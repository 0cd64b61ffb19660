"""Errors become answers here, and only here."""

from __future__ import annotations

import difflib
import errno
from collections.abc import Iterable, Sequence
from datetime import UTC, datetime
from typing import Any, cast

import structlog
from fastapi import FastAPI, Request
from fastapi.exceptions import RequestValidationError
from fastapi.routing import APIRoute
from sqlalchemy.exc import DataError, DBAPIError, InterfaceError, OperationalError
from sqlalchemy.exc import TimeoutError as PoolTimeoutError
from starlette.exceptions import HTTPException
from starlette.responses import Response

from api_gateway import context
from api_gateway.envelope import ErrorDetail, ErrorEnvelope, ItemError
from api_gateway.errors import (
    BatchRefusedError,
    DatabaseUnavailableError,
    InternalError,
    MalformedBodyError,
    MethodNotAllowedError,
    RouteNotFoundError,
    StorageError,
)
from api_gateway.fields import names_at
from mof_benchmark.errors import InvalidParameterError, MofsimError

_STORAGE_ERRNOS = {errno.ENOSPC, errno.EDQUOT, errno.EIO, errno.EROFS}
_SHAPE_ERRORS = {"json_invalid", "model_attributes_type", "dict_type", "model_type", "missing"}
log = structlog.get_logger("gateway")


def render(error: MofsimError) -> Response:
    """The answer for `error`, in the language of the request."""
    language = context.language.get()
    items = None
    if isinstance(error, BatchRefusedError):
        items = [
            ItemError(
                index=index,
                code=item.code,
                message=item.message(language),
                detail=item.detail,
                field=item.field,
            )
            for index, item in error.errors
        ]
    body = ErrorEnvelope(
        code=error.code,
        message=error.message(language),
        error=ErrorDetail(type=type(error).__name__, detail=error.detail, field=error.field, errors=items),
        timestamp=datetime.now(UTC),
        request_id=context.request_id.get(),
    )
    # `errors` belongs to batches alone: elsewhere it would only be noise.
    exclude = None if items else {"error": {"errors"}}
    return Response(
        body.model_dump_json(exclude=exclude),
        status_code=error.status,
        media_type="application/json",
        headers=getattr(error, "headers", None),
    )


def translate(error: Exception) -> MofsimError:
    """The error a client should see for any exception; unknown ones are logged and hidden."""
    if isinstance(error, MofsimError):
        return error
    if isinstance(error, DataError):
        return InvalidParameterError("A value cannot be stored (a NUL character, or out of range)")
    if isinstance(error, (OperationalError, InterfaceError, PoolTimeoutError)) or (
        isinstance(error, DBAPIError) and error.connection_invalidated
    ):
        log.error("database unavailable", error=type(error).__name__)
        return DatabaseUnavailableError("The database does not answer; try again shortly")
    if isinstance(error, OSError) and error.errno in _STORAGE_ERRNOS:
        log.error("storage failing", errno=error.errno)
        return StorageError("The storage is full or failing")
    log.error("internal error", exc_info=error)
    return InternalError("The gateway failed; the request id finds the reason in its log")


def field_path(loc: Sequence[int | str]) -> str | None:
    """`('body', 'tasks', 3, 'parameters', 'fmax')` → `tasks[3].parameters.fmax`."""
    path = ""
    for part in loc[1:]:
        if isinstance(part, int):
            path += f"[{part}]"
        else:
            path += f".{part}" if path else part
    return path or None


def explain(error: dict[str, Any], checked: dict[str, Any]) -> MofsimError:
    """One validation error in the words of the contract.

    Parameters
    ----------
    error
        As pydantic gives it.
    checked
        The types that `body` and `query` were checked against, where they are known.
    """
    loc: tuple[int | str, ...] = tuple(error["loc"])
    kind = str(error["type"])
    if kind in _SHAPE_ERRORS and loc[:1] == ("body",) and (len(loc) == 1 or kind == "json_invalid"):
        if kind == "json_invalid":
            return MalformedBodyError(f"Not JSON: {error['ctx']['error']} at character {loc[-1]}")
        return MalformedBodyError("A JSON object is needed, with Content-Type: application/json")
    plain, known = names_at(checked.get(str(loc[0])), loc)
    detail = str(error["msg"]).removeprefix("Value error, ")
    if kind == "extra_forbidden":
        name = str(loc[-1])
        near = difflib.get_close_matches(name, known, n=1, cutoff=0.5)
        hint = f"did you mean `{near[0]}`?" if near else f"known: {', '.join(sorted(known))}"
        detail = f"Unknown field `{name}`; {hint}"
    return InvalidParameterError(detail, field=field_path(plain))


def explain_all(errors: Iterable[dict[str, Any]], checked: dict[str, Any]) -> MofsimError:
    """The answer for a refused request: the first error, or for a batch those of every task."""
    explained = [(tuple(error["loc"]), explain(error, checked)) for error in errors]
    per_task = [
        (int(loc[2]), error) for loc, error in explained if len(loc) > 2 and loc[:2] == ("body", "tasks")
    ]
    if per_task and len(per_task) == len(explained):
        return BatchRefusedError(per_task)
    return explained[0][1]


def _types_checked(request: Request) -> dict[str, Any]:
    """The types that the request's body and its query were checked against."""
    route = request.scope.get("route")
    if not isinstance(route, APIRoute):
        return {}
    query = route.dependant.query_params
    return {
        "body": route.body_field.field_info.annotation if route.body_field is not None else None,
        "query": query[0].field_info.annotation if len(query) == 1 else None,
    }


async def _on_error(request: Request, error: Exception) -> Response:
    return render(translate(error))


async def _on_invalid_request(request: Request, error: Exception) -> Response:
    return render(explain_all(cast(RequestValidationError, error).errors(), _types_checked(request)))


async def _on_http_exception(request: Request, error: Exception) -> Response:
    refused = cast(HTTPException, error)
    if isinstance(refused.__cause__, MofsimError):
        # FastAPI wraps whatever goes wrong while it reads a body.
        return render(refused.__cause__)
    if refused.status_code == 404:
        return render(RouteNotFoundError(f"No route {request.method} {request.url.path}"))
    if refused.status_code == 405:
        response = render(MethodNotAllowedError(f"{request.method} is not allowed here"))
        response.headers.update(refused.headers or {})
        return response
    return render(MalformedBodyError(str(refused.detail)))


def install(app: FastAPI) -> None:
    """Render every error of `app` through this module."""
    app.add_exception_handler(MofsimError, _on_error)
    app.add_exception_handler(DBAPIError, _on_error)
    app.add_exception_handler(PoolTimeoutError, _on_error)
    app.add_exception_handler(OSError, _on_error)
    app.add_exception_handler(RequestValidationError, _on_invalid_request)
    app.add_exception_handler(HTTPException, _on_http_exception)
