"""What a task leaves is counted where it lies, and the arithmetic goes on from there."""

from __future__ import annotations

import gzip
from collections.abc import Iterator
from pathlib import Path

import psycopg
import pytest
from psycopg.types.json import Jsonb

from deployments.bench.capacity.arithmetic import (
    PAGE_FILL,
    Footprint,
    Plan,
    Retention,
    at_size,
    full_length,
    of_full_length,
    stored,
)
from deployments.bench.capacity.footprint import (
    OURS,
    PREFECTS,
    ROW_HEADER_BYTES,
    Connection,
    Usage,
    files_left,
    index_bytes_a_row,
    lines_of,
    raw_and_gzipped,
    rows_left,
)
from deployments.bench.capacity.reports import calls_a_second
from deployments.bench.reporting import running_task
from mof_benchmark.structures import builtin
from mofsim_logs import encode
from tests.fixtures.execution import PREFECT_DATABASE, Execution, wait_until
from tests.fixtures.postgres import PostgresServer

TASK = "task_bench"


@pytest.fixture(scope="module")
def connection(database_url: str) -> Iterator[Connection]:
    """A database with one running task."""
    running_task(database_url)
    with psycopg.connect(database_url, autocommit=True) as opened:
        yield opened


def left_of(connection: Connection, task_id: str) -> dict[str, Usage]:
    index_bytes = {table: index_bytes_a_row(connection, table) for table in OURS}
    return rows_left(connection, OURS, index_bytes, task=task_id)


def test_rows_of_a_task_are_counted_in_every_table_and_no_other_tasks(connection: Connection) -> None:
    left = left_of(connection, TASK)
    assert {table: usage.number for table, usage in left.items()} == {
        "tasks": 1,
        "task_attempts": 1,
        "task_history": 3,
    }
    assert left_of(connection, "task_other") == {}


def test_log_lines_take_the_bytes_that_were_written_and_their_index_entries(connection: Connection) -> None:
    lines = [
        {
            "timestamp": "2026-01-30T10:00:00.123Z",
            "level": "INFO",
            "logger": "task",
            "message": "x" * 500,
            "gpu_id": 0,
            "extra": {},
        }
    ]
    connection.execute("SELECT attempt_report(%s, 1, NULL, %s)", [TASK, Jsonb(4 * lines)])
    logs = left_of(connection, TASK)["task_logs"]
    index_bytes = index_bytes_a_row(connection, "task_logs")
    assert logs.number == 4
    assert index_bytes >= 16, "a primary key's entry takes that much"
    assert 500 + ROW_HEADER_BYTES < logs.bytes / 4 - index_bytes < 500 + 200


def test_compressed_values_count_as_they_are_stored(connection: Connection) -> None:
    result = {"converged": True, "histories": [0.125] * 20_000}
    connection.execute("SELECT attempt_result(%s, 1, %s, '[]')", [TASK, Jsonb(result)])
    assert 0 < left_of(connection, TASK)["task_results"].bytes < 20_000


def test_files_are_told_apart_by_role_also_when_compressed(connection: Connection, tmp_path: Path) -> None:
    folder = tmp_path / "results" / TASK
    for name, content in {"1/npt.traj.gz": b"ab", "1/final.cif": b"abc", "stages/npt": b"abcd"}.items():
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        (folder / name).write_bytes(content)
    for role, name in (("npt_trajectory", "npt.traj"), ("final_structure", "final.cif")):
        connection.execute(
            "INSERT INTO files (id, task_id, attempt, role, path, media_type, size_bytes, sha256)"
            " VALUES (%s, %s, 1, %s, %s, 'text/plain', 3, 's')",
            [f"file_{role}", TASK, role, f"results/{TASK}/1/{name}"],
        )
    assert files_left(connection, tmp_path, TASK) == {
        "npt_trajectory": Usage(1, 2),
        "final_structure": Usage(1, 3),
        "npt (stage)": Usage(1, 4),
    }


def test_log_files_are_counted_raw_and_as_the_archiver_keeps_them(tmp_path: Path) -> None:
    mine, other = (encode({"task_id": task, "message": "like " * 50}) for task in (TASK, f"{TASK}2"))
    (tmp_path / "2026-01-30.jsonl").write_text(f"{mine}\n{other}\n{mine}\n")
    raw, packed = raw_and_gzipped(lines_of(tmp_path, TASK))
    assert raw == Usage(2, 2 * (len(mine) + 1))
    assert packed == Usage(2, len(gzip.compress(f"{mine}\n{mine}\n".encode())))


