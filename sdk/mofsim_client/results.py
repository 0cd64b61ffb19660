"""Results of the six calculations, with the units in the names."""

from __future__ import annotations

import os
from datetime import datetime
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import TYPE_CHECKING, Any

from pydantic import Field, PrivateAttr

from mofsim_client._display import html_document
from mofsim_client._documents import Document, TaskStatus
from mofsim_client._exceptions import MissingPackageError, MOFSimError
from mofsim_client._files import fetch
from mofsim_client._plots import axes, curve
from mofsim_client._settings import Connection
from mofsim_client._tables import frame, to_dataframe

if TYPE_CHECKING:
    from ase import Atoms
    from matplotlib.axes import Axes
    from pandas import DataFrame

__all__ = [
    "BulkModulusResult",
    "CellParameters",
    "HeatCapacityResult",
    "InteractionEnergyResult",
    "Metrics",
    "OptimizationResult",
    "Provenance",
    "Result",
    "SinglePointResult",
    "StabilityResult",
    "to_dataframe",
]


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

    def figures(self) -> dict[str, Any]:
        """The single figures of the result, without its lists and files: a row of a table."""
        return {
            name: value
            for name, value in self.to_dict().items()
            if isinstance(value, str | int | float | bool) and name not in ("created_at", "started_at")
        }

    def series(self) -> dict[str, list[Any]]:
        """The result's own table as columns of one length: its steps, points, temperatures, atoms, …"""
        return {name: [value] for name, value in self.figures().items()}

    def to_dataframe(self) -> DataFrame:
        """`series()` as a pandas table (needs the extra `data`)."""
        return frame(self.series())

    def plot(self, ax: Axes | None = None) -> Axes:
        """Draw the result's own picture (needs the extra `plot`).

        Parameters
        ----------
        ax
            Matplotlib axes to draw on; new ones if unset.

        Returns
        -------
        The axes; `ax.figure.savefig("result.png")` writes them.
        """
        raise MOFSimError(f"A result of {self.task_type} has nothing to draw.")

    @property
    def _title(self) -> str:
        return f"{self.structure_name or self.task_id}, {self.model or ''}"

    def _row(self) -> dict[str, Any]:
        return self.figures()

    def _repr_html_(self) -> str:
        skipped = ("task_id", "status", "task_type")
        fields = {name: value for name, value in self.figures().items() if name not in skipped}
        fields |= {"warnings": self.warnings, "files": sorted(self.output_files)}
        return html_document(f"{type(self).__name__} {self.task_id}", fields, self.status)

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
    forces_eV_A: list[list[float]] | None = Field(default=None, description="Shape (n_atoms, 3), eV/Å.")
    max_force_eV_A: float | None = None
    stress_GPa: list[float] | None = Field(default=None, description="Voigt xx, yy, zz, yz, xz, xy, GPa.")
    stress_eV_A3: list[float] | None = None
    volume_A3: float | None = None
    density_g_cm3: float | None = None
    n_atoms: int

    def series(self) -> dict[str, list[Any]]:
        """One row for each atom: its force, eV/Å."""
        forces = self.forces_eV_A or []
        columns = [[force[axis] for force in forces] for axis in range(3)]
        return {f"force_{name}_eV_A": column for name, column in zip("xyz", columns, strict=True)}

    def plot(self, ax: Axes | None = None) -> Axes:
        """Draw how large the forces are: a histogram over the atoms."""
        drawn = axes(ax)
        drawn.hist([sum(x * x for x in force) ** 0.5 for force in self.forces_eV_A or []], bins=30)
        drawn.set_xlabel("force (eV/Å)")
        drawn.set_ylabel("atoms")
        drawn.set_title(self._title)
        return drawn


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
    rmsd_from_initial: float | None = Field(default=None, description="RMSD without the cell's strain, Å.")
    energy_history: list[float] = Field(default_factory=list, description="eV, each step.")
    fmax_history: list[float] = Field(default_factory=list, description="eV/Å, each step.")
    optimizer: str | None = None
    same_minimum_as_published: bool | None = None

    def series(self) -> dict[str, list[Any]]:
        """One row for each step: energy, eV, and largest force, eV/Å."""
        return {
            "step": list(range(len(self.energy_history))),
            "energy_eV": self.energy_history,
            "fmax_eV_A": self.fmax_history,
        }

    def plot(self, ax: Axes | None = None) -> Axes:
        """Draw energy (left) and largest force (right, logarithmic) over the steps."""
        steps = self.series()["step"]
        drawn = curve(ax, steps, self.energy_history, ("step", "energy (eV)"), self._title)
        forces = drawn.twinx()
        forces.semilogy(steps, self.fmax_history, color="tab:red")
        forces.set_ylabel("largest force (eV/Å)", color="tab:red")
        return drawn


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

    def series(self) -> dict[str, list[Any]]:
        """One row for each metal: its coordination number as given, relaxed and at the end."""
        names = ("metal", "initial", "relaxed", "final")
        return {name: [metal.get(name) for metal in self.coordination] for name in names}

    def plot(self, ax: Axes | None = None) -> Axes:
        """Draw the radial distribution function of the production run."""
        found = self.radial_distribution or {}
        labels = ("distance (Å)", "g(r)")
        return curve(ax, found.get("r_A", []), found.get("g", []), labels, self._title)


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

    def series(self) -> dict[str, list[Any]]:
        """One row for each volume: Å³, energy in eV, and whether its relaxation converged."""
        return {
            "volume_A3": self.volumes_A3,
            "energy_eV": self.energies_eV,
            "converged": self.points_converged,
        }

    def plot(self, ax: Axes | None = None) -> Axes:
        """Draw the energy of each volume, with the fit's minimum."""
        labels = ("volume (Å³)", "energy (eV)")
        title = f"{self._title}: {self.bulk_modulus_GPa:.2f} GPa"
        drawn = curve(ax, self.volumes_A3, self.energies_eV, labels, title, marker="o")
        drawn.plot([self.equilibrium_volume_A3], [self.equilibrium_energy_eV], marker="x", color="tab:red")
        return drawn


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

    def series(self) -> dict[str, list[Any]]:
        """One row for each temperature."""
        columns = {
            "temperature_K": self.temperatures_K,
            "heat_capacity_J_mol_K": self.heat_capacity_J_mol_K,
            "heat_capacity_J_g_K": self.heat_capacity_J_g_K,
            "entropy_J_mol_K": self.entropy_J_mol_K,
            "free_energy_kJ_mol": self.free_energy_kJ_mol,
        }
        return {name: column for name, column in columns.items() if column}

    def plot(self, ax: Axes | None = None) -> Axes:
        """Draw the heat capacity over the temperature."""
        by_mass = self.heat_capacity_J_g_K
        labels = ("temperature (K)", f"heat capacity (J/({'g' if by_mass else 'mol'} K))")
        return curve(ax, self.temperatures_K, by_mass or self.heat_capacity_J_mol_K, labels, self._title)


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

    def series(self) -> dict[str, list[Any]]:
        """One row for each ranked pose of a search; for a configuration, its one energy."""
        poses = self.poses or [{"rank": 1, "interaction_energy_eV": self.interaction_energy_eV}]
        names = list(dict.fromkeys(name for pose in poses for name in pose))
        return {name: [pose.get(name) for pose in poses] for name in names}

    def plot(self, ax: Axes | None = None) -> Axes:
        """Draw the energies of the ranked poses."""
        found = self.series()
        labels = ("pose", "interaction energy (eV)")
        return curve(ax, found["rank"], found["interaction_energy_eV"], labels, self._title, marker="o")
