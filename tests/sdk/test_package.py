"""The distribution: a wheel that holds everything and nothing else, and a README that is true."""

from __future__ import annotations

import asyncio
import os
import re
import shutil
import subprocess
import sys
import tomllib
import zipfile
from importlib.metadata import Distribution, distribution, distributions
from pathlib import Path
from typing import Any

import httpx
import mofsim_client
import pytest
from mofsim_client.cli._exit_codes import ExitCode
from packaging.requirements import Requirement
from packaging.utils import canonicalize_name

from tests.sdk.test_webhooks import signed

SDK = Path(__file__).resolve().parents[2] / "sdk"
README = (SDK / "README.md").read_text()


@pytest.fixture(scope="module")
def wheel(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("wheel")
    # setuptools builds beside the sources.
    source = shutil.copytree(SDK, folder / "sdk", ignore=shutil.ignore_patterns("build", "*.egg-info"))
    subprocess.run(
        [
            sys.executable,
            "-m",
            "pip",
            "wheel",
            "--no-deps",
            "--no-build-isolation",
            "-q",
            "-w",
            folder,
            source,
        ],
        check=True,
        timeout=120,
    )
    (wheel,) = folder.glob("mofsim_client-*.whl")
    return wheel


def test_the_wheel_holds_every_module_and_the_type_marker(wheel: Path) -> None:
    with zipfile.ZipFile(wheel) as archive:
        packed = {name for name in archive.namelist() if ".dist-info/" not in name}
    sources = {
        path.relative_to(SDK).as_posix()
        for path in (SDK / "mofsim_client").rglob("*")
        if path.suffix in (".py", ".typed")
    }
    assert packed == sources | {"mofsim_client/py.typed"}


@pytest.mark.parametrize(
    ("extra", "module"),
    [("", "mofsim_client"), ("cli", "mofsim_client.cli"), ("top", "mofsim_client.top")],
    ids=["core", "cli", "top"],
)
def test_the_wheel_works_with_nothing_but_what_it_declares(
    wheel: Path, tmp_path: Path, extra: str, module: str
) -> None:
    """An interpreter without site-packages sees the wheel and its declared dependencies, no more."""
    with zipfile.ZipFile(wheel) as archive:
        archive.extractall(tmp_path)
    (ours,) = distributions(path=[str(tmp_path)])
    for name in needed(ours, extra):
        for entry in {file.parts[0] for file in distribution(name).files or ()} - {"..", "__pycache__"}:
            (tmp_path / entry).symlink_to(Path(str(distribution(name).locate_file(entry))))
    code = (
        f"import sys; sys.path.insert(0, sys.argv[1]); import {module}; "
        "heavy = {'ase', 'numpy', 'pandas', 'matplotlib', 'torch', 'prefect', 'fastapi', 'sqlalchemy'}; "
        "ours = {'mof_benchmark', 'tasks', 'flows', 'deployments', 'api_gateway', 'mofsim_settings'}; "
        "assert not (ours | heavy) & set(sys.modules), (ours | heavy) & set(sys.modules)"
    )
    subprocess.run(
        [sys.executable, "-I", "-S", "-c", code, str(tmp_path)], check=True, timeout=120, cwd=tmp_path
    )


def needed(wanted: Distribution, extra: str) -> set[str]:
    """Names of the distributions that one needs, with those they need themselves."""
    found: set[str] = set()
    todo = [(wanted, extra)]
    while todo:
        dist, chosen = todo.pop()
        for text in dist.requires or ():
            requirement = Requirement(text)
            if requirement.marker and not requirement.marker.evaluate({"extra": chosen}):
                continue
            for inner in requirement.extras:
                if requirement.name == wanted.name:
                    todo.append((wanted, inner))
            name = canonicalize_name(requirement.name)
            if name not in (*found, wanted.name):
                found.add(name)
                todo.append((distribution(name), ""))
    return found


def test_the_version_is_told_in_one_voice() -> None:
    project = tomllib.loads((SDK / "pyproject.toml").read_text())["project"]
    assert project["version"] == mofsim_client.__version__


def test_the_readme_gives_every_exit_code() -> None:
    assert {int(code) for code in re.findall(r"^\| (\d+) \|", README, re.MULTILINE)} == set(ExitCode)


def test_the_fastapi_example_takes_a_signed_webhook() -> None:
    (block,) = (
        block for block in re.findall(r"```python\n(.*?)```", README, re.DOTALL) if "fastapi" in block
    )
    names: dict[str, Any] = {}
    exec(compile(block, "README", "exec"), names)  # noqa: S102
    body = b'{"event": "task.completed", "task_id": "task_1"}'

    async def post(content: bytes) -> int:
        transport = httpx.ASGITransport(names["app"])
        async with httpx.AsyncClient(transport=transport, base_url="http://receiver") as sender:
            return (await sender.post("/mofsim", content=content, headers=signed(body))).status_code

    assert asyncio.run(post(body)) == 200
    with pytest.raises(mofsim_client.WebhookVerificationError):
        asyncio.run(post(body + b" "))


def test_the_code_in_the_readme_is_typed_correctly(tmp_path: Path) -> None:
    blocks = re.findall(r"```python\n(.*?)```", README, re.DOTALL)
    # The two webhook examples would have mypy read all of a web framework.
    ours = [block for block in blocks if "verify_webhook" not in block]
    assert len(ours) == len(blocks) - 2 > 2
    for number, block in enumerate(ours):
        (tmp_path / f"block_{number}.py").write_text(block)
    # The project's own settings and cache: `./mofsim test` has run mypy over the package before.
    checked = subprocess.run(
        [sys.executable, "-m", "mypy", tmp_path],
        cwd=SDK.parent,
        capture_output=True,
        text=True,
        timeout=240,
        env={**os.environ, "MYPYPATH": str(SDK)},
        check=False,
    )
    assert checked.returncode == 0, checked.stdout
