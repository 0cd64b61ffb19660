"""Documents of `bulk-modulus`."""

from __future__ import annotations

from typing import Literal

from pydantic import Field

from mof_benchmark.schemas.common import CalculationParameters, CalculationResult, Document

EquationOfState = Literal[
    "birchmurnaghan", "birch", "murnaghan", "vinet", "pouriertarantola", "taylor", "sj", "p3"
]


class BulkModulusParameters(CalculationParameters):
    """Energies over a range of volumes, fitted by an equation of state."""

    strain_range: float = Field(
        0.04, gt=0, le=0.3, description="Largest relative change of the *volume* on either side."
    )
    n_points: int = Field(11, ge=5, le=101, description="Volume points, evenly spaced, ends included.")
    eos: EquationOfState = Field("birchmurnaghan", description="Equation of state (names of ASE).")
    optimize_first: bool = Field(True, description="Relax atoms and cell before straining.")
    fmax: float = Field(0.001, gt=0, le=10, description="Largest force at convergence, eV/Å.")
    max_steps: int = Field(1000, ge=1, le=100_000, description="Most optimizer steps, each point.")


class VolumePoint(Document):
    """The atoms relaxed at one volume."""

    volume_A3: float
    energy_eV: float
    converged: bool
    fmax_eV_A: float


class BulkModulusResult(CalculationResult):
    """The fit and the points it stands on."""

    bulk_modulus_GPa: float = Field(description="Bulk modulus at zero pressure, GPa.")
    equilibrium_volume_A3: float = Field(description="Volume at the minimum of the fit, Å³.")
    equilibrium_energy_eV: float = Field(description="Energy at the minimum of the fit, eV.")
    pressure_derivative: float | None = Field(
        description="dB/dp at zero pressure; null where the equation of state does not give it."
    )
    eos: EquationOfState = Field(description="Equation of state used.")
    volumes_A3: list[float] = Field(description="Volumes of the points, ascending, Å³.")
    energies_eV: list[float] = Field(description="Energy of each point, eV.")
    points_converged: list[bool] = Field(description="Whether each point's relaxation converged.")
    fit_rmse_meV_atom: float = Field(description="Root mean square residual of the fit, meV/atom.")
