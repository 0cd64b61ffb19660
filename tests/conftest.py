"""Fixtures of every folder: one PostgreSQL, one Prefect server, one execution side for the session."""

pytest_plugins = ["tests.fixtures.execution", "tests.fixtures.postgres", "tests.fixtures.prefect"]
