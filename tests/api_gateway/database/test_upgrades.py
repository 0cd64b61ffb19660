"""Databases of every earlier version, with data in them, brought to the present schema."""

from __future__ import annotations

from typing import Any

import psycopg
import pytest
from alembic.script import ScriptDirectory

from api_gateway.database import upgrade
from api_gateway.database.migrations import SchemaTooNewError, configuration
from tests.api_gateway.database import rows
from tests.api_gateway.tasks_for_tests import Sql

SCRIPTS = ScriptDirectory.from_config(configuration(None))
REVISIONS = [script.revision for script in reversed(list(SCRIPTS.walk_revisions()))]


def a_life(sql: Sql, task_id: str) -> None:
    """A queued task is placed, runs, reports, and ends with a result and a file."""
    sql.bind(task_id)
    sql.start(task_id)
    line = {"timestamp": "2026-01-02T03:04:05Z", "level": "INFO", "logger": "task", "message": "a step"}
    progress = {"stage": "evaluate", "current_step": 1, "total_steps": 1, "percentage": 100.0, "values": {}}
    sql.call("attempt_report", task_id, 1, progress, [line | {"gpu_id": 0, "extra": {"step": 1}}])
    file: dict[str, Any] = {
        "file_id": f"file_of_{task_id}",
        "role": "trajectory",
        "path": f"results/{task_id}/1/x.traj",
    }
    file |= {"media_type": "text/plain", "size_bytes": 3, "sha256": "0" * 64}
    assert sql.call("attempt_result", task_id, 1, {"converged": True}, [file]) == "go"
    sql.run("UPDATE tasks SET status = 'COMPLETED' WHERE id = %s", task_id)


def queue(sql: Sql, task_id: str) -> None:
    """Queue a task in the words of the first schema."""
    sql.run(
        "INSERT INTO tasks (id, task_type, model, structure_id, structure, parameters, priority,"
        " timeout_seconds, request_id, status)"
        " VALUES (%s, 'optimization', 'sevennet_prod', 's', '{}', '{}', 2, 60, 'req', 'QUEUED')",
        task_id,
    )


@pytest.mark.parametrize("revision", REVISIONS[:-1])
def test_data_of_an_earlier_schema_is_all_there_after_the_upgrade(
    empty_database_url: str, revision: str
) -> None:
    upgrade(empty_database_url, revision)
    sql = Sql.connect(empty_database_url)
    rows.fill(sql.connection)
    for task_id in ("task_done", "task_running", "task_waiting"):
        queue(sql, task_id)
    a_life(sql, "task_done")
    sql.bind("task_running")
    sql.start("task_running")
    before = rows.read(sql.connection)
    assert all(before.values())

    upgrade(empty_database_url)

    after = rows.read(sql.connection)
    for table, old in before.items():
        assert table in after, f"{table} is gone"
        assert with_columns(after[table], old[0]) == with_columns(old, old[0]), table
    # What waited and what ran goes on under the new schema.
    assert sql.call("attempt_heartbeat", "task_running", 1, "flow") == "go"
    assert sql.call("attempt_result", "task_running", 1, {"converged": True}, []) == "go"
    sql.run("UPDATE tasks SET status = 'COMPLETED' WHERE id = 'task_running'")
    a_life(sql, "task_waiting")
    assert sql.moves("task_waiting") == ["QUEUED", "ASSIGNED", "RUNNING", "COMPLETED"]
    sql.connection.close()


def with_columns(found: list[dict[str, Any]], like: dict[str, Any]) -> list[dict[str, Any]]:
    """Rows with the columns of another, in an order of their own."""
    cut = [{name: value for name, value in row.items() if name in like} for row in found]
    return sorted(cut, key=lambda row: sorted((name, str(value)) for name, value in row.items()))


def test_a_database_of_a_later_version_is_refused_with_the_way_out(empty_database_url: str) -> None:
    upgrade(empty_database_url)
    with psycopg.connect(empty_database_url) as connection:
        connection.execute("UPDATE alembic_version SET version_num = '9999'")
    with pytest.raises(SchemaTooNewError, match=r"9999.*restore"):
        upgrade(empty_database_url)


def test_no_migration_can_be_undone_in_place() -> None:
    """Going back is restoring a backup (docs/decisions/0022): no half-tried way back may exist."""
    for script in SCRIPTS.walk_revisions():
        assert not hasattr(script.module, "downgrade"), script.revision
