"""A narrow, typed face of Prefect's API client: the few calls that placement and recovery need."""

from __future__ import annotations

import ssl
from collections.abc import AsyncIterator, Iterable
from contextlib import asynccontextmanager
from types import TracebackType
from typing import Self
from uuid import UUID

import httpx
from prefect.client.orchestration import PrefectClient
from prefect.client.schemas.filters import FlowRunFilter, FlowRunFilterId
from prefect.client.schemas.objects import State
from prefect.context import SettingsContext, get_settings_context
from prefect.events import Event
from prefect.exceptions import ObjectNotFound, PrefectHTTPStatusError
from prefect.settings import PREFECT_API_AUTH_STRING, PREFECT_CLIENT_MAX_RETRIES
from prefect.states import Cancelled, Cancelling, Crashed

from api_gateway.errors import OrchestratorUnavailableError
from api_gateway.orchestrator.chores import Chore, read_chores
from api_gateway.orchestrator.runs import MadeRun, RunNews, RunOrder, RunState
from mofsim_settings import Settings


class OrchestratorRefusedError(Exception):
    """Prefect understood and said no; asking again would not help."""


class DeploymentMissingError(Exception):
    """There is no such deployment (yet); whoever sets up the slots makes it."""


class Orchestrator:
    """Prefect, as the engine sees it. Enter it once and share it.

    Parameters
    ----------
    api_url
        `http://host:port/api`
    verify
        How the server's certificate is checked.

    Notes
    -----
    Every call fails at once with `OrchestratorUnavailableError` when the server does not answer:
    the engine's own loops try again, and Prefect's exponential waits would only hold them up.
    """

    def __init__(self, api_url: str, *, verify: ssl.SSLContext | bool = True) -> None:
        self.api_url = api_url
        self._client = PrefectClient(
            api_url,
            auth_string=PREFECT_API_AUTH_STRING.value(),
            httpx_settings={
                "timeout": httpx.Timeout(15.0, connect=3.0),
                # Prefect's own transport would try three times and take 1.5 s to say that nobody is there.
                "transport": httpx.AsyncHTTPTransport(
                    verify=verify, retries=0, limits=httpx.Limits(max_connections=16, keepalive_expiry=25.0)
                ),
            },
        )
        self._deployments: dict[str, UUID] = {}
        ambient = get_settings_context()
        self._no_retries = ambient.settings.copy_with_update(updates={PREFECT_CLIENT_MAX_RETRIES: 0})
        self._profile = ambient.profile

    @classmethod
    def from_settings(cls, settings: Settings) -> Orchestrator:
        return cls(settings.prefect.api_url, verify=settings.prefect.verify)

    async def __aenter__(self) -> Self:
        await self._client.__aenter__()
        return self

    async def __aexit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        await self._client.__aexit__(kind, error, trace)

    async def healthy(self) -> bool:
        """Whether the server answers."""
        try:
            async with self._calls():
                return await self._client.api_healthcheck() is None
        except OrchestratorUnavailableError:
            return False

    async def create_run(self, order: RunOrder) -> MadeRun:
        """Make the run, or find the one that an earlier call with this attempt made.

        Raises
        ------
        DeploymentMissingError
            The slot's deployment does not exist.
        OrchestratorRefusedError
            Prefect refuses the run as it is.
        OrchestratorUnavailableError
            No answer; the run may or may not exist, and asking again is safe.
        """
        async with self._calls():
            deployment_id = await self._deployment_id(order.deployment)
            try:
                run = await self._client.create_flow_run_from_deployment(
                    deployment_id,
                    name=str(order.key),
                    idempotency_key=str(order.key),
                    parameters={"request": order.request.model_dump(mode="json")},
                    tags=order.all_tags,
                    work_queue_name=order.queue,
                )
            except ObjectNotFound as error:
                # Deployed anew under another id: the next try looks it up again.
                del self._deployments[order.deployment]
                raise DeploymentMissingError(order.deployment) from error
        return MadeRun(flow_run_id=run.id, document=run.model_dump_json(exclude_none=True))

    async def stop_run(self, flow_run_id: UUID) -> RunState | None:
        """Ask a run to stop; one that never started is Cancelled at once.

        Returns
        -------
        The run's state afterwards; None when Prefect does not know the run.
        """
        return await self._set_state(flow_run_id, Cancelling(message="stop requested"))

    async def close_run(self, flow_run_id: UUID, *, crashed: bool, message: str) -> RunState | None:
        """Put a run whose flow does not answer into a terminal state, which frees its pool.

        A run that is terminal already keeps its state.
        """
        state: State[None] = Crashed(message=message) if crashed else Cancelled(message=message)
        present = await self.read_run(flow_run_id)
        if present is None or present.state.terminal:
            return None if present is None else present.state
        return await self._set_state(flow_run_id, state, force=True)

    async def read_run(self, flow_run_id: UUID) -> RunNews | None:
        """The run's present state; None when Prefect does not know it."""
        async with self._calls():
            try:
                return RunNews.from_run(await self._client.read_flow_run(flow_run_id))
            except ObjectNotFound:
                return None

    async def read_runs(self, flow_run_ids: Iterable[UUID]) -> dict[UUID, RunNews]:
        """Present states of runs; a run that Prefect does not know is left out."""
        ids = list(flow_run_ids)
        found: dict[UUID, RunNews] = {}
        for start in range(0, len(ids), _PAGE):
            async with self._calls():
                runs = await self._client.read_flow_runs(
                    flow_run_filter=FlowRunFilter(id=FlowRunFilterId(any_=ids[start : start + _PAGE])),
                    limit=_PAGE,
                )
            found |= {run.id: news for run in runs if (news := RunNews.from_run(run)) is not None}
        return found

    async def emit(self, event: Event) -> None:
        """Hand an event over; Prefect has it when this returns."""
        async with self._calls():
            await self._client.request("POST", "/events", json=[event.model_dump(mode="json")])

    async def automations(self, prefix: str) -> dict[str, bool]:
        """Automations whose names begin with `prefix`, and whether each is enabled."""
        async with self._calls():
            found = await self._client.read_automations()
        return {one.name: one.enabled for one in found if one.name.startswith(prefix)}

    async def chores(self) -> list[Chore]:
        """The chores that are deployed, and how their last runs went."""
        async with self._calls():
            return await read_chores(self._client)

    async def _set_state(
        self, flow_run_id: UUID, state: State[None], *, force: bool = False
    ) -> RunState | None:
        async with self._calls():
            try:
                answer = await self._client.set_flow_run_state(flow_run_id, state, force=force)
            except ObjectNotFound:
                return None
        if answer.state is not None:
            return RunState(answer.state.type.value)
        # Refused without a better proposal: it ended in the meantime.
        present = await self.read_run(flow_run_id)
        return None if present is None else present.state

    async def _deployment_id(self, name: str) -> UUID:
        if name not in self._deployments:
            try:
                deployment = await self._client.read_deployment_by_name(name)
            except ObjectNotFound as error:
                raise DeploymentMissingError(name) from error
            self._deployments[name] = deployment.id
        return self._deployments[name]

    @asynccontextmanager
    async def _calls(self) -> AsyncIterator[None]:
        """Calls without Prefect's own retries, their failures told apart by what they mean."""
        with SettingsContext(profile=self._profile, settings=self._no_retries):
            try:
                yield
            except PrefectHTTPStatusError as error:
                if error.response.status_code < 500 and error.response.status_code not in _TRY_AGAIN:
                    raise OrchestratorRefusedError(
                        f"Prefect answered {error.response.status_code}"
                    ) from error
                raise OrchestratorUnavailableError(
                    f"Prefect answered {error.response.status_code}"
                ) from error
            except httpx.HTTPError as error:
                raise OrchestratorUnavailableError(
                    f"the Prefect server does not answer ({type(error).__name__})"
                ) from error


_PAGE = 200
"""Most flow runs that Prefect returns in one call."""

_TRY_AGAIN = frozenset({408, 429})
