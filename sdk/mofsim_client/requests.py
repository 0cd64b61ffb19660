"""The six calculations one can ask for.

Each class is a submission as a value: `client.submit_optimization(...)` takes exactly the arguments
of `Optimization(...)`, and `client.submit_batch([...])` takes a list of such values. Only what
differs from the defaults is sent, so the server's own defaults (the same) hold for the rest.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import KW_ONLY, dataclass, fields
from typing import Any, ClassVar, Generic, Literal, TypedDict, TypeVar

from mofsim_client._documents import Priority
from mofsim_client._structures import StructureLike
from mofsim_client.results import (
    BulkModulusResult,
    HeatCapacityResult,
    InteractionEnergyResult,
    OptimizationResult,
    Result,
    SinglePointResult,
    StabilityResult,
)

R = TypeVar("R", bound=Result)

Protocol = Literal["default", "mofsimbench"]
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
EquationOfState = Literal[
    "birchmurnaghan", "birch", "murnaghan", "vinet", "pouriertarantola", "taylor", "sj", "p3"
]
GuestMolecule = Literal[
    "CO2", "H2O", "N2", "CH4", "H2", "CO", "O2", "NH3", "SO2", "H2S", "Ar", "He", "Kr", "Xe"
]
WebhookEvent = Literal[
    "task.started", "task.progress", "task.completed", "task.failed", "task.cancelled", "task.timeout"
]


class StabilityOptimization(TypedDict, total=False):
    """The relaxation before the dynamics; what is left out keeps the default in brackets."""

    optimizer: Optimizer
    """(LBFGS)"""
    filter: CellFilter
    """How the cell relaxes (`none`: it does not)."""
    fmax: float
    """Largest force at convergence, eV/Å (0.001)."""
    max_steps: int
    """Most steps (1000)."""


class NvtSettings(TypedDict, total=False):
    """Equilibration at constant volume; what is left out keeps the default in brackets."""

    dynamics: Literal["langevin", "berendsen", "nose_hoover_chain", "bussi"]
    """Thermostat (langevin)."""
    timestep_fs: float
    """Time step, fs (1.0)."""
    temperature_K: float
    """Temperature, K (300)."""
    friction_per_fs: float
    """Friction of Langevin dynamics, 1/fs (0.01)."""
    tdamp_fs: float
    """Time constant of the other thermostats, fs (100)."""
    steps: int
    """Steps (1000); 0 skips the stage."""


class NptSettings(TypedDict, total=False):
    """Production at constant pressure; what is left out keeps the default in brackets."""

    dynamics: Literal["isotropic_mtk", "mtk", "berendsen", "melchionna"]
    """Barostat (isotropic_mtk)."""
    timestep_fs: float
    """Time step, fs (1.0)."""
    temperature_K: float
    """Temperature, K (300)."""
    pressure_bar: float
    """Pressure, bar (1.0)."""
    tdamp_fs: float
    """Time constant of the thermostat, fs (100)."""
    pdamp_fs: float
    """Time constant of the barostat, fs (1000)."""
    steps: int
    """Steps (50,000); 0 skips the stage."""


@dataclass(frozen=True)
class Submission(Generic[R]):
    """What every calculation takes.

    Parameters
    ----------
    structure
        A path, an ASE `Atoms`, a pymatgen `Structure`, a built-in's name or an uploaded id.
    model
        Registry name of the potential (`sevennet_prod`, `mace_prod`, …).
    with_d3
        Add PBE-D3(BJ) dispersion; unset: as the model's registry entry says.
    protocol
        `mofsimbench` forces the exact published algorithm and settings.
    priority
        CRITICAL, HIGH, NORMAL or LOW.
    timeout
        Longest run time of the task, s.
    notify_url, notify_events, notify_secret
        Webhook: address, events it wants, and the secret its messages are signed with.
    retry_times, retry_interval_seconds
        How often and after how long an undelivered webhook is tried again.
    tags
        Words to find the task by.
    require_convergence
        Fail with 50006 instead of flagging an unconverged result.
    idempotency_key
        Makes a repeated submission answer with the first one's task; made for each call if unset.
    """

    task_type: ClassVar[str]
    result_type: ClassVar[type[Result]]

    structure: StructureLike
    model: str
    _: KW_ONLY
    with_d3: bool | None = None
    protocol: Protocol = "default"
    priority: Priority = "NORMAL"
    timeout: int | None = None
    notify_url: str | None = None
    notify_events: Sequence[WebhookEvent] | None = None
    notify_secret: str | None = None
    retry_times: int | None = None
    retry_interval_seconds: float | None = None
    tags: Sequence[str] = ()
    require_convergence: bool = False
    idempotency_key: str | None = None

    def parameters(self) -> dict[str, Any]:
        """The calculation's parameters that differ from their defaults."""
        return {name: value for name, value in self._changed().items() if name not in _OPTIONS}

    def options(self) -> dict[str, Any]:
        """The task's options that differ from their defaults."""
        return {name: value for name, value in self._changed().items() if name in _OPTIONS}

    @classmethod
    def parameter_names(cls) -> list[str]:
        """Names of the calculation's own parameters."""
        return [field.name for field in fields(cls) if field.name not in (*_ENVELOPE, *_OPTIONS)]

    def _changed(self) -> dict[str, Any]:
        chosen = {f.name: getattr(self, f.name) for f in fields(self) if f.name not in _ENVELOPE}
        defaults = {f.name: f.default for f in fields(self)}
        return {
            name: list(value) if isinstance(value, tuple) else value
            for name, value in chosen.items()
            if value != defaults[name]
        }


