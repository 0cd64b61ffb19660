"""What calculations of several stages share: the relaxation first, exact files between, the bill."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import cast

import ase.io
from ase import Atoms
from ase.io.trajectory import Trajectory

from mof_benchmark.calculations import optimization
from mof_benchmark.calculations.common import write_whole
from mof_benchmark.calculators.metering import MeteredCalculator
from mof_benchmark.monitor import Monitor
from mof_benchmark.schemas.common import Metrics, OutputFile
from mof_benchmark.schemas.optimization import OptimizationParameters, OptimizationResult

STAGE = "opt"
FOLDER = "opt"
"""Files of the relaxation, inside the work folder."""


def relax_first(
    atoms: Atoms,
    calculator: MeteredCalculator,
    parameters: OptimizationParameters,
    *,
    workdir: Path,
    monitor: Monitor,
    structure_sha256: str | None = None,
) -> tuple[Atoms, OptimizationResult]:
    """Relax, with the files of an `optimization` in `workdir/opt`.

    Returns
    -------
    The relaxed atoms in full precision, without calculator, and the result, whose files are named
    relative to `workdir`.

    Raises
    ------
    MofsimError
        As `optimization.run`.
    """
    result = optimization.run(
        atoms,
        calculator,
        parameters,
        workdir=workdir / FOLDER,
        monitor=monitor,
        structure_sha256=structure_sha256,
        stage=STAGE,
    )
    files = [
        OutputFile(**{**file.model_dump(), "path": f"{FOLDER}/{file.path}"}) for file in result.output_files
    ]
    # The trajectory, unlike the text formats, keeps every bit of the last step.
    relaxed = read_exact(workdir / FOLDER / "trajectory.traj")
    return bare(relaxed), result.model_copy(update={"output_files": files})


def bare(atoms: Atoms) -> Atoms:
    """A copy with elements, positions, cell and periodicity only."""
    return Atoms(numbers=atoms.numbers, positions=atoms.positions, cell=atoms.cell, pbc=atoms.pbc)


def write_exact(path: Path, atoms: Atoms) -> None:
    """Write atoms (momenta too) in full precision, all or nothing, for the next stage."""

    def write(partial: Path) -> None:
        with Trajectory(partial, "w") as trajectory:
            trajectory.write(atoms)

    write_whole(path, write)


def read_exact(path: Path) -> Atoms:
    """Read what `write_exact` wrote (of a trajectory, the last frame)."""
    return cast(Atoms, ase.io.read(path, index=-1, format="traj"))


def total(spent: Sequence[Metrics]) -> Metrics:
    """The cost of several stages: sums, and the largest peaks."""

    def peak(values: Sequence[float | None]) -> float | None:
        return max((value for value in values if value is not None), default=None)

    return Metrics(
        force_evaluations=sum(part.force_evaluations for part in spent),
        model_seconds=sum(part.model_seconds for part in spent),
        d3_seconds=sum(part.d3_seconds for part in spent),
        other_seconds=sum(part.other_seconds for part in spent),
        peak_memory_MB=peak([part.peak_memory_MB for part in spent]),
        peak_gpu_memory_MB=peak([part.peak_gpu_memory_MB for part in spent]),
    )
