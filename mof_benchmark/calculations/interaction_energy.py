"""Interaction energy of a guest in a framework: E(host+guest) − E(host) − E(guest).

All three terms are evaluated in the same cell, so that the guest's interaction with its own
images cancels.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from ase import Atoms
from ase.constraints import FixAtoms
from numpy.typing import NDArray

from mof_benchmark.calculations.common import (
    begin,
    provenance,
    write_structure,
)
from mof_benchmark.calculations.host_guest import (
    Separation,
    contacts,
    guest_molecule,
    insertions,
    reactions,
    separate,
)
from mof_benchmark.calculations.preparation import bare, total
from mof_benchmark.calculations.relaxation import Relaxation, relax
from mof_benchmark.calculators.metering import MeteredCalculator
from mof_benchmark.errors import InvalidFileError
from mof_benchmark.monitor import Monitor, SilentMonitor
from mof_benchmark.outputs import output_file
from mof_benchmark.plots.poses import plot_pose_energies
from mof_benchmark.plots.style import save
from mof_benchmark.schemas.common import Metrics, OutputFile
from mof_benchmark.schemas.interaction_energy import (
    InteractionEnergyParameters,
    InteractionEnergyResult,
    Pose,
)
from mof_benchmark.units import EV_TO_KJ_MOL

NARROW_CELL_A = 10.0
POSE_FILES = 10
"""Best poses of a search that are written as structures."""


@dataclass(frozen=True)
class Pair:
    """Host and guest, and where each stands in the atoms of both."""

    host: Atoms
    guest: Atoms
    separation: Separation

    @property
    def given(self) -> NDArray[np.float64]:
        """The guest's positions as they came, shape (n_guest, 3), Å."""
        return np.asarray(self.guest.get_positions())

    def at(self, positions: NDArray[np.float64], host_positions: NDArray[np.float64] | None = None) -> Atoms:
        """Both together with the guest at `positions`, in the order of the input."""
        order = np.argsort(np.concatenate([self.separation.host, self.separation.guest]))
        together = self.host + Atoms(numbers=self.guest.numbers, positions=positions)
        if host_positions is not None:
            together.positions[: len(self.host)] = host_positions
        return together[order]

    def host_at(self, positions: NDArray[np.float64] | None) -> Atoms:
        """The host alone, where it stands beside the guest."""
        host = self.host.copy()
        if positions is not None:
            host.positions = positions
        return host

    def guest_alone(self, positions: NDArray[np.float64]) -> Atoms:
        """The guest alone in the host's cell."""
        return Atoms(numbers=self.guest.numbers, positions=positions, cell=self.host.cell, pbc=self.host.pbc)


@dataclass(frozen=True, kw_only=True)
class EvaluatedPose:
    """A guest position, shape (n_guest, 3) in Å, and the energy of host and guest, eV.

    `host_positions` are there where the host has moved, shape (n_host, 3) in Å.
    """

    positions: NDArray[np.float64]
    energy_eV: float
    relaxed: bool = False
    converged: bool = True
    host_positions: NDArray[np.float64] | None = None


@dataclass(frozen=True, kw_only=True)
class Terms:
    """The three energies of a pose, eV, each of the geometry that the part has in it."""

    together_eV: float
    host_eV: float
    guest_eV: float

    @property
    def interaction_eV(self) -> float:
        return self.together_eV - self.host_eV - self.guest_eV


def run(
    atoms: Atoms,
    calculator: MeteredCalculator,
    parameters: InteractionEnergyParameters,
    *,
    workdir: Path,
    monitor: Monitor | None = None,
    structure_sha256: str | None = None,
) -> InteractionEnergyResult:
    """Evaluate a given configuration, or search for the best poses of a guest.

    Raises
    ------
    InvalidFileError, InvalidParameterError
        Host and guest cannot be told apart, or the structure is not periodic.
    CalculationFailedError
        No room for the guest.
    MofsimError
        As `MeteredCalculator`.
    """
    monitor = monitor or SilentMonitor()
    structure = begin(atoms, calculator, parameters)
    if parameters.mode == "configuration":
        pair = configuration(structure, parameters)
        poses = evaluate_poses(pair, [pair.given], calculator, monitor=monitor)
    else:
        pair = empty_framework(structure, parameters)
        placed = place(pair, parameters, monitor=monitor)
        poses = evaluate_poses(pair, placed, calculator, monitor=monitor)
        poses = relax_best(pair, poses, calculator, parameters, monitor=monitor)
    return conclude(
        pair,
        poses,
        calculator,
        parameters,
        spent=[],
        workdir=workdir,
        monitor=monitor,
        structure_sha256=structure_sha256,
    )


