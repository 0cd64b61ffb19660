"""Connections to PostgreSQL: pooled sessions, and lone connections that listen or hold a lock."""

from __future__ import annotations

import select
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any, cast

import psycopg
from psycopg import sql
from sqlalchemy import AsyncAdaptedQueuePool, Engine, event
from sqlalchemy.exc import DisconnectionError
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
            connect_args={"application_name": "mofsim-gateway", "connect_timeout": 5},
        )
        _test_before_use(self._engine.sync_engine)
        self.sessions = async_sessionmaker(self._engine, expire_on_commit=False)
        self._readers = async_sessionmaker(
            self._engine.execution_options(isolation_level="AUTOCOMMIT"),
            expire_on_commit=False,
            autoflush=False,
        )

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
    async def reading(self) -> AsyncIterator[AsyncSession]:
        """A session that only reads, without a transaction around it: two round trips less.

        Every statement sees what was committed before it, as it would within a transaction of
        PostgreSQL's usual level.
        """
        async with self._readers() as session:
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


def _test_before_use(engine: Engine) -> None:
    """A restarted server must not cost the next request an error.

    A server that leaves closes the connection, and then there is something to read from it. So a
    look at the socket tells what SQLAlchemy's `pool_pre_ping` asks in a round trip each time.
    """

    @event.listens_for(engine, "checkout")
    def look(dbapi_connection: Any, *_: Any) -> None:
        if not _has_news(dbapi_connection.driver_connection):
            return
        try:
            engine.dialect.do_ping(dbapi_connection)
        except psycopg.Error as error:
            raise DisconnectionError from error


def _has_news(connection: psycopg.AsyncConnection) -> bool:
    """Whether an idle connection has something to read, or is closed already."""
    try:
        poll = select.poll()
        poll.register(connection.fileno(), select.POLLIN)
        return bool(poll.poll(0))
    except psycopg.Error:
        return True
