"""Results of the six calculations, with the units in the names."""

from __future__ import annotations

import os
from datetime import datetime
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import TYPE_CHECKING, Any

from pydantic import Field, PrivateAttr

from mofsim_client._documents import Document, TaskStatus
from mofsim_client._exceptions import MissingPackageError, MOFSimError
from mofsim_client._files import fetch
from mofsim_client._settings import Connection

if TYPE_CHECKING:
    from ase import Atoms


class CellParameters(Document):
    """Unit cell: lengths in Å, angles in degrees."""

    a: float
    b: float
    c: float
    alpha: float
    beta: float
    gamma: float


class Metrics(Document):
    """What the calculation cost."""

    force_evaluations: int | None = None
    model_seconds: float | None = None
    d3_seconds: float | None = None
    other_seconds: float | None = None
    peak_memory_MB: float | None = None
    peak_gpu_memory_MB: float | None = None
    avg_step_time_ms: float | None = None


class Provenance(Document):
    """Enough to run the calculation again and get the same."""

    model: str | None = None
    checkpoint_sha256: str | None = None
    d3: dict[str, Any] | None = None
    device: str | None = None
    dtype: str | None = None
    structure_sha256: str | None = None
    package_versions: dict[str, str] = Field(default_factory=dict)


class Result(Document):
    """What every result carries; the fields of its calculation stand beside these.

    The methods that read output files download them and block while they do; in asynchronous code
    call them by `asyncio.to_thread`, or use `await task.save(directory)`.
    """

    task_id: str
    task_type: str
    status: TaskStatus
    model: str | None = None
    structure_name: str | None = None
    created_at: datetime | None = None
    started_at: datetime | None = None
    completed_at: datetime | None = None
    duration_seconds: float | None = None
    gpu_id: int | None = None

    converged: bool = Field(description="Whether every part of the calculation converged.")
    warnings: list[str] = Field(default_factory=list)
    output_files: dict[str, str] = Field(default_factory=dict, description="Address of each file by role.")
    provenance: Provenance = Field(default_factory=Provenance)
    metrics: Metrics = Field(default_factory=Metrics)

    _connection: Connection | None = PrivateAttr(None)

    def optimized_atoms(self) -> Atoms:
        """The relaxed structure as an ASE `Atoms` (needs the extra `ase`)."""
        return self._read("optimized_structure", -1)

    def trajectory(self) -> list[Atoms]:
        """Every stored frame as an ASE `Atoms` (needs the extra `ase`)."""
        frames: list[Atoms] = self._read("trajectory", slice(None))
        return frames

    def save(self, directory: str | os.PathLike[str]) -> list[Path]:
        """Write `result.json` and every output file into a folder, made if needed."""
        return [
            self.save_document(directory),
            *(self._fetch(role, Path(directory)) for role in self.output_files),
        ]

    def save_document(self, directory: str | os.PathLike[str]) -> Path:
        """Write `result.json` alone."""
        path = Path(directory).expanduser() / "result.json"
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(self.model_dump_json(indent=2) + "\n")
        return path

    def _read(self, role: str, index: int | slice) -> Any:
        try:
            from ase.io import read
        except ImportError as error:
            raise MissingPackageError("This needs ASE: pip install 'mofsim-client[ase]'.") from error
        with TemporaryDirectory() as folder:
            return read(self._fetch(role, Path(folder)), index=index)

    def _fetch(self, role: str, folder: Path) -> Path:
        if role not in self.output_files:
            known = ", ".join(sorted(self.output_files)) or "none"
            raise MOFSimError(f"This result has no file {role!r}; it has: {known}.")
        if self._connection is None:
            raise MOFSimError("This result was not made by a client and cannot download its files.")
        return fetch(self._connection, self.output_files[role], folder)

    @classmethod
    def from_answer(cls, data: dict[str, Any]) -> dict[str, Any]:
        """Lift the calculation's own fields beside the task's: one flat document."""
        inner = data.get("result") or {}
        outer = {name: value for name, value in data.items() if name != "result" and value is not None}
        return {**inner, **outer}