def configuration(structure: Atoms, parameters: InteractionEnergyParameters) -> Pair:
    """A structure that holds host and guest, told apart."""
    separation = separate(structure, parameters.guest_indices)
    return Pair(structure[separation.host], structure[separation.guest], separation)


def empty_framework(structure: Atoms, parameters: InteractionEnergyParameters) -> Pair:
    """An empty framework and a guest to be placed in it.

    Raises
    ------
    InvalidFileError
        When the framework is not periodic.
    """
    if not structure.pbc.all():
        raise InvalidFileError("A search needs a periodic framework.", field="structure")
    guest = guest_molecule(parameters.guest_molecule)
    n_host = len(structure)
    separation = Separation(host=np.arange(n_host), guest=np.arange(n_host, n_host + len(guest)))
    return Pair(structure, guest, separation)


def place(
    pair: Pair, parameters: InteractionEnergyParameters, *, monitor: Monitor
) -> list[NDArray[np.float64]]:
    """Random insertions clear of the framework, each of shape (n_guest, 3), Å."""
    placed = []
    for positions in insertions(
        pair.host,
        pair.guest,
        parameters.n_poses,
        min_distance_factor=parameters.min_distance_factor,
        seed=parameters.seed,
    ):
        placed.append(positions)
        monitor.step("place", len(placed), parameters.n_poses)
    return placed


def evaluate_poses(
    pair: Pair,
    placed: Sequence[NDArray[np.float64]],
    calculator: MeteredCalculator,
    *,
    monitor: Monitor,
    first: int = 0,
    n_poses: int | None = None,
) -> list[EvaluatedPose]:
    """Single points of poses; `first` of `n_poses` is where these stand among all, for the progress."""
    monitor.step("evaluate", first, n_poses or len(placed))
    results = calculator.evaluate_many([pair.at(positions) for positions in placed])
    evaluated = []
    for number, (positions, found) in enumerate(zip(placed, results, strict=True), first + 1):
        evaluated.append(EvaluatedPose(positions=positions, energy_eV=float(found["energy"])))
        monitor.step("evaluate", number, n_poses or len(placed))
    return evaluated


def relax_best(
    pair: Pair,
    poses: Sequence[EvaluatedPose],
    calculator: MeteredCalculator,
    parameters: InteractionEnergyParameters,
    *,
    monitor: Monitor,
) -> list[EvaluatedPose]:
    """Relax the best poses as asked for; all poses come back, best first."""
    ranked = sorted(poses, key=lambda pose: pose.energy_eV)
    if parameters.relax == "none":
        return ranked
    relaxed = [_relaxed(pair, pose, calculator, parameters, monitor) for pose in ranked[: parameters.n_relax]]
    return sorted([*relaxed, *ranked[parameters.n_relax :]], key=lambda pose: pose.energy_eV)


def _relaxed(
    pair: Pair,
    pose: EvaluatedPose,
    calculator: MeteredCalculator,
    parameters: InteractionEnergyParameters,
    monitor: Monitor,
) -> EvaluatedPose:
    atoms = pair.at(pose.positions)
    if parameters.relax == "rigid":
        atoms.set_constraint(FixAtoms(pair.separation.host))

    def report(relaxation: Relaxation) -> None:
        monitor.step(
            "relax",
            relaxation.steps,
            parameters.max_steps,
            energy_eV=relaxation.energies_eV[-1],
            fmax_eV_A=relaxation.fmax_eV_A[-1],
        )

    result = relax(
        atoms,
        calculator,
        optimizer="LBFGS",
        fmax_eV_A=parameters.fmax,
        max_steps=parameters.max_steps,
        on_step=report,
    )
    free = parameters.relax == "free"
    return EvaluatedPose(
        positions=result.atoms.positions[pair.separation.guest],
        energy_eV=result.energies_eV[-1],
        relaxed=True,
        converged=result.converged,
        host_positions=result.atoms.positions[pair.separation.host] if free else None,
    )


