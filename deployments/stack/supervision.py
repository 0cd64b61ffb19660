"""Supervisor keeps the parts of a stack alive: its configuration, its start, its answers."""

from __future__ import annotations

import hashlib
import io
import os
import shlex
import subprocess
import sys
import tempfile
import xmlrpc.client
from collections.abc import Sequence
from configparser import RawConfigParser
from dataclasses import dataclass
from pathlib import Path
from typing import Any, cast

import psutil
from supervisor.xmlrpc import SupervisorTransport

from deployments.environment import process_environment
from deployments.stack.home import write_private
from deployments.stack.parts import MARKER, NUMBER, Part
from mofsim_settings import Settings

_LONGEST_SOCKET_PATH = 90
"""Kernels allow about 104 bytes, and Supervisor adds its process number while it binds."""


@dataclass(frozen=True)
class ProcessState:
    """What Supervisor knows about one process."""

    name: str
    state: str
    pid: int
    uptime_seconds: float
    last_words: str


def config_file(home: Path) -> Path:
    return home / "run" / "supervisord.conf"


def pid_file(home: Path) -> Path:
    return home / "run" / "supervisord.pid"


def socket_file(home: Path) -> Path:
    """The control socket: in the home, or in the temporary folder when that path is too long."""
    inside = home / "run" / "supervisor.sock"
    if len(os.fsencode(inside)) <= _LONGEST_SOCKET_PATH:
        return inside
    digest = hashlib.sha256(os.fsencode(home)).hexdigest()[:16]
    return Path(tempfile.gettempdir()) / f"mofsim-{os.geteuid()}-{digest}.sock"


def write_config(settings: Settings, parts: Sequence[Part]) -> None:
    home = settings.home
    config = RawConfigParser()
    config.optionxform = str  # type: ignore[assignment,method-assign]
    config["unix_http_server"] = {"file": _escape(str(socket_file(home))), "chmod": "0600"}
    config["supervisord"] = {
        "nodaemon": "true",
        "silent": "true",
        # Relative to the home, where `start` puts it: Supervisor expands some paths twice.
        "pidfile": str(pid_file(home).relative_to(home)),
        "logfile": str(settings.log_dir.relative_to(home) / "supervisord.log"),
        "logfile_maxbytes": "5MB",
        "logfile_backups": "2",
    }
    if os.geteuid() == 0:
        config["supervisord"]["user"] = "root"
    config["rpcinterface:supervisor"] = {
        "supervisor.rpcinterface_factory": "supervisor.rpcinterface:make_main_rpcinterface"
    }
    for part in parts:
        config[f"program:{part.name}"] = _program(settings, part)
    text = io.StringIO()
    config.write(text)
    write_private(config_file(home), text.getvalue())


def _program(settings: Settings, part: Part) -> dict[str, str]:
    program = {
        "command": " ".join(shlex.quote(_escape(word)) for word in part.command),
        "priority": str(part.order),
        "autorestart": "true",
        "startsecs": "1",
        # Never give up: what a part waits for may be away for long.
        "startretries": "1000000",
        "stopsignal": part.stop_signal,
        "stopwaitsecs": str(round(part.stop_wait_seconds)),
        "killasgroup": "true",
        "redirect_stderr": "true",
        "stdout_logfile": str(settings.log_dir.relative_to(settings.home) / part.log_name),
        "stdout_logfile_maxbytes": "20MB",
        "stdout_logfile_backups": "3",
    }
    if part.first:
        program["numprocs_start"] = str(part.first)
    if part.count > 1:
        program["numprocs"] = str(part.count)
        program["process_name"] = f"{part.name}-{NUMBER}"
    if part.environment:
        program["environment"] = ",".join(f'{k}="{_escape(v)}"' for k, v in part.environment.items())
    return program


def _escape(text: str) -> str:
    """Double the percent signs, which Supervisor expands, but for the process number."""
    return NUMBER.join(piece.replace("%", "%%") for piece in text.split(NUMBER))


def start(settings: Settings) -> int:
    """Start Supervisor in a session of its own and answer its process id."""
    inherited = {name: value for name, value in os.environ.items() if name not in _decided_by_the_stack()}
    environment = {
        **inherited,
        MARKER: str(settings.home),
        **process_environment(settings),
    }
    with (settings.log_dir / "supervisord.out").open("ab") as output:
        process = subprocess.Popen(
            [sys.executable, "-P", "-m", "supervisor.supervisord", "-c", str(config_file(settings.home))],
            env=environment,
            cwd=settings.home,
            stdin=subprocess.DEVNULL,
            stdout=output,
            stderr=output,
            start_new_session=True,
        )
    return process.pid


def _decided_by_the_stack() -> set[str]:
    """Variables that would beat `stack.json` in the children."""
    return {
        "MOFSIM_DATABASE__URL",
        "MOFSIM_PREFECT__API_URL",
        "MOFSIM_PREFECT__UI_URL",
        "MOFSIM_DASK__SCHEDULER_ADDRESS",
        "MOFSIM_DASK__DASHBOARD_URL",
        "MOFSIM_COMPUTE__SLOTS",
        "MOFSIM_GATEWAY__HOST",
        "MOFSIM_GATEWAY__PORT",
    }


def running_pid(home: Path) -> int | None:
    """Process id of the Supervisor of this home, if it lives."""
    try:
        process = psutil.Process(int(pid_file(home).read_text()))
        alive = str(config_file(home)) in process.cmdline() and process.status() != psutil.STATUS_ZOMBIE
    except (OSError, ValueError, psutil.Error):
        return None
    return process.pid if alive else None


def states(home: Path) -> list[ProcessState]:
    """State of every process, in the order of the parts; empty while Supervisor does not answer."""
    try:
        answers = cast(list[dict[str, Any]], _client(home).supervisor.getAllProcessInfo())
    except (OSError, xmlrpc.client.Error):
        return []
    return [
        ProcessState(
            name=answer["name"],
            state=answer["statename"],
            pid=answer["pid"],
            uptime_seconds=float(answer["now"] - answer["start"]) if answer["pid"] else 0.0,
            last_words=answer["spawnerr"] or answer["description"],
        )
        for answer in answers
    ]


def stop_part(home: Path, name: str) -> None:
    """Stop one part (all its processes) and wait for its end."""
    try:
        _client(home).supervisor.stopProcessGroup(name, True)
    except (OSError, xmlrpc.client.Error):
        return


def start_part(home: Path, name: str) -> None:
    """Start a part that was stopped (all its processes), without waiting for it."""
    try:
        _client(home).supervisor.startProcessGroup(name, False)
    except (OSError, xmlrpc.client.Error):
        return


def shut_down(home: Path) -> None:
    """Ask Supervisor to stop all parts in their order and to leave."""
    try:
        _client(home).supervisor.shutdown()
    except (OSError, xmlrpc.client.Error):
        return


def _client(home: Path) -> xmlrpc.client.ServerProxy:
    transport = SupervisorTransport(serverurl=f"unix://{socket_file(home)}")
    return xmlrpc.client.ServerProxy("http://localhost", transport=transport)
