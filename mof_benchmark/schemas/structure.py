"""Documents about structures."""

from __future__ import annotations

from typing import Literal

from pydantic import Field

from mof_benchmark.schemas.common import CellParameters, Document

StructureFormat = Literal["cif", "xyz", "extxyz", "poscar"]


class StructureSummary(Document):
    """What a structure is, at a glance; cell fields are null without a cell."""

    n_atoms: int = Field(description="Atoms in the cell.")
    formula: str = Field(description="Formula of the cell in Hill order, `C48H24O26Zn8`.")
    space_group: str | None = Field(
        description="International symbol and number found by spglib at 0.01 Å, `Fm-3m (225)`; null "
        "without a cell, or when the cell is too large to search."
    )
    cell_parameters: CellParameters | None = Field(description="Unit cell, Å and degrees.")
    volume_A3: float | None = Field(description="Cell volume, Å³.")
    density_g_cm3: float | None = Field(description="Density, g/cm³.")
    periodic: bool = Field(description="Whether the structure repeats in all three directions.")
