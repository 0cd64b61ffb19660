"""Two machines with a GPU slot each, as the example files set them up: TLS, passwords, a cut cable.

Every part is started by the command its container and its unit have, from a folder with what the image
holds. Where nginx is installed, the second machine reaches Prefect through the proxy of `infra/nginx`.
"""

from __future__ import annotations

import asyncio
import contextlib
import functools
import json
import os
import re
import shutil
import site
import ssl
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import distributed
import httpx
import psycopg
import pytest
from distributed.security import Security
from psycopg.rows import dict_row

from deployments.stack import postgres
from tests.infra import machines
from tests.infra.image import ROOT, lay_out
from tests.infra.machines import Machine, Network

REASON = machines.missing()
pytestmark = pytest.mark.skipif(REASON is not None, reason=REASON or "")
INFRA = ROOT / "infra"
PATIENCE_SECONDS = 600.0
PROXIED = shutil.which("nginx") is not None
DATABASE_PASSWORD, PREFECT_USER = "between-machines", ("mofsim", "only-we-know")
EVERYWHERE = "0.0.0.0"  # noqa: S104 - on a machine that only the test reaches
MODEL, STRUCTURE = "sevennet_prod", "Mg-MOF-74"
STEPS = 100


def wait_for(condition: Callable[[], Any], what: str) -> None:
    deadline = time.monotonic() + PATIENCE_SECONDS
    while not condition():
        assert time.monotonic() < deadline, f"{what}: not within {PATIENCE_SECONDS:.0f} s"
        time.sleep(0.3)


def example(name: str) -> dict[str, str]:
    """Variables of an example file."""
    lines = (INFRA / "config" / name).read_text().splitlines()
    return dict(line.split("=", 1) for line in lines if line and not line.startswith("#"))


def make_certificates(folder: Path, addresses: list[str]) -> None:
    """An authority, and one certificate for all machines, by the commands of the operations manual."""
    folder.mkdir()
    key = ("-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:prime256v1", "-nodes", "-days", "2")
    names = ",".join(f"IP:{address}" for address in [*addresses, "127.0.0.1"])
    authority = ("-subj", "/CN=mofsim", "-keyout", "ca.key", "-out", "ca.pem")
    signed = ("-addext", "basicConstraints=CA:FALSE", "-CA", "ca.pem", "-CAkey", "ca.key")
    machine = ("-subj", "/CN=machine", "-addext", f"subjectAltName={names}")
    files = ("-keyout", "machine.key", "-out", "machine.pem")
    for words in ((*key, *authority), (*key, *machine, *signed, *files)):
        subprocess.run(["openssl", "req", "-x509", *words], cwd=folder, check=True, capture_output=True)
    for ending in ("pem", "key"):
        shutil.copy(folder / f"machine.{ending}", folder / f"web.{ending}")


