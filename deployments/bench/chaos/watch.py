"""A stack as it is seen from outside while its parts die: processes, addresses, database rows."""

from __future__ import annotations

import time
from dataclasses import dataclass
from typing import Any

import httpx
import psycopg
from psycopg.rows import dict_row

from deployments.pulse import Pulse, read_pulses
from deployments.stack import supervision
from deployments.stack.lifecycle import Stack
from deployments.stack.waiting import accepts

FRESH_SECONDS = 3.0
"""A slot's host reports every second."""


@dataclass(frozen=True)
class SlotNow:
    """A slot as its last report shows it."""

    boot_id: str
    usable: bool
    """Its host reported just now, the scheduler knows it, and its device is well."""


class Watch:
    """Asks each part; what does not answer is away."""

    def __init__(self, stack: Stack) -> None:
        self.settings = stack.settings
        self.home = stack.settings.home
        self._gateway_url = stack.gateway_url
        self._http = httpx.Client(timeout=2.0, trust_env=False)
        self._connection: psycopg.Connection[dict[str, Any]] | None = None

    def rows(self, query: str, *values: Any) -> list[dict[str, Any]] | None:
        """Rows of a query; None while the database is away."""
        try:
            if self._connection is None or self._connection.closed:
                self._connection = psycopg.connect(
                    self.settings.database.url.get_secret_value(),
                    autocommit=True,
                    row_factory=dict_row,
                    connect_timeout=2,
                )
            return self._connection.execute(query.encode(), values).fetchall()
        except psycopg.OperationalError:
            self._connection = None
            return None

    def insist(self, query: str, *values: Any) -> list[dict[str, Any]]:
        """Rows of a query, however long the database is away."""
        while (rows := self.rows(query, *values)) is None:
            time.sleep(0.2)
        return rows

    def pid_of(self, part: str) -> int:
        """Process id of a part, as Supervisor knows it; 0 while it does not run."""
        states = supervision.states(self.home)
        return next((state.pid for state in states if state.name == part and state.state == "RUNNING"), 0)

    def supervisor_pid(self) -> int:
        return supervision.running_pid(self.home) or 0

    def pulses(self, role: str) -> dict[int, Pulse]:
        """The living processes of a role (`worker` or `nanny`), by slot."""
        return {
            pulse.gpu_id: pulse
            for pulse, _ in read_pulses(self.settings.run_dir / "hosts")
            if pulse.role == role and pulse.process() is not None
        }

    def slots(self) -> dict[int, SlotNow]:
        """Every slot that ever reported; empty while the database is away."""
        found = self.rows(
            "SELECT gpu_id, boot_id, coalesce((report ->> 'ok')::boolean, false)"
            " AND kill_requested_at IS NULL"
            " AND reported_at > clock_timestamp() - make_interval(secs => %s) AS usable FROM gpu_slots",
            FRESH_SECONDS,
        )
        return {row["gpu_id"]: SlotNow(row["boot_id"], row["usable"]) for row in found or []}

    def pool_worker_pid(self) -> int:
        """Process that last said it serves the pools."""
        rows = self.rows("SELECT pid FROM pool_workers")
        return int(rows[0]["pid"]) if rows else 0

    def gateway_answers(self) -> bool:
        return self._answers(f"{self._gateway_url}/api/v1/health/ready")

    def prefect_answers(self) -> bool:
        return self._answers(f"{self.settings.prefect.api_url}/health")

    def scheduler_answers(self) -> bool:
        return accepts(self.settings.dask.scheduler_address)

    def running(self) -> int:
        """Tasks on a GPU."""
        rows = self.rows("SELECT count(*) AS n FROM tasks WHERE status = 'RUNNING'")
        return int(rows[0]["n"]) if rows else 0

    def unfinished(self) -> int:
        """Tasks that have not ended."""
        rows = self.insist("SELECT count(*) AS n FROM tasks WHERE ended_at IS NULL")
        return int(rows[0]["n"])

    def _answers(self, url: str) -> bool:
        try:
            return self._http.get(url).is_success
        except httpx.HTTPError:
            return False
