"""Runs that a dead worker left open would block their pools for ever.

(https://github.com/PrefectHQ/prefect/issues/16746, 17628, 7239)
"""

from __future__ import annotations

import logging
import socket
from collections.abc import Iterable, Sequence

import psutil
from prefect.client.orchestration import PrefectClient
from prefect.client.schemas.filters import (
    FlowRunFilter,
    FlowRunFilterState,
    FlowRunFilterStateType,
    WorkPoolFilter,
    WorkPoolFilterName,
)
from prefect.client.schemas.objects import FlowRun, State, StateType
from prefect.states import Cancelled, Crashed

OPEN_STATES = (StateType.PENDING, StateType.RUNNING, StateType.CANCELLING)
"""States of a run that some process holds."""

_log = logging.getLogger(__name__)


async def runs_in(client: PrefectClient, pools: Sequence[str], states: Sequence[StateType]) -> list[FlowRun]:
    """Runs of pools that are in one of some states."""
    return await client.read_flow_runs(
        flow_run_filter=FlowRunFilter(
            state=FlowRunFilterState(type=FlowRunFilterStateType(any_=list(states)))
        ),
        work_pool_filter=WorkPoolFilter(name=WorkPoolFilterName(any_=list(pools))),
    )


async def close_runs(client: PrefectClient, runs: Iterable[FlowRun]) -> None:
    """End runs that a dead process held."""
    message = "The worker that ran it died."
    for run in runs:
        state: State[None] = (
            Cancelled(message=message)
            if run.state is not None and run.state.is_cancelling()
            else Crashed(message=message)
        )
        await client.set_flow_run_state(run.id, state, force=True)
        _log.warning("Run %s of a dead worker is closed as %s", run.name, state.name)


def was_left(run: FlowRun, claimant: str | None) -> bool:
    """Whether a run of this machine's pools is one that an earlier pool worker of this machine held.

    Parameters
    ----------
    claimant
        The pool worker that claimed its attempt (`host:pid:boot`), if any did.
    """
    if claimant is None:
        # Whoever held an open one left no trace with us; one that waits is nobody's yet.
        return run.state is None or not run.state.is_scheduled()
    return _host_and_pid(claimant)[0] == socket.gethostname()


def no_longer_lives(run: FlowRun) -> bool:
    """Whether the process of a run is gone, for a pool that has one worker, wherever that is."""
    if run.infrastructure_pid is None or run.start_time is None:
        return True
    host, pid = _host_and_pid(run.infrastructure_pid)
    if host != socket.gethostname():
        return True
    # A chore's process outlives its worker when only that one is killed.
    try:
        return bool(psutil.Process(pid).create_time() > run.start_time.timestamp())
    except psutil.NoSuchProcess:
        return True


def _host_and_pid(name: str) -> tuple[str, int]:
    host, pid, *_ = name.split(":")
    return host, int(pid)