@dataclass
class Site:
    """Both machines, and what an operator sees of them."""

    network: Network
    first: Machine
    second: Machine
    folder: Path

    @property
    def ca(self) -> Path:
        return self.folder / "tls" / "ca.pem"

    def text(self, text: str) -> str:
        """An example with the names of this site."""
        for name in ("prefect.example.org", "gpu-1.example.org"):
            text = text.replace(name, self.first.address)
        for path, here in (("/etc/mofsim", ""), ("/srv/mofsim", "shared"), ("/backup/mofsim", "backups")):
            text = text.replace(path, str(self.folder / here).rstrip("/"))
        return text

    @functools.cached_property
    def common(self) -> dict[str, str]:
        packages = [path for path in site.getsitepackages() if path.startswith(sys.prefix)]
        image = self.folder / "image"
        return {
            **{name: os.environ[name] for name in ("PATH", "HOME", "LANG") if name in os.environ},
            # The interpreter of no environment, so that nothing is imported that the image lacks.
            "PYTHONPATH": os.pathsep.join([str(image), str(image / "sdk"), *packages]),
            "MOFSIM_COMPUTE__SLOTS": "2",
            "MOFSIM_COMPUTE__SLOTS_HERE": "1",
            "MOFSIM_COMPUTE__DEVICE": "cpu",
            "MOFSIM_SCHEDULING__HEARTBEAT_SECONDS": "0.5",
            "MOFSIM_SCHEDULING__LOST_AFTER_SECONDS": "20",
        }

    def environment(self, machine: Machine) -> dict[str, str]:
        first, second = example("mofsim.env"), example("second-machine.env")
        if machine is self.first:
            shared = ("MOFSIM_DASK__", "MOFSIM_STORAGE__", "MOFSIM_COMPUTE__MODELS_DIR")
            chosen = first | {name: value for name, value in second.items() if name.startswith(shared)}
            chosen |= {"MOFSIM_DASK__LISTEN_HOST": EVERYWHERE, "MOFSIM_COMPUTE__FIRST_SLOT": "0"}
            if not PROXIED:
                chosen |= {"MOFSIM_PREFECT__LISTEN_HOST": EVERYWHERE, "MOFSIM_GATEWAY__HOST": EVERYWHERE}
        else:
            chosen = second | {"MOFSIM_COMPUTE__FIRST_SLOT": "1"}
            chosen |= (
                {"MOFSIM_PREFECT__TLS_CA_FILE": "/etc/mofsim/tls/ca.pem"}
                if PROXIED
                else {"MOFSIM_PREFECT__API_URL": f"http://{self.first.address}:4200/api"}
            )
        return {
            **{name: self.text(value) for name, value in chosen.items()},
            **self.common,
            "MOFSIM_COMPUTE__FIRST_SLOT": chosen["MOFSIM_COMPUTE__FIRST_SLOT"],
            "MOFSIM_HOME": str(machine.folder / "home"),
            "MOFSIM_SECRETS_DIR": str(self.secrets(machine)),
        }

    def secrets(self, machine: Machine) -> Path:
        folder = machine.folder / "secrets"
        folder.mkdir(exist_ok=True)
        host = "127.0.0.1" if machine is self.first else self.first.address
        (folder / "MOFSIM_DATABASE__URL").write_text(f"{self.database_url(host)}\n")
        (folder / "MOFSIM_PREFECT__AUTH_STRING").write_text(":".join(PREFECT_USER) + "\n")
        return folder

    def database_url(self, host: str) -> str:
        return (
            f"postgresql://{postgres.OWNER}:{DATABASE_PASSWORD}@{host}:5432/mofsim"
            # The embedded server has no TLS of its own.
            "?sslmode=prefer"
        )

    def words(self, *words: str) -> list[str]:
        """One command of `mofsim`, as the images' entry point has it."""
        return [sys._base_executable, "-P", "-m", "deployments.cli", *words]  # type: ignore[attr-defined]

    def start(self, machine: Machine, *words: str) -> None:
        name = "-".join(words[1:]).replace("---gpu", "")
        environment = self.environment(machine)
        machine.start(name, *self.words(*words), environment=environment, cwd=self.folder / "image")

    def do(self, machine: Machine, *words: str) -> subprocess.CompletedProcess[str]:
        environment = self.environment(machine)
        return machine.run(*self.words(*words), environment=environment, cwd=self.folder / "image")

    def start_postgres(self) -> None:
        """The embedded server's programs, set up as a server for other machines is."""
        home = self.first.folder / "database"
        home.mkdir()
        (home / "postgres.password").write_text(f"{DATABASE_PASSWORD}\n")
        postgres.prepare(home)
        with (postgres.data_folder(home) / "pg_hba.conf").open("a") as rules:
            rules.write("host all all 10.0.0.0/8 scram-sha-256\n")
        options = {"listen_addresses": "*", "fsync": "off"}
        command = postgres.server_command(home, 5432, 100)
        command += [word for name, value in options.items() for word in ("-c", f"{name}={value}")]
        self.first.start("postgres", *command, environment=self.common, cwd=Path("/"))

    def start_proxy(self) -> None:
        text = self.text((INFRA / "nginx" / "mofsim.conf").read_text())
        text = re.sub(r"^( *listen \[::\].*)$", "", text, flags=re.MULTILINE)
        text = text.replace("mofsim.example.org", "localhost")
        here = self.first.folder
        (here / "mofsim.conf").write_text(text)
        (here / "nginx.conf").write_text(
            f"pid {here}/nginx.pid;\nerror_log {here}/nginx.log;\nevents {{}}\n"
            f"http {{ access_log off; include {here}/mofsim.conf; }}\n"
        )
        words = ("nginx", "-p", str(here), "-c", str(here / "nginx.conf"), "-g", "daemon off;")
        self.first.start("nginx", *words, environment=self.common, cwd=here)

    def wait(self, condition: Callable[[], Any], what: str) -> None:
        """Wait for something while everything runs."""

        def holds() -> bool:
            assert self.first.ended() + self.second.ended() == [], f"ended before {what}"
            # Before a part is there, nginx answers in its place, and not in JSON.
            with contextlib.suppress(httpx.TransportError, json.JSONDecodeError):
                return bool(condition())
            return False

        wait_for(holds, what)

    def prefect(
        self,
        method: str,
        path: str,
        asked: dict[str, Any] | None = None,
        *,
        auth: tuple[str, str] | None = PREFECT_USER,
    ) -> httpx.Response:
        """Ask Prefect as the second machine does."""
        body = asked or {} if method == "POST" else None
        return self.http.request(method, f"{self.prefect_url}{path}", json=body, auth=auth)

    @functools.cached_property
    def prefect_url(self) -> str:
        return self.environment(self.second)["MOFSIM_PREFECT__API_URL"]

    @functools.cached_property
    def http(self) -> httpx.Client:
        """A client that trusts the site's own authority."""
        return httpx.Client(verify=ssl.create_default_context(cafile=self.ca), timeout=60)

    def workers_online(self) -> set[str]:
        return {
            pool
            for pool in ("gpu-0", "gpu-1", "maintenance")
            for worker in self.prefect("POST", f"/work_pools/{pool}/workers/filter").json()
            if worker["status"] == "ONLINE"
        }

    def health(self) -> dict[str, Any]:
        if not (self.first.folder / "home" / "admin.key").exists():
            return {}
        with self.client() as client:
            return dict(client.get("/health").json()["data"])

    def client(self) -> httpx.Client:
        """The gateway as its users reach it."""
        key = (self.first.folder / "home" / "admin.key").read_text().strip()
        headers = {"X-API-Key": key}
        if not PROXIED:
            return httpx.Client(
                base_url=f"http://{self.first.address}:8000/api/v1", headers=headers, timeout=60
            )
        transport = httpx.HTTPTransport(verify=False, retries=3)
        headers["Host"] = "localhost"
        return httpx.Client(
            base_url=f"https://{self.first.address}/api/v1",
            headers=headers,
            timeout=60,
            transport=transport,
        )


