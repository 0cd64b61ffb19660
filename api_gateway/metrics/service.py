"""One answer for Prometheus."""

from __future__ import annotations

import asyncio

from prometheus_client import CollectorRegistry, generate_latest
from sqlalchemy.exc import SQLAlchemyError

from api_gateway.metrics import snapshot
from api_gateway.metrics.sharing import counted
from api_gateway.metrics.snapshot import Family, Snapshot
from api_gateway.services import Services

_DATABASE_SECONDS = 5.0


class Metrics:
    """Collects what this process counted and what the database knows."""

    def __init__(self, services: Services) -> None:
        self._services = services
        self._one_at_a_time = asyncio.Lock()

    async def text(self) -> bytes:
        """Prometheus's text format. Without the database: what needs none, and `mofsim_database_up 0`."""
        async with self._one_at_a_time:
            try:
                async with asyncio.timeout(_DATABASE_SECONDS), self._services.database.reading() as session:
                    families = await snapshot.read(session, self._services.settings)
                up = 1.0
            except (TimeoutError, SQLAlchemyError, OSError):
                families, up = [], 0.0
        registry = CollectorRegistry(auto_describe=False)
        registry.register(Snapshot([*families, *self._process_families(up)]))
        return generate_latest(counted()) + generate_latest(registry)

    def _process_families(self, database_up: float) -> list[Family]:
        pool = self._services.database.pool()
        return [
            Family("mofsim_database_up", "Whether the database answers.", (), [((), database_up)]),
            Family(
                "mofsim_database_connections",
                "Connections of this process's pool.",
                ("state",),
                [((state,), float(number)) for state, number in pool.items()],
            ),
        ]
