"""What telling of a step costs the calculation: `./mofsim bench reporting`.

An attempt's reporter on a real PostgreSQL takes a step and a log line per step, at the pace of a fast
force call, as a stage on a GPU host does. Counted is CPU time, of all its threads, which a busy machine
does not change: the share of a step that goes to progress and logs. Fails above 1 %.
"""

from __future__ import annotations

import argparse
import subprocess
import sys
import tempfile
import time
from datetime import UTC, datetime
from pathlib import Path

import psycopg
from psycopg.types.json import Jsonb

from deployments.backup.databases import embedded_server
from deployments.stack import postgres
from deployments.stack.home import make_home, write_stack_file
from mof_benchmark.schemas import CalculationRequest, StructureInput, TaskType
from mofsim_logs import LogFiles
from mofsim_settings import Settings, load_settings
from tasks.database import ReportDatabase
from tasks.reporting import AttemptReporter

STEP_SECONDS = 0.031
"""A fused force call on Mg-MOF-74 (docs/benchmarks.md), the shortest step that matters."""
LIMIT_PERCENT = 1.0


def measure(home: Path, seconds: float) -> dict[str, float]:
    """Report steps for a while; answers CPU time per step in ms and its share of the step in percent."""
    make_home(Settings(home=home))
    postgres.prepare(home)
    with embedded_server(home) as url:
        write_stack_file(home, {"database": {"url": url}})
        upgrade = [sys.executable, "-P", "-m", "api_gateway.database", "upgrade", "--home", str(home)]
        subprocess.run(upgrade, check=True)
        request = running_task(url)
        database = ReportDatabase(url)
        reporter = AttemptReporter(
            database,
            request,
            heartbeat_seconds=2.0,
            patience_seconds=20.0,
            files=LogFiles(load_settings(home).log_dir),
        )
        in_step = 0.0
        steps = 0
        with reporter as monitor:
            # Connecting is not a step's cost.
            time.sleep(1.0)
            whole_at, end = time.process_time(), time.monotonic() + seconds
            while time.monotonic() < end:
                begun = time.thread_time()
                monitor.step("opt", steps, 1000, energy_eV=-512.25, max_force_eV_A=0.0123)
                monitor.log("INFO", f"Step {steps}: -512.25 eV, 0.0123 eV/Å.", step=steps)
                in_step += time.thread_time() - begun
                steps += 1
                time.sleep(STEP_SECONDS)
            whole = time.process_time() - whole_at
        database.close()
    return {
        "steps": float(steps),
        "in the calculation's thread, ms a step": 1e3 * in_step / steps,
        "all threads, ms a step": 1e3 * whole / steps,
        "share of a step, %": 100 * whole / steps / STEP_SECONDS,
    }


def running_task(url: str) -> CalculationRequest:
    """Store a task with a running attempt, as if it had been placed and begun."""
    request = CalculationRequest(
        task_id="task_bench",
        attempt=1,
        task_type=TaskType.OPTIMIZATION,
        gpu_id=0,
        model="sevennet_prod",
        structure=StructureInput(structure_id="s", name="s", path="s", sha256="0" * 64),
        parameters={},
        require_convergence=False,
        request_id="req_bench",
    )
    with psycopg.connect(url, autocommit=True) as connection:
        connection.execute(
            "INSERT INTO tasks (id, task_type, model, structure_id, structure, parameters, priority,"
            " timeout_seconds, request_id, status) VALUES (%s, %s, %s, 's', %s, '{}', 2, 60, 'r', 'QUEUED')",
            [request.task_id, request.task_type, request.model, Jsonb(request.structure.model_dump())],
        )
        connection.execute(
            "INSERT INTO task_attempts (task_id, attempt, gpu_id) VALUES (%s, 1, 0)", [request.task_id]
        )
        for status in ("ASSIGNED", "RUNNING"):
            connection.execute(
                "UPDATE tasks SET status = %s, gpu_id = 0 WHERE id = %s", [status, request.task_id]
            )
    return request


def main() -> None:
    parser = argparse.ArgumentParser(prog="mofsim bench reporting", description=__doc__)
    parser.add_argument("--seconds", type=float, default=20.0, help="how long to report")
    seconds = parser.parse_args().seconds
    with tempfile.TemporaryDirectory(prefix="mofsim-bench-") as folder:
        figures = measure(Path(folder), seconds)
    print(f"Reporting, {datetime.now(UTC):%Y-%m-%d}")
    for name, value in figures.items():
        print(f"  {name:<42} {value:8.3f}")
    if figures["share of a step, %"] > LIMIT_PERCENT:
        sys.exit(f"more than {LIMIT_PERCENT} %")


if __name__ == "__main__":
    main()
