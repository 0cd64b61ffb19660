"""Submissions into the queue: one, a batch, a retry; each in one transaction, once per key."""

from __future__ import annotations

import copy
from collections.abc import Awaitable, Callable, Sequence
from typing import Any

from sqlalchemy.ext.asyncio import AsyncSession

from api_gateway import context
from api_gateway.audit import record
from api_gateway.auth.guard import Caller
from api_gateway.custom_models.cards import hold, usable_card
from api_gateway.database.models import Batch, Priority, Task
from api_gateway.errors import (
    BatchRefusedError,
    IdempotencyConflictError,
    StructureNotFoundError,
    TaskNotFoundError,
)
from api_gateway.scheduling.service import NewTask, Notification
from api_gateway.services import Services
from api_gateway.structures import repository as structures
from api_gateway.structures.service import BUILTIN_PREFIX, StructureService
from api_gateway.tasks import repository
from api_gateway.tasks.idempotency import Idempotency
from api_gateway.tasks.intake import Intake, Wrong
from api_gateway.tasks.schemas import Accepted, BatchAccepted, BatchSubmission, Options, Submission
from mof_benchmark.identifiers import new_id
from mof_benchmark.schemas import StructureInput


class SubmissionService:
    """Puts tasks into the queue."""

    def __init__(self, services: Services, caller: Caller) -> None:
        self._services = services
        self._caller = caller
        self._structures = StructureService(services.database, services.structures)

    async def one(self, submission: Submission, idempotency_key: str | None) -> Accepted:
        """Queue one task.

        Raises
        ------
        MofsimError
            Of the first thing that is wrong with it.
        """
        key = self._key(idempotency_key, submission.model_dump_json())
        return Accepted.model_validate(await self._take_in(key, [submission], None))

    async def batch(self, batch: BatchSubmission, idempotency_key: str | None) -> BatchAccepted:
        """Queue all tasks of a batch, or none.

        Raises
        ------
        BatchRefusedError
            With what is wrong with each task.
        """
        tasks = [_with_shared(task, batch.options) for task in batch.tasks]
        key = self._key(idempotency_key, batch.model_dump_json())
        return BatchAccepted.model_validate(await self._take_in(key, tasks, batch))

    async def retry(self, task_id: str, idempotency_key: str | None) -> Accepted:
        """Queue a new task with the request of an old one.

        Raises
        ------
        TaskNotFoundError, StructureNotFoundError, ModelNotFoundError, ModelNotValidatedError,
        ModelWeightsMissingError
        """
        key = self._key(idempotency_key, f"retry of {task_id}")
        answer = await self._replay(key) or await self._retry(key, task_id)
        return Accepted.model_validate(answer)

    async def _retry(self, key: Idempotency | None, task_id: str) -> dict[str, Any]:
        async with self._services.database.reading() as session:
            task = await repository.find(session, task_id)
        if task is None:
            raise TaskNotFoundError(f"There is no task {task_id!r}")
        model = await usable_card(self._services.database, self._services.settings, task.model)
        is_builtin = task.structure_id.startswith(BUILTIN_PREFIX)
        if is_builtin:
            await self._structures.builtin_for_use(task.structure_id.removeprefix(BUILTIN_PREFIX))

        async def queue(session: AsyncSession) -> dict[str, Any]:
            if not is_builtin and not await structures.find_for_use(session, [task.structure_id]):
                raise StructureNotFoundError(f"Its structure {task.structure_id!r} was deleted")
            await hold(session, [model])
            record(session, self._caller, "task.retry", task_id)
            return (await self._queue(session, [_again(task)], None))[0].model_dump(mode="json")

        return await self._commit(key, queue)

    async def _take_in(
        self, key: Idempotency | None, submissions: Sequence[Submission], batch: BatchSubmission | None
    ) -> dict[str, Any]:
        """Check and queue, or answer as the same request was answered before."""
        replayed = await self._replay(key)
        if replayed is not None:
            return replayed
        services = self._services
        intake = Intake(
            submissions,
            self._caller,
            settings=services.settings,
            database=services.database,
            structures=self._structures,
            addresses=services.addresses,
            secrets=services.secrets,
        )
        try:
            await intake.prepare()
            return await self._commit(key, lambda session: self._finish(session, intake, batch))
        except BaseException:
            await intake.withdraw()
            raise

    def _key(self, idempotency_key: str | None, body: str) -> Idempotency | None:
        return None if idempotency_key is None else Idempotency(self._caller.key_id, idempotency_key, body)

    async def _replay(self, key: Idempotency | None) -> dict[str, Any] | None:
        if key is None:
            return None
        async with self._services.database.reading() as session:
            return await key.replay(session)

    async def _commit(
        self, key: Idempotency | None, queue: Callable[[AsyncSession], Awaitable[dict[str, Any]]]
    ) -> dict[str, Any]:
        """Queue in one transaction with the key, or answer as a twin that was faster was answered."""
        async with self._services.database.begin() as session:
            if key is not None and not await key.claim(session):
                return await _twin_of(key, session)
            answer = await queue(session)
            if key is not None:
                await key.store(session, 202, answer)
        return answer

    async def _finish(
        self, session: AsyncSession, intake: Intake, batch: BatchSubmission | None
    ) -> dict[str, Any]:
        tasks = await intake.finish(session)
        if intake.wrong:
            if batch is None:
                raise intake.wrong[0].error
            raise BatchRefusedError([_in_batch(wrong) for wrong in intake.wrong])
        if batch is None:
            return (await self._queue(session, tasks, None))[0].model_dump(mode="json")
        batch_id = new_id("batch")
        session.add(
            Batch(
                id=batch_id,
                n_tasks=len(tasks),
                options=batch.options.model_dump(
                    mode="json", exclude={"notify_secret", "callback"}, exclude_unset=True
                ),
                api_key_id=self._caller.key_id,
                request_id=context.request_id.get(),
            )
        )
        await session.flush()
        accepted = await self._queue(session, tasks, batch_id)
        return BatchAccepted(batch_id=batch_id, tasks=accepted).model_dump(mode="json")

    async def _queue(
        self, session: AsyncSession, tasks: Sequence[NewTask], batch_id: str | None
    ) -> list[Accepted]:
        accepted = await self._services.queue.submit(
            session,
            tasks,
            request_id=context.request_id.get(),
            api_key_id=self._caller.key_id,
            batch_id=batch_id,
        )
        return [
            Accepted(
                task_id=task.task_id,
                status=task.status,
                position=task.position,
                estimated_wait_seconds=task.estimated_wait_seconds,
            )
            for task in accepted
        ]


