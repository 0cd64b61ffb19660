"""Submissions become tasks: model, limits, address, structure and elements are checked first."""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

from ase.data import atomic_numbers
from sqlalchemy.ext.asyncio import AsyncSession

from api_gateway.auth.guard import Caller
from api_gateway.custom_models.cards import hold, usable_cards
from api_gateway.database import Database, SecretBox
from api_gateway.database.models import Priority
from api_gateway.errors import StructureNotFoundError
from api_gateway.scheduling.memory import MemoryGuard, read_guard
from api_gateway.scheduling.service import NewTask, Notification
from api_gateway.structures import repository as structures
from api_gateway.structures.service import StructureService, UsableStructure, usable
from api_gateway.structures.storage import clean_name
from api_gateway.tasks.schemas import (
    DEFAULT_EVENTS,
    BuiltinStructure,
    InlineStructure,
    Options,
    StructureReference,
    Submission,
    UploadedStructure,
)
from api_gateway.webhooks.addresses import AddressRules, without_query
from mof_benchmark.calculators.contract import ModelCard
from mof_benchmark.errors import (
    InvalidParameterError,
    MofsimError,
    UnsupportedElementError,
)
from mofsim_settings import Settings


class Wrong(NamedTuple):
    """What is wrong with a submission."""

    position: int
    error: MofsimError


