"""A guess at the Hessian of atoms and cell from nothing but the structure.

Pair springs fall off exponentially with the distance over the sum of covalent radii, in the spirit
of Lindh et al., Chem. Phys. Lett. 241, 423 (1995), and Schlegel, Theor. Chim. Acta 66, 333 (1984).
The guess need only tell stiff from soft: bonds from angles, an atom from the cell.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
from ase import Atoms
from ase.data import covalent_radii
from ase.filters import ExpCellFilter, FrechetCellFilter, UnitCellFilter
from ase.neighborlist import neighbor_list
from numpy.typing import NDArray
from scipy.sparse import coo_array, csc_array
from scipy.sparse.linalg import splu

from mof_benchmark.errors import InvalidParameterError

Floats = NDArray[np.float64]


@dataclass(frozen=True, kw_only=True)
class SpringModel:
    """Parameters of the pair springs.

    A pair at distance d with covalent radii a and b has stiffness
    `stiffness_eV_A2 · exp(-decay · (d / (a + b) - 1))` along its axis and the fraction `transverse` of
    it across.
    """

    stiffness_eV_A2: float = 20.0
    decay: float = 7.0
    cutoff_A: float = 6.0
    transverse: float = 0.1
    floor_eV_A2: float = 0.2
    """Added to every diagonal element of an atom: stiffness that no spring accounts for."""


@dataclass(frozen=True)
class Coordinates:
    """What an optimizer's vector means: positions, and possibly the strain of the cell.

    With a cell, the last nine numbers are strain times `cell_factor`, and positions are those before
    the deformation `deformation` (3×3), as in ASE's cell filters.
    """

    atoms: Atoms
    deformation: Floats
    cell_factor: float | None

    @classmethod
    def of(cls, target: Any) -> Coordinates:
        """Read the coordinates of `Atoms` or of one of ASE's cell filters.

        Raises
        ------
        mof_benchmark.errors.InvalidParameterError
            For another filter.
        """
        if isinstance(target, Atoms):
            return cls(target, np.eye(3), None)
        if isinstance(target, FrechetCellFilter):
            return cls(target.atoms, target.deform_grad(), float(target.exp_cell_factor))
        # ExpCellFilter takes the bare strain; UnitCellFilter, its parent, the scaled one.
        if isinstance(target, ExpCellFilter):
            return cls(target.atoms, target.deform_grad(), 1.0)
        if isinstance(target, UnitCellFilter):
            return cls(target.atoms, target.deform_grad(), float(target.cell_factor))
        raise InvalidParameterError(
            f"the model Hessian does not know the filter {type(target).__name__}", field="parameters.filter"
        )

    def largest_motion_A(self, step: Floats) -> float:
        """Largest displacement in `step`: of an atom, or of a cell strained over 4 Å (a bond and a half)."""
        rows = np.linalg.norm(step.reshape(-1, 3), axis=1)
        if self.cell_factor is not None:
            rows[-3:] *= 4.0 / self.cell_factor
        return float(rows.max())


def model_hessian(coordinates: Coordinates, springs: SpringModel | None = None) -> csc_array:
    """Build the sparse, positive definite model Hessian.

    Returns
    -------
    scipy.sparse.csc_array
        Shape (3n, 3n), or (3n + 9, 3n + 9) with the cell, in the optimizer's coordinates; eV/Å².
    """
    springs = springs or SpringModel()
    atoms, n = coordinates.atoms, len(coordinates.atoms)
    first, second, axes, distances = neighbor_list("ijDd", atoms, springs.cutoff_A)
    # Atoms on top of each other have no axis.
    wanted = (first <= second) & (distances > 1e-6)
    first, second, axes, distances = first[wanted], second[wanted], axes[wanted], distances[wanted]
    # The list holds a pair of two atoms twice, and a pair of images of one atom twice as well.
    count = np.where(first == second, 0.5, 1.0)
    radii = covalent_radii[atoms.numbers]
    reduced = distances / (radii[first] + radii[second])
    # Closer than a bond the exponential would make springs as stiff as no atom has.
    stiffness = count * springs.stiffness_eV_A2 * np.exp(-springs.decay * np.maximum(reduced - 1.0, -0.2))
    unit = axes / distances[:, None]
    along = (1.0 - springs.transverse) * unit[:, :, None] * unit[:, None, :]
    force_constants = stiffness[:, None, None] * (along + springs.transverse * np.eye(3))
    # A spring's change of length by each coordinate: -F and F for the atoms, its own axis for the strain.
    jacobian = [np.broadcast_to(-coordinates.deformation, force_constants.shape)]
    jacobian += [np.broadcast_to(coordinates.deformation, force_constants.shape)]
    columns = [3 * first[:, None] + np.arange(3), 3 * second[:, None] + np.arange(3)]
    size = 3 * n
    if coordinates.cell_factor is not None:
        strain = np.einsum("ab,pc->pabc", np.eye(3), axes).reshape(-1, 3, 9) / coordinates.cell_factor
        jacobian.append(strain)
        columns.append(np.broadcast_to(3 * n + np.arange(9), (len(first), 9)))
        size += 9
    springs_matrix = _assemble(
        np.concatenate(jacobian, axis=2), np.concatenate(columns, axis=1), force_constants, size
    )
    return springs_matrix + _floor(coordinates, springs, size)


def _assemble(jacobian: Floats, columns: NDArray[np.int64], force_constants: Floats, size: int) -> csc_array:
    blocks = np.einsum("pai,pab,pbj->pij", jacobian, force_constants, jacobian)
    rows = np.broadcast_to(columns[:, :, None], blocks.shape)
    return csc_array(
        coo_array((blocks.ravel(), (rows.ravel(), rows.transpose(0, 2, 1).ravel())), shape=(size, size))
    )


def _floor(coordinates: Coordinates, springs: SpringModel, size: int) -> csc_array:
    diagonal = np.full(size, springs.floor_eV_A2)
    if coordinates.cell_factor is not None:
        # A strain moves every atom; without this a rotation of the cell would cost nothing.
        diagonal[-9:] *= len(coordinates.atoms) / coordinates.cell_factor**2
    return csc_array(coo_array((diagonal, (np.arange(size), np.arange(size))), shape=(size, size)))


class FactoredHessian:
    """A factored positive definite Hessian that turns gradients into steps."""

    def __init__(self, hessian: csc_array) -> None:
        self._factors = splu(hessian, permc_spec="MMD_AT_PLUS_A", options={"SymmetricMode": True})

    def solve(self, gradient: Floats) -> Floats:
        """Return H⁻¹ · gradient (Å for eV/Å)."""
        return np.asarray(self._factors.solve(gradient))
