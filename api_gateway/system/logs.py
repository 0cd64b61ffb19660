"""The stream of this process's log."""

from __future__ import annotations

import asyncio
import json
import time
from collections.abc import AsyncIterator
from typing import Any

from api_gateway.listener import TaskListener
from api_gateway.log_ring import LogRing
from api_gateway.routing import event_stream

_HEARTBEAT_SECONDS = 15.0
_LOOK_SECONDS = 1.0
"""How soon a stream notices that the process is about to stop."""
ANSWER: dict[int | str, dict[str, Any]] = {
    200: {
        "description": "Events `log`.",
        "content": event_stream("log"),
    }
}


async def stream(ring: LogRing, listener: TaskListener) -> AsyncIterator[bytes]:
    """The latest lines and all that follow."""
    with ring.watch() as lines:
        last_sign = time.monotonic()
        while not listener.closing:
            try:
                async with asyncio.timeout(_LOOK_SECONDS):
                    line = await lines.get()
            except TimeoutError:
                if time.monotonic() - last_sign > _HEARTBEAT_SECONDS:
                    last_sign = time.monotonic()
                    yield b": heartbeat\n\n"
                continue
            text = json.dumps(line, ensure_ascii=False, default=str)
            yield f"event: log\ndata: {text}\n\n".encode()
