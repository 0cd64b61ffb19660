"""The servers that a measurement of the queue needs, without the rest of a stack."""

from __future__ import annotations

import os
import shutil
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import Any

import httpx

from deployments.environment import prepare_environment, process_environment
from deployments.stack import ports, postgres
from deployments.stack.home import make_home, write_stack_file
from deployments.stack.parts import Part, gateway, postgres_server, prefect_server
from deployments.stack.waiting import wait_until_accepting
from mofsim_settings import Settings, load_settings

START_SECONDS = 600.0
GATEWAY_PROGRAM = (sys.executable, "-P", "-m", "api_gateway.bench")
"""The gateway's half: this folder imports nothing of it."""


@contextmanager
def servers(slots: int, *, with_prefect: bool) -> Iterator[Settings]:
    """PostgreSQL with our schema in a home that is thrown away; with Prefect, its server and a gateway."""
    home = Path(tempfile.mkdtemp(prefix="mofsim-bench-"))
    database, prefect, rest = ports.free_ports(3)
    facts: dict[str, Any] = {
        "database": {"url": postgres.url(home, database, "mofsim")},
        "prefect": {"api_url": f"http://127.0.0.1:{prefect}/api"},
        "compute": {"slots": slots, "spare_gpu": None, "simulated": True},
        "gateway": {"port": rest},
        # The benchmark plays the hosts: on a busy machine their silence must not count as loss.
        "scheduling": {"lost_after_seconds": 600.0},
    }
    try:
        settings = Settings(home=home, **facts)
        make_home(settings)
        write_stack_file(home, facts)
        prepare_environment(settings)
        postgres.prepare(home)
        with ExitStack() as running:
            running.enter_context(process(postgres_server(settings), settings))
            wait_until_accepting(settings.database.url.get_secret_value())
            subprocess.run(
                [sys.executable, "-P", "-m", "api_gateway.database", "upgrade"],
                env=os.environ | process_environment(settings),
                check=True,
                stdout=subprocess.DEVNULL,
            )
            if with_prefect:
                running.enter_context(process(prefect_server(settings), settings))
                _wait_for(f"{settings.prefect.api_url}/health")
                running.enter_context(process(gateway(settings), settings))
                _wait_for(f"http://127.0.0.1:{rest}/api/v1/health/live")
            yield load_settings(home)
    finally:
        shutil.rmtree(home, ignore_errors=True)


def gateway_program(settings: Settings, *words: str) -> str:
    """Run the gateway's half of a measurement to its end; answers what it printed."""
    done = subprocess.run(
        [*GATEWAY_PROGRAM, *words],
        env=os.environ | process_environment(settings),
        check=True,
        stdout=subprocess.PIPE,
        text=True,
    )
    return done.stdout


@contextmanager
def process(part: Part, settings: Settings) -> Iterator[None]:
    """Run a part for the length of a block."""
    environment = os.environ | process_environment(settings) | part.environment
    with (settings.log_dir / f"{part.name}.log").open("wb") as log:
        running = subprocess.Popen(part.command, env=environment, stdout=log, stderr=log)
    try:
        yield
    finally:
        running.send_signal(getattr(signal, f"SIG{part.stop_signal}"))
        try:
            running.wait(part.stop_wait_seconds)
        except subprocess.TimeoutExpired:
            running.kill()
            running.wait()


def _wait_for(url: str) -> None:
    deadline = time.monotonic() + START_SECONDS
    while True:
        try:
            if httpx.get(url, timeout=5.0).is_success:
                return
        except httpx.HTTPError:
            pass
        if time.monotonic() > deadline:
            raise TimeoutError(f"{url} did not answer")
        time.sleep(0.2)
