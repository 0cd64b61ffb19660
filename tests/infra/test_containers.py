"""The container files: what they start, pin, forbid and mount."""

from __future__ import annotations

import json
import re
import shutil
import subprocess
import tomllib
from pathlib import Path
from typing import Any

import pytest
import yaml
from pydantic import TypeAdapter

from deployments.cli.app import app
from deployments.stack.parts import SINGLE_PARTS
from mofsim_settings import Settings
from tests.infra.image import ROOT, copied, stages

INFRA = ROOT / "infra"
DOCKER = INFRA / "docker"
COMPOSE: dict[str, Any] = yaml.safe_load((DOCKER / "compose.yaml").read_text())
SERVICES: dict[str, dict[str, Any]] = COMPOSE["services"]
OURS = {name: service for name, service in SERVICES.items() if service["image"].startswith("mofsim/")}


def test_every_part_that_can_run_alone_has_a_container_and_no_container_starts_anything_else() -> None:
    commands = {name: service["command"] for name, service in OURS.items()}
    assert commands.pop("deploy") == ["deploy"]
    started = {}
    for name, (verb, part, *options) in commands.items():
        assert verb == "part"
        assert options == (["--gpu", name.removeprefix("host-")] if part == "host" else [])
        started[name] = part
    assert set(started.values()) == set(SINGLE_PARTS)
    assert sum(part == "host" for part in started.values()) == 8


def test_every_health_check_asks_for_the_part_that_its_container_runs() -> None:
    commands = {
        command.name or command.callback.__name__ for command in app.registered_commands if command.callback
    }
    for name, service in SERVICES.items():
        check = service["healthcheck"]
        if name == "deploy":
            assert check == {"disable": True}
        elif name in OURS:
            words = check["test"]
            assert words[:5] == ["CMD", "python", "-P", "-m", "deployments.cli"]
            assert words[5] in commands
            assert words[6:] == service["command"][1:]
        else:
            assert check["test"][0] == "CMD"


def test_every_container_is_pinned_confined_and_knows_only_what_is_declared() -> None:
    for name, service in SERVICES.items():
        assert re.search(r":v?\d+(\.\d+)+(-\w+)?$", service["image"]), name
        assert set(service.get("secrets", ())) <= set(COMPOSE["secrets"]), name
        assert set(service["networks"]) <= set(COMPOSE["networks"]), name
        assert set(service.get("depends_on", ())) <= set(SERVICES), name
        for volume in service.get("volumes", ()):
            source, _, target = volume.partition(":")
            assert target.startswith("/"), name
            if source.startswith("."):
                assert (DOCKER / source).exists(), source
            else:
                assert source in COMPOSE["volumes"], name
        # Only the proxy on the same machine reaches what is published.
        assert all(port.startswith("127.0.0.1:") for port in service.get("ports", ())), name
    for name, service in OURS.items():
        assert service["cap_drop"] == ["ALL"], name
        assert service["read_only"], name


def test_each_host_has_one_gpu_and_is_the_same_machine_as_the_worker_to_the_outside() -> None:
    worker = SERVICES["worker"]
    for gpu in range(8):
        host = SERVICES[f"host-{gpu}"]
        (device,) = host["deploy"]["resources"]["reservations"]["devices"]
        assert device["device_ids"] == [str(gpu)]
        assert host["environment"]["MOFSIM_COMPUTE__FIRST_SLOT"] == str(gpu)
        assert (host["hostname"], host["pid"]) == (worker["hostname"], worker["pid"])


