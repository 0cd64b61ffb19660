"""Clients of the gateway, and what they saw.

They share the cores with the server, so they speak HTTP by hand over connections kept open: a whole
client library would take more time than the gateway does.
"""

from __future__ import annotations

import asyncio
import json
import random
import time
from collections import defaultdict
from collections.abc import Awaitable, Callable
from dataclasses import dataclass, field
from typing import Any

KINDS = {"status": 45, "list": 25, "logs": 20, "submit": 10}
"""Of a hundred requests."""
_SUBMISSION = {"model": "sevennet_prod", "structure": {"source": "builtin", "name": "MOF-5"}}
_LISTS = (
    "/tasks",
    "/tasks?status=COMPLETED",
    "/tasks?status=QUEUED&page_size=50",
    "/tasks?tag=screening-7",
    "/tasks?model=mace_prod&task_type=stability",
)
Samples = dict[str, list[float]]


@dataclass
class Connection:
    """One connection to the gateway, kept open."""

    port: int
    key: str
    _streams: tuple[asyncio.StreamReader, asyncio.StreamWriter] | None = field(init=False, default=None)

    async def ask(self, method: str, path: str, body: Any = None) -> dict[str, Any]:
        """Send a request and read its answer.

        Raises
        ------
        RuntimeError
            For an answer that is no success.
        """
        reader, _ = await self.send(method, path, body)
        status, headers = await read_head(reader)
        content = await reader.readexactly(int(headers["content-length"]))
        if status not in (200, 202):
            raise RuntimeError(f"{method} {path} was answered {status}: {content[:300]!r}")
        # Reading the document is the client's work, not the server's: left to those who need it.
        return {"status": status, "content": content}

    async def send(
        self, method: str, path: str, body: Any = None
    ) -> tuple[asyncio.StreamReader, asyncio.StreamWriter]:
        if self._streams is None:
            self._streams = await asyncio.open_connection("127.0.0.1", self.port)
        content = b"" if body is None else json.dumps(body).encode()
        head = (
            f"{method} /api/v1{path} HTTP/1.1\r\nHost: 127.0.0.1\r\nX-API-Key: {self.key}\r\n"
            f"Content-Type: application/json\r\nContent-Length: {len(content)}\r\n\r\n"
        )
        self._streams[1].write(head.encode() + content)
        return self._streams

    def close(self) -> None:
        if self._streams is not None:
            self._streams[1].close()


async def read_head(reader: asyncio.StreamReader) -> tuple[int, dict[str, str]]:
    """Status and headers of an answer."""
    head = (await reader.readuntil(b"\r\n\r\n")).decode("latin-1")
    first, *lines = head.strip().split("\r\n")
    headers = dict(line.lower().split(": ", 1) for line in lines)
    return int(first.split()[1]), headers


class Load:
    """Clients at work for some seconds.

    Parameters
    ----------
    task_ids
        Tasks to ask about.
    cursors
        Places in the list of tasks, near and far.
    """

    def __init__(self, port: int, key: str, clients: int, task_ids: list[str], cursors: list[str]) -> None:
        self._port, self._key, self._clients = port, key, clients
        self._task_ids, self._cursors = task_ids, cursors
        self._random = random.Random(7)  # noqa: S311 - no secret
        self.samples: Samples = defaultdict(list)

    async def closed(self, seconds: float) -> Samples:
        """Each client asks again as soon as it is answered."""

        async def client(connection: Connection) -> None:
            end = time.perf_counter() + seconds
            while (began := time.perf_counter()) < end:
                await self._one(connection, began)

        return await self._all(client)

    async def open(self, seconds: float, per_second: float) -> Samples:
        """Requests are due at random moments; one that is answered late delays no other's clock."""

        async def client(connection: Connection) -> None:
            end = time.perf_counter() + seconds
            due = time.perf_counter()
            while (due := due + self._random.expovariate(per_second / self._clients)) < end:
                await asyncio.sleep(max(due - time.perf_counter(), 0.0))
                await self._one(connection, due)

        return await self._all(client)

    async def _all(self, client: Callable[[Connection], Awaitable[None]]) -> Samples:
        self.samples = defaultdict(list)
        connections = [Connection(self._port, self._key) for _ in range(self._clients)]
        try:
            await asyncio.gather(*map(client, connections))
        finally:
            for connection in connections:
                connection.close()
        return self.samples

    async def _one(self, connection: Connection, began: float) -> None:
        (kind,) = self._random.choices(list(KINDS), list(KINDS.values()))
        task_id = self._random.choice(self._task_ids)
        match kind:
            case "status":
                await connection.ask("GET", f"/tasks/{task_id}")
            case "logs":
                await connection.ask("GET", f"/tasks/{task_id}/logs")
            case "submit":
                await connection.ask("POST", "/tasks/single-point-energy", _SUBMISSION)
            case _:
                cursors = [f"/tasks?cursor={cursor}" for cursor in self._cursors]
                await connection.ask("GET", self._random.choice([*_LISTS, *cursors]))
        self.samples[kind].append(time.perf_counter() - began)


async def hold_streams(port: int, key: str, task_ids: list[str], look: Callable[[], float]) -> float:
    """Open a stream of each task, see its first event, and return what `look` says meanwhile."""
    connections = [Connection(port, key) for _ in task_ids]

    async def first_event(connection: Connection, task_id: str) -> None:
        reader, _ = await connection.send("GET", f"/tasks/{task_id}/events")
        status, _ = await read_head(reader)
        if status != 200:
            raise RuntimeError(f"a stream was answered {status}")
        await reader.readuntil(b"\n\n")

    try:
        await asyncio.gather(*map(first_event, connections, task_ids))
        return look()
    finally:
        for connection in connections:
            connection.close()
