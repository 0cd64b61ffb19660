"""What a running stack holds, of each task and in all."""

from __future__ import annotations

import time
from collections.abc import Mapping

import psycopg
from sqlalchemy import URL, make_url

from deployments.bench.capacity.footprint import (
    OURS,
    PREFECTS,
    Connection,
    Usage,
    everything,
    files_left,
    index_bytes_a_row,
    lines_of,
    raw_and_gzipped,
    rows_left,
    structure_left,
)
from mofsim_logs import KINDS
from mofsim_settings import Settings

SETTLED_SECONDS = 300.0


class Ledger:
    """Looks at what a stack keeps.

    Parameters
    ----------
    settings
        Of the running stack.
    """

    def __init__(self, settings: Settings) -> None:
        self._settings = settings
        url = make_url(settings.database.url.get_secret_value()).set(drivername="postgresql")
        self.ours: Connection = psycopg.connect(_address(url), autocommit=True)
        self.prefects: Connection = psycopg.connect(_address(url.set(database="prefect")), autocommit=True)

    def close(self) -> None:
        self.ours.close()
        self.prefects.close()

    def wait_until_settled(self) -> None:
        """Until webhooks are out and Prefect has written its events, which it does a little later."""
        deadline, before = time.monotonic() + SETTLED_SECONDS, -1.0
        while time.monotonic() < deadline:
            due = self._number(self.ours, "SELECT count(*) FROM webhook_deliveries WHERE status = 'pending'")
            open_ = self._number(self.ours, "SELECT count(*) FROM task_attempts WHERE released_at IS NULL")
            now = self._number(self.prefects, "SELECT count(*) FROM events WHERE resource_id LIKE '%-run.%'")
            if due == open_ == 0 and now == before:
                return
            before = now
            time.sleep(5.0)
        raise TimeoutError("The stack still writes about its tasks.")

    def index_bytes(self) -> tuple[dict[str, float], dict[str, float]]:
        """Bytes of a row's index entries by table, ours and Prefect's."""
        for connection in (self.ours, self.prefects):
            # Rows that updates left behind are not what a task leaves in the long run.
            connection.execute("VACUUM")
        return (
            {table: index_bytes_a_row(self.ours, table) for table in OURS},
            {table: index_bytes_a_row(self.prefects, table) for table in PREFECTS},
        )

    def written(self) -> dict[str, Usage]:
        """All there is: rows of both databases, log lines of each kind."""
        logs = {
            f"log/{kind}": raw_and_gzipped(
                line
                for file in sorted((self._settings.log_dir / kind).glob("*.jsonl"))
                for line in file.read_bytes().splitlines(keepends=True)
            )[0]
            for kind in KINDS
        }
        return {"database": everything(self.ours), "prefect": everything(self.prefects), **logs}

    def of_task(
        self, task_id: str, index_bytes: tuple[Mapping[str, float], Mapping[str, float]]
    ) -> dict[str, Usage]:
        """What a task left, trajectories aside."""
        run = self.ours.execute(
            "SELECT flow_run_id::text FROM task_attempts WHERE task_id = %s", [task_id]
        ).fetchone()
        assert run is not None  # noqa: S101 - the task has ended
        raw, packed = raw_and_gzipped(lines_of(self._settings.log_dir / "task", task_id))
        ours = rows_left(self.ours, OURS, index_bytes[0], task=task_id)
        prefects = rows_left(self.prefects, PREFECTS, index_bytes[1], run=run[0])
        files = files_left(self.ours, self._settings.storage_root, task_id)
        return {
            **{f"database/{table}": usage for table, usage in ours.items()},
            **{f"prefect/{table}": usage for table, usage in prefects.items()},
            **{f"file/{role}": usage for role, usage in files.items() if "trajectory" not in role},
            "structure/file": structure_left(self.ours, self._settings.storage_root, task_id),
            "log/task": raw,
            "log/task.gz": packed,
        }

    def trajectories(self, task_id: str) -> dict[str, Usage]:
        files = files_left(self.ours, self._settings.storage_root, task_id)
        return {role: usage for role, usage in files.items() if "trajectory" in role}

    @staticmethod
    def _number(connection: Connection, query: str) -> int:
        row = connection.execute(query.encode()).fetchone()
        assert row is not None  # noqa: S101 - an aggregate has one row
        return int(row[0])


def _address(url: URL) -> str:
    return url.render_as_string(hide_password=False)
