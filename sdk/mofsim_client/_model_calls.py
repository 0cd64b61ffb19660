"""Calls about models: the registry, what the GPUs hold, and uploads of one's own."""

from __future__ import annotations

import json
import time
from pathlib import Path
from typing import Any, Literal

from mofsim_client._base import ClientBase
from mofsim_client._effects import Flow, OnUpload, Op, Sleep, Upload
from mofsim_client._exceptions import MOFSimError, WaitTimeoutError
from mofsim_client._inventory import CustomModelInfo, ModelCommand, ModelInfo
from mofsim_client._methods import call, stream
from mofsim_client._outcomes import command_error
from mofsim_client._protocol import parse, poll_interval


class ModelCalls(ClientBase):
    """The potentials and where they are loaded."""

    @call
    def list_models(self) -> Op[list[ModelInfo]]:
        """The potentials the server knows, available or not."""
        return (yield from self._whole("/models", ModelInfo))

    @call
    def get_model(self, name: str) -> Op[ModelInfo]:
        """A potential's settings and state."""
        return parse(ModelInfo, (yield from self._ask("GET", f"/models/{name}")))

    @call
    def load_model(self, name: str, gpu_id: int, *, timeout: float = 600.0) -> Op[ModelCommand]:
        """Warm a model up on a GPU; returns when it is there.

        Raises
        ------
        WaitTimeoutError
            If the GPU has not come to it after `timeout` seconds, being busy; it still will.
        ModelLoadError
            If the model cannot be loaded.
        """
        return (yield from self._command(name, "load", gpu_id, timeout))

    @call
    def unload_model(self, name: str, gpu_id: int, *, timeout: float = 600.0) -> Op[ModelCommand]:
        """Release a model from a GPU; returns when it is gone, or raises as `load_model` does."""
        return (yield from self._command(name, "unload", gpu_id, timeout))

    def _command(self, name: str, action: str, gpu_id: int, timeout: float) -> Op[ModelCommand]:
        started = time.monotonic()
        data = yield from self._ask("POST", f"/models/{name}/{action}", body={"gpu_id": gpu_id})
        while True:
            command = parse(ModelCommand, data)
            if command.state == "failed":
                raise command_error(command)
            if command.state == "done":
                return command
            elapsed = time.monotonic() - started
            if elapsed >= timeout:
                raise WaitTimeoutError(f"GPU {gpu_id} has not come to {action} {name} after {timeout:g} s.")
            yield Sleep(poll_interval(elapsed))
            data = yield from self._ask("GET", f"/models/{name}/commands/{command.command_id}")


class CustomModelCalls(ClientBase):
    """Models that users upload (scope `admin`, except to look)."""

    @call
    def upload_model(
        self,
        file: str | Path,
        name: str,
        framework: Literal["mace", "orb", "sevennet", "pytorch"],
        *,
        with_d3: bool = True,
        description: str = "",
        config: dict[str, Any] | None = None,
        on_progress: OnUpload | None = None,
    ) -> Op[CustomModelInfo]:
        """Upload a model of one's own; it can be used once `validate_model` has passed it.

        Parameters
        ----------
        file
            MACE `.model`, ORB or SevenNet checkpoint, or bare PyTorch weights.
        name
            Name by which tasks will ask for it.
        framework
            Which package it belongs to.
        with_d3
            Add PBE-D3(BJ) dispersion by default.
        description
            For people.
        config
            What the file does not say: `precision`; for ORB `architecture`, for PyTorch `interface`
            and its sizes.
        on_progress
            Called with the bytes sent so far and their total.

        Raises
        ------
        UnsafeModelFileError
            If the file holds anything but a model.
        NameTakenError
            If a model has this name.
        """
        path = Path(file).expanduser()
        if not path.is_file():
            raise MOFSimError(f"There is no file {path}.")
        metadata = {
            "name": name,
            "framework": framework,
            "description": description,
            "with_d3": with_d3,
            "config": config or {},
        }
        data = yield from self._ask(
            "POST",
            "/models/custom",
            upload=Upload(path.name, path, on_progress),
            form={"metadata": json.dumps(metadata)},
            repeatable=False,
        )
        return parse(CustomModelInfo, data)

    @stream
    def list_custom_models(self) -> Flow[CustomModelInfo]:
        """Iterate over the uploaded models, newest first."""
        return self._pages("/models/custom", CustomModelInfo)

    @call
    def get_custom_model(self, model_id: str) -> Op[CustomModelInfo]:
        """An uploaded model and each check of its last validation."""
        return (yield from self._custom_operation(model_id))

    def _custom_operation(self, model_id: str) -> Op[CustomModelInfo]:
        return parse(CustomModelInfo, (yield from self._ask("GET", f"/models/custom/{model_id}")))

    @call
    def validate_model(self, model_id: str, *, timeout: float = 1800.0) -> Op[CustomModelInfo]:
        """Have an uploaded model tried in a confined process; returns when that is done.

        A model that is rejected is returned like one that has passed: `validated` says which, and
        `failed_checks()` why.

        Raises
        ------
        WaitTimeoutError
            If it is not done after `timeout` seconds; it goes on.
        """
        started = time.monotonic()
        model = parse(CustomModelInfo, (yield from self._ask("POST", f"/models/custom/{model_id}/validate")))
        while model.status in ("uploaded", "validating"):
            elapsed = time.monotonic() - started
            if elapsed >= timeout:
                raise WaitTimeoutError(f"{model_id} is still {model.status} after {timeout:g} s.")
            yield Sleep(poll_interval(elapsed))
            model = yield from self._custom_operation(model_id)
        return model

    @call
    def delete_model(self, model_id: str) -> Op[None]:
        """Delete an uploaded model that no unfinished task needs."""
        yield from self._ask("DELETE", f"/models/custom/{model_id}")