@pytest.fixture(scope="module")
def place() -> Iterator[Site]:
    """Both machines with all their parts running."""
    with machines.network() as network:
        made = Site(network, network.add("gpu-1"), network.add("gpu-2"), network.folder)
        lay_out(made.folder / "image")
        for folder in ("shared/storage", "shared/models", "backups"):
            (made.folder / folder).mkdir(parents=True)
        make_certificates(made.folder / "tls", [made.first.address, made.second.address])
        make_certificates(made.folder / "stranger", [made.first.address])
        try:
            made.start_postgres()
            made.start(made.first, "part", "scheduler")
            made.start(made.first, "part", "prefect")
            if PROXIED:
                made.start_proxy()
            made.wait(lambda: made.prefect("GET", "/health").is_success, "Prefect")
            deployed = made.do(made.first, "deploy")
            assert deployed.returncode == 0, deployed.stdout + deployed.stderr
            for machine, gpu in ((made.first, "0"), (made.second, "1")):
                made.start(machine, "part", "host", "--gpu", gpu)
                made.start(machine, "part", "worker")
            made.start(made.first, "part", "gateway")
            made.start(made.first, "part", "maintenance")
            with psycopg.connect(made.database_url(made.first.address), row_factory=dict_row) as rows:
                rows.autocommit = True
                made.wait(lambda: len(fresh_slots(rows)) == 2, "a report of each slot")
            made.wait(lambda: made.workers_online() >= {"gpu-0", "gpu-1"}, "the workers of both pools")
            made.wait(lambda: made.health().get("status") == "ok", "the gateway")
            yield made
        except BaseException:
            print(network.output())
            raise


def fresh_slots(rows: psycopg.Connection[dict[str, Any]]) -> list[int]:
    found = rows.execute(
        "SELECT gpu_id FROM gpu_slots WHERE reported_at > clock_timestamp() - interval '4 s'"
    )
    return [row["gpu_id"] for row in found]


@pytest.fixture
def rows(place: Site) -> Iterator[psycopg.Connection[dict[str, Any]]]:
    """The database, from a third machine."""
    url = place.database_url(place.first.address)
    with psycopg.connect(url, autocommit=True, row_factory=dict_row) as connection:
        yield connection


def test_nothing_is_open_to_a_machine_without_certificate_or_password(place: Site) -> None:
    scheduler = f"tls://{place.first.address}:8786"
    stranger = Security(
        tls_ca_file=str(place.ca),
        tls_client_cert=str(place.folder / "stranger" / "machine.pem"),
        tls_client_key=str(place.folder / "stranger" / "machine.key"),
        require_encryption=True,
    )

    async def ask() -> None:
        async with distributed.Client(scheduler, security=stranger, asynchronous=True, timeout=5):
            raise AssertionError("the scheduler took a certificate of another authority")

    with pytest.raises((OSError, TimeoutError)):
        asyncio.run(ask())

    assert place.prefect("POST", "/work_pools/filter", auth=None).status_code == 401
    assert place.prefect("POST", "/work_pools/filter").status_code == 200


