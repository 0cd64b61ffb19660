"""The pool of connections."""

from __future__ import annotations

import asyncio

from sqlalchemy import text

from api_gateway.database import Database
from tests.api_gateway.tasks_for_tests import Sql


async def _ask(database: Database) -> int:
    async with database.reading() as reading, database.begin() as writing:
        await asyncio.sleep(0.05)  # so that as many connections are out as there are askers
        return int(await reading.scalar(text("SELECT 3")) or 0) + int(await writing.scalar(text("SELECT 4")))


def test_connections_that_the_server_closed_cost_no_request_an_error(database_url: str) -> None:
    asyncio.run(_survive(database_url))


async def _survive(database_url: str) -> None:
    database = Database(database_url, pool_size=4)
    sql = Sql.connect(database_url)
    ours = " FROM pg_stat_activity WHERE datname = current_database() AND application_name = 'mofsim-gateway'"
    try:
        assert await asyncio.gather(_ask(database), _ask(database)) == [7, 7]
        assert sql.row("SELECT count(pg_terminate_backend(pid)) AS n" + ours)["n"] == 4
        while sql.rows("SELECT 1 AS one" + ours):
            await asyncio.sleep(0.02)
        assert await asyncio.gather(_ask(database), _ask(database)) == [7, 7]
    finally:
        sql.connection.close()
        await database.close()
