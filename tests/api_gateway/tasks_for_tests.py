"""Tasks, hosts and flows as seen from the database, for the engine's tests."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import psycopg
from psycopg.rows import dict_row
from psycopg.types.json import Jsonb

from api_gateway.database import Database
from api_gateway.database.models import Priority
from api_gateway.scheduling.service import NewTask, QueueService
from mof_benchmark.schemas import StructureInput, TaskType
from mofsim_settings import Settings

STRUCTURE = StructureInput(
    structure_id="builtin:Mg-MOF-74", name="Mg-MOF-74", path="structures/x/structure.extxyz", sha256="0" * 64
)


def new_task(**changes: Any) -> NewTask:
    """A submission of a single point."""
    values: dict[str, Any] = {
        "task_type": TaskType.SINGLE_POINT,
        "model": "sevennet_prod",
        "structure": STRUCTURE,
        "parameters": {"compute_stress": True},
        "priority": Priority.NORMAL,
    }
    return NewTask(**(values | changes))


async def submit(database: Database, settings: Settings, *tasks: NewTask) -> list[str]:
    """Queue tasks and return their identifiers."""
    async with database.begin() as session:
        accepted = await QueueService(settings).submit(session, tasks, request_id="req_test")
    return [task.task_id for task in accepted]


@dataclass
class Sql:
    """A plain connection that looks at the database as anybody would."""

    connection: psycopg.Connection[dict[str, Any]]

    @classmethod
    def connect(cls, url: str) -> Sql:
        return cls(psycopg.connect(url, autocommit=True, row_factory=dict_row))

    def rows(self, query: str, *values: Any) -> list[dict[str, Any]]:
        return self.connection.execute(query.encode(), values).fetchall()

    def row(self, query: str, *values: Any) -> dict[str, Any]:
        (row,) = self.rows(query, *values)
        return row

    def run(self, query: str, *values: Any) -> None:
        self.connection.execute(query.encode(), values)

    def call(self, function: str, *values: Any) -> Any:
        """Call one of the database's functions, as flows and hosts do."""
        marks = ", ".join(["%s"] * len(values))
        passed = [Jsonb(value) if isinstance(value, (dict, list)) else value for value in values]
        return self.row(f"SELECT {function}({marks}) AS answer", *passed)["answer"]

    def task(self, task_id: str) -> dict[str, Any]:
        return self.row("SELECT * FROM tasks WHERE id = %s", task_id)

    def status(self, task_id: str) -> str:
        return str(self.task(task_id)["status"])

    def attempt(self, task_id: str, number: int = 1) -> dict[str, Any]:
        return self.row("SELECT * FROM task_attempts WHERE task_id = %s AND attempt = %s", task_id, number)

    def moves(self, task_id: str) -> list[str]:
        """States in the order the task went through them."""
        rows = self.rows("SELECT to_status FROM task_history WHERE task_id = %s ORDER BY id", task_id)
        return [row["to_status"] for row in rows]

    def bind(self, task_id: str, gpu_id: int = 0) -> None:
        """Place a task by hand."""
        self.run("UPDATE tasks SET status = 'ASSIGNED', gpu_id = %s WHERE id = %s", gpu_id, task_id)
        self.run(
            "INSERT INTO task_attempts (task_id, attempt, gpu_id)"
            " SELECT id, attempt, gpu_id FROM tasks WHERE id = %s",
            task_id,
        )

    def start(self, task_id: str) -> None:
        self.run("UPDATE tasks SET status = 'RUNNING' WHERE id = %s", task_id)
        self.run("UPDATE task_attempts SET started_at = clock_timestamp() WHERE task_id = %s", task_id)

    def slot_report(self, gpu_id: int, boot_id: str = "boot-1", **report: Any) -> Any:
        """Report a slot, as its host does every second."""
        return self.call("slot_report", gpu_id, boot_id, slot_document(**report))

    def clear(self) -> None:
        """Empty the tables between tests of one module."""
        # DELETE: on tables this small it is far faster than TRUNCATE.
        for table in (
            "tasks", "batches", "gpu_slots", "slot_commands", "task_durations", "structures",
            "custom_models", "audit_lines", "api_keys",
        ):  # fmt: skip
            self.run(f"DELETE FROM {table}")  # noqa: S608 - names of tables


def slot_document(**changes: Any) -> dict[str, Any]:
    """What a healthy idle host reports."""
    return {
        "host": "test",
        "pid": 4242,
        "device": "cpu",
        "simulated": True,
        "memory_total_MB": 24576,
        "memory_free_MB": 24000,
        "temperature_C": 40,
        "utilisation_percent": 0,
        "warm_models": [],
        "current": None,
        "dask_address": "tcp://127.0.0.1:1",
        "ok": True,
        "error": None,
    } | changes
