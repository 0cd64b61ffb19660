"""The calculator handed to a calculation: model plus dispersion, counted, timed and watched."""

from __future__ import annotations

import re
import sys
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any, ClassVar

import numpy as np
from ase import Atoms
from ase.calculators.calculator import Calculator, all_changes
from ase.data import chemical_symbols

from mof_benchmark.calculators.contract import Potential
from mof_benchmark.calculators.dispersion import Dispersion, make_dispersion
from mof_benchmark.errors import (
    CalculationFailedError,
    MofsimError,
    OutOfMemoryError,
    UnphysicalError,
    UnsupportedElementError,
)
from mof_benchmark.schemas.common import Metrics

Evaluate = Callable[[Sequence[Atoms]], Iterator[dict[str, Any]]]

MAX_ENERGY_EV_PER_ATOM = 1e3
"""Bound energies are tens of eV per atom; beyond this the geometry has exploded."""
MAX_FORCE_EV_A = 1e5
"""No optimizer or integrator recovers from a force like this."""
_SUMMED = {"energy", "forces", "stress"}
_OUT_OF_MEMORY = r"CUDA out of memory|can't allocate memory"


class MeteredCalculator(Calculator):
    """Sum of a model and PBE-D3(BJ): energy, forces and stress in one pass, at one cost.

    Asking for any property computes all of them once, so optimizers that read energy, forces and
    stress one after the other pay once. Counting starts at construction and at `start()`.

    Parameters
    ----------
    potential
        The loaded model.
    with_d3
        Add the dispersion correction; unset: as the model's registry entry says.

    Raises
    ------
    UnsupportedElementError
        On the first evaluation of an element the model does not know.
    UnphysicalError
        When the model answers with NaN, or with an energy or force out of all proportion.
    OutOfMemoryError
        When the evaluation does not fit the device's memory.
    """

    implemented_properties: ClassVar[list[str]] = ["energy", "free_energy", "forces", "stress"]

    def __init__(self, potential: Potential, *, with_d3: bool | None = None) -> None:
        super().__init__()
        self.potential = potential
        self._model = potential.make_calculator()
        self._dispersion: Dispersion | None = None
        self.with_d3 = potential.card.with_d3 if with_d3 is None else with_d3
        self.start()

    @property
    def with_d3(self) -> bool:
        """Whether the dispersion correction is added."""
        return self._dispersion is not None

    @with_d3.setter
    def with_d3(self, wanted: bool) -> None:
        if wanted == (self._dispersion is not None):
            return
        self._dispersion = make_dispersion(self.potential.device) if wanted else None
        self.reset()

    def start(self) -> None:
        """Set all counters to zero."""
        self.force_evaluations = 0
        self.model_seconds = 0.0
        self.d3_seconds = 0.0
        self._started = time.perf_counter()
        _reset_peak_memory(self.potential.device)

    def metrics(self, *, steps: int | None = None) -> Metrics:
        """What was spent since `start()`; `steps` gives the mean time of a step."""
        elapsed = time.perf_counter() - self._started
        return Metrics(
            force_evaluations=self.force_evaluations,
            model_seconds=self.model_seconds,
            d3_seconds=self.d3_seconds,
            other_seconds=max(0.0, elapsed - self.model_seconds - self.d3_seconds),
            peak_memory_MB=_peak_memory_MB(),
            peak_gpu_memory_MB=_peak_gpu_memory_MB(self.potential.device),
            avg_step_time_ms=1e3 * elapsed / steps if steps else None,
        )

    def d3_settings(self) -> dict[str, float | str] | None:
        """Settings of the dispersion correction; None without it."""
        return None if self._dispersion is None else self._dispersion.settings()

    def calculate(
        self,
        atoms: Atoms | None = None,
        properties: list[str] | None = None,
        system_changes: list[str] = all_changes,
    ) -> None:
        super().calculate(atoms, properties, system_changes)
        (self.results,) = self._evaluate([self.atoms], self._one_by_one)

    def evaluate_many(self, structures: Sequence[Atoms]) -> Iterator[dict[str, Any]]:
        """The results of each of several structures, in order; computed together where that is faster.

        Raises
        ------
        UnsupportedElementError, UnphysicalError, OutOfMemoryError
            As the class.
        """
        return self._evaluate(structures, self.potential.evaluate_many or self._one_by_one)

    def _evaluate(self, structures: Sequence[Atoms], by_model: Evaluate) -> Iterator[dict[str, Any]]:
        for atoms in structures:
            self._check_input(atoms)
        largest = max(map(len, structures), default=0)
        found = by_model(structures)
        for atoms in structures:
            begun = time.perf_counter()
            with _named_failures(largest):
                of_model = next(found)
                modelled = time.perf_counter()
                self.model_seconds += modelled - begun
                total = {name: of_model[name] for name in _SUMMED & of_model.keys()}
                if self._dispersion is not None:
                    correction = self._dispersion.evaluate(atoms)
                    self.d3_seconds += time.perf_counter() - modelled
                    total = {name: value + correction[name] for name, value in total.items()}
            self.force_evaluations += 1
            if not atoms.pbc.all():
                total.pop("stress", None)
            _check_output(total, len(atoms))
            yield {**total, "free_energy": total["energy"]}

    def _one_by_one(self, structures: Sequence[Atoms]) -> Iterator[dict[str, Any]]:
        for atoms in structures:
            self._model.calculate(atoms, ["energy", "forces", "stress"], all_changes)
            yield self._model.results

    def require_known_elements(self, atoms: Atoms) -> None:
        """Refuse what the model cannot evaluate.

        Raises
        ------
        UnsupportedElementError
            When the model does not know an element.
        """
        unknown = sorted(set(atoms.numbers.tolist()) - self.potential.elements)
        if unknown:
            symbols = ", ".join(chemical_symbols[number] for number in unknown)
            raise UnsupportedElementError(f"{self.potential.card.name} does not know {symbols}.")

    def _check_input(self, atoms: Atoms) -> None:
        self.require_known_elements(atoms)
        if not (np.isfinite(atoms.positions).all() and np.isfinite(atoms.cell[:]).all()):
            raise UnphysicalError("A position or the cell became NaN or infinite.")
        if atoms.pbc.all() and abs(atoms.cell.volume) < 0.1 * len(atoms):
            raise UnphysicalError(f"The cell collapsed: {atoms.cell.volume:.3g} Å³ for {len(atoms)} atoms.")


