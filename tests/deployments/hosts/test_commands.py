"""Models are loaded and unloaded on command, and the slot's report tells so."""

from __future__ import annotations

from typing import Any

from mof_benchmark.identifiers import new_id
from tests.fixtures.execution import MODEL, Execution, wait_until


def command(execution: Execution, action: str, model: str) -> dict[str, Any]:
    """Give a command and wait until it is closed."""
    identifier = new_id("cmd")
    execution.database.execute(
        "INSERT INTO slot_commands (id, gpu_id, action, model) VALUES (%s, 0, %s, %s)",
        [identifier, action, model],
    )
    query = "SELECT * FROM slot_commands WHERE id = %s AND done_at IS NOT NULL"
    return wait_until(
        lambda: execution.database.execute(query.encode(), [identifier]).fetchone(), 120, f"the {action}"
    )


def test_a_model_is_unloaded_and_loaded_on_command(execution: Execution) -> None:
    assert command(execution, "load", MODEL)["error"] is None
    wait_until(lambda: MODEL in execution.slot()["warm_models"], 5, "the model warm")
    assert command(execution, "unload", MODEL)["error"] is None
    wait_until(lambda: MODEL not in execution.slot()["warm_models"], 5, "the model gone")
    assert command(execution, "load", MODEL)["error"] is None


def test_a_model_that_cannot_be_loaded_closes_the_command_with_the_reason(execution: Execution) -> None:
    assert command(execution, "load", "no_such_model")["error"]["code"] == 30001


def test_the_slot_report_says_where_and_on_what_it_runs(execution: Execution) -> None:
    report = execution.slot()
    assert report["device"] == "cpu"
    assert report["ok"] is True
    assert report["memory_total_MB"] > report["memory_free_MB"] > 0
    assert report["dask_address"].startswith("tcp://")
