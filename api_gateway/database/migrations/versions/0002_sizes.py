"""Sizes of structures and tasks, from which memory and durations are told."""

from __future__ import annotations

from api_gateway.database.migrations import run_sql

revision = "0002"
down_revision = "0001"
branch_labels = None
depends_on = None


def upgrade() -> None:
    run_sql("0002_sizes")