def conclude(
    pair: Pair,
    poses: Sequence[EvaluatedPose],
    calculator: MeteredCalculator,
    parameters: InteractionEnergyParameters,
    *,
    spent: Sequence[Metrics],
    workdir: Path,
    monitor: Monitor,
    structure_sha256: str | None,
) -> InteractionEnergyResult:
    """Energies of host and guest alone, ranking, files and judgement.

    `spent` is what earlier stages cost, `calculator` counts this one.
    """
    terms = _terms(pair, poses, calculator, monitor)
    order = sorted(range(len(poses)), key=lambda k: terms[k].interaction_eV)
    poses, terms = [poses[k] for k in order], [terms[k] for k in order]
    best, energies, guest = poses[0], terms[0], pair.guest
    interaction = energies.interaction_eV
    together = pair.at(best.positions, best.host_positions)
    nearest = contacts(together, pair.separation)
    ranked = [
        _pose(rank, pose, pair, parts.interaction_eV)
        for rank, (pose, parts) in enumerate(zip(poses, terms, strict=True), 1)
    ]
    return InteractionEnergyResult(
        converged=all(pose.converged for pose in poses),
        warnings=_judgement(pair, poses, interaction),
        output_files=_write_files(together, pair, poses, ranked, parameters, workdir),
        provenance=provenance(pair.host, calculator, structure_sha256),
        metrics=total([*spent, calculator.metrics()]),
        mode=parameters.mode,
        guest=str(guest.symbols),
        interaction_energy_eV=interaction,
        interaction_energy_kJ_mol=interaction * EV_TO_KJ_MOL,
        energy_host_guest_eV=best.energy_eV,
        energy_host_eV=energies.host_eV,
        energy_guest_eV=energies.guest_eV,
        guest_indices=[int(k) for k in pair.separation.guest],
        guest_positions_A=best.positions.tolist(),
        min_distance_A=nearest[0][2] if nearest else None,
        closest_contacts=[
            f"{together.symbols[h]}{h}–{together.symbols[g]}{g} {distance:.2f} Å"
            for h, g, distance in nearest
        ],
        poses=ranked if parameters.mode == "search" else [],
    )


def _terms(
    pair: Pair, poses: Sequence[EvaluatedPose], calculator: MeteredCalculator, monitor: Monitor
) -> list[Terms]:
    """The terms of each pose; poses that nobody relaxed share host and guest."""
    monitor.step("conclude", 0, len(poses))
    host = _energy(pair.host.copy(), calculator)
    shared: float | None = None
    terms = []
    for number, pose in enumerate(poses, 1):
        moved = pose.host_positions is not None
        guest = shared
        if guest is None or pose.relaxed:
            # In the host's cell, so that the guest's interaction with its own images cancels.
            guest = _energy(pair.guest_alone(pose.positions), calculator)
            shared = shared if pose.relaxed else guest
        terms.append(
            Terms(
                together_eV=pose.energy_eV,
                host_eV=_energy(pair.host_at(pose.host_positions), calculator) if moved else host,
                guest_eV=guest,
            )
        )
        monitor.step("conclude", number, len(poses))
    return terms


def _energy(atoms: Atoms, calculator: MeteredCalculator) -> float:
    atoms.calc = calculator
    return float(atoms.get_potential_energy())


def _pose(rank: int, pose: EvaluatedPose, pair: Pair, interaction_eV: float) -> Pose:
    masses = pair.guest.get_masses()
    nearest = contacts(pair.at(pose.positions, pose.host_positions), pair.separation, n=1)
    return Pose(
        rank=rank,
        interaction_energy_eV=interaction_eV,
        guest_center_A=(masses @ pose.positions / masses.sum()).tolist(),
        min_distance_A=nearest[0][2] if nearest else None,
        relaxed=pose.relaxed,
    )


def _write_files(
    together: Atoms,
    pair: Pair,
    poses: Sequence[EvaluatedPose],
    ranked: Sequence[Pose],
    parameters: InteractionEnergyParameters,
    workdir: Path,
) -> list[OutputFile]:
    workdir.mkdir(parents=True, exist_ok=True)
    files = []
    for name in ("pose.extxyz", "pose.cif") if together.cell.rank == 3 else ("pose.extxyz",):
        write_structure(workdir / name, bare(together))
        files.append(output_file(workdir / name, workdir))
    if parameters.mode == "configuration":
        return files
    for rank, pose in enumerate(poses[:POSE_FILES], 1):
        path = workdir / f"pose_{rank:02d}.extxyz"
        write_structure(path, pair.at(pose.positions, pose.host_positions))
        files.append(output_file(path, workdir))
    figure = plot_pose_energies(
        [pose.interaction_energy_eV for pose in ranked], guest=str(pair.guest.symbols)
    )
    return files + [output_file(path, workdir) for path in save(figure, workdir / "pose_energies")]


def _judgement(pair: Pair, poses: Sequence[EvaluatedPose], interaction_eV: float) -> list[str]:
    warnings = []
    best, host = poses[0], pair.host
    if best.relaxed:
        together = pair.at(best.positions, best.host_positions)
        warnings += reactions(together, pair.separation, pair.guest)
    if host.cell.rank == 3:
        narrowest = float(1 / np.linalg.norm(np.linalg.inv(host.cell.array), axis=0).max())
        if narrowest < NARROW_CELL_A:
            warnings.append(
                f"The cell is {narrowest:.1f} Å wide: the guest is not alone, it interacts with its images."
            )
    if interaction_eV > 0:
        warnings.append("The interaction is repulsive: the guest is not held here.")
    unconverged = sum(not pose.converged for pose in poses)
    if unconverged:
        warnings.append(f"The relaxation of {unconverged} poses did not converge.")
    return warnings