class SinglePointResult(Result):
    """Energy, forces and stress of the structure as given."""

    energy_eV: float
    energy_per_atom_eV: float
    forces_eV_A: list[list[float]] | None = Field(None, description="Shape (n_atoms, 3), eV/Å.")
    max_force_eV_A: float | None = None
    stress_GPa: list[float] | None = Field(None, description="Voigt xx, yy, zz, yz, xz, xy, GPa.")
    stress_eV_A3: list[float] | None = None
    volume_A3: float | None = None
    density_g_cm3: float | None = None
    n_atoms: int


class OptimizationResult(Result):
    """The relaxed structure and how it was reached."""

    initial_energy_eV: float | None = None
    final_energy_eV: float
    final_fmax: float = Field(description="Largest force at the end (atoms and cell), eV/Å.")
    steps: int
    initial_volume_A3: float | None = None
    final_volume_A3: float | None = None
    volume_change_percent: float | None = None
    cell_parameters: CellParameters | None = None
    rmsd_from_initial: float | None = Field(None, description="RMSD without the cell's strain, Å.")
    energy_history: list[float] = Field(default_factory=list, description="eV, each step.")
    fmax_history: list[float] = Field(default_factory=list, description="eV/Å, each step.")
    optimizer: str | None = None
    same_minimum_as_published: bool | None = None


class StabilityResult(Result):
    """What the framework did in the dynamics, and whether it held."""

    stable: bool
    criteria: dict[str, bool] = Field(default_factory=dict)
    reasons: list[str] = Field(default_factory=list)
    initial_volume_A3: float | None = None
    final_volume_A3: float | None = None
    volume_drift_percent: float | None = None
    rmsd_A: float | None = None
    max_displacement_A: float | None = None
    mean_temperature_K: float | None = None
    final_temperature_K: float | None = None
    mean_pressure_GPa: float | None = None
    final_pressure_GPa: float | None = None
    energy_drift_meV_atom_ps: float | None = None
    coordination: list[dict[str, Any]] = Field(default_factory=list)
    radial_distribution: dict[str, list[float]] | None = None
    steps: int | None = None
    simulated_ps: float | None = None


class BulkModulusResult(Result):
    """The fit of the equation of state and the points it stands on."""

    bulk_modulus_GPa: float
    equilibrium_volume_A3: float
    equilibrium_energy_eV: float
    pressure_derivative: float | None = None
    eos: str | None = None
    volumes_A3: list[float] = Field(default_factory=list)
    energies_eV: list[float] = Field(default_factory=list)
    points_converged: list[bool] = Field(default_factory=list)
    fit_rmse_meV_atom: float | None = None


class HeatCapacityResult(Result):
    """Thermal properties over temperature (per mole of cells unless the name says g)."""

    temperatures_K: list[float]
    heat_capacity_J_mol_K: list[float]
    heat_capacity_J_g_K: list[float] = Field(default_factory=list)
    entropy_J_mol_K: list[float] = Field(default_factory=list)
    free_energy_kJ_mol: list[float] = Field(default_factory=list)
    heat_capacity_300K_J_mol_K: float | None = None
    heat_capacity_300K_J_g_K: float | None = None
    n_imaginary_modes: int | None = None
    n_mesh_modes: int | None = None
    lowest_frequency_THz: float | None = None
    n_displacements: int | None = None
    mesh_numbers: list[int] | None = None
    final_fmax_eV_A: float | None = None
    symmetrization: dict[str, Any] | None = None


class InteractionEnergyResult(Result):
    """The interaction energy, its terms and the pose it belongs to."""

    mode: str | None = None
    guest: str | None = None
    interaction_energy_eV: float
    interaction_energy_kJ_mol: float | None = None
    energy_host_guest_eV: float | None = None
    energy_host_eV: float | None = None
    energy_guest_eV: float | None = None
    guest_indices: list[int] = Field(default_factory=list)
    guest_positions_A: list[list[float]] = Field(default_factory=list)
    min_distance_A: float | None = None
    closest_contacts: list[str] = Field(default_factory=list)
    poses: list[dict[str, Any]] = Field(default_factory=list)
