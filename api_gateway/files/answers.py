"""A stored file as an answer, its refusals in the envelope like all others."""

from __future__ import annotations

from starlette.datastructures import Headers
from starlette.responses import FileResponse
from starlette.types import Message, Receive, Scope, Send

from api_gateway.errors import RangeRefusedError
from mof_benchmark.errors import InvalidParameterError


class Download(FileResponse):
    """A file, whole or in parts.

    Starlette answers a `Range` that it cannot serve in plain text, before anything else is sent.

    Raises
    ------
    RangeRefusedError
        When the file has no such part.
    InvalidParameterError
        When a part ends before it begins.
    """

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        async def send_unless_refused(message: Message) -> None:
            status = message.get("status")
            if status == 416:
                size = Headers(raw=message["headers"])["content-range"]
                raise RangeRefusedError("The file has no such part", content_range=size)
            if status == 400:
                raise InvalidParameterError("A part must not end before it begins", field="Range")
            await send(message)

        await super().__call__(scope, receive, send_unless_refused)
