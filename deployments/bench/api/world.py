"""A gateway as the stack runs it, on a PostgreSQL of its own that holds years of tasks.

Prefect and the GPU hosts are left out: they would compute the queue away while it is measured, and
share the cores.
"""

from __future__ import annotations

import contextlib
import os
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import psutil
import psycopg

from deployments.stack import ports, postgres
from deployments.stack.home import make_home
from deployments.stack.waiting import wait_until_accepting
from mofsim_settings import load_settings

NOBODY = "http://127.0.0.1:9/api"
MANY_PER_MINUTE = 100_000_000
"""No client of the benchmark is to meet its rate limit."""

# Straight into the tables: a hundred thousand tasks would take hours through their states.
_HISTORY = """
SET session_replication_role = replica;
INSERT INTO tasks (id, task_type, model, structure_id, structure, n_atoms, n_edges, parameters, options,
    priority, timeout_seconds, tags, request_id, status, gpu_id, progress, error,
    created_at, queued_at, assigned_at, started_at, ended_at)
SELECT 'task_' || lpad(n::text, 26, '0'),
    (ARRAY['single-point-energy', 'optimization', 'stability', 'bulk-modulus', 'heat-capacity',
        'interaction-energy'])[1 + n %% 6],
    (ARRAY['sevennet_prod', 'mace_prod', 'orb_prod'])[1 + n / 6 %% 3],
    'builtin:MOF-5',
    '{"structure_id": "builtin:MOF-5", "name": "MOF-5", "path": "structures/builtin-MOF-5/structure.extxyz",
      "sha256": ""}',
    106, 9000, '{"fmax": 0.05, "max_steps": 200}', '{"priority": "NORMAL"}', n %% 4, 86400,
    ARRAY['screening-' || n %% 50], 'req_bench',
    (ARRAY['COMPLETED', 'COMPLETED', 'COMPLETED', 'FAILED', 'CANCELLED'])[1 + n %% 5], n %% 8,
    '{"stage": "optimize", "current_step": 156, "total_steps": 200, "percentage": 78.0}',
    CASE WHEN n %% 5 = 3 THEN '{"code": 50001, "type": "CalculationFailedError", "detail": ""}'::jsonb END,
    began, began, began + interval '1 second', began + interval '2 seconds', began + interval '5 minutes'
FROM generate_series(1, %(tasks)s) n, LATERAL (
    SELECT clock_timestamp() - make_interval(mins => 5 * (%(tasks)s - n)) AS began
) t;
INSERT INTO task_attempts (task_id, attempt, gpu_id, created_at, started_at, ended_at, run_ended_at,
    released_at, outcome)
SELECT id, 1, gpu_id, assigned_at, started_at, ended_at, ended_at, ended_at, lower(status) FROM tasks;
INSERT INTO task_history (task_id, at, from_status, to_status, attempt, gpu_id)
SELECT id, at, from_status, to_status, 1, gpu_id FROM tasks, LATERAL (VALUES
    (1, queued_at, NULL, 'QUEUED'), (2, assigned_at, 'QUEUED', 'ASSIGNED'),
    (3, started_at, 'ASSIGNED', 'RUNNING'), (4, ended_at, 'RUNNING', status)
) move (number, at, from_status, to_status) ORDER BY place, number;
INSERT INTO task_logs (task_id, attempt, timestamp, level, logger, message, gpu_id, extra)
SELECT id, 1, started_at + make_interval(secs => line), 'INFO', 'task.' || task_type, 'step ' || line, gpu_id,
    '{"step": 1, "energy_eV": -774.92, "fmax_eV_per_Ang": 0.049}'
FROM tasks, generate_series(1, 10) line ORDER BY place, line;
INSERT INTO task_results (task_id, attempt, result)
SELECT id, 1, '{"converged": true, "final_energy_eV": -774.92}' FROM tasks WHERE status = 'COMPLETED';
RESET session_replication_role;
"""


@dataclass(frozen=True)
class World:
    """A gateway that serves."""

    port: int
    key: str
    gateway: psutil.Process
    database: psutil.Process
    database_url: str

    def memory_MB(self) -> float:
        """Memory of the gateway's processes that they share with nobody."""
        return sum(float(process.memory_full_info().uss) for process in _family(self.gateway)) / 1e6

    def cpu_seconds(self) -> dict[str, float]:
        """Processor time so far, by part."""
        parts = {"gateway": self.gateway, "database": self.database}
        return {name: sum(map(_spent, _family(process))) for name, process in parts.items()}


@contextlib.contextmanager
def running(home: Path, *, ended_tasks: int, processes: int) -> Iterator[World]:
    """The gateway over a database with `ended_tasks` in `home`, until the block ends."""
    database_port, gateway_port = ports.free_ports(2)
    url = postgres.url(home, database_port, "mofsim")
    os.environ |= {
        "MOFSIM_HOME": str(home),
        "MOFSIM_DATABASE__URL": url,
        "MOFSIM_GATEWAY__PORT": str(gateway_port),
        "MOFSIM_GATEWAY__PROCESSES": str(processes),
        "MOFSIM_GATEWAY__DEFAULT_RATE_PER_MINUTE": str(MANY_PER_MINUTE),
        "MOFSIM_PREFECT__API_URL": NOBODY,
    }
    settings = load_settings(home)
    make_home(settings)
    postgres.prepare(home)
    server = subprocess.Popen(postgres.server_command(home, database_port, 100), stderr=subprocess.DEVNULL)
    try:
        _wait_for_database(url)
        with (home / "gateway.out").open("wb") as out:
            gateway = subprocess.Popen([sys.executable, "-m", "api_gateway"], stdout=out, stderr=out)
        try:
            wait_until_accepting(f"http://127.0.0.1:{gateway_port}")
            _fill(url, ended_tasks)
            key = settings.admin_key_file.read_text().strip()
            yield World(gateway_port, key, psutil.Process(gateway.pid), psutil.Process(server.pid), url)
        finally:
            gateway.terminate()
            gateway.wait(60)
    finally:
        server.send_signal(signal.SIGINT)  # does not wait for clients to leave
        server.wait(60)


def _wait_for_database(url: str) -> None:
    """It refuses connections for a moment after it has begun to listen."""
    wait_until_accepting(url)
    while True:
        with contextlib.suppress(psycopg.OperationalError):
            psycopg.connect(url).close()
            return
        time.sleep(0.1)


def _fill(url: str, ended_tasks: int) -> None:
    with psycopg.ClientCursor(psycopg.connect(url, autocommit=True)) as cursor:
        cursor.execute(_HISTORY, {"tasks": ended_tasks})
        cursor.execute("VACUUM ANALYZE")
        cursor.connection.close()


def _family(process: psutil.Process) -> list[psutil.Process]:
    return [process, *process.children(recursive=True)]


def _spent(process: psutil.Process) -> float:
    with contextlib.suppress(psutil.NoSuchProcess):
        times = process.cpu_times()
        return float(times.user + times.system)
    return 0.0
