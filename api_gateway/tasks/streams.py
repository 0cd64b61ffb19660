"""Server-sent events of a task: resumable, with heartbeats, woken by the database."""

from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncIterator
from typing import Any

from api_gateway.database import Database
from api_gateway.database.models import TaskStatus
from api_gateway.listener import TaskListener
from api_gateway.tasks import repository

HEARTBEAT_SECONDS = 15.0
_BATCH = 500
HEADERS = {"Cache-Control": "no-cache", "X-Accel-Buffering": "no"}
"""Proxies must not hold events back."""


def encode(event: str, data: Any, event_id: int | None = None) -> bytes:
    """One event in the wire format (WHATWG HTML, 9.2)."""
    head = f"id: {event_id}\n" if event_id is not None else ""
    text = json.dumps(data, ensure_ascii=False, separators=(",", ":"))
    return f"{head}event: {event}\ndata: {text}\n\n".encode()


def parse_last_event_id(value: str | None) -> int:
    """Where a stream resumes; an id that is not ours starts at the beginning."""
    return int(value) if value is not None and value.isdecimal() and len(value) < 19 else 0


async def task_events(
    database: Database, listener: TaskListener, task_id: str, *, after: int, level: str
) -> AsyncIterator[bytes]:
    """`log`, `status` and `progress` after event number `after`, then `end`.

    The numbers are drawn under the lock of the task's row, so a stream that resumes where another
    broke off neither loses nor repeats an event.
    """
    with listener.subscribe(task_id) as news:
        while not listener.closing:
            news.clear()
            async with database.reading() as session:
                # Read before the events: when it says ended, they are complete.
                status = await repository.status(session, task_id)
                events = await repository.events(session, task_id, after=after, level=level, limit=_BATCH)
            for event in events:
                after = event.id
                yield encode(event.kind, event.data, event.id)
            if len(events) == _BATCH:
                continue
            if status is None or status.ended:
                yield encode("end", _end(task_id, status), after)
                return
            try:
                async with asyncio.timeout(HEARTBEAT_SECONDS):
                    await news.wait()
            except TimeoutError:
                yield b": heartbeat\n\n"


def _end(task_id: str, status: TaskStatus | None) -> dict[str, Any]:
    return {"task_id": task_id, "status": status.value if status is not None else "DELETED"}
