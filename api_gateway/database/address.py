"""One database address in the settings, two spellings of it: libpq's and SQLAlchemy's."""

from __future__ import annotations

from sqlalchemy import URL, make_url

from mofsim_settings import Settings


class DatabaseAddressError(ValueError):
    """No database is named in the settings, or the address is not one of PostgreSQL."""


def database_url(settings: Settings) -> str:
    """Address of our database; the running stack writes the embedded server's into the settings.

    Raises
    ------
    DatabaseAddressError
        When no stack is running and no database is configured.
    """
    url = settings.database.url.get_secret_value()
    if not url:
        raise DatabaseAddressError("no database: start the stack or set database.url")
    return url


def sqlalchemy_url(url: str) -> URL:
    """`postgresql://…` (or `postgresql+psycopg://…`) for SQLAlchemy with psycopg 3."""
    parsed = make_url(url)
    if parsed.get_backend_name() != "postgresql":
        raise DatabaseAddressError("database.url must begin with postgresql://")
    return parsed.set(drivername="postgresql+psycopg")


def libpq_url(url: str) -> str:
    """The same address for psycopg itself."""
    return sqlalchemy_url(url).set(drivername="postgresql").render_as_string(hide_password=False)
