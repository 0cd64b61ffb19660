"""What the sensors of simulated GPUs show."""

from __future__ import annotations

from api_gateway.database.migrations import run_sql

revision = "0006"
down_revision = "0005"
branch_labels = None
depends_on = None


def upgrade() -> None:
    run_sql("0006_simulation")
