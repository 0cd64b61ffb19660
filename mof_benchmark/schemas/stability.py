"""Documents of `stability`."""

from __future__ import annotations

from typing import Literal

from pydantic import Field, model_validator

from mof_benchmark.schemas.common import CalculationParameters, CalculationResult, Document
from mof_benchmark.schemas.optimization import CellFilter, Optimizer

NvtDynamics = Literal["langevin", "berendsen", "nose_hoover_chain", "bussi"]
NptDynamics = Literal["isotropic_mtk", "mtk", "berendsen", "melchionna"]


class StabilityOptimization(Document):
    """The relaxation before the dynamics (atoms only, as the benchmark)."""

    optimizer: Optimizer = Field("LBFGS", description="Optimizer.")
    filter: CellFilter = Field("none", description="How the cell relaxes; `none` keeps it.")
    fmax: float = Field(0.001, gt=0, le=10, description="Largest force at convergence, eV/Å.")
    max_steps: int = Field(1000, ge=1, le=100_000, description="Most steps.")


class NvtSettings(Document):
    """Equilibration at constant volume."""

    dynamics: NvtDynamics = Field("langevin", description="Thermostat.")
    timestep_fs: float = Field(1.0, gt=0, le=10, description="Time step, fs.")
    temperature_K: float = Field(300.0, gt=0, le=10_000, description="Temperature, K.")
    friction_per_fs: float = Field(0.01, gt=0, le=1, description="Friction of Langevin dynamics, 1/fs.")
    tdamp_fs: float = Field(100.0, gt=0, description="Time constant of the other thermostats, fs.")
    steps: int = Field(1000, ge=0, le=10_000_000, description="Steps; 0 skips the stage.")


class NptSettings(Document):
    """Production at constant pressure."""

    dynamics: NptDynamics = Field("isotropic_mtk", description="Barostat.")
    timestep_fs: float = Field(1.0, gt=0, le=10, description="Time step, fs.")
    temperature_K: float = Field(300.0, gt=0, le=10_000, description="Temperature, K.")
    pressure_bar: float = Field(1.0, ge=-1e6, le=1e6, description="Pressure, bar.")
    tdamp_fs: float = Field(100.0, gt=0, description="Time constant of the thermostat, fs.")
    pdamp_fs: float = Field(1000.0, gt=0, description="Time constant of the barostat, fs.")
    steps: int = Field(50_000, ge=0, le=100_000_000, description="Steps; 0 skips the stage.")


class StabilityParameters(CalculationParameters):
    """Relax, equilibrate (NVT), produce (NPT)."""

    opt: StabilityOptimization = Field(default_factory=StabilityOptimization)
    nvt: NvtSettings = Field(default_factory=NvtSettings)
    npt: NptSettings = Field(default_factory=NptSettings)
    seed: int = Field(0, ge=0, lt=2**32, description="Seed of velocities and thermostat noise.")
    supercell: tuple[int, int, int] = Field((1, 1, 1), description="Repeats of the cell.")
    trajectory_interval: int = Field(100, ge=1, description="Steps between trajectory frames.")
    checkpoint_interval: int = Field(
        500, ge=1, description="Most steps between checkpoints; there is one every 30 s, too."
    )

    @model_validator(mode="after")
    def _supercell_is_one(self) -> StabilityParameters:
        if any(n < 1 or n > 20 for n in self.supercell):
            raise ValueError("each of supercell must be between 1 and 20")
        return self


class MetalCoordination(Document):
    """Mean coordination number of one metal (CrystalNN), as given, relaxed and at the end."""

    metal: str
    initial: float
    relaxed: float
    final: float


class RadialDistribution(Document):
    """Radial distribution function of the production run."""

    r_A: list[float] = Field(description="Distances, Å.")
    g: list[float] = Field(description="g(r), dimensionless.")


class StabilityResult(CalculationResult):
    """What the framework did, and whether it held."""

    stable: bool = Field(description="Whether every criterion held.")
    criteria: dict[str, bool] = Field(
        description="Each criterion (volume, bonds, coordination, temperature)."
    )
    reasons: list[str] = Field(description="Why it is called unstable; empty when stable.")
    initial_volume_A3: float = Field(description="Volume after the relaxation, Å³.")
    final_volume_A3: float = Field(description="Mean volume of the last tenth of the run, Å³.")
    volume_drift_percent: float = Field(description="Change between them, %.")
    rmsd_A: float = Field(
        description="RMSD from the relaxed structure at the end, without the cell's strain, Å."
    )
    max_displacement_A: float = Field(description="Largest displacement of an atom, likewise, Å.")
    mean_temperature_K: float = Field(description="Mean of the production run, K.")
    final_temperature_K: float = Field(description="At the end, K.")
    mean_pressure_GPa: float = Field(description="Mean of the production run, GPa.")
    final_pressure_GPa: float = Field(description="At the end, GPa.")
    energy_drift_meV_atom_ps: float = Field(description="Slope of the total energy, meV/(atom ps).")
    coordination: list[MetalCoordination] = Field(description="Coordination of each metal.")
    radial_distribution: RadialDistribution
    steps: int = Field(description="Dynamics steps done.")
    simulated_ps: float = Field(description="Simulated time, ps.")