def _check_output(results: dict[str, Any], n_atoms: int) -> None:
    energy, forces = results["energy"], results["forces"]
    if not np.isfinite(energy):
        raise UnphysicalError(f"The energy is {energy}.")
    broken = np.flatnonzero(~np.isfinite(forces).all(axis=1))
    if broken.size:
        raise UnphysicalError(
            f"The forces on {broken.size} atoms are NaN or infinite, first atom {broken[0]}."
        )
    if abs(energy) > MAX_ENERGY_EV_PER_ATOM * n_atoms:
        raise UnphysicalError(f"The energy exploded: {energy:.4g} eV for {n_atoms} atoms.")
    norms = np.linalg.norm(forces, axis=1)
    if norms.max() > MAX_FORCE_EV_A:
        raise UnphysicalError(f"The forces exploded: {norms.max():.4g} eV/Å on atom {norms.argmax()}.")
    if "stress" in results and not np.isfinite(results["stress"]).all():
        raise UnphysicalError("The stress is NaN or infinite.")


@contextmanager
def _named_failures(n_atoms: int) -> Iterator[None]:
    """Give failures of a model package our names."""
    try:
        yield
    except MofsimError:
        raise
    except MemoryError as error:
        raise OutOfMemoryError(f"{n_atoms} atoms do not fit the memory.") from error
    except Exception as error:
        reason = _reason(error)
        if type(error).__name__ == "OutOfMemoryError" or re.search(_OUT_OF_MEMORY, reason):
            _empty_cuda_cache()
            reason = reason.splitlines()[0]
            raise OutOfMemoryError(f"{n_atoms} atoms do not fit the device's memory: {reason}") from error
        raise CalculationFailedError(f"The model failed on {n_atoms} atoms: {reason}") from error


def _reason(error: Exception) -> str:
    """What an error says; of one that TorchScript has wrapped into pages of its own, the inner one."""
    text = str(error)
    inner = re.search(r"^\w*Error: (.*)", text, re.MULTILINE) if "TorchScript" in text else None
    return text if inner is None else inner[1]


def _cuda(device: str) -> Any:
    """torch.cuda where the device is one and torch is loaded, else None."""
    torch = sys.modules.get("torch")
    return torch.cuda if torch is not None and device.startswith("cuda") else None


def _empty_cuda_cache() -> None:
    torch = sys.modules.get("torch")
    if torch is not None and torch.cuda.is_available():
        torch.cuda.empty_cache()


def _reset_peak_memory(device: str) -> None:
    # Linux resets the process's high-water mark on this write; elsewhere the mark since the
    # start of the process has to do.
    reset = Path("/proc/self/clear_refs")
    if reset.exists():
        reset.write_text("5")
    cuda = _cuda(device)
    if cuda is not None:
        cuda.reset_peak_memory_stats(device)


def _peak_memory_MB() -> float | None:
    status = Path("/proc/self/status")
    if not status.exists():
        return None
    peak = re.search(r"^VmHWM:\s+(\d+) kB", status.read_text(), re.MULTILINE)
    return None if peak is None else int(peak[1]) * 1024 / 1e6


def _peak_gpu_memory_MB(device: str) -> float | None:
    cuda = _cuda(device)
    return None if cuda is None else float(cuda.max_memory_allocated(device)) / 1e6
