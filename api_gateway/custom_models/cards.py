"""What the names that clients give models stand for: entries of the registry and validated uploads."""

from __future__ import annotations

import asyncio
from collections.abc import Iterable
from pathlib import Path

from sqlalchemy.ext.asyncio import AsyncSession

from api_gateway.custom_models import repository
from api_gateway.database import Database
from api_gateway.database.models import CustomModel, CustomModelStatus
from api_gateway.errors import ModelNotValidatedError
from mof_benchmark.calculators import registry
from mof_benchmark.calculators.contract import ModelCard
from mof_benchmark.calculators.custom.settings import card_of
from mof_benchmark.errors import ModelNotFoundError, ModelWeightsMissingError, MofsimError
from mof_benchmark.schemas.custom_model import CustomModelCard
from mofsim_settings import Settings


async def usable_cards(
    database: Database, settings: Settings, names: Iterable[str]
) -> dict[str, ModelCard | MofsimError]:
    """The models of these names, or why they cannot be used."""
    wanted = set(names)
    uploads: dict[str, CustomModel] = {}
    if not all(registry.knows(name) for name in wanted):
        async with database.reading() as session:
            uploads = await repository.named(session, wanted)
    return await asyncio.to_thread(
        lambda: {name: _usable(name, uploads.get(name), settings) for name in wanted}
    )


async def usable_card(database: Database, settings: Settings, name: str) -> ModelCard:
    """The model of that name, if it can be used here.

    Raises
    ------
    ModelNotFoundError, ModelNotValidatedError, ModelWeightsMissingError
    """
    found = (await usable_cards(database, settings, [name]))[name]
    if isinstance(found, MofsimError):
        raise found
    return found


async def hold(session: AsyncSession, cards: Iterable[ModelCard]) -> None:
    """Keep uploads from being deleted until the tasks that need them are stored.

    Raises
    ------
    ModelNotFoundError
        When one was deleted in the meantime.
    """
    uploads = {card.name for card in cards if not registry.knows(card.name)}
    if uploads:
        held = await repository.named(session, uploads, hold=True)
        for name in sorted(uploads - held.keys()):
            raise ModelNotFoundError(f"The model {name!r} was deleted", field="model")


def upload_card(model: CustomModel, storage_root: Path) -> ModelCard | None:
    """How an upload is loaded; None before it is validated."""
    if model.status is not CustomModelStatus.VALIDATED or model.card is None:
        return None
    return card_of(model.name, model.with_d3, CustomModelCard.model_validate(model.card), storage_root)


def _usable(name: str, upload: CustomModel | None, settings: Settings) -> ModelCard | MofsimError:
    if upload is None:
        try:
            card = registry.card(name)
        except ModelNotFoundError as error:
            return error
    else:
        found = upload_card(upload, settings.storage_root)
        if found is None:
            return ModelNotValidatedError(
                f"Model {upload.name!r} is {upload.status.value}; "
                f"`POST /models/custom/{upload.id}/validate` has it tried",
                field="model",
            )
        card = found
    present = registry.availability(card, settings.models_dir)
    if not present.available:
        return ModelWeightsMissingError(f"{present.reason} {present.what_to_do}".strip(), field="model")
    return card
