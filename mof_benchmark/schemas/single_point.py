"""Documents of `single-point-energy`."""

from __future__ import annotations

from pydantic import Field

from mof_benchmark.schemas.common import CalculationParameters, CalculationResult


class SinglePointParameters(CalculationParameters):
    """What to compute besides the energy."""

    compute_forces: bool = Field(True, description="Return the forces.")
    compute_stress: bool = Field(True, description="Return the stress (needs a periodic cell).")


class SinglePointResult(CalculationResult):
    """Energy, forces and stress of the structure as given."""

    energy_eV: float = Field(description="Potential energy of the cell, eV.")
    energy_per_atom_eV: float = Field(description="Energy per atom, eV.")
    forces_eV_A: list[list[float]] | None = Field(description="Forces, shape (n_atoms, 3), eV/Å.")
    max_force_eV_A: float | None = Field(description="Largest norm of an atomic force, eV/Å.")
    stress_GPa: list[float] | None = Field(description="Voigt xx, yy, zz, yz, xz, xy, GPa.")
    stress_eV_A3: list[float] | None = Field(description="The same in eV/Å³.")
    volume_A3: float | None = Field(description="Cell volume, Å³; null without a cell.")
    density_g_cm3: float | None = Field(description="Density, g/cm³; null without a cell.")
    n_atoms: int = Field(description="Atoms in the cell.")
