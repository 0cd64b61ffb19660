"""Tasks for the queue, as a submission writes them."""

from __future__ import annotations

import itertools

import psycopg

from api_gateway.database import Database
from api_gateway.database.models import Priority
from api_gateway.scheduling.service import NewTask, QueueService
from mof_benchmark.schemas import StructureInput, TaskType
from mofsim_settings import Settings

MODELS = ("sevennet_prod", "mace_prod", "orb_prod")
BATCH = 1000

_STRUCTURE = StructureInput(
    structure_id="builtin:Mg-MOF-74", name="Mg-MOF-74", path="structures/x/structure.extxyz", sha256="0" * 64
)


async def submit(database: Database, settings: Settings, count: int, *, mixed: bool) -> None:
    """Queue single points; `mixed` over all priorities and some models and sizes."""
    priorities = itertools.cycle(Priority if mixed else [Priority.NORMAL])
    models = itertools.cycle(MODELS if mixed else MODELS[:1])
    service = QueueService(settings)
    for start in range(0, count, BATCH):
        tasks = [
            NewTask(
                task_type=TaskType.SINGLE_POINT,
                model=next(models),
                structure=_STRUCTURE,
                parameters={"compute_stress": True},
                priority=next(priorities),
                n_edges=2000 + number % 7 * 1000 if mixed else 2000,
                memory_estimate_MB=1000.0 + number % 7 * 500.0 if mixed else 1000.0,
            )
            for number in range(start, min(start + BATCH, count))
        ]
        async with database.begin() as session:
            await service.submit(session, tasks, request_id="req_bench")


def fill_history(settings: Settings, count: int, slots: int) -> None:
    """Finished tasks with their attempts, as a service has them that has worked for a while."""
    with psycopg.connect(settings.database.url.get_secret_value(), autocommit=True) as connection:
        connection.execute(
            """
            CREATE TEMPORARY TABLE past AS
            SELECT t.*, row_number() OVER () AS number FROM (SELECT * FROM tasks LIMIT 1) t
            """
        )
        columns = [
            row[0]
            for row in connection.execute(
                "SELECT column_name FROM information_schema.columns"
                " WHERE table_schema = 'public' AND table_name = 'tasks' AND is_identity = 'NO'"
                " AND is_generated = 'NEVER'"
            )
        ]
        others = [
            name for name in columns if name not in ("id", "status", "gpu_id", "started_at", "ended_at")
        ]
        names = ", ".join(f'"{name}"' for name in others)
        # Triggers would refuse a task that is born finished, and write a history for each.
        connection.execute("SET session_replication_role = replica")
        connection.execute(
            f"""
            INSERT INTO tasks (id, status, gpu_id, started_at, ended_at, {names})
            SELECT 'task_past' || n, 'COMPLETED', mod(n, %s), now() - make_interval(secs => %s - n),
                now() - make_interval(secs => %s - n - 1), {names}
            FROM past, generate_series(1, %s) n
            """.encode(),  # noqa: S608 - names of columns
            [slots, count, count, count],
        )
        connection.execute(
            """
            INSERT INTO task_attempts (task_id, attempt, gpu_id, created_at, started_at, ended_at,
                released_at, run_ended_at, outcome)
            SELECT id, 1, gpu_id, started_at, started_at, ended_at, ended_at, ended_at, 'completed'
            FROM tasks WHERE id LIKE 'task_past%'
            """
        )
        connection.execute("SET session_replication_role = origin")
        connection.execute("ANALYZE")