def test_the_health_checks_of_containers_find_every_part_well(place: Site) -> None:
    place.wait(lambda: "maintenance" in place.workers_online(), "the worker of the chores")
    for machine, parts in (
        (place.first, ("gateway", "scheduler", "prefect", "maintenance")),
        (place.second, ("worker", "host --gpu 1")),
    ):
        for part in parts:
            done = place.do(machine, "healthy", *part.split())
            assert done.returncode == 0, f"{part}: {done.stderr}"


def test_tasks_of_a_machine_that_is_cut_off_end_elsewhere_and_it_joins_again(
    place: Site, rows: psycopg.Connection[dict[str, Any]]
) -> None:
    def one(query: str, *values: Any) -> Any:
        row = rows.execute(query.encode(), values).fetchone()
        return None if row is None else next(iter(row.values()))

    parameters = {"fmax": 1e-7, "max_steps": STEPS}
    task = {"model": MODEL, "structure": {"source": "builtin", "name": STRUCTURE}, "parameters": parameters}
    with place.client() as client:
        for _ in range(3):
            assert client.post("/tasks/optimization", json=task).status_code == 202

        computes = (
            "SELECT id FROM tasks WHERE status = 'RUNNING' AND gpu_id = 1"
            " AND (progress ->> 'current_step')::int BETWEEN 3 AND 60"
        )
        wait_for(lambda: one(computes), "a task in the middle of its steps on the second machine")
        lost = one(computes)
        place.network.cut_off(place.second)
        cut_at = one("SELECT clock_timestamp()")

        wait_for(lambda: not one("SELECT 1 FROM tasks WHERE ended_at IS NULL LIMIT 1"), "the end of all")
        ended = rows.execute("SELECT id, status, attempt, gpu_id FROM tasks").fetchall()
        assert {row["status"] for row in ended} == {"COMPLETED"}
        (moved,) = (row for row in ended if row["id"] == lost)
        assert (moved["attempt"], moved["gpu_id"]) == (2, 0)
        before = client.get(f"/tasks/{lost}").json()["data"]["history"]

        # Its host went on computing, and would now tell.
        place.network.mend(place.second)
        wait_for(lambda: 1 in fresh_slots(rows), "a report of the second machine")
        wait_for(
            lambda: one("SELECT report ->> 'current' FROM gpu_slots WHERE gpu_id = 1") is None, "its end"
        )
        assert client.get(f"/tasks/{lost}").json()["data"]["history"] == before
        late = "SELECT count(*) FROM task_logs WHERE task_id = %s AND gpu_id = 1 AND timestamp > %s"
        assert one(late, lost, cut_at) == 0
        result = client.get(f"/tasks/{lost}/result").json()["data"]
        assert (result["gpu_id"], result["result"]["steps"]) == (0, STEPS)

        # A batch for both: the slot is taken again, and what it computes counts.
        known = [row["id"] for row in ended]
        batch = {"tasks": [{**task, "task_type": "optimization", "parameters": {"max_steps": 8}}] * 4}
        answer = client.post("/tasks/batch", json=batch)
        assert answer.status_code == 202, answer.text
        wait_for(
            lambda: not one("SELECT 1 FROM tasks WHERE ended_at IS NULL LIMIT 1"), "the end of the batch"
        )
        again = rows.execute("SELECT status, gpu_id FROM tasks WHERE id <> ALL(%s)", [known]).fetchall()
        assert {row["status"] for row in again} == {"COMPLETED"}
        assert {row["gpu_id"] for row in again} == {0, 1}


def test_the_scheduled_backup_runs_as_prefect_starts_it(place: Site) -> None:
    deployment = place.prefect("GET", "/deployments/name/backup/maintenance").json()
    assert [entry["schedule"]["cron"] for entry in deployment["schedules"]] == ["0 2 * * *"]
    asked = {"deployments": {"id": {"any_": [deployment["id"]]}}, "sort": "EXPECTED_START_TIME_ASC"}
    wait_for(
        lambda: place.prefect("POST", "/flow_runs/filter", asked).json(), "a run that the clock will start"
    )
    run = place.prefect("POST", f"/deployments/{deployment['id']}/create_flow_run").json()

    def state() -> str:
        return str(place.prefect("GET", f"/flow_runs/{run['id']}").json()["state"]["type"])

    wait_for(lambda: state() in ("COMPLETED", "FAILED", "CRASHED"), "the backup")
    assert state() == "COMPLETED"
    verified = place.do(place.first, "backup", "verify")
    assert verified.returncode == 0, verified.stderr
    assert "2 databases" in verified.stdout
