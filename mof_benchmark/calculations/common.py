"""What all calculations share: checks of the input, files, provenance, small geometry."""

from __future__ import annotations

import hashlib
import platform
from collections.abc import Callable
from importlib import metadata
from pathlib import Path

import ase.io
import numpy as np
from ase import Atoms
from ase.build import minimize_rotation_and_translation
from ase.calculators.singlepoint import SinglePointCalculator

from mof_benchmark.calculations.framework_analysis import displacements_without_strain
from mof_benchmark.calculators.metering import MeteredCalculator
from mof_benchmark.errors import InvalidFileError
from mof_benchmark.schemas.common import CalculationParameters, CellParameters, Provenance
from mof_benchmark.structures.vacuum import vacuum_layer
from mof_benchmark.structures.writing import canonical_text
from mof_benchmark.units import AMU_A3_TO_G_CM3


def begin(atoms: Atoms, calculator: MeteredCalculator, parameters: CalculationParameters) -> Atoms:
    """Check the structure, set the calculator up for these parameters and start its counters.

    Returns
    -------
    Atoms
        A bare copy to work on: symbols, positions, cell and periodicity, nothing else.

    Raises
    ------
    InvalidFileError
        No atoms, positions that are not numbers, a periodic cell without volume.
    UnsupportedElementError
        An element that the model does not know.
    """
    if len(atoms) == 0:
        raise InvalidFileError("The structure has no atoms.", field="structure")
    if not (np.isfinite(atoms.positions).all() and np.isfinite(atoms.cell[:]).all()):
        raise InvalidFileError("A position or the cell is not a number.", field="structure")
    if atoms.pbc.any() and abs(atoms.cell.complete().volume) < 1e-3:
        raise InvalidFileError("The structure is periodic but its cell has no volume.", field="structure")
    calculator.require_known_elements(atoms)
    if parameters.with_d3 is not None:
        calculator.with_d3 = parameters.with_d3
    # What an earlier calculation left would pass for an evaluation that nobody made.
    calculator.reset()
    calculator.start()
    return Atoms(numbers=atoms.numbers, positions=atoms.positions, cell=atoms.cell, pbc=atoms.pbc)


def require_crystal(atoms: Atoms, what: str) -> None:
    """Refuse a structure that does not fill space; `what` begins the sentence, "A bulk modulus needs".

    Raises
    ------
    InvalidFileError
        Not periodic in three directions, or a slab or molecule in vacuum.
    """
    if not (atoms.pbc.all() and atoms.cell.rank == 3):
        raise InvalidFileError(f"{what} a structure periodic in three directions.", field="structure")
    vacuum = vacuum_layer(atoms)
    if vacuum is not None:
        raise InvalidFileError(
            f"{what} a crystal; this cell has {vacuum.width_A:.1f} Å of vacuum right through it along "
            f"{vacuum.axis}: it holds a slab or a molecule.",
            field="structure",
        )


def provenance(atoms: Atoms, calculator: MeteredCalculator, structure_sha256: str | None) -> Provenance:
    """Describe what computed, enough to run it again.

    Parameters
    ----------
    structure_sha256
        Digest of the stored structure; unset: of the atoms' canonical text.
    """
    potential = calculator.potential
    versions = {"python": platform.python_version(), "ase": metadata.version("ase")}
    return Provenance(
        model=potential.card.name,
        checkpoint_sha256=potential.checkpoint_sha256,
        d3=calculator.d3_settings(),
        device=device_name(potential.device),
        dtype=potential.dtype,
        accelerator=potential.accelerator,
        structure_sha256=structure_sha256 or hashlib.sha256(canonical_text(atoms).encode()).hexdigest(),
        package_versions=versions | potential.package_versions,
    )


def computed_with(source: Provenance, *distributions: str) -> Provenance:
    """Name further packages that took part."""
    versions = {name: metadata.version(name) for name in distributions}
    return source.model_copy(update={"package_versions": {**source.package_versions, **versions}})


def device_name(device: str) -> str:
    """`cpu`, or the CUDA device's own name."""
    if not device.startswith("cuda"):
        return device
    import torch

    return str(torch.cuda.get_device_name(device))


def cell_parameters(atoms: Atoms) -> CellParameters | None:
    """Lengths and angles; None without a three-dimensional cell."""
    if atoms.cell.rank < 3:
        return None
    a, b, c, alpha, beta, gamma = (float(value) for value in atoms.cell.cellpar())
    return CellParameters(a=a, b=b, c=c, alpha=alpha, beta=beta, gamma=gamma)


def volume_A3(atoms: Atoms) -> float | None:
    """Volume of the cell; None without a three-dimensional one."""
    return float(atoms.cell.volume) if atoms.cell.rank == 3 else None


def density_g_cm3(atoms: Atoms) -> float | None:
    """Density; None without a three-dimensional cell."""
    volume = volume_A3(atoms)
    return None if volume is None else float(atoms.get_masses().sum()) / volume * AMU_A3_TO_G_CM3


def rmsd_without_strain_A(initial: Atoms, final: Atoms) -> float:
    """Root mean square displacement that is not the cell's own deformation, nor a rigid shift.

    In a cell, fractional coordinates are compared; a molecule is superposed first.
    """
    if initial.cell.rank == 3:
        moved = displacements_without_strain(initial, final)
    else:
        superposed = final.copy()
        superposed.calc = None
        minimize_rotation_and_translation(initial, superposed)
        moved = superposed.positions - initial.positions
    return float(np.sqrt((moved**2).sum(axis=1).mean()))


def frame(atoms: Atoms, **info: float) -> Atoms:
    """Freeze atoms with the results their calculator already has, for a file."""
    frozen = Atoms(numbers=atoms.numbers, positions=atoms.positions, cell=atoms.cell, pbc=atoms.pbc)
    frozen.info.update(info)
    if atoms.calc is not None:
        frozen.calc = SinglePointCalculator(frozen, **atoms.calc.results)
    return frozen


def write_whole(path: Path, write: Callable[[Path], object]) -> None:
    """Let `write` make a file beside `path`, then move it there: a reader never sees half of it."""
    partial = path.with_name(f".{path.stem}.partial{path.suffix}")
    write(partial)
    partial.replace(path)


def write_structure(path: Path, atoms: Atoms) -> None:
    """Write a structure in the format of the path's suffix, all or nothing."""
    write_whole(path, lambda partial: ase.io.write(partial, atoms))
