"""What is done to a stack: one strike for each kind of process, and how one sees it recover."""

from __future__ import annotations

import os
import random
import signal
import time
from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass

from deployments.bench.chaos.watch import Watch
from deployments.stack import supervision

Recovered = Callable[[], bool]
"""Whether the part that was struck, and every slot that it took along, works again."""


@dataclass(frozen=True)
class Blow:
    """A strike that was carried out."""

    victim: str
    recovered: Recovered


Strike = Callable[[Watch, random.Random], Blow]

OUTAGE_SECONDS = 120.0


def gateway(watch: Watch, _: random.Random) -> Blow:
    return _kill_part(watch, "gateway", watch.gateway_answers)


def prefect_server(watch: Watch, _: random.Random) -> Blow:
    return _kill_part(watch, "prefect", watch.prefect_answers)


def postgresql(watch: Watch, _: random.Random) -> Blow:
    return _kill_part(watch, "postgres", lambda: watch.rows("SELECT 1") is not None)


def dask_scheduler(watch: Watch, _: random.Random) -> Blow:
    # A Dask worker cannot join a second scheduler: every host starts its worker afresh.
    afresh = _every_slot_afresh(watch)
    return _kill_part(watch, "scheduler", lambda: watch.scheduler_answers() and afresh())


def pool_worker(watch: Watch, _: random.Random) -> Blow:
    return _kill_part(watch, "worker", lambda: watch.pool_worker_pid() == watch.pid_of("worker") != 0)


def host_worker(watch: Watch, rng: random.Random) -> Blow:
    return _strike_host(watch, rng, "worker", signal.SIGKILL)


def host_nanny(watch: Watch, rng: random.Random) -> Blow:
    return _strike_host(watch, rng, "nanny", signal.SIGKILL)


def frozen_host(watch: Watch, rng: random.Random) -> Blow:
    return _strike_host(watch, rng, "worker", signal.SIGSTOP)


def supervisor(watch: Watch, _: random.Random) -> Blow:
    pid, afresh = watch.supervisor_pid(), _every_slot_afresh(watch)
    os.kill(pid, signal.SIGKILL)

    def recovered() -> bool:
        return (
            watch.supervisor_pid() not in (0, pid)
            and watch.gateway_answers()
            and watch.prefect_answers()
            and watch.pool_worker_pid() == watch.pid_of("worker") != 0
            and afresh()
        )

    return Blow(f"supervisor (pid {pid})", recovered)


def prefect_outage(watch: Watch, _: random.Random) -> Blow:
    """No kill but two minutes without Prefect; the recovery counts from its return."""
    supervision.stop_part(watch.home, "prefect")
    time.sleep(OUTAGE_SECONDS)
    supervision.start_part(watch.home, "prefect")
    return Blow(f"prefect, down for {OUTAGE_SECONDS:.0f} s", watch.prefect_answers)


KILLS: dict[str, Strike] = {
    "gateway": gateway,
    "Prefect server": prefect_server,
    "PostgreSQL": postgresql,
    "Dask scheduler": dask_scheduler,
    "pool worker": pool_worker,
    "GPU host worker": host_worker,
    "GPU host nanny": host_nanny,
    "frozen GPU host": frozen_host,
    "supervisor": supervisor,
}
OUTAGE = "Prefect away"


def plan(kills: int, rng: random.Random, *, outage: bool) -> list[tuple[str, Strike]]:
    """Every kind in turn, shuffled, until there are `kills`; the outage in the middle."""
    names: list[str] = []
    while len(names) < kills:
        round_of_all = list(KILLS)
        rng.shuffle(round_of_all)
        names += round_of_all
    planned = [(name, KILLS[name]) for name in names[:kills]]
    if outage:
        planned.insert(kills // 2, (OUTAGE, prefect_outage))
    return planned


def _kill_part(watch: Watch, name: str, answers: Recovered) -> Blow:
    pid = watch.pid_of(name)
    os.kill(pid, signal.SIGKILL)
    return Blow(f"{name} (pid {pid})", lambda: watch.pid_of(name) not in (0, pid) and answers())


def _strike_host(watch: Watch, rng: random.Random, role: str, how: signal.Signals) -> Blow:
    while not (pulses := watch.pulses(role)):
        time.sleep(0.2)
    gpu_id = rng.choice(sorted(pulses))
    before = watch.slots().get(gpu_id)
    with suppress(ProcessLookupError):
        os.kill(pulses[gpu_id].pid, how)

    def recovered() -> bool:
        slot = watch.slots().get(gpu_id)
        return slot is not None and slot.usable and (before is None or slot.boot_id != before.boot_id)

    return Blow(f"{role} of GPU {gpu_id} (pid {pulses[gpu_id].pid})", recovered)


def _every_slot_afresh(watch: Watch) -> Recovered:
    before = watch.slots()

    def recovered() -> bool:
        now = watch.slots()
        return len(now) >= len(before) and all(
            slot.usable and (gpu_id not in before or slot.boot_id != before[gpu_id].boot_id)
            for gpu_id, slot in now.items()
        )

    return recovered
