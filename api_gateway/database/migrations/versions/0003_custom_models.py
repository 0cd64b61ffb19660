"""Uploaded models: who validates which, and how a validated one is loaded."""

from __future__ import annotations

from api_gateway.database.migrations import run_sql

revision = "0003"
down_revision = "0002"
branch_labels = None
depends_on = None


def upgrade() -> None:
    run_sql("0003_custom_models")
