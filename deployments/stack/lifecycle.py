"""Start and stop an embedded stack; a second start, a crash and an abort are all accounted for."""

from __future__ import annotations

import time
from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import psutil

from deployments.stack import leftovers, ports, postgres, supervision
from deployments.stack.errors import StackError
from deployments.stack.home import locked, make_home, stack_file, write_stack_file
from deployments.stack.parts import Part, all_parts
from deployments.stack.readiness import Checks
from mofsim_settings import Settings, load_settings

START_SECONDS = 300.0
"""Longest start: a slow disk and one busy core."""
POLL_SECONDS = 0.25
REPAIR_PATIENCE_SECONDS = 1.0
LOCK_SECONDS = 30.0
"""How long `down` waits for a start or a repair that is under way."""


@dataclass(frozen=True)
class Stack:
    """A running stack."""

    settings: Settings
    supervisor_pid: int

    @property
    def gateway_url(self) -> str:
        host, port = self.settings.gateway.host, self.settings.gateway.port
        return f"http://{f'[{host}]' if ':' in host else host}:{port}"


def find(home: Path) -> Stack | None:
    """The stack that runs in `home`, if one does."""
    pid = supervision.running_pid(home)
    if pid is None or not stack_file(home).exists():
        return None
    return Stack(load_settings(home), pid)


def up(
    home: Path,
    *,
    port: int | None = None,
    slots: int | None = None,
    enough: str | None = None,
    on_ready: Callable[[str], None] = lambda name: None,
) -> Stack:
    """Start every part and return when the stack serves requests.

    Parameters
    ----------
    home
        Absolute folder of the stack; made when it is not there.
    port, slots
        Gateway port (0: any free one) and number of GPU slots; by default the settings'.
    enough
        Return once this part is ready; the others follow by themselves. All by default.
    on_ready
        Called with the name of each part as it becomes ready.

    Raises
    ------
    StackError
        When a stack runs there already, the port is in use, the folder cannot be written, or a
        part does not start; nothing is left running then.
    """
    refuse_second(home)
    wanted = load_settings(home)
    host = wanted.gateway.host
    gateway_port = wanted.gateway.port if port is None else port
    if gateway_port:
        ports.require_free(host, gateway_port)
    make_home(wanted)
    with locked(home):
        refuse_second(home)
        leftovers.stop(home)
        # Facts of a stack that is gone would pass for the operator's wishes.
        stack_file(home).unlink(missing_ok=True)
        wanted = load_settings(home)
        facts = _facts(wanted, gateway_port, wanted.compute.slots if slots is None else slots)
        write_stack_file(home, facts)
        settings = Settings(home=home, **facts)
        if not wanted.database.url.get_secret_value():
            postgres.prepare(home)
        parts = all_parts(
            settings,
            with_postgres=not wanted.database.url.get_secret_value(),
            with_prefect=not wanted.prefect.api_url,
            with_dask=not wanted.dask.scheduler_address,
        )
        try:
            supervision.write_config(settings, parts)
            pid = supervision.start(settings)
            _wait_until_ready(settings, parts, pid, enough, on_ready)
        except BaseException:
            _stop_everything(home, wait_for_tasks=False)
            raise
    return Stack(settings, pid)


def refuse_second(home: Path) -> None:
    """Refuse to start a stack beside a running one.

    Raises
    ------
    StackError
        Naming the running one.
    """
    running = find(home)
    if running is not None:
        raise StackError(
            f"A stack is already up in {home}: process {running.supervisor_pid}, {running.gateway_url}. "
            "`./mofsim down` stops it; another --home starts a second one beside it."
        )


def down(home: Path, *, wait_for_tasks: bool = True) -> int:
    """Stop the stack in `home` and leave no process behind; answer how many processes there were.

    Running tasks get `scheduling.shutdown_wait_seconds` to end; those that do not are taken up
    again by the next start.

    Raises
    ------
    StackError
        When another `up` or `down` is at work there.
    """
    if not (home / "run").is_dir():
        return 0
    with locked(home, patience_seconds=LOCK_SECONDS):
        count = len(leftovers.find(home))
        _stop_everything(home, wait_for_tasks=wait_for_tasks)
    return count


