"""PBE-D3(BJ) by dense arithmetic of PyTorch: all pairs of atoms, image by image of the cell.

The damping radius of a pair does not depend on coordination numbers, so the sum over images of a
pair needs no C6: one pass over all distances gives those sums and the coordination numbers, C6 and
its slope are products of matrices, and a second pass gives forces. Nothing is kept for each
distance, and no list of pairs is made: on a GPU both are what such a correction costs.

Method: Grimme et al., J. Chem. Phys. 132, 154104 (2010), J. Comput. Chem. 32, 1456 (2011); the
reference values are those that torch-dftd carries.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from functools import cache
from importlib import resources
from itertools import product
from typing import Any

import numpy as np
import torch
from ase import Atoms, units
from ase.geometry import complete_cell
from numpy.typing import NDArray

COUNTING_STEEPNESS, WEIGHTING_STEEPNESS = 16.0, 4.0
"""k1 and k3 of the first paper."""
_DISTANCES_AT_ONCE = 1 << 22
_NO_REFERENCE = 1e6
_VOIGT = [0, 4, 8, 5, 2, 1]


@dataclass(frozen=True, kw_only=True)
class Damping:
    """Rational damping: scale of both terms, and the radius a1·R0 + a2, Bohr."""

    s6: float
    s8: float
    a1: float
    a2: float


@dataclass(frozen=True)
class _Elements:
    """What belongs to the atoms of one composition, in atomic units.

    `radius` is the covalent one for counting, `moment` √(½ √Z ⟨r⁴⟩/⟨r²⟩), both (n_atoms,);
    `references` (n_atoms, 5) are coordination numbers, `c6` (5·n_elements, 5·n_elements) the C6 of
    each pair of them, and `column` (n_atoms, 5) says which of its rows are an atom's.
    """

    radius: torch.Tensor
    moment: torch.Tensor
    references: torch.Tensor
    c6: torch.Tensor
    column: torch.Tensor


@dataclass(frozen=True)
class _Block:
    """Vectors (images, rows, n_atoms, 3) from the atoms of `rows` to all, squares, and which count."""

    rows: slice
    vectors: torch.Tensor
    squares: torch.Tensor
    near: torch.Tensor


class DenseDispersion:
    """Energy, forces and stress of PBE-D3(BJ), two-body, in double precision.

    Memory is 8 bytes for each pair of atoms, a few times, and about 2 GB for the distances at hand.
    """

    def __init__(self, device: str, damping: Damping, *, cutoff_Bohr: float) -> None:
        self._device = torch.device(device)
        self._damping = damping
        self._cutoff = cutoff_Bohr

    @torch.no_grad()  # type: ignore[untyped-decorator]
    def evaluate(self, atoms: Atoms) -> dict[str, Any]:
        """Return `energy` (eV), `forces` (n_atoms, 3; eV/Å) and, for a cell, `stress` (6; eV/Å³)."""
        damping, elements = self._damping, self._elements(atoms.numbers)
        n_atoms = len(atoms)
        geometry = _Geometry(atoms, self._cutoff, self._device)
        moments = 3.0 * elements.moment[:, None] * elements.moment[None, :]
        inner = (damping.a1 * moments.sqrt() + damping.a2) ** 2
        coordination = self._zeros(n_atoms)
        sums = self._zeros(n_atoms, n_atoms)
        for block in geometry.blocks():
            rows, squares = block.rows, block.squares
            counts = self._counts(elements, block)[0]
            coordination[rows] += counts.sum(dim=(0, 2))
            sixth, eighth = _damped(squares, inner[rows])
            pairs = (damping.s6 * sixth + damping.s8 * moments[rows] * eighth) * block.near
            sums[rows] += pairs.sum(dim=0)
        weights, slopes = self._weights(elements, coordination)
        c6 = weights @ elements.c6 @ weights.T
        energy = -0.5 * (c6 * sums).sum()
        by_coordination = -(slopes * (sums @ (weights @ elements.c6))).sum(dim=1)
        forces, virial = self._zeros(n_atoms, 3), self._zeros(3, 3)
        for block in geometry.blocks():
            rows, squares = block.rows, block.squares
            sixth, eighth = _damped(squares, inner[rows])
            # Slopes over the distance, divided by it.
            slope = 6.0 * damping.s6 * sixth**2 * squares**2
            slope += 8.0 * damping.s8 * moments[rows] * eighth**2 * squares**3
            slope *= c6[rows] * block.near
            slope += self._counts(elements, block)[1] * (
                by_coordination[rows, None] + by_coordination[None, :]
            )
            pull = slope[..., None] * block.vectors
            forces[rows] += pull.sum(dim=(0, 2))
            virial += 0.5 * torch.einsum("trnx,trny->xy", pull, block.vectors)
        results = {
            "energy": float(energy) * units.Hartree,
            "forces": forces.cpu().numpy() * (units.Hartree / units.Bohr),
        }
        if atoms.cell.rank == 3:
            stress = virial.cpu().numpy() * (units.Hartree / atoms.cell.volume)
            results["stress"] = stress.ravel()[_VOIGT]
        return results

    def _zeros(self, *shape: int) -> torch.Tensor:
        return torch.zeros(shape, dtype=torch.float64, device=self._device)

    def _counts(self, elements: _Elements, block: _Block) -> tuple[torch.Tensor, torch.Tensor]:
        """How far each pair counts as neighbours, and the slope of that over distance by distance."""
        distances = block.squares.sqrt()
        contact = elements.radius[block.rows, None] + elements.radius[None, :]
        counts = torch.sigmoid(COUNTING_STEEPNESS * (contact / distances - 1.0)) * block.near
        slopes = counts * (counts - 1.0) * (COUNTING_STEEPNESS * contact) / (block.squares * distances)
        return counts, slopes

    def _weights(self, elements: _Elements, coordination: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
        """Weights of the references and their slopes over coordination, in the columns of `c6`."""
        away = coordination[:, None] - elements.references
        weights = torch.softmax(-WEIGHTING_STEEPNESS * away**2, dim=1)
        slopes = -2.0 * WEIGHTING_STEEPNESS * away
        slopes = weights * (slopes - (weights * slopes).sum(dim=1, keepdim=True))
        shape = len(coordination), len(elements.c6)
        return tuple(self._zeros(*shape).scatter_(1, elements.column, of) for of in (weights, slopes))

    def _elements(self, numbers: NDArray[np.integer]) -> _Elements:
        reference = _references()
        present, of_atom = np.unique(numbers, return_inverse=True)
        table = reference["c6ab"][np.ix_(present, present)]
        known = table[..., 0] > 0
        # An element's reference coordination numbers are the same beside every partner.
        own = np.where(known, table[..., 1], -1.0).max(axis=(1, 3))
        own[own < 0] = _NO_REFERENCE
        n = len(present)
        c6 = np.where(known, table[..., 0], 0.0).transpose(0, 2, 1, 3).reshape(5 * n, 5 * n)
        column = 5 * of_atom[:, None] + np.arange(5)
        return _Elements(
            radius=self._tensor(reference["rcov"][numbers]),
            moment=self._tensor(reference["r2r4"][numbers]),
            references=self._tensor(own[of_atom]),
            c6=self._tensor(c6),
            column=torch.as_tensor(column, device=self._device),
        )

    def _tensor(self, values: NDArray[np.floating]) -> torch.Tensor:
        return torch.as_tensor(values, dtype=torch.float64, device=self._device)


def _damped(squares: torch.Tensor, inner: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
    return 1.0 / (squares**3 + inner**3), 1.0 / (squares**4 + inner**4)


@cache
def _references() -> dict[str, NDArray[np.floating]]:
    path = resources.files("torch_dftd") / "nn" / "params" / "dftd3_params.npz"
    with path.open("rb") as file, np.load(file) as values:
        return {name: values[name].astype(float) for name in ("c6ab", "rcov", "r2r4")}


class _Geometry:
    """The distances within the cutoff, block by block."""

    def __init__(self, atoms: Atoms, cutoff: float, device: torch.device) -> None:
        cell = np.asarray(complete_cell(atoms.cell.array)) / units.Bohr
        periodic = np.asarray(atoms.pbc)
        fractional = np.linalg.solve(cell.T, atoms.positions.T / units.Bohr).T

        def tensor(values: Any) -> torch.Tensor:
            return torch.as_tensor(values, dtype=torch.float64, device=device)

        self._fractional, self._cell, self._periodic = tensor(fractional), tensor(cell), tensor(periodic)
        self._images = tensor(_images(cell, periodic, cutoff) @ cell)
        self._cutoff = cutoff

    def blocks(self) -> Iterator[_Block]:
        n_atoms = len(self._fractional)
        n_rows = max(1, min(n_atoms, _DISTANCES_AT_ONCE // n_atoms))
        n_images = max(1, _DISTANCES_AT_ONCE // (n_rows * n_atoms))
        for first in range(0, n_atoms, n_rows):
            rows = slice(first, min(first + n_rows, n_atoms))
            between = self._fractional[None, :, :] - self._fractional[rows, None, :]
            between -= between.round() * self._periodic
            nearest = between @ self._cell
            for images in self._images.split(n_images):
                vectors = nearest + images[:, None, None, :]
                squares = (vectors * vectors).sum(dim=-1)
                near = (squares > 1e-12) & (squares <= self._cutoff**2)
                yield _Block(rows, vectors, torch.where(near, squares, self._cutoff**2), near)


def _images(cell: NDArray[np.floating], periodic: NDArray[np.bool_], cutoff: float) -> NDArray[np.integer]:
    """Lattice points (n, 3) whose cells may hold a neighbour of an atom, from nearest images on."""
    heights = 1.0 / np.linalg.norm(np.linalg.inv(cell), axis=0)
    most = np.where(periodic, np.floor(cutoff / heights + 0.5), 0).astype(int)
    points = np.array(list(product(*(range(-n, n + 1) for n in most))))
    if not periodic.all():
        return points
    corners = np.array(list(product((-0.5, 0.5), repeat=3))) @ cell
    reach = cutoff + np.linalg.norm(corners, axis=1).max()
    within: NDArray[np.integer] = points[np.linalg.norm(points @ cell, axis=1) <= reach]
    return within
