"""What a structure is, at a glance."""

from __future__ import annotations

import spglib
from ase import Atoms

from mof_benchmark.schemas.common import CellParameters
from mof_benchmark.schemas.structure import StructureSummary
from mof_benchmark.units import AMU_A3_TO_G_CM3

SYMMETRY_TOLERANCE_A = 0.01
SYMMETRY_MAX_ATOMS = 5000
"""The search costs seconds beyond this when there is no symmetry to find."""


def summarize(atoms: Atoms) -> StructureSummary:
    """Count, measure and name a structure."""
    periodic = bool(atoms.pbc.all())
    volume = float(atoms.get_volume()) if periodic else None
    lengths_and_angles = [float(value) for value in atoms.cell.cellpar()]
    return StructureSummary(
        n_atoms=len(atoms),
        formula=atoms.get_chemical_formula("hill"),
        space_group=find_space_group(atoms),
        cell_parameters=CellParameters(
            **dict(zip(("a", "b", "c", "alpha", "beta", "gamma"), lengths_and_angles, strict=True))
        )
        if periodic
        else None,
        volume_A3=volume,
        density_g_cm3=None if volume is None else float(atoms.get_masses().sum()) / volume * AMU_A3_TO_G_CM3,
        periodic=periodic,
    )


def find_space_group(atoms: Atoms, tolerance_A: float = SYMMETRY_TOLERANCE_A) -> str | None:
    """International symbol and number (`Fm-3m (225)`), or None where spglib finds or searches none."""
    if not atoms.pbc.all() or len(atoms) > SYMMETRY_MAX_ATOMS:
        return None
    cell = (atoms.cell[:], atoms.get_scaled_positions(), atoms.numbers)
    try:
        found = spglib.get_spacegroup(cell, symprec=tolerance_A)
    except spglib.SpglibError:
        return None
    return None if found is None else str(found)


def space_group_symbol(number: int) -> str:
    """International short symbol of a number of the International Tables (`225` → `Fm-3m`)."""
    # The first of a group's settings, in spglib's order of Hall symbols, is the standard one.
    settings = (spglib.get_spacegroup_type(hall_number) for hall_number in range(1, 531))
    return str(next(setting.international_short for setting in settings if setting.number == number))
