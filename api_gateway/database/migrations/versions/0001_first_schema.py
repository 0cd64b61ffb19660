"""The first schema: tables, guarded moves of tasks, and the functions that flows and hosts call."""

from __future__ import annotations

from api_gateway.database.migrations import run_sql

revision = "0001"
down_revision = None
branch_labels = None
depends_on = None


def upgrade() -> None:
    for name in ("0001_tables", "0001_moves", "0001_reports"):
        run_sql(name)
