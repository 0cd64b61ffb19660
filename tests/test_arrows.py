"""The arrows between folders: who may import whom (CONTRIBUTING.md)."""

from __future__ import annotations

import ast
from collections.abc import Iterator
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parent.parent
COMPUTE_WITHOUT_TORCH = (
    "mof_benchmark.errors",
    "mof_benchmark.identifiers",
    "mof_benchmark.schemas",
    "mof_benchmark.structures",
    "mof_benchmark.calculators.contract",
    "mof_benchmark.calculators.footprint",
    "mof_benchmark.calculators.registry",
    "mof_benchmark.calculators.custom.scan",
    "mof_benchmark.calculators.custom.settings",
)
MAY_IMPORT: dict[str, tuple[str, ...]] = {
    "mofsim_settings.py": (),
    "mofsim_logs.py": (),
    "mof_benchmark": ("mofsim_settings",),
    "tasks": ("mofsim_settings", "mofsim_logs", "mof_benchmark"),
    "flows": ("mofsim_settings", "mof_benchmark", "tasks"),
    "deployments": ("mofsim_settings", "mofsim_logs", "mof_benchmark", "tasks", "flows", "mofsim_client"),
    "api_gateway": ("mofsim_settings", "mofsim_logs", *COMPUTE_WITHOUT_TORCH),
    "sdk": ("mofsim_client",),
}
OURS = (
    "mofsim_settings",
    "mofsim_logs",
    "mof_benchmark",
    "tasks",
    "flows",
    "deployments",
    "api_gateway",
    "mofsim_client",
    "tests",
)
COMPUTE_FORBIDDEN = ("prefect", "prefect_dask", "fastapi", "httpx", "sqlalchemy", "psycopg")


def sources(folder: str) -> list[Path]:
    path = ROOT / folder
    return [path] if path.is_file() else sorted(path.rglob("*.py"))


def imported_modules(path: Path) -> Iterator[str]:
    for node in ast.walk(ast.parse(path.read_text())):
        if isinstance(node, ast.Import):
            yield from (alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            assert node.level == 0, f"{path}: relative import"
            module = node.module or ""
            yield from (f"{module}.{alias.name}" for alias in node.names)


def is_within(module: str, allowed: tuple[str, ...]) -> bool:
    return any(module == name or module.startswith(name + ".") for name in allowed)


@pytest.mark.parametrize("folder", MAY_IMPORT)
def test_a_folder_imports_only_what_its_arrows_allow(folder: str) -> None:
    allowed = (*MAY_IMPORT[folder], folder.removesuffix(".py"))
    files = sources(folder)
    assert files, f"{folder} is empty"
    wrong = [
        f"{path.relative_to(ROOT)} imports {module}"
        for path in files
        for module in imported_modules(path)
        if is_within(module, OURS) and not is_within(module, allowed)
    ]
    assert wrong == []


def test_the_science_knows_no_orchestrator_no_http_and_no_database() -> None:
    wrong = [
        f"{path.relative_to(ROOT)} imports {module}"
        for path in sources("mof_benchmark")
        for module in imported_modules(path)
        if is_within(module, COMPUTE_FORBIDDEN)
    ]
    assert wrong == []
