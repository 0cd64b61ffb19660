"""Models shown, loaded and unloaded."""

from __future__ import annotations

import asyncio
from collections import defaultdict

from ase.data import chemical_symbols

from api_gateway import context
from api_gateway.audit import record
from api_gateway.auth.guard import Caller
from api_gateway.custom_models import repository as custom_models
from api_gateway.custom_models.cards import upload_card, usable_cards
from api_gateway.database.models import CustomModel, GpuSlot, SlotAction, SlotCommand
from api_gateway.errors import GpuNotFoundError, NoGpuError
from api_gateway.models import repository
from api_gateway.models.schemas import CommandView, ModelDetail, ModelView
from api_gateway.services import Services
from api_gateway.system import repository as system
from mof_benchmark.calculators.contract import ModelCard
from mof_benchmark.calculators.registry import availability, card, cards, knows
from mof_benchmark.errors import ModelNotFoundError, ModelWeightsMissingError, MofsimError

ANSWER_SECONDS = 10.0
"""How long `load` and `unload` wait for the host before they answer that it is under way."""
_LOOK_SECONDS = 0.2


class ModelService:
    """What can be done with models."""

    def __init__(self, services: Services) -> None:
        self._database = services.database
        self._settings = services.settings
        self._models_dir = services.settings.models_dir
        self._lost_after_seconds = services.settings.scheduling.lost_after_seconds

    async def every(self) -> list[ModelView]:
        loaded = await self._loaded_on()
        async with self._database.reading() as session:
            uploads = await custom_models.every(session)
        # Looks at files and at installed packages: not for the event loop.
        return await asyncio.to_thread(
            lambda: [
                *(ModelView(**self._fields(found, loaded[found.name])) for found in cards()),
                *(ModelView(**self._upload_fields(one, loaded[one.name])) for one in uploads),
            ]
        )

    async def get(self, name: str) -> ModelDetail:
        """Show a model.

        Raises
        ------
        ModelNotFoundError
        """
        loaded = await self._loaded_on()
        if not knows(name):
            async with self._database.reading() as session:
                upload = (await custom_models.named(session, [name])).get(name)
            if upload is not None:
                fields = await asyncio.to_thread(self._upload_fields, upload, loaded[upload.name])
                return ModelDetail(**fields, settings=upload.config, weights="Uploaded by a user")
        found = card(name)
        fields = await asyncio.to_thread(self._fields, found, loaded[name])
        return ModelDetail(**fields, settings=found.settings, weights=found.weights)

    async def command(self, name: str, gpu_id: int, action: SlotAction, caller: Caller) -> CommandView:
        """Ask a host to load or unload a model, and wait a moment for it.

        Raises
        ------
        ModelNotFoundError, ModelNotValidatedError, ModelWeightsMissingError, GpuNotFoundError
        NoGpuError
            When the GPU's host does not report.
        """
        usable = (await usable_cards(self._database, self._settings, [name]))[name]
        if isinstance(usable, MofsimError):
            if action is SlotAction.LOAD or not isinstance(usable, ModelWeightsMissingError):
                raise usable
        else:
            name = usable.name
        async with self._database.begin() as session:
            slot = await system.slot(session, gpu_id)
            if slot is None:
                raise GpuNotFoundError(f"There is no GPU {gpu_id}", field="gpu_id")
            if not system.is_alive(slot, self._lost_after_seconds):
                raise NoGpuError(f"The host of GPU {gpu_id} does not report")
            command_id = await repository.add_command(session, gpu_id, action, name, context.request_id.get())
            record(session, caller, f"model.{action}", name, gpu_id=gpu_id)
        return await self._wait_for(name, command_id, 0.0 if _is_busy(slot) else ANSWER_SECONDS)

    async def find_command(self, name: str, command_id: str) -> CommandView:
        """What became of a request to load or unload.

        Raises
        ------
        ModelNotFoundError
            When there is no such request for this model.
        """
        async with self._database.reading() as session:
            command = await repository.find_command(session, command_id)
        if command is None or command.model != name:
            raise ModelNotFoundError(f"Model {name!r} has no command {command_id!r}")
        return _view(command)

    async def _wait_for(self, name: str, command_id: str, seconds: float) -> CommandView:
        loop = asyncio.get_running_loop()
        deadline = loop.time() + seconds
        while True:
            view = await self.find_command(name, command_id)
            if view.state != "pending" or loop.time() >= deadline:
                return view
            await asyncio.sleep(_LOOK_SECONDS)

    async def _loaded_on(self) -> defaultdict[str, list[int]]:
        async with self._database.reading() as session:
            slots = await system.slots(session)
        loaded: defaultdict[str, list[int]] = defaultdict(list)
        for slot in slots:
            if system.is_alive(slot, self._lost_after_seconds):
                for name in slot.report.get("warm_models", []):
                    loaded[name].append(slot.gpu_id)
        return loaded

    def _upload_fields(self, upload: CustomModel, loaded_on: list[int]) -> dict[str, object]:
        usable = upload_card(upload, self._settings.storage_root)
        if usable is not None:
            return self._fields(usable, loaded_on) | {
                "custom": True,
                "display_name": upload.description or upload.name,
            }
        what_to_do = f"`POST /models/custom/{upload.id}/validate`; it can be used once it has passed."
        return {
            "name": upload.name,
            "display_name": upload.description or upload.name,
            "framework": upload.framework,
            "with_d3": upload.with_d3,
            "dtype": upload.config.get("precision", "float32"),
            "supported_elements": None,
            "available": False,
            "reason": f"It is {upload.status.value}, not validated.",
            "what_to_do": what_to_do,
            "loaded_on": loaded_on,
            "custom": True,
            "validated": False,
            "licence": "",
            "citation": "",
        }

    def _fields(self, found: ModelCard, loaded_on: list[int]) -> dict[str, object]:
        present = availability(found, self._models_dir)
        return {
            "name": found.name,
            "display_name": found.display_name,
            "framework": found.framework,
            "with_d3": found.with_d3,
            "dtype": found.dtype,
            "supported_elements": None
            if found.elements is None
            else [chemical_symbols[number] for number in sorted(found.elements)],
            "available": present.available,
            "reason": present.reason or None,
            "what_to_do": present.what_to_do or None,
            "loaded_on": loaded_on,
            "custom": False,
            "validated": True,
            "licence": found.licence,
            "citation": found.citation,
        }


def _is_busy(slot: GpuSlot) -> bool:
    return slot.report.get("current") is not None


def _view(command: SlotCommand) -> CommandView:
    state = "pending" if command.done_at is None else "done" if command.error is None else "failed"
    return CommandView(
        command_id=command.id,
        model=command.model,
        gpu_id=command.gpu_id,
        action=command.action,
        state=state,
        error=command.error,
        created_at=command.created_at,
        done_at=command.done_at,
    )