async def _twin_of(idempotency: Idempotency, session: AsyncSession) -> dict[str, Any]:
    """The answer to the twin that was faster; it has committed, or the claim had not failed."""
    answer = await idempotency.replay(session)
    if answer is None:
        raise IdempotencyConflictError("The request with this Idempotency-Key is still under way")
    return answer


def _in_batch(wrong: Wrong) -> Wrong:
    """The same error with its field as seen from the batch; tasks may share one error object."""
    error = copy.copy(wrong.error)
    inner = f".{error.field}" if error.field else ""
    error.field = f"tasks[{wrong.position}]{inner}"
    return Wrong(wrong.position, error)


def _with_shared(task: Submission, shared: Options) -> Submission:
    """What a task says itself beats the options shared by the batch."""
    common = shared.model_dump(exclude_unset=True, exclude={"callback"})
    own = task.options.model_dump(exclude_unset=True, exclude={"callback"})
    return task.model_copy(update={"options": Options.model_validate(common | own)})


def _again(task: Task) -> NewTask:
    """The same request once more; the webhook secret goes along, encrypted as it is."""
    notification = None
    if task.notify_url is not None:
        notification = Notification(
            url=task.notify_url,
            events=tuple(task.notify_events),
            secret_encrypted=task.notify_secret_encrypted,
            retry_times=task.notify_retry_times,
            retry_interval_seconds=task.notify_retry_interval_seconds,
        )
    return NewTask(
        task_type=task.task_type,
        model=task.model,
        structure=StructureInput.model_validate(task.structure),
        parameters=task.parameters,
        n_atoms=task.n_atoms,
        n_edges=task.n_edges,
        options=task.options,
        require_convergence=task.require_convergence,
        priority=Priority(task.priority),
        timeout_seconds=task.timeout_seconds,
        tags=tuple(task.tags),
        memory_estimate_MB=task.memory_estimate_MB,
        notification=notification,
        retry_of=task.id,
    )
