"""An attempt's reports: cheap, complete, and heard by the calculation."""

from __future__ import annotations

import time
from collections.abc import Iterator
from typing import Any

import psycopg
import pytest
from psycopg.types.json import Jsonb

from mof_benchmark.errors import StoppedError
from mof_benchmark.identifiers import new_id
from mof_benchmark.schemas import CalculationRequest, StructureInput, TaskType
from tasks.database import ReportDatabase
from tasks.reporting import BUFFERED_LINES, AttemptReporter
from tests.fixtures.execution import wait_until
from tests.fixtures.postgres import PostgresServer

STRUCTURE = StructureInput(structure_id="struct_x", name="X", path="x.extxyz", sha256="0" * 64)


class Desk:
    """A running task in a database, and its reporter."""

    def __init__(self, server: PostgresServer, url: str) -> None:
        self.server = server
        self.name = url.partition("@/")[2].partition("?")[0]
        self.reports = ReportDatabase(url, patience_seconds=0.5)
        self.sql = psycopg.connect(url, autocommit=True)
        self.request = CalculationRequest(
            task_id=new_id("task"),
            attempt=1,
            task_type=TaskType.OPTIMIZATION,
            gpu_id=0,
            model="sevennet_prod",
            structure=STRUCTURE,
            parameters={},
            request_id=new_id("req"),
        )
        self.sql.execute(
            "INSERT INTO tasks (id, task_type, model, structure_id, structure, parameters, priority,"
            " timeout_seconds, request_id, status)"
            " VALUES (%s, 'optimization', 'm', 's', %s, '{}', 2, 60, 'r', 'QUEUED')",
            [self.request.task_id, Jsonb(STRUCTURE.model_dump())],
        )
        self.sql.execute("INSERT INTO task_attempts (task_id, attempt, gpu_id) VALUES (%s, 1, 0)", self.key)
        self.sql.execute("UPDATE tasks SET status = 'ASSIGNED', gpu_id = 0 WHERE id = %s", self.key)

    @property
    def key(self) -> list[str]:
        return [self.request.task_id]

    def reporter(self) -> AttemptReporter:
        return AttemptReporter(self.reports, self.request, heartbeat_seconds=0.5, patience_seconds=10.0)

    def messages(self) -> list[str]:
        rows = self.sql.execute("SELECT message FROM task_logs WHERE task_id = %s ORDER BY id", self.key)
        return [row[0] for row in rows]

    def progress(self) -> Any:
        row = self.sql.execute("SELECT progress FROM tasks WHERE id = %s", self.key).fetchone()
        return None if row is None else row[0]

    def go_away(self) -> None:
        """Take the database away from everybody."""
        self.sql.close()
        self.server.execute(f"ALTER DATABASE {self.name} ALLOW_CONNECTIONS false")
        self.server.execute(
            f"SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE datname = '{self.name}'"  # noqa: S608
        )

    def come_back(self) -> None:
        self.server.execute(f"ALTER DATABASE {self.name} ALLOW_CONNECTIONS true")
        self.sql = psycopg.connect(self.server.url(self.name), autocommit=True)


@pytest.fixture
def desk(postgres_server: PostgresServer) -> Iterator[Desk]:
    url = postgres_server.create_database(template="mofsim_template")
    desk = Desk(postgres_server, url)
    yield desk
    desk.reports.close()
    desk.sql.close()
    postgres_server.drop_database(url)


def test_lines_and_the_last_progress_are_written_by_the_time_a_stage_ends(desk: Desk) -> None:
    with desk.reporter() as reporter:
        for step in range(100):
            reporter.step("optimize", step, 200, energy_eV=-float(step), fmax_eV_A=float("nan"))
            reporter.log("INFO", f"line {step}")
    lines = [line for line in desk.messages() if line.startswith("line")]
    assert lines == [f"line {step}" for step in range(100)]
    assert desk.progress() == {
        "stage": "optimize",
        "current_step": 99,
        "total_steps": 200,
        "percentage": 49.5,
        "values": {"energy_eV": -99.0},
    }


def test_a_long_stage_logs_its_first_steps_and_then_some_with_their_values(desk: Desk) -> None:
    with desk.reporter() as reporter:
        for step in range(2001):
            reporter.step("npt", step, 50_000, temperature_K=300.0, pressure_bar=float("nan"))
    rows = desk.sql.execute(
        "SELECT (extra ->> 'step')::int, message, extra FROM task_logs WHERE task_id = %s ORDER BY id",
        desk.key,
    ).fetchall()
    assert [row[0] for row in rows] == [*range(10), *range(250, 2001, 250)]
    assert rows[-1][1] == "npt, step 2000: temperature_K 300, pressure_bar nan"
    assert rows[-1][2]["temperature_K"] == 300.0
    assert "pressure_bar" not in rows[-1][2]


def test_a_step_costs_the_calculation_next_to_nothing(desk: Desk) -> None:
    with desk.reporter() as reporter:
        begun = time.thread_time()
        for step in range(10_000):
            reporter.step("optimize", step, 10_000, energy_eV=-1.0, fmax_eV_A=0.1)
        seconds = time.thread_time() - begun
    # A force call takes 30 ms and more; 1 % of that is 300 µs.
    assert seconds / 10_000 < 50e-6


@pytest.mark.parametrize(
    "change",
    [
        "UPDATE tasks SET stop_requested_at = now(), stop_reason = 'cancel' WHERE id = %s",
        "UPDATE tasks SET status = 'QUEUED', attempt = 2 WHERE id = %s",
    ],
    ids=["stopped", "replaced"],
)
def test_a_stopped_or_replaced_attempt_is_told_at_its_next_step(desk: Desk, change: str) -> None:
    with desk.reporter() as reporter:
        reporter.step("optimize", 1, None)
        desk.sql.execute(change.encode(), desk.key)

        def told() -> bool:
            try:
                reporter.step("optimize", 2, None)
            except StoppedError:
                return True
            return False

        wait_until(told, 5, "the word to stop")


def test_lines_wait_for_a_database_that_is_away(desk: Desk) -> None:
    with desk.reporter() as reporter:
        desk.go_away()
        reporter.log("INFO", "said in the dark")
        reporter.step("optimize", 7, 10)
        time.sleep(1.5)
        desk.come_back()
        wait_until(lambda: "said in the dark" in desk.messages(), 10, "the line")
    assert desk.progress()["current_step"] == 7


def test_a_full_buffer_drops_the_oldest_lines_and_says_how_many(desk: Desk) -> None:
    reporter = desk.reporter()
    for number in range(BUFFERED_LINES + 5):
        reporter.log("DEBUG", f"line {number}")
    with reporter:
        pass
    messages = desk.messages()
    assert messages[0] == "5 log lines were lost while the database was away."
    assert (messages[1], messages[-1], len(messages)) == (
        "line 5",
        f"line {BUFFERED_LINES + 4}",
        BUFFERED_LINES + 1,
    )
