"""Uploaded models: take in, show, have validated, delete."""

from __future__ import annotations

import asyncio
import shutil
from functools import partial
from pathlib import Path
from typing import Any, BinaryIO

import anyio
from anyio import BrokenWorkerProcess, to_process
from pydantic import BaseModel, ValidationError
from sqlalchemy.exc import IntegrityError

from api_gateway import context
from api_gateway.audit import record
from api_gateway.auth.guard import Caller
from api_gateway.custom_models import repository
from api_gateway.custom_models.scanning import scan_upload
from api_gateway.custom_models.schemas import CustomModelDetail, CustomModelView
from api_gateway.database.models import CustomModel, CustomModelStatus
from api_gateway.envelope import Page
from api_gateway.error_handlers import explain_all
from api_gateway.errors import MalformedBodyError, NameTakenError, ResourceInUseError
from api_gateway.paging import Paging
from api_gateway.services import Services
from api_gateway.structures.storage import clean_name
from mof_benchmark.calculators import registry
from mof_benchmark.calculators.custom.scan import CustomFramework, require_suffix
from mof_benchmark.errors import InvalidFileError, ModelNotFoundError, MofsimError, UnsafeModelFileError
from mof_benchmark.identifiers import new_id
from mof_benchmark.schemas.custom_model import CONFIGS, CustomModelMetadata, ValidationReport

SCAN_SECONDS = 60.0


class CustomModelService:
    """What can be done with uploaded models."""

    def __init__(self, services: Services) -> None:
        self._database = services.database
        self._root = services.settings.storage_root
        self._copy = services.structures.copy

    async def upload(self, file: BinaryIO, file_name: str, metadata: str, caller: Caller) -> CustomModel:
        """Take in a model, unread.

        Raises
        ------
        MalformedBodyError, InvalidParameterError, NameTakenError
            When its metadata is wrong.
        UnsupportedFormatError, FileTooLargeError, InvalidFileError, UnsafeModelFileError
            When the file cannot be a model of that framework; then nothing is left of it.
        """
        said = read_metadata(metadata)
        suffix = require_suffix(file_name, said.framework)
        await self._require_free(said.name)
        model_id = new_id("model")
        folder = self._folder(model_id)
        await asyncio.to_thread(folder.mkdir, parents=True)
        kept = False
        try:
            copied = await self._copy(file, folder / f"upload{suffix}")
            await _scan(copied.path, said.framework)
            model = CustomModel(
                id=model_id,
                name=said.name,
                framework=said.framework,
                description=said.description,
                with_d3=said.with_d3,
                config=said.config,
                file_name=clean_name(file_name),
                path=copied.path.relative_to(self._root).as_posix(),
                sha256=copied.sha256,
                size_bytes=copied.size_bytes,
                status=CustomModelStatus.UPLOADED,
                api_key_id=caller.key_id,
            )
            try:
                async with self._database.begin() as session:
                    session.add(model)
                    await session.flush()
                    record(session, caller, "model.upload", model_id, name=said.name, sha256=copied.sha256)
            except IntegrityError:
                raise _taken(said.name) from None
            kept = True
            return model
        finally:
            if not kept:
                await self._remove(model_id)

    async def get(self, model_id: str) -> CustomModel:
        """Find an uploaded model.

        Raises
        ------
        ModelNotFoundError
        """
        async with self._database.reading() as session:
            model = await repository.find(session, model_id)
        return _present(model, model_id)

    async def page(self, wanted: Paging) -> Page[CustomModelView]:
        async with self._database.reading() as session:
            models, total = await repository.page(session, wanted)
        return Page(
            items=[CustomModelView(**_fields(model)) for model in models],
            pagination=wanted.pagination(total),
        )

    async def validate(self, model_id: str, caller: Caller) -> CustomModel:
        """Ask for a validation; one that is under way, or has been passed, is left as it is.

        Raises
        ------
        ModelNotFoundError
        """
        async with self._database.begin() as session:
            model = _present(await repository.find(session, model_id, lock=True), model_id)
            if model.status in (CustomModelStatus.UPLOADED, CustomModelStatus.REJECTED):
                await repository.ask_for_validation(session, model)
                record(session, caller, "model.validate", model_id, name=model.name)
        return model

    async def delete(self, model_id: str, caller: Caller) -> None:
        """Remove an uploaded model and its files.

        Raises
        ------
        ModelNotFoundError, ResourceInUseError
        """
        async with self._database.begin() as session:
            model = _present(await repository.find(session, model_id, lock=True), model_id)
            if await repository.is_in_use(session, model.name):
                raise ResourceInUseError("A task that has not ended needs this model")
            await repository.mark_deleted(session, model, context.request_id.get())
            record(session, caller, "model.delete", model_id, name=model.name)
        await self._remove(model_id)

    async def _require_free(self, name: str) -> None:
        async with self._database.reading() as session:
            if registry.knows(name) or await repository.is_name_taken(session, name):
                raise _taken(name)

    def _folder(self, model_id: str) -> Path:
        return self._root / "models" / model_id

    async def _remove(self, model_id: str) -> None:
        await asyncio.to_thread(shutil.rmtree, self._folder(model_id), ignore_errors=True)


def read_metadata(text: str) -> CustomModelMetadata:
    """What a client says of its model.

    Raises
    ------
    MalformedBodyError, InvalidParameterError
    """
    try:
        said = CustomModelMetadata.model_validate_json(text)
    except ValidationError as error:
        if error.errors()[0]["type"] in ("json_invalid", "model_type"):
            raise MalformedBodyError("The part `metadata` is not a JSON object", field="metadata") from None
        raise _explained(error, CustomModelMetadata, "metadata") from None
    config = CONFIGS[said.framework]
    try:
        config.model_validate(said.config)
    except ValidationError as error:
        raise _explained(error, config, "metadata.config") from None
    return said


def _explained(error: ValidationError, kind: type[BaseModel], where: str) -> MofsimError:
    errors: list[dict[str, Any]] = [{**one, "loc": (where, *one["loc"])} for one in error.errors()]
    known = explain_all(errors, {where: kind})
    known.field = f"{where}.{known.field}" if known.field else where
    return known


async def _scan(path: Path, framework: CustomFramework) -> None:
    try:
        with anyio.fail_after(SCAN_SECONDS):
            await to_process.run_sync(partial(scan_upload, path, framework), cancellable=True)
    except TimeoutError:
        raise UnsafeModelFileError(
            f"Looking at it took longer than {SCAN_SECONDS:.0f} s", field="file"
        ) from None
    except (BrokenWorkerProcess, MemoryError):
        raise InvalidFileError("Looking at it took more memory than a model may", field="file") from None


def _present(model: CustomModel | None, model_id: str) -> CustomModel:
    if model is None:
        raise ModelNotFoundError(f"There is no uploaded model {model_id!r}")
    return model


def _taken(name: str) -> NameTakenError:
    return NameTakenError(f"There is a model {name!r} already", field="metadata.name")


def _fields(model: CustomModel) -> dict[str, Any]:
    return {
        "model_id": model.id,
        **{
            name: getattr(model, name)
            for name in (
                *("name", "framework", "description", "with_d3", "config", "status"),
                *("file_name", "size_bytes", "sha256", "created_at", "validated_at"),
            )
        },
    }


def detail(model: CustomModel) -> CustomModelDetail:
    """A model with what its validation found."""
    report = None if model.validation is None else ValidationReport.model_validate(model.validation)
    return CustomModelDetail(**_fields(model), validation=report)