_ENVELOPE = ("structure", "model", "idempotency_key")
_OPTIONS = (
    "priority",
    "timeout",
    "notify_url",
    "notify_events",
    "notify_secret",
    "retry_times",
    "retry_interval_seconds",
    "tags",
    "require_convergence",
)


@dataclass(frozen=True, kw_only=True)
class SinglePoint(Submission[SinglePointResult]):
    """Energy, forces and stress of the structure as given.

    Parameters
    ----------
    compute_forces
        Return the forces.
    compute_stress
        Return the stress (needs a periodic cell).
    """

    task_type = "single-point-energy"
    result_type = SinglePointResult

    compute_forces: bool = True
    compute_stress: bool = True


@dataclass(frozen=True, kw_only=True)
class Optimization(Submission[OptimizationResult]):
    """Relaxation of atoms and cell.

    Parameters
    ----------
    fmax
        Largest force at convergence, eV/Å.
    max_steps
        Most optimizer steps.
    optimizer
        Optimizer; `ModelHessianLBFGS` is the fast one.
    filter
        How the cell relaxes; `none` keeps it.
    pressure_GPa
        External pressure, GPa.
    trajectory_interval
        Steps between trajectory frames.
    verify_minimum
        Relax by the published road too and say whether both end in one minimum.
    """

    task_type = "optimization"
    result_type = OptimizationResult

    fmax: float = 0.001
    max_steps: int = 1000
    optimizer: Optimizer = "LBFGS"
    filter: CellFilter = "FrechetCellFilter"
    pressure_GPa: float = 0.0
    trajectory_interval: int = 10
    verify_minimum: bool = False


@dataclass(frozen=True, kw_only=True)
class Stability(Submission[StabilityResult]):
    """Molecular dynamics: relax, equilibrate (NVT), produce (NPT).

    Parameters
    ----------
    opt, nvt, npt
        Settings of the three stages; what is left out keeps its default.
    seed
        Seed of velocities and thermostat noise.
    supercell
        Repeats of the cell.
    trajectory_interval
        Steps between trajectory frames.
    checkpoint_interval
        Most steps between checkpoints; there is one every 30 s, too.
    """

    task_type = "stability"
    result_type = StabilityResult

    opt: StabilityOptimization | None = None
    nvt: NvtSettings | None = None
    npt: NptSettings | None = None
    seed: int = 0
    supercell: tuple[int, int, int] = (1, 1, 1)
    trajectory_interval: int = 100
    checkpoint_interval: int = 500


