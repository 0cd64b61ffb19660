"""Validates uploaded models, one at a time, each in a confined process of its own."""

from __future__ import annotations

import asyncio
import logging
import threading
import time
from typing import Any

from mof_benchmark.calculators.custom import runner
from mofsim_settings import Settings
from tasks.database import ReportDatabase, Unavailable

LOOK_SECONDS = 3.0
ALIVE_SECONDS = 2.0

_log = logging.getLogger(__name__)


class ModelValidator:
    """Takes what waits for validation, wherever on the machines it was uploaded to.

    Parameters
    ----------
    identity
        Tells this process from other workers and from its own earlier starts.
    """

    def __init__(self, settings: Settings, database: ReportDatabase, identity: str) -> None:
        self._root = settings.storage_root
        self._patience_seconds = settings.scheduling.lost_after_seconds
        self._database = database
        self._identity = identity
        self._woken = asyncio.Event()
        self._stopped = threading.Event()

    def wake(self) -> None:
        """There may be something to validate."""
        self._woken.set()

    def stop(self) -> None:
        """End the present validation; another worker takes it up again."""
        self._stopped.set()
        self._woken.set()

    async def watch(self) -> None:
        while not self._stopped.is_set():
            self._woken.clear()
            try:
                order = await asyncio.to_thread(
                    self._database.take_validation, self._identity, self._patience_seconds
                )
                if order is not None:
                    await asyncio.to_thread(self.validate, order)
                    continue
            except Unavailable:
                _log.debug("Nothing can be validated: the database is away")
            except Exception:
                _log.exception("A validation failed")
            try:
                async with asyncio.timeout(LOOK_SECONDS):
                    await self._woken.wait()
            except TimeoutError:
                continue

    def validate(self, order: dict[str, Any]) -> None:
        """Validate a model that `model_validation_take` gave, and store what came of it."""
        model_id = order["model_id"]
        _log.info("Validating model %s (%s)", order["name"], model_id)
        wanted = _Wanted(self._database, model_id, self._identity, self._stopped)
        report, card = runner.validate(
            runner.Upload(
                name=order["name"],
                path=self._root / order["path"],
                framework=order["framework"],
                with_d3=order["with_d3"],
                config=order["config"],
            ),
            storage_root=self._root,
            wanted=wanted,
        )
        if self._stopped.is_set():
            return
        document = None if card is None else card.model_dump(mode="json")
        while not self._stopped.is_set():
            try:
                stored = self._database.validation_done(
                    model_id, self._identity, report.model_dump(mode="json"), document
                )
            except Unavailable:
                self._stopped.wait(LOOK_SECONDS)
            else:
                outcome = ("passed" if report.passed else "failed") if stored else "came too late"
                _log.info("The validation of %s %s", model_id, outcome)
                return


class _Wanted:
    """Whether a validation shall go on; says on the way that it does."""

    def __init__(
        self, database: ReportDatabase, model_id: str, worker: str, stopped: threading.Event
    ) -> None:
        self._database = database
        self._model_id = model_id
        self._worker = worker
        self._stopped = stopped
        self._said = time.monotonic()

    def __call__(self) -> bool:
        if self._stopped.is_set():
            return False
        if time.monotonic() - self._said < ALIVE_SECONDS:
            return True
        self._said = time.monotonic()
        try:
            return self._database.validation_alive(self._model_id, self._worker)
        except Unavailable:
            return True
