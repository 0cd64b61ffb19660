"""The chores that run by the clock, and how their last runs went."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import UTC, datetime
from uuid import UUID

from prefect.client.orchestration import PrefectClient
from prefect.client.schemas.filters import (
    FlowFilter,
    FlowFilterId,
    FlowRunFilter,
    FlowRunFilterExpectedStartTime,
    FlowRunFilterState,
    FlowRunFilterStateType,
    WorkPoolFilter,
    WorkPoolFilterName,
)
from prefect.client.schemas.objects import FlowRun, StateType
from prefect.client.schemas.sorting import FlowRunSort

MAINTENANCE_POOL = "maintenance"
"""Work pool of the chores, and the name of their deployments."""
_POOL = WorkPoolFilter(name=WorkPoolFilterName(any_=[MAINTENANCE_POOL]))
# A run that somebody cancelled tells nothing of the next.
_ENDED = FlowRunFilter(
    state=FlowRunFilterState(
        type=FlowRunFilterStateType(any_=[StateType.COMPLETED, StateType.FAILED, StateType.CRASHED])
    )
)


@dataclass(frozen=True, kw_only=True)
class Chore:
    """A flow of the maintenance pool."""

    name: str
    flow_run_id: UUID | None
    """Its newest run that ended well or badly; None: there is none."""
    failed: bool
    """Whether that run ended badly."""
    message: str = ""
    ended_at: datetime | None = None
    late_since: datetime | None = None
    """When its oldest run that still waits should have started."""


async def read_chores(client: PrefectClient) -> list[Chore]:
    """Every chore that is deployed."""
    late: dict[UUID, datetime] = {}
    for run in await client.read_flow_runs(
        work_pool_filter=_POOL, flow_run_filter=_due(), sort=FlowRunSort.EXPECTED_START_TIME_ASC
    ):
        if run.expected_start_time is not None:
            late.setdefault(run.flow_id, run.expected_start_time)
    chores = []
    for flow in await client.read_flows(work_pool_filter=_POOL):
        ended = await client.read_flow_runs(
            flow_filter=FlowFilter(id=FlowFilterId(any_=[flow.id])),
            work_pool_filter=_POOL,
            flow_run_filter=_ENDED,
            sort=FlowRunSort.END_TIME_DESC,
            limit=1,
        )
        chores.append(_chore(flow.name, ended[0] if ended else None, late.get(flow.id)))
    return chores


def _due() -> FlowRunFilter:
    """Runs whose hour has come; Prefect's own state for late ones is switched off in our server."""
    return FlowRunFilter(
        state=FlowRunFilterState(type=FlowRunFilterStateType(any_=[StateType.SCHEDULED])),
        expected_start_time=FlowRunFilterExpectedStartTime(before_=datetime.now(UTC)),
    )


def _chore(name: str, run: FlowRun | None, late_since: datetime | None) -> Chore:
    if run is None or run.state is None:
        return Chore(name=name, flow_run_id=None, failed=False, late_since=late_since)
    return Chore(
        name=name,
        flow_run_id=run.id,
        failed=run.state.type != StateType.COMPLETED,
        message=run.state.message or "",
        ended_at=run.end_time,
        late_since=late_since,
    )
