"""No request body beyond its limit, whether it announces its length or not."""

from __future__ import annotations

from starlette.datastructures import Headers
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from api_gateway.error_handlers import render
from api_gateway.errors import FileTooLargeError
from mof_benchmark.errors import MofsimError

MULTIPART_OVERHEAD_BYTES = 64 * 1024
"""Boundaries, part headers and small text parts around a file."""


class BodySize:
    """Refuses (40004) bodies above `upload_bytes` for multipart and `json_bytes` for the rest."""

    def __init__(self, app: ASGIApp, json_bytes: int, upload_bytes: int) -> None:
        self.app = app
        self.json_bytes = json_bytes
        self.upload_bytes = upload_bytes + MULTIPART_OVERHEAD_BYTES

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http":
            await self.app(scope, receive, send)
            return
        headers = Headers(scope=scope)
        multipart = headers.get("content-type", "").startswith("multipart/form-data")
        limit = self.upload_bytes if multipart else self.json_bytes
        announced = headers.get("content-length", "")
        if announced.isdigit() and int(announced) > limit:
            await render(self._refusal(limit))(scope, receive, send)
            return
        received = 0

        async def counted() -> Message:
            nonlocal received
            message = await receive()
            if message["type"] == "http.request":
                received += len(message.get("body", b""))
                if received > limit:
                    raise self._refusal(limit)
            return message

        await self.app(scope, counted, send)

    @staticmethod
    def _refusal(limit: int) -> MofsimError:
        return FileTooLargeError(f"The body is larger than {limit} bytes")
