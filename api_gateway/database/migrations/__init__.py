"""Bring a database to the present schema; several processes may try at the same time."""

from __future__ import annotations

from pathlib import Path
from typing import cast

import psycopg
from alembic import command, op
from alembic.config import Config
from alembic.migration import MigrationContext
from alembic.script import ScriptDirectory
from sqlalchemy import Connection, create_engine, text

from api_gateway.database.address import sqlalchemy_url

_LOCK = 0x6D6F6673696D0001
"""Key of the advisory lock that migrations hold; 'mofsim' and a number."""

HERE = Path(__file__).parent


class SchemaTooNewError(RuntimeError):
    """A later version of mofsim has upgraded this database."""


def upgrade(url: str, revision: str = "head") -> None:
    """Apply what is missing.

    Parameters
    ----------
    url
        `postgresql://…` as in the settings. The database must exist.
    revision
        How far; tests make databases of earlier versions by it.

    Raises
    ------
    SchemaTooNewError
        When this version does not know the database's schema; nothing is changed.
    """
    engine = create_engine(sqlalchemy_url(url))
    try:
        with engine.begin() as connection:
            connection.execute(text("SELECT pg_advisory_xact_lock(:key)"), {"key": _LOCK})
            config = configuration(connection)
            _refuse_later_schema(connection, config)
            command.upgrade(config, revision)
    finally:
        engine.dispose()


def _refuse_later_schema(connection: Connection, config: Config) -> None:
    present = MigrationContext.configure(connection).get_current_revision()
    known = {script.revision for script in ScriptDirectory.from_config(config).walk_revisions()}
    if present is not None and present not in known:
        raise SchemaTooNewError(
            f"The database has schema {present}, which this version of mofsim does not know. "
            "Install the version that made it, or restore the backup from before that upgrade."
        )


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
