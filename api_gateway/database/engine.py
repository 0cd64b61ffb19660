"""Connections to PostgreSQL: pooled sessions, and lone connections that listen or hold a lock."""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import cast

import psycopg
from psycopg import sql
from sqlalchemy import AsyncAdaptedQueuePool
from sqlalchemy.ext.asyncio import AsyncSession, async_sessionmaker, create_async_engine

from api_gateway.database.address import database_url, libpq_url, sqlalchemy_url
from mofsim_settings import Settings


class Database:
    """The gateway's database. Nothing is connected before it is used.

    Parameters
    ----------
    url
        `postgresql://…`
    pool_size
        Connections kept open; half as many more are allowed in a rush.
    pool_timeout_seconds
        Longest wait for a free connection, s.
    """

    def __init__(self, url: str, *, pool_size: int = 10, pool_timeout_seconds: float = 10.0) -> None:
        self.url = url
        self._engine = create_async_engine(
            sqlalchemy_url(url),
            pool_size=pool_size,
            max_overflow=pool_size // 2,
            pool_timeout=pool_timeout_seconds,
            # A restarted server must not cost the next request an error.
            pool_pre_ping=True,
            connect_args={"application_name": "mofsim-gateway", "connect_timeout": 5},
        )
        self.sessions = async_sessionmaker(self._engine, expire_on_commit=False)

    @classmethod
    def from_settings(cls, settings: Settings) -> Database:
        return cls(
            database_url(settings),
            pool_size=settings.database.pool_size,
            pool_timeout_seconds=settings.database.pool_timeout_seconds,
        )

    @asynccontextmanager
    async def begin(self) -> AsyncIterator[AsyncSession]:
        """A session in one transaction, committed at the end of the block."""
        async with self.sessions() as session, session.begin():
            yield session

    @asynccontextmanager
    async def connection(
        self, *channels: str, application_name: str = "mofsim-listener"
    ) -> AsyncIterator[psycopg.AsyncConnection]:
        """A connection of its own outside the pool, in autocommit, listening on `channels`.

        `async for note in connection.notifies(): note.channel, note.payload`
        """
        connection = await psycopg.AsyncConnection.connect(
            libpq_url(self.url),
            autocommit=True,
            connect_timeout=5,
            application_name=application_name,
            # A listener on a dead network path would otherwise wait for ever.
            keepalives_idle=10,
            keepalives_interval=5,
            keepalives_count=3,
        )
        try:
            for channel in channels:
                await connection.execute(sql.SQL("LISTEN {}").format(sql.Identifier(channel)))
            yield connection
        finally:
            await connection.close()

    def pool(self) -> dict[str, int]:
        """Connections of the pool by state."""
        pool = cast(AsyncAdaptedQueuePool, self._engine.pool)
        return {"in_use": pool.checkedout(), "idle": pool.checkedin()}

    async def close(self) -> None:
        await self._engine.dispose()
