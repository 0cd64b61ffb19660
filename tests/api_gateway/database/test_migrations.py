"""Migrations and models describe one schema."""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor

import psycopg
from alembic.autogenerate import compare_metadata
from alembic.migration import MigrationContext
from sqlalchemy import CheckConstraint, create_engine

from api_gateway.database import sqlalchemy_url, upgrade
from api_gateway.database.models import Base


def test_migrations_reproduce_the_models(database_url: str) -> None:
    engine = create_engine(sqlalchemy_url(database_url))
    with engine.connect() as connection:
        context = MigrationContext.configure(
            connection, opts={"compare_type": True, "compare_server_default": True}
        )
        differences = compare_metadata(context, Base.metadata)
    engine.dispose()
    assert differences == []


def test_every_check_of_the_models_is_in_the_database(database_url: str) -> None:
    """Alembic compares no check constraints, and the state machine leans on them."""
    declared = {
        constraint.name
        for table in Base.metadata.tables.values()
        for constraint in table.constraints
        if isinstance(constraint, CheckConstraint)
    }
    with psycopg.connect(database_url) as connection:
        rows = connection.execute(
            "SELECT conname FROM pg_constraint WHERE contype = 'c' AND connamespace = 'public'::regnamespace"
        ).fetchall()
    assert declared == {name for (name,) in rows}


def test_processes_that_upgrade_at_the_same_time_do_it_once(empty_database_url: str) -> None:
    with ThreadPoolExecutor(4) as threads:
        list(threads.map(upgrade, [empty_database_url] * 4))
    with psycopg.connect(empty_database_url) as connection:
        assert connection.execute("SELECT count(*) FROM alembic_version").fetchone() == (1,)
        assert connection.execute("SELECT count(*) FROM tasks").fetchone() == (0,)
