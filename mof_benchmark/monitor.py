"""How a calculation tells the outside what it does, and learns that it must stop.

Calculations call `monitor.step` once per step and `monitor.log` for what a person should read.
Library use needs no service: `SilentMonitor` does nothing. `tasks.reporting` has the one that
writes to the database.
"""

from __future__ import annotations

from typing import Any, Protocol


class Monitor(Protocol):
    """What every calculation is handed."""

    def step(self, stage: str, current: int, total: int | None, **values: float) -> None:
        """Report step `current` of at most `total` in `stage`, with its values.

        Units are in the names (`energy_eV`, `fmax_eV_A`, `temperature_K`, `pressure_GPa`,
        `volume_A3`). Cheap: called at every step.

        Raises
        ------
        mof_benchmark.errors.StoppedError
            When the task was cancelled, timed out or lost its place to a newer attempt.
        """
        ...

    def log(self, level: str, message: str, **extra: Any) -> None:
        """Record a line (`DEBUG` … `CRITICAL`) for the task's log."""
        ...


class SilentMonitor:
    """A monitor for library use: nothing is reported and nothing stops."""

    def step(self, stage: str, current: int, total: int | None, **values: float) -> None:
        return None

    def log(self, level: str, message: str, **extra: Any) -> None:
        return None
