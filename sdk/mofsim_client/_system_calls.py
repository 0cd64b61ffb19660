"""Calls about models and about the service."""

from __future__ import annotations

import time
from typing import Any

from mofsim_client._base import ClientBase
from mofsim_client._documents import ModelCommand, ModelInfo, SystemStatus
from mofsim_client._effects import Op, Sleep
from mofsim_client._exceptions import WaitTimeoutError
from mofsim_client._methods import call
from mofsim_client._outcomes import command_error
from mofsim_client._protocol import WHOLE, items_of, parse, poll_interval


class ModelCalls(ClientBase):
    """The potentials and where they are loaded."""

    @call
    def list_models(self) -> Op[list[ModelInfo]]:
        """The potentials the server knows, available or not."""
        return [parse(ModelInfo, item) for item in items_of((yield from self._ask("GET", "/models")))]

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


class SystemCalls(ClientBase):
    """Health, GPUs and queue."""

    @call
    def get_health(self) -> Op[dict[str, Any]]:
        """Health of the service and its components; `status` is ok, degraded or down."""
        return (yield from self._health_operation())

    def _health_operation(self) -> Op[dict[str, Any]]:
        return dict((yield from self._ask("GET", "/health", accepted=(503,))))

    @call
    def list_gpus(self) -> Op[list[dict[str, Any]]]:
        """State of each GPU."""
        return items_of((yield from self._ask("GET", "/system/gpus", query=WHOLE)))

    @call
    def get_queue(self) -> Op[dict[str, Any]]:
        """Counts of the task queue."""
        return dict((yield from self._ask("GET", "/system/queue")))

    @call
    def get_system_status(self) -> Op[SystemStatus]:
        """Health, GPUs and queue together."""
        health = yield from self._health_operation()
        gpus = items_of((yield from self._ask("GET", "/system/gpus", query=WHOLE)))
        queue = yield from self._ask("GET", "/system/queue")
        return SystemStatus(health=health, gpus=gpus, queue=queue)
