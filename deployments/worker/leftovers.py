"""Runs that a dead pool worker left Pending or Running would block their pools for ever.

(https://github.com/PrefectHQ/prefect/issues/16746, 17628, 7239)
"""

from __future__ import annotations

import logging
import socket
from collections.abc import Sequence

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

_log = logging.getLogger(__name__)


async def runs_in(client: PrefectClient, pools: Sequence[str], states: Sequence[StateType]) -> list[FlowRun]:
    """Runs of pools that are in one of some states."""
    return await client.read_flow_runs(
        flow_run_filter=FlowRunFilter(
            state=FlowRunFilterState(type=FlowRunFilterStateType(any_=list(states)))
        ),
        work_pool_filter=WorkPoolFilter(name=WorkPoolFilterName(any_=list(pools))),
    )


async def close_leftovers(client: PrefectClient, pools: Sequence[str], identity: str) -> list[FlowRun]:
    """End the runs that a dead process of this machine held; answers them.

    Parameters
    ----------
    identity
        `host:pid:boot` of this process: runs it holds itself stay, and so do those of another machine.
    """
    open_states = (StateType.PENDING, StateType.RUNNING, StateType.CANCELLING)
    closed = []
    for run in await runs_in(client, pools, open_states):
        if run.infrastructure_pid == identity or not _is_local(run.infrastructure_pid):
            continue
        message = "The pool worker that ran it died."
        state: State[None] = (
            Cancelled(message=message)
            if run.state is not None and run.state.is_cancelling()
            else Crashed(message=message)
        )
        await client.set_flow_run_state(run.id, state, force=True)
        _log.warning("Run %s of a dead worker is closed as %s", run.name, state.name)
        closed.append(run)
    return closed


def _is_local(identity: str | None) -> bool:
    # A run without a name on it died between being claimed and being named, by the one worker
    # that serves its pool.
    return identity is None or identity.partition(":")[0] == socket.gethostname()
