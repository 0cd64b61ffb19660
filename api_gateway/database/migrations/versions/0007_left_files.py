"""Files of attempts that end without a result."""

from __future__ import annotations

from api_gateway.database.migrations import run_sql

revision = "0007"
down_revision = "0006"
branch_labels = None
depends_on = None


def upgrade() -> None:
    run_sql("0007_left_files")