@dataclass(frozen=True, kw_only=True)
class BulkModulus(Submission[BulkModulusResult]):
    """Energies over a range of volumes, fitted by an equation of state.

    Parameters
    ----------
    strain_range
        Largest relative change of the *volume* on either side.
    n_points
        Volume points, evenly spaced, ends included.
    eos
        Equation of state (names of ASE).
    optimize_first
        Relax atoms and cell before straining.
    fmax
        Largest force at convergence, eV/Å.
    max_steps
        Most optimizer steps, each point.
    """

    task_type = "bulk-modulus"
    result_type = BulkModulusResult

    strain_range: float = 0.04
    n_points: int = 11
    eos: EquationOfState = "birchmurnaghan"
    optimize_first: bool = True
    fmax: float = 0.001
    max_steps: int = 1000


@dataclass(frozen=True, kw_only=True)
class HeatCapacity(Submission[HeatCapacityResult]):
    """Harmonic phonons by finite displacements, and the heat capacity that follows.

    Parameters
    ----------
    supercell
        Repeats of the cell for the force constants.
    displacement_A
        Length of a displacement, Å.
    mesh
        Length that sets the q-point mesh (phonopy), Å.
    t_min, t_max, t_step
        Temperatures, K.
    fmax
        Largest force of the relaxation before, eV/Å.
    max_steps
        Most steps of that relaxation.
    optimizer
        Optimizer of that relaxation, with the cell.
    fix_imaginary
        Perturb along the softest imaginary Γ mode, relax again and repeat the phonons once.
    symmetrize
        Give the relaxed structure the highest exact symmetry that costs no energy (fewer
        displacements).
    """

    task_type = "heat-capacity"
    result_type = HeatCapacityResult

    supercell: tuple[int, int, int] = (1, 1, 1)
    displacement_A: float = 0.01
    mesh: float = 100.0
    t_min: float = 0.0
    t_max: float = 1000.0
    t_step: float = 10.0
    fmax: float = 0.001
    max_steps: int = 1000
    optimizer: Optimizer = "BFGS"
    fix_imaginary: bool = False
    symmetrize: bool = False


@dataclass(frozen=True, kw_only=True)
class InteractionEnergy(Submission[InteractionEnergyResult]):
    """Energy of a guest in a framework.

    Parameters
    ----------
    mode
        `configuration`: the structure holds host and guest; `search`: an empty framework, the guest
        is inserted at random and the best poses are kept.
    guest_molecule
        The guest, for `search`.
    guest_indices
        Atoms of the guest (from 0), for `configuration`; unset: found by connectivity.
    n_poses
        Accepted insertions, for `search`.
    seed
        Seed of the insertions.
    batch_size
        Poses evaluated in one stage batch.
    min_distance_factor
        Closest host-guest contact as a fraction of the sum of van der Waals radii.
    relax
        Relaxation of the best poses of a search: none, the guest alone (rigid), or everything (free).
    n_relax
        Best poses that are relaxed.
    fmax
        Largest force of that relaxation, eV/Å.
    max_steps
        Most steps of that relaxation.
    """

    task_type = "interaction-energy"
    result_type = InteractionEnergyResult

    mode: Literal["configuration", "search"] = "configuration"
    guest_molecule: GuestMolecule = "CO2"
    guest_indices: Sequence[int] | None = None
    n_poses: int = 100
    seed: int = 0
    batch_size: int = 16
    min_distance_factor: float = 0.85
    relax: Literal["none", "rigid", "free"] = "rigid"
    n_relax: int = 1
    fmax: float = 0.05
    max_steps: int = 300


SUBMISSIONS: dict[str, type[Submission[Any]]] = {
    kind.task_type: kind
    for kind in (SinglePoint, Optimization, Stability, BulkModulus, HeatCapacity, InteractionEnergy)
}