def test_a_flow_run_is_found_in_prefects_own_tables(
    execution: Execution, postgres_server: PostgresServer
) -> None:
    request = execution.submit(builtin.build("Mg-MOF-74"))
    run_id = str(execution.end_of(request)["id"])
    with psycopg.connect(postgres_server.url(PREFECT_DATABASE), autocommit=True) as prefects:
        # Prefect writes its events and the states of stages a little later, each in its own time.
        event = "SELECT 1 FROM events WHERE event = 'prefect.flow-run.Completed' AND resource_id = %s"
        stage = "SELECT 1 FROM task_run_state WHERE type = 'COMPLETED' AND state_details->>'flow_run_id' = %s"
        wait_until(
            lambda: (
                prefects.execute(event, [f"prefect.flow-run.{run_id}"]).fetchone()
                and prefects.execute(stage, [run_id]).fetchone()
            ),
            60,
            "the event and the stage's last state",
        )
        index_bytes = {table: index_bytes_a_row(prefects, table) for table in PREFECTS}
        left = rows_left(prefects, PREFECTS, index_bytes, run=run_id)
    assert left["flow_run"].number == left["task_run"].number == 1
    for table in ("flow_run_state", "task_run_state", "events", "event_resources"):
        assert left[table].number >= 3, table
    assert all(usage.bytes > ROW_HEADER_BYTES * usage.number for usage in left.values())


def task(task_type: str, atoms: int, md_steps: int = 0, **items: float) -> Footprint:
    """A footprint; `file_plot` is the item `file/plot`, `packed` the trajectory when compressed."""
    names = {"packed": "packed trajectory/out"}
    named = {names.get(name, name.replace("_", "/", 1)): Usage(1, size) for name, size in items.items()}
    return Footprint(task_type, "MOF-5", atoms, md_steps, named)


def test_trajectories_grow_to_the_full_protocol_and_log_lines_do_not() -> None:
    short = task("stability", 100, 100, trajectory_npt=2e3, trajectory_nvt=2e3, database_task_logs=500)
    long = task("stability", 100, 300, trajectory_npt=4e3, trajectory_nvt=4e3, database_task_logs=900)
    full = full_length(short, long).items
    assert full["trajectory/npt"].bytes == pytest.approx(501e3), "501 frames of 1 kB"
    assert full["trajectory/nvt"].bytes == pytest.approx(11e3), "11 frames"
    assert full["database/task_logs"].bytes == 900


def test_two_equal_lengths_are_no_line() -> None:
    with pytest.raises(ValueError, match="two lengths"):
        of_full_length([task("stability", 100, 300), task("stability", 100, 300)])


def test_sizes_go_with_the_atoms_and_force_constants_with_their_square() -> None:
    for task_type, expected in (("optimization", 200), ("heat-capacity", 400)):
        small, large = (task(task_type, atoms, file_out=size) for atoms, size in ((0, 0), (100, 100)))
        assert at_size([large, small], 200)["file/out"].bytes == pytest.approx(expected)


def test_what_is_kept_for_ever_grows_and_the_rest_stays() -> None:
    tasks = [
        task(
            "optimization",
            100,
            database_tasks=1e3 * PAGE_FILL,
            prefect_events=1e3 * PAGE_FILL,
            trajectory_out=1e3,
            file_plot=1e3,
            packed=500,
        )
    ]
    plan, keep = Plan(tasks_a_day=100, atoms=100, mix={"optimization": 1}), Retention()
    assert stored(tasks, plan, keep, 180) == pytest.approx(
        {
            "database": 180 * 1e5,
            "prefect": 7 * 1e5,
            "trajectory": 30 * 1e5,
            "packed trajectory": 150 * 5e4,
            "file": 180 * 1e5,
        }
    )
    later = stored(tasks, plan, keep, 1000)
    assert later["database"] == pytest.approx(1000 * 1e5)
    assert later["file"] == pytest.approx(180 * 1e5)


def test_a_mix_shares_the_tasks_of_a_day() -> None:
    plan = Plan(tasks_a_day=100, mix={"stability": 1, "optimization": 3})
    assert [plan.a_day(kind) for kind in ("stability", "optimization", "heat-capacity")] == [25, 75, 0]


def test_a_busy_gpu_reports_its_slot_its_flow_and_its_steps() -> None:
    assert sum(calls_a_second(heartbeat_seconds=2.0, report_seconds=1.0).values()) == pytest.approx(4.0)