@pytest.mark.parametrize("name", OURS)
def test_the_environment_of_a_container_is_one_that_the_settings_accept(
    name: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    for secret in OURS[name]["secrets"]:
        (tmp_path / secret).write_text("postgresql://a:b@postgres/mofsim\n")
    for variable, value in OURS[name]["environment"].items():
        monkeypatch.setenv(variable, value)
    monkeypatch.setenv("MOFSIM_SECRETS_DIR", str(tmp_path))
    settings = Settings(home=tmp_path)
    assert settings.database.url.get_secret_value() == "postgresql://a:b@postgres/mofsim"
    assert settings.compute.slots == 8
    sections = TypeAdapter(dict[str, Any]).validate_python(settings.model_dump())
    for variable in OURS[name]["environment"]:
        section, _, field = variable.removeprefix("MOFSIM_").lower().partition("__")
        assert not field or field in sections[section], variable


def test_the_image_copies_all_code_and_runs_as_nobody_in_particular() -> None:
    project = tomllib.loads((ROOT / "pyproject.toml").read_text())["tool"]["setuptools"]
    modules = {f"{name}.py" for name in project["py-modules"]}
    packages = {name.rstrip("*") for name in project["packages"]["find"]["include"]}
    assert modules == {path.name for path in ROOT.glob("*.py")}
    assert copied() == modules | packages | {"sdk", "pyproject.toml", "prefect.yaml"}
    users = [line for lines in stages().values() for line in lines if line.startswith("USER")]
    assert users == ["USER 10001:10001"]
    for name in ("service", "compute"):
        assert any(line.startswith("HEALTHCHECK") for line in stages()[name])
    kept_out = (DOCKER / "Dockerfile.dockerignore").read_text().splitlines()
    assert {f"!{name}" for name in copied()} <= set(kept_out)
    assert "*" in kept_out


def test_packages_are_installed_from_the_locked_sets_with_their_hashes() -> None:
    for chosen in ("cpu", "cuda"):
        text = "\n".join(stages()[f"{chosen}-packages"])
        assert "--require-hashes" in text
        assert f"requirements/{chosen}.txt" in text


def test_the_override_for_the_cpu_changes_only_services_that_exist() -> None:
    class Loader(yaml.SafeLoader):
        """Knows compose's own tag for what an override takes away."""

    Loader.add_constructor("!reset", lambda loader, node: None)
    override = yaml.load((DOCKER / "compose.cpu.yaml").read_text(), Loader)  # noqa: S506 - derived from SafeLoader
    assert set(override["services"]) <= set(SERVICES)
    left = {name for name in OURS if override["services"].get(name, {}).get("profiles") is None}
    assert {name for name in left if name.startswith("host-")} == {"host-0", "host-1"}
    for name in ("worker", "host-0", "host-1"):
        assert override["services"][name]["environment"]["MOFSIM_COMPUTE__DEVICE"] == "cpu"
        assert override["services"][name]["image"] == "mofsim/service:0.1.0"


def compose(*words: str) -> str:
    """What Docker Compose itself makes of the files; no engine is needed for that."""
    version = subprocess.run(["docker", "compose", "version"], capture_output=True, check=False)
    if version.returncode != 0:
        pytest.skip("docker compose (version 2) is not installed")
    done = subprocess.run(
        ["docker", "compose", *words, "config", "--format", "json"],
        cwd=DOCKER,
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    assert "level=warning" not in done.stderr, done.stderr
    return done.stdout


needs_docker = pytest.mark.skipif(shutil.which("docker") is None, reason="docker's client is not installed")


@needs_docker
def test_docker_compose_accepts_the_file_and_resolves_it_as_the_tests_read_it() -> None:
    resolved = json.loads(compose("--file", "compose.yaml"))["services"]
    assert set(resolved) == set(SERVICES)
    for name in OURS:
        assert resolved[name]["command"] == OURS[name]["command"]
        assert resolved[name]["environment"] == {
            # Compose itself fills in what `${…}` stands for.
            variable: value if "$" not in str(value) else resolved[name]["environment"][variable]
            for variable, value in OURS[name]["environment"].items()
        }


@needs_docker
def test_docker_compose_makes_two_cpu_slots_of_the_override() -> None:
    resolved = json.loads(compose("--file", "compose.yaml", "--file", "compose.cpu.yaml"))["services"]
    assert {name for name in resolved if name.startswith("host-")} == {"host-0", "host-1"}
    for name in {"gateway", "worker", "host-0", "host-1"}:
        environment = resolved[name]["environment"]
        assert environment["MOFSIM_COMPUTE__SLOTS"] == "2"
        assert environment["MOFSIM_COMPUTE__DEVICE"] == "cpu"
        assert environment["MOFSIM_DASK__SCHEDULER_ADDRESS"] == "tcp://scheduler:8786"
        assert resolved[name].get("deploy") is None


@pytest.mark.skipif(shutil.which("hadolint") is None, reason="hadolint is not installed")
def test_a_linter_finds_nothing_in_the_dockerfile() -> None:
    done = subprocess.run(
        ["hadolint", str(DOCKER / "Dockerfile")], capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stdout
