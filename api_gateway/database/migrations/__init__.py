"""Bring a database to the present schema; several processes may try at the same time."""

from __future__ import annotations

from pathlib import Path
from typing import cast

import psycopg
from alembic import command, op
from alembic.config import Config
from sqlalchemy import create_engine, text

from api_gateway.database.address import sqlalchemy_url

_LOCK = 0x6D6F6673696D0001
"""Key of the advisory lock that migrations hold; 'mofsim' and a number."""

HERE = Path(__file__).parent


def upgrade(url: str) -> None:
    """Apply what is missing.

    Parameters
    ----------
    url
        `postgresql://…` as in the settings. The database must exist.
    """
    engine = create_engine(sqlalchemy_url(url))
    try:
        with engine.begin() as connection:
            connection.execute(text("SELECT pg_advisory_xact_lock(:key)"), {"key": _LOCK})
            command.upgrade(configuration(connection), "head")
    finally:
        engine.dispose()


def configuration(connection: object) -> Config:
    """Alembic's configuration around an open connection."""
    config = Config()
    config.set_main_option("script_location", str(HERE))
    config.attributes["connection"] = connection
    return config


def run_sql(name: str) -> None:
    """Run a file of `migrations/sql`, as a migration's step.

    Through the driver itself: it takes many statements at once and leaves `%` and `:` alone.
    """
    statements = (HERE / "sql" / f"{name}.sql").read_text(encoding="utf-8")
    driver_connection = cast("psycopg.Connection", op.get_bind().connection.driver_connection)
    driver_connection.execute(statements.encode())
