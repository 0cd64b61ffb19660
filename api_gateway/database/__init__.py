"""The database: tables, migrations, sessions, and encryption of what must stay secret in it."""

from api_gateway.database.address import DatabaseAddressError, database_url, libpq_url, sqlalchemy_url
from api_gateway.database.engine import Database
from api_gateway.database.migrations import upgrade
from api_gateway.database.secrets import SecretBox

__all__ = [
    "Database",
    "DatabaseAddressError",
    "SecretBox",
    "database_url",
    "libpq_url",
    "sqlalchemy_url",
    "upgrade",
]
