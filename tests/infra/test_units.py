"""The systemd units and the proxy's configuration, checked by their own programs where these are."""

from __future__ import annotations

import os
import re
import shutil
import subprocess
from configparser import RawConfigParser
from pathlib import Path

import pytest
from prefect.settings import PREFECT_LOGGING_TO_API_BATCH_SIZE

from deployments.stack.parts import SINGLE_PARTS
from mofsim_settings import Settings

INFRA = Path(__file__).resolve().parents[2] / "infra"
UNITS = INFRA / "systemd"


class Unit(RawConfigParser):
    """A unit file; a setting that stands several times keeps its last value."""

    def __init__(self, path: Path) -> None:
        super().__init__(strict=False)
        self.optionxform = str  # type: ignore[assignment, method-assign]
        self.read_string(path.read_text())


def test_every_part_that_can_run_alone_has_a_unit() -> None:
    started = {}
    for path in UNITS.glob("*.service"):
        words = Unit(path)["Service"]["ExecStart"].split()
        assert words[0] == "/opt/mofsim/mofsim"
        started[path.stem] = words[1:]
    assert started.pop("mofsim-deploy") == ["deploy"]
    assert started.pop("mofsim-host@") == ["part", "host", "--gpu", "%i"]
    assert started == {f"mofsim-{part}": ["part", part] for part in SINGLE_PARTS if part != "host"}


needs_systemd = pytest.mark.skipif(
    shutil.which("systemd-analyze") is None, reason="systemd-analyze is not installed"
)


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """The units with a program and a user that this machine has."""
    folder = tmp_path / "units"
    shutil.copytree(UNITS, folder)
    for path in folder.rglob("*.*"):
        if path.is_file():
            text = path.read_text().replace("/opt/mofsim/mofsim", "/bin/true").replace("=mofsim\n", "=root\n")
            path.write_text(text)
    return folder


@needs_systemd
def test_systemd_accepts_every_unit(folder: Path) -> None:
    instance = folder / "mofsim-host@3.service"
    units = [str(path) for path in folder.glob("mofsim*") if path.is_file() and "@" not in path.name]
    done = subprocess.run(
        ["systemd-analyze", "verify", "--man=no", *units, str(instance)],
        env={**os.environ, "SYSTEMD_UNIT_PATH": f"{folder}:"},
        capture_output=True,
        text=True,
        check=False,
    )
    complaints = [line for line in done.stderr.splitlines() if "mofsim" in line]
    assert complaints == []
    assert done.returncode == 0, done.stderr


@needs_systemd
@pytest.mark.parametrize("unit", ["mofsim-gateway.service", "mofsim-host@.service", "mofsim-worker.service"])
def test_systemd_finds_a_unit_s_process_well_confined(folder: Path, unit: str) -> None:
    for path in folder.rglob("*.*"):
        if path.is_file():
            path.write_text(path.read_text().replace("=root\n", "=nobody\n"))
    # Exposure from 0 to 10, here in tenths; systemd itself calls less than 2.5 good.
    done = subprocess.run(
        ["systemd-analyze", "security", "--offline=true", "--threshold=25", unit],
        cwd=folder,
        capture_output=True,
        text=True,
        check=False,
    )
    if "unrecognized option" in done.stderr:
        pytest.skip("this systemd-analyze judges only units that are loaded")
    assert done.returncode == 0, done.stdout + done.stderr


@pytest.mark.parametrize("name", ["mofsim.env", "second-machine.env"])
def test_an_example_file_names_only_settings_that_exist(
    name: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    lines = (INFRA / "config" / name).read_text().splitlines()
    variables = dict(line.split("=", 1) for line in lines if line and not line.startswith("#"))
    for variable, value in variables.items():
        monkeypatch.setenv(variable, value)
    settings = Settings(home=tmp_path)
    sections = settings.model_dump()
    for variable in variables:
        section, _, field = variable.removeprefix("MOFSIM_").lower().partition("__")
        assert field in sections[section], variable
    expected = range(8) if name == "mofsim.env" else range(8, 16)
    assert settings.compute.local_slots == expected


@pytest.mark.skipif(
    shutil.which("nginx") is None or shutil.which("openssl") is None,
    reason="nginx or openssl is not installed",
)
def test_nginx_accepts_the_proxy_s_configuration(tmp_path: Path) -> None:
    tls = tmp_path / "tls"
    tls.mkdir()
    key_type = ("-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:prime256v1", "-nodes")
    files = ("-keyout", str(tls / "web.key"), "-out", str(tls / "web.pem"))
    subprocess.run(
        ["openssl", "req", "-x509", *key_type, *files, "-subj", "/CN=mofsim.example.org"],
        check=True,
        capture_output=True,
    )
    text = (INFRA / "nginx" / "mofsim.conf").read_text().replace("/etc/mofsim/tls", str(tls))
    (tmp_path / "mofsim.conf").write_text(re.sub(r"^( *listen \[::\].*)$", "", text, flags=re.MULTILINE))
    (tmp_path / "nginx.conf").write_text(
        f"pid {tmp_path}/nginx.pid;\nerror_log {tmp_path}/error.log;\nevents {{}}\n"
        f"http {{ access_log off; include {tmp_path}/mofsim.conf; }}\n"
    )
    done = subprocess.run(
        ["nginx", "-t", "-p", str(tmp_path), "-c", str(tmp_path / "nginx.conf")],
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stderr


def test_the_proxy_lets_the_largest_upload_and_batch_of_logs_pass() -> None:
    text = (INFRA / "nginx" / "mofsim.conf").read_text()
    gateway, prefect = re.findall(r"client_max_body_size (\d+)m;", text)
    assert int(gateway) * 1024**2 > Settings().gateway.max_upload_bytes
    assert int(prefect) * 1024**2 > PREFECT_LOGGING_TO_API_BATCH_SIZE.value()
