"""Documents of `heat-capacity`."""

from __future__ import annotations

from pydantic import Field, model_validator

from mof_benchmark.schemas.common import CalculationParameters, CalculationResult, Document
from mof_benchmark.schemas.optimization import Optimizer


class HeatCapacityParameters(CalculationParameters):
    """Harmonic phonons by finite displacements, and what follows from them."""

    supercell: tuple[int, int, int] = Field(
        (1, 1, 1), description="Repeats of the cell for the force constants."
    )
    displacement_A: float = Field(0.01, gt=0, le=0.5, description="Length of a displacement, Å.")
    mesh: float = Field(100.0, gt=0, le=1000, description="Length that sets the q-point mesh (phonopy), Å.")
    t_min: float = Field(0.0, ge=0, le=10_000, description="Lowest temperature, K.")
    t_max: float = Field(1000.0, gt=0, le=10_000, description="Highest temperature, K.")
    t_step: float = Field(10.0, gt=0, le=1000, description="Step of the temperature, K.")
    fmax: float = Field(0.001, gt=0, le=10, description="Largest force of the relaxation before, eV/Å.")
    max_steps: int = Field(1000, ge=1, le=100_000, description="Most steps of that relaxation.")
    optimizer: Optimizer = Field("BFGS", description="Optimizer of that relaxation, with the cell.")
    fix_imaginary: bool = Field(
        False,
        description="Perturb along the softest imaginary Γ mode, relax again and repeat the phonons once.",
    )
    symmetrize: bool = Field(
        False,
        description="Give the relaxed structure the highest exact symmetry that costs no energy, which "
        "needs up to 30 times fewer displacements.",
    )

    @model_validator(mode="after")
    def _temperatures_ascend(self) -> HeatCapacityParameters:
        if self.t_max < self.t_min:
            raise ValueError("t_max must not be below t_min")
        if any(n < 1 or n > 10 for n in self.supercell):
            raise ValueError("each of supercell must be between 1 and 10")
        if self.symmetrize and self.fix_imaginary:
            raise ValueError("symmetrize would lead back to the saddle that fix_imaginary leaves")
        return self


class Symmetrization(Document):
    """What became of the wish to symmetrize."""

    accepted: bool = Field(description="Whether the phonons are those of the symmetric structure.")
    space_group: str | None = Field(description="Space group it was given, `Fm-3m (225)`.")
    energy_above_relaxed_meV: float = Field(description="Its energy above the relaxed one, meV per cell.")
    max_force_eV_A: float = Field(description="Largest force on an atom of it, eV/Å.")


class HeatCapacityResult(CalculationResult):
    """Thermal properties over temperature (per mole of cells unless the name says g)."""

    temperatures_K: list[float] = Field(description="Temperatures, K.")
    heat_capacity_J_mol_K: list[float] = Field(description="Cv per mole of cells, J/(mol K).")
    heat_capacity_J_g_K: list[float] = Field(description="Cv per gram, J/(g K).")
    entropy_J_mol_K: list[float] = Field(description="Vibrational entropy, J/(mol K).")
    free_energy_kJ_mol: list[float] = Field(description="Vibrational free energy, kJ/mol.")
    heat_capacity_300K_J_mol_K: float | None = Field(description="Cv at 300 K; null outside the range.")
    heat_capacity_300K_J_g_K: float | None = Field(description="Cv at 300 K, J/(g K).")
    n_imaginary_modes: int = Field(description="Imaginary modes over the whole mesh, left out of the sums.")
    n_mesh_modes: int = Field(description="All modes over the whole mesh.")
    lowest_frequency_THz: float = Field(description="Lowest frequency on the mesh; negative: imaginary.")
    n_displacements: int = Field(description="Displaced structures evaluated.")
    mesh_numbers: tuple[int, int, int] = Field(description="q-points along the reciprocal axes.")
    final_fmax_eV_A: float = Field(description="Largest force of the relaxed structure, eV/Å.")
    symmetrization: Symmetrization | None = Field(None, description="Null: not asked for.")
