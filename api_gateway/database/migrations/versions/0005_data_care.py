"""What the data care asks of files and results."""

from __future__ import annotations

from api_gateway.database.migrations import run_sql

revision = "0005"
down_revision = "0004"
branch_labels = None
depends_on = None


def upgrade() -> None:
    run_sql("0005_data_care")
