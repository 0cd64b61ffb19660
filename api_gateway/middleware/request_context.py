"""Request id, language, access log, security and rate headers, and the last net for errors.

One pure ASGI middleware: it sees streams as they are (no buffering), and its headers are on
every answer, that to an unexpected exception included.
"""

from __future__ import annotations

import time

import structlog
from starlette.datastructures import Headers, MutableHeaders
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from api_gateway import context
from api_gateway.error_handlers import render, translate
from api_gateway.latency import Latency
from api_gateway.metrics import instruments
from api_gateway.tracing import Tracing, finish

SECURITY_HEADERS = {
    # An answer is data: whatever a browser takes it for, it loads and runs nothing.
    "Content-Security-Policy": "default-src 'none'; frame-ancestors 'none'",
    "X-Content-Type-Options": "nosniff",
    "X-Frame-Options": "DENY",
    "Referrer-Policy": "no-referrer",
    "Cross-Origin-Resource-Policy": "same-origin",
}
NO_STORE = {"Cache-Control": "no-store"}
PROBES = ("/health/live", "/health/ready")
"""Asked every few seconds, for ever: an answer that all is well is no line of the log."""
access_log = structlog.get_logger("access")


class RequestContext:
    """Gives each request its id and language, and each answer its headers."""

    def __init__(
        self, app: ASGIApp, default_language: context.Language, latency: Latency, tracing: Tracing
    ) -> None:
        self.app = app
        self.default_language = default_language
        self.latency = latency
        self.tracing = tracing

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http":
            await self.app(scope, receive, send)
            return
        headers = Headers(scope=scope)
        request_id = context.choose_request_id(headers.get("x-request-id"))
        context.request_id.set(request_id)
        context.language.set(context.choose_language(headers.get("accept-language"), self.default_language))
        structlog.contextvars.clear_contextvars()
        structlog.contextvars.bind_contextvars(request_id=request_id)
        state = scope.setdefault("state", {})
        started = time.perf_counter()
        status = 0

        async def send_with_headers(message: Message) -> None:
            nonlocal status
            if message["type"] == "http.response.start":
                status = message["status"]
                # To the first byte: a stream lasts as long as its reader wishes.
                seconds = time.perf_counter() - started
                self.latency.add(seconds)
                # The template, not the path: a metric for each task would be endless.
                instruments.api_seconds.labels(scope["method"], _route(scope), status).observe(seconds)
                answer = MutableHeaders(scope=message)
                answer["X-Request-ID"] = request_id
                for name, value in (SECURITY_HEADERS | NO_STORE | state.get("rate_headers", {})).items():
                    answer.setdefault(name, value)
            await send(message)

        with self.tracing.request(scope["method"], headers, request_id) as span:
            try:
                await self.app(scope, receive, send_with_headers)
            except Exception as error:
                if status:
                    raise
                await render(translate(error))(scope, receive, send_with_headers)
            finally:
                finish(span, scope["method"], _route(scope), status)
                if status != 200 or not scope["path"].endswith(PROBES):
                    access_log.info(
                        "request",
                        method=scope["method"],
                        path=scope["path"],
                        status=status,
                        duration_ms=round((time.perf_counter() - started) * 1000, 2),
                    )


def _route(scope: Scope) -> str:
    """The template of the route that was found: `/tasks/{task_id}`."""
    return getattr(scope.get("route"), "path", "none")