def wait_until_stopped(stack: Stack) -> None:
    """Block until nothing of the stack is left (`down` from another terminal)."""
    home = stack.settings.home
    # A killed Supervisor is started again by the keeper: that is no end.
    while supervision.running_pid(home) is not None or leftovers.find(home):
        time.sleep(0.5)


def restart_supervisor() -> None:
    """Start Supervisor again after it was killed, in a stack that nobody stopped."""
    settings = load_settings()
    with locked(settings.home, patience_seconds=LOCK_SECONDS):
        if not stack_file(settings.home).exists() or supervision.running_pid(settings.home) is not None:
            return
        # No longer than what ends at all needs: a pool worker would wait for its tasks, PostgreSQL
        # for its clients, and both are made to be killed.
        leftovers.stop(settings.home, patience_seconds=REPAIR_PATIENCE_SECONDS)
        supervision.start(settings)


def _facts(wanted: Settings, gateway_port: int, slots: int) -> dict[str, Any]:
    """What the parts must know, in the shape of the settings tree."""
    database, prefect, dask, dashboard, free = ports.free_ports(5)
    api_url = wanted.prefect.api_url or f"http://127.0.0.1:{prefect}/api"
    return {
        "database": {
            **wanted.database.model_dump(),
            "url": wanted.database.url.get_secret_value() or postgres.url(wanted.home, database, "mofsim"),
        },
        "prefect": {
            **wanted.prefect.model_dump(),
            "auth_string": wanted.prefect.auth_string.get_secret_value(),
            "api_url": api_url,
            "ui_url": wanted.prefect.ui_url or api_url.removesuffix("/api"),
        },
        "dask": {
            **wanted.dask.model_dump(mode="json"),
            "scheduler_address": wanted.dask.scheduler_address or f"tcp://127.0.0.1:{dask}",
            "dashboard_url": wanted.dask.dashboard_url or f"http://127.0.0.1:{dashboard}",
        },
        "compute": {**wanted.compute.model_dump(mode="json"), "slots": slots},
        "gateway": {**wanted.gateway.model_dump(mode="json"), "port": gateway_port or free},
    }


def _wait_until_ready(
    settings: Settings, parts: list[Part], pid: int, enough: str | None, on_ready: Callable[[str], None]
) -> None:
    checks = Checks(settings, parts)
    deadline = time.monotonic() + START_SECONDS
    while True:
        for name in checks.newly_ready():
            on_ready(name)
        if not checks.missing() or (enough and enough not in checks.missing()):
            return
        if not psutil.pid_exists(pid) or psutil.Process(pid).status() == psutil.STATUS_ZOMBIE:
            raise StackError(f"Supervisor ended while starting:\n{_tail(settings, 'supervisord.out')}")
        if time.monotonic() > deadline:
            missing = checks.missing()
            raise StackError(
                f"Not ready after {START_SECONDS:.0f} s: {', '.join(missing)}. Last lines of its log:\n"
                + _tail(settings, f"{missing[0]}.log")
            )
        time.sleep(POLL_SECONDS)


def _tail(settings: Settings, log: str, lines: int = 15) -> str:
    file = settings.log_dir / log
    return "\n".join(file.read_text(errors="replace").splitlines()[-lines:]) if file.exists() else "(no log)"


def _stop_everything(home: Path, *, wait_for_tasks: bool) -> None:
    pid = supervision.running_pid(home)
    if pid is not None:
        if wait_for_tasks:
            supervision.stop_part(home, "worker")
        supervision.shut_down(home)
        patience = 60.0 if wait_for_tasks else 15.0
        with suppress(psutil.Error):
            psutil.Process(pid).wait(patience)
    leftovers.stop(home)
    for file in (stack_file(home), supervision.pid_file(home), supervision.socket_file(home)):
        file.unlink(missing_ok=True)