class Intake:
    """The submissions of one request, on their way to the queue.

    `prepare` does what needs no transaction (it may parse files and resolve names); `finish` runs
    inside the transaction that queues, and locks the uploaded structures.

    Attributes
    ----------
    wrong
        What is wrong; there are tasks to queue only when this is empty.
    """

    def __init__(
        self,
        submissions: Sequence[Submission],
        caller: Caller,
        *,
        settings: Settings,
        database: Database,
        structures: StructureService,
        addresses: AddressRules,
        secrets: SecretBox,
    ) -> None:
        self.wrong: list[Wrong] = []
        self._submissions = submissions
        self._caller = caller
        self._settings = settings
        self._database = database
        self._structures = structures
        self._addresses = addresses
        self._secrets = secrets
        self._usable: dict[int, UsableStructure] = {}
        self._created: set[str] = set()
        # A batch names the same few models, addresses and texts a thousand times.
        self._models: dict[str, ModelCard | MofsimError] = {}
        self._checked: dict[str, MofsimError | None] = {}
        self._inline: dict[tuple[str, str], UsableStructure | MofsimError] = {}

    async def prepare(self) -> None:
        """Check models, limits and addresses; take in the structures that are not uploads."""
        self._models = await usable_cards(
            self._database, self._settings, (submission.model for submission in self._submissions)
        )
        for index, submission in enumerate(self._submissions):
            try:
                self._model(submission.model)
                self._check_limits(submission.options)
                _name_of(submission.structure)
                await self._check_address(submission.options.notify_url)
                if isinstance(submission.structure, BuiltinStructure):
                    self._usable[index] = await self._structures.builtin_for_use(submission.structure.name)
                elif isinstance(submission.structure, InlineStructure):
                    self._usable[index] = await self._take_in(submission.structure)
            except MofsimError as error:
                self.wrong.append(Wrong(index, error))

    async def finish(self, session: AsyncSession) -> list[NewTask]:
        """Lock the uploads, check elements, and make the tasks (incomplete when something is wrong)."""
        refused = {index for index, _ in self.wrong}
        uploads = {
            index: submission.structure.file_id
            for index, submission in enumerate(self._submissions)
            if isinstance(submission.structure, UploadedStructure) and index not in refused
        }
        await hold(session, (one for one in self._models.values() if isinstance(one, ModelCard)))
        found = await structures.find_for_use(session, uploads.values()) if uploads else {}
        guard = await read_guard(session, self._settings)
        tasks = []
        for index, submission in enumerate(self._submissions):
            if index in refused:
                continue
            try:
                if index in uploads:
                    if uploads[index] not in found:
                        raise StructureNotFoundError(
                            f"There is no structure {uploads[index]!r}", field="structure.file_id"
                        )
                    self._usable[index] = usable(found[uploads[index]])
                structure = self._usable[index]
                _check_elements(self._model(submission.model), structure.elements)
                tasks.append(self._task(submission, structure, guard))
            except MofsimError as error:
                self.wrong.append(Wrong(index, error))
        self.wrong.sort(key=lambda wrong: wrong.position)
        return tasks

    async def withdraw(self) -> None:
        """Remove the structures that a refused request brought along."""
        for structure_id in self._created:
            await self._structures.discard(structure_id)

    def _model(self, name: str) -> ModelCard:
        found = self._models[name]
        if isinstance(found, MofsimError):
            raise found
        return found

    def _check_limits(self, options: Options) -> None:
        longest = self._settings.scheduling.max_timeout_seconds
        if options.timeout is not None and options.timeout > longest:
            raise InvalidParameterError(f"The longest timeout is {longest} s", field="options.timeout")

    async def _check_address(self, url: str | None) -> None:
        if url is None:
            return
        if url not in self._checked:
            try:
                await self._addresses.check(url)
                self._checked[url] = None
            except MofsimError as error:
                self._checked[url] = error
        error_or_none = self._checked[url]
        if error_or_none is not None:
            raise error_or_none

    async def _take_in(self, reference: InlineStructure) -> UsableStructure:
        key = (reference.format, reference.content)
        if key not in self._inline:
            try:
                structure, created = await self._structures.inline(
                    reference.content, reference.format, reference.name, self._caller
                )
                if created:
                    self._created.add(structure.id)
                self._inline[key] = usable(structure)
            except MofsimError as error:
                error.field = "structure.content"
                self._inline[key] = error
        found = self._inline[key]
        if isinstance(found, MofsimError):
            raise found
        return found

    def _task(self, submission: Submission, structure: UsableStructure, guard: MemoryGuard) -> NewTask:
        options = submission.options
        parameters = submission.parameters.model_dump(mode="json")
        estimate = guard.estimate(
            self._model(submission.model),
            submission.task_type,
            parameters,
            n_atoms=structure.n_atoms,
            neighbours=structure.neighbours,
        )
        shown = options.model_dump(mode="json", exclude={"notify_secret", "callback"}, exclude_none=True)
        if options.notify_url is not None:
            shown["notify_url"] = without_query(options.notify_url)
        name = _name_of(submission.structure)
        return NewTask(
            task_type=submission.task_type,
            # An upload may have been called by its identifier.
            model=self._model(submission.model).name,
            structure=structure.input.model_copy(update={"name": name}) if name else structure.input,
            parameters=parameters,
            n_atoms=structure.n_atoms,
            n_edges=estimate.n_edges,
            memory_estimate_MB=estimate.memory_MB,
            options=shown,
            require_convergence=options.require_convergence,
            priority=Priority[options.priority],
            timeout_seconds=options.timeout,
            tags=tuple(options.tags),
            notification=self._notification(options),
        )

    def _notification(self, options: Options) -> Notification | None:
        if options.notify_url is None:
            return None
        secret = options.notify_secret
        return Notification(
            url=options.notify_url,
            events=tuple(options.notify_events if options.notify_events is not None else DEFAULT_EVENTS),
            secret_encrypted=self._secrets.encrypt(secret) if secret is not None else None,
            retry_times=options.retry_times,
            retry_interval_seconds=options.retry_interval_seconds,
        )


def _name_of(reference: StructureReference) -> str | None:
    """What this submission calls its structure, whose content may have come by another name before.

    Raises
    ------
    InvalidParameterError
        When nothing of it can be shown.
    """
    if isinstance(reference, BuiltinStructure) or reference.name is None:
        return None
    try:
        return clean_name(reference.name)
    except InvalidParameterError as error:
        error.field = "structure.name"
        raise


def _check_elements(model: ModelCard, elements: Sequence[str]) -> None:
    if model.elements is None:
        return
    unknown = [symbol for symbol in elements if atomic_numbers[symbol] not in model.elements]
    if unknown:
        raise UnsupportedElementError(f"{model.name} does not know {', '.join(unknown)}", field="structure")
