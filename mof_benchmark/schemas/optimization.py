"""Documents of `optimization`."""

from __future__ import annotations

from typing import Literal

from pydantic import Field

from mof_benchmark.schemas.common import CalculationParameters, CalculationResult, CellParameters

Optimizer = Literal[
    "LBFGS",
    "BFGS",
    "FIRE",
    "MDMin",
    "LBFGSLineSearch",
    "BFGSLineSearch",
    "CellAwareBFGS",
    "GPMin",
    "ODE12r",
    "ModelHessianLBFGS",
]
CellFilter = Literal["FrechetCellFilter", "none", "UnitCellFilter", "ExpCellFilter", "StrainFilter"]


class OptimizationParameters(CalculationParameters):
    """Relaxation of atoms and cell."""

    fmax: float = Field(0.001, gt=0, le=10, description="Largest force at convergence, eV/Å.")
    max_steps: int = Field(1000, ge=1, le=100_000, description="Most optimizer steps.")
    optimizer: Optimizer = Field(
        "LBFGS",
        description="Optimizer. `ModelHessianLBFGS` is the fast one; on flexible frameworks it may "
        "reach another minimum and then the result says so.",
    )
    filter: CellFilter = Field("FrechetCellFilter", description="How the cell relaxes; `none` keeps it.")
    pressure_GPa: float = Field(0.0, ge=-1000, le=1000, description="External pressure, GPa.")
    trajectory_interval: int = Field(10, ge=1, description="Steps between trajectory frames.")
    verify_minimum: bool = Field(
        False,
        description="Relax by the published road too (LBFGS, FrechetCellFilter) and say whether both end "
        "in one minimum; worth its cost on flexible frameworks with another optimizer or filter.",
    )


class OptimizationResult(CalculationResult):
    """The relaxed structure and how it was reached (section 5.3 of the requirements)."""

    initial_energy_eV: float = Field(description="Energy of the structure as given, eV.")
    final_energy_eV: float = Field(description="Energy of the relaxed structure, eV.")
    final_fmax: float = Field(description="Largest force at the end (atoms and cell), eV/Å.")
    steps: int = Field(description="Optimizer steps taken.")
    initial_volume_A3: float | None = Field(description="Volume as given, Å³; null without a cell.")
    final_volume_A3: float | None = Field(
        description="Volume of the relaxed structure, Å³; null without a cell."
    )
    volume_change_percent: float | None = Field(description="Change of the volume, %; null without a cell.")
    cell_parameters: CellParameters | None = Field(description="Relaxed unit cell; null without a cell.")
    rmsd_from_initial: float = Field(description="RMSD of the atoms, without the cell's strain, Å.")
    energy_history: list[float] = Field(description="Energy at each step, eV.")
    fmax_history: list[float] = Field(description="Largest force at each step, eV/Å.")
    optimizer: Optimizer = Field(description="Optimizer used.")
    same_minimum_as_published: bool | None = Field(
        None,
        description="Whether the published road ends in this minimum too (1e-4 eV/atom, 1 % of the volume); "
        "null: not verified.",
    )
