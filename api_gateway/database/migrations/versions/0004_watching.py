"""Alerts, timed gateway processes, and how long results are kept."""

from __future__ import annotations

from api_gateway.database.migrations import run_sql

revision = "0004"
down_revision = "0003"
branch_labels = None
depends_on = None


def upgrade() -> None:
    run_sql("0004_watching")
