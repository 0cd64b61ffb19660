"""Run by Alembic: works on the connection that `api_gateway.database.upgrade` hands over."""

from __future__ import annotations

from alembic import context

from api_gateway.database.models import Base

with_connection = context.config.attributes["connection"]
context.configure(connection=with_connection, target_metadata=Base.metadata)
with context.begin_transaction():
    context.run_migrations()
