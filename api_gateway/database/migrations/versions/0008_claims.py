"""Attempts are claimed in the database."""

from __future__ import annotations

from api_gateway.database.migrations import run_sql

revision = "0008"
down_revision = "0007"
branch_labels = None
depends_on = None


def upgrade() -> None:
    run_sql("0008_claims")
