"""What users may rely on: a change here is a change of the contract with them."""

from __future__ import annotations

import ast
import inspect
import sys
from pathlib import Path

import mofsim_client
import pytest
from mofsim_client import AsyncMOFSimClient, AsyncTask, MOFSimClient, Task

CLIENT_CALLS = {
    "submit_single_point",
    "submit_optimization",
    "submit_stability",
    "submit_bulk_modulus",
    "submit_heat_capacity",
    "submit_interaction_energy",
    "submit",
    "submit_batch",
    "get_task",
    "get_batch",
    "list_tasks",
    "get_result",
    "cancel_task",
    "retry_task",
    "delete_task",
    "stream_logs",
    "stream_events",
    "as_completed",
    "wait_all",
    "list_webhooks",
    "redeliver_webhook",
    "download_file",
    "upload_structure",
    "get_structure",
    "list_structures",
    "preview_structure",
    "delete_structure",
    "list_builtin_structures",
    "list_models",
    "get_model",
    "load_model",
    "unload_model",
    "upload_model",
    "list_custom_models",
    "get_custom_model",
    "validate_model",
    "delete_model",
    "get_health",
    "list_gpus",
    "get_queue",
    "get_system_status",
    "get_config",
    "get_storage",
    "get_storage_due",
    "stream_system_logs",
    "list_alert_rules",
    "list_active_alerts",
    "list_alerts",
    "close",
}
TASK_CALLS = {
    "id",
    "status",
    "progress",
    "refresh",
    "wait",
    "result",
    "cancel",
    "retry",
    "save",
    "files",
    "download_files",
    "webhooks",
    "stream_events",
    "stream_logs",
    "logs",
}


def public(kind: type) -> set[str]:
    return {name for name in dir(kind) if not name.startswith("_")}


def test_both_clients_offer_the_same_calls() -> None:
    assert public(MOFSimClient) == public(AsyncMOFSimClient) == CLIENT_CALLS


def test_both_tasks_offer_the_same_calls() -> None:
    assert public(Task) == public(AsyncTask) == TASK_CALLS


def test_the_package_exports_what_it_says() -> None:
    documents = {"Connection", "DeliveryAttempt", "Event", "LogLine", "ModelCommand", "ModelInfo", "Progress"}
    assert documents <= set(mofsim_client.__all__)
    assert sorted(set(mofsim_client.__all__)) == sorted(mofsim_client.__all__)
    assert all(hasattr(mofsim_client, name) for name in mofsim_client.__all__)


def test_every_error_of_the_package_is_exported_and_has_its_own_code() -> None:
    errors = [
        getattr(mofsim_client, name)
        for name in mofsim_client.__all__
        if isinstance(getattr(mofsim_client, name), type)
        and issubclass(getattr(mofsim_client, name), mofsim_client.MOFSimError)
    ]
    codes = [code for error in errors for code in getattr(error, "codes", ())]
    assert len(codes) == len(set(codes))
    contract = [
        *range(10001, 10005),
        *range(20001, 20005),
        *range(30001, 30008),
        *range(30011, 30019),
        *range(40001, 40011),
        40029,
        *range(50001, 50011),
    ]
    assert sorted(codes) == contract


@pytest.mark.parametrize("kind", [MOFSimClient, AsyncMOFSimClient, Task, AsyncTask])
def test_every_call_is_documented_and_shows_its_arguments(kind: type) -> None:
    instance = MOFSimClient("http://127.0.0.1:9")
    undocumented = [name for name in public(kind) if not (inspect.getdoc(getattr(kind, name)) or "").strip()]
    assert undocumented == []
    signature = inspect.signature(instance.submit_optimization)
    assert list(signature.parameters)[:2] == ["structure", "model"]
    assert "fmax" in signature.parameters
    assert list(inspect.signature(instance.get_task).parameters) == ["task_id"]


def test_the_package_needs_only_what_it_declares() -> None:
    root = Path(mofsim_client.__file__).parent
    core = {"httpx", "httpx_sse", "pydantic", "mofsim_client", *sys.stdlib_module_names}
    allowed = {
        "cli": {"typer", "rich", "yaml"},
        "top": {"textual", "rich"},
        "calculator.py": {"ase", "numpy"},
    }
    wrong = [
        f"{path.relative_to(root)}: {module}"
        for path in root.rglob("*.py")
        for module in imported_at_start(path)
        if module not in core | allowed.get(path.relative_to(root).parts[0], set())
    ]
    assert wrong == []


def imported_at_start(path: Path) -> set[str]:
    """Top-level packages a module imports when it is imported itself."""
    found: set[str] = set()
    for node in ast.parse(path.read_text()).body:
        if isinstance(node, ast.Import):
            found |= {alias.name.partition(".")[0] for alias in node.names}
        elif isinstance(node, ast.ImportFrom):
            found.add((node.module or "").partition(".")[0])
    return found
