"""PBE-D3(BJ) by dense arithmetic of PyTorch: all pairs of atoms, image by image of the cell.

The damping radius of a pair does not depend on coordination numbers, so the sum over images of a
pair needs no C6: one pass over all distances gives those sums and the coordination numbers, C6 and
its slope are products of matrices, and a second pass gives forces. Nothing is kept for each
distance, and no list of pairs is made: on a GPU both are what such a correction costs.

Method: Grimme et al., J. Chem. Phys. 132, 154104 (2010), J. Comput. Chem. 32, 1456 (2011); the
reference values are those that torch-dftd carries.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from functools import cache
from importlib import resources
from itertools import product
from typing import Any

import numpy as np
import torch
from ase import Atoms, units
from ase.geometry import complete_cell
from ase.stress import full_3x3_to_voigt_6_stress
from numpy.typing import NDArray

from mof_benchmark.calculators.replay import Replayed, Tensors, rounded_up

COUNTING_STEEPNESS, WEIGHTING_STEEPNESS = 16.0, 4.0
"""k1 and k3 of the first paper."""
_DISTANCES_AT_ONCE = 1 << 22
_NO_REFERENCE = 1e6
_OUT_OF_REACH = 1e6
_ITSELF = 1e-12


@dataclass(frozen=True, kw_only=True)
class Damping:
    """Rational damping: scale of both terms, and the radius a1·R0 + a2, Bohr."""

    s6: float
    s8: float
    a1: float
    a2: float


class DenseDispersion:
    """Energy, forces and stress of PBE-D3(BJ), two-body, in double precision.

    Memory is 8 bytes for each pair of atoms, eight times, and about 0.5 GB for the distances at hand.
    """

    def __init__(self, device: str, damping: Damping, *, cutoff_Bohr: float) -> None:
        self._device = torch.device(device)
        self._cutoff = cutoff_Bohr
        self._arithmetic = _Arithmetic(damping, cutoff_Bohr)
        self._replayed = Replayed(self._arithmetic) if self._device.type == "cuda" else None

    def evaluate(self, atoms: Atoms) -> dict[str, Any]:
        """Return `energy` (eV), `forces` (n_atoms, 3; eV/Å) and, for a cell, `stress` (6; eV/Å³)."""
        cell = np.asarray(complete_cell(atoms.cell.array)) / units.Bohr
        fractional = np.linalg.solve(cell.T, atoms.positions.T / units.Bohr).T
        images = _images(cell, atoms.pbc, self._cutoff) @ cell
        small = len(images) * len(atoms) ** 2 <= _DISTANCES_AT_ONCE
        if self._replayed is not None and small:
            out_of_reach = np.full((rounded_up(len(images)) - len(images), 3), _OUT_OF_REACH)
            images = np.concatenate([images, out_of_reach])
            compute: Callable[..., Tensors] = self._replayed
        else:
            compute = self._arithmetic
        geometry = (fractional, cell, np.asarray(atoms.pbc, dtype=float), images)
        given = [self._tensor(values) for values in (*geometry, *_elements(atoms.numbers))]
        energy, forces, virial = (found.cpu().numpy() for found in compute(*given))
        results = {
            "energy": float(energy) * units.Hartree,
            "forces": forces * (units.Hartree / units.Bohr),
        }
        if atoms.cell.rank == 3:
            results["stress"] = full_3x3_to_voigt_6_stress(virial) * (units.Hartree / atoms.cell.volume)
        return results

    def _tensor(self, values: NDArray[Any]) -> torch.Tensor:
        return torch.as_tensor(values, device=self._device)


class _Arithmetic:
    """Energy (), forces (n_atoms, 3) and virial (3, 3) from tensors, all in atomic units."""

    def __init__(self, damping: Damping, cutoff: float) -> None:
        self._damping = damping
        self._cutoff = cutoff

    @torch.no_grad()  # type: ignore[untyped-decorator]
    def __call__(
        self,
        fractional: torch.Tensor,
        cell: torch.Tensor,
        periodic: torch.Tensor,
        images: torch.Tensor,
        radius: torch.Tensor,
        moment: torch.Tensor,
        references: torch.Tensor,
        column: torch.Tensor,
        c6_of_references: torch.Tensor,
    ) -> Tensors:
        """Geometry as `evaluate` makes it, the rest as `_elements`."""
        damping, n_atoms = self._damping, len(fractional)
        moments = 3.0 * moment[:, None] * moment[None, :]
        inner = (damping.a1 * moments.sqrt() + damping.a2) ** 2
        coordination, sums = fractional.new_zeros(n_atoms), fractional.new_zeros(n_atoms, n_atoms)
        for block in self._blocks(fractional, cell, periodic, images):
            rows = block.rows
            coordination[rows] += _counts(radius, block)[0].sum(dim=(0, 2))
            sixth, eighth = _damped(block.squares, inner[rows])
            pairs = (damping.s6 * sixth + damping.s8 * moments[rows] * eighth) * block.near
            sums[rows] += pairs.sum(dim=0)
        weights, slopes = _weights(coordination, references, column, len(c6_of_references))
        weighted = weights @ c6_of_references
        c6 = weighted @ weights.T
        energy = -0.5 * (c6 * sums).sum()
        by_coordination = -(slopes * (sums @ weighted)).sum(dim=1)
        forces, virial = torch.zeros_like(fractional), torch.zeros_like(cell)
        for block in self._blocks(fractional, cell, periodic, images):
            rows, squares = block.rows, block.squares
            sixth, eighth = _damped(squares, inner[rows])
            # Slopes over the distance, divided by it.
            slope = 6.0 * damping.s6 * sixth**2 * squares**2
            slope += 8.0 * damping.s8 * moments[rows] * eighth**2 * squares**3
            slope *= c6[rows] * block.near
            both = by_coordination[rows, None] + by_coordination[None, :]
            slope += _counts(radius, block)[1] * both
            pull = slope[..., None] * block.vectors
            forces[rows] += pull.sum(dim=(0, 2))
            virial += 0.5 * torch.einsum("trnx,trny->xy", pull, block.vectors)
        return energy, forces, virial

    def _blocks(
        self, fractional: torch.Tensor, cell: torch.Tensor, periodic: torch.Tensor, images: torch.Tensor
    ) -> Iterator[_Block]:
        n_atoms = len(fractional)
        n_rows = max(1, min(n_atoms, _DISTANCES_AT_ONCE // n_atoms))
        n_images = max(1, _DISTANCES_AT_ONCE // (n_rows * n_atoms))
        for first in range(0, n_atoms, n_rows):
            rows = slice(first, min(first + n_rows, n_atoms))
            between = fractional[None, :, :] - fractional[rows, None, :]
            between -= between.round() * periodic
            nearest = between @ cell
            for some in images.split(n_images):
                vectors = nearest + some[:, None, None, :]
                squares = (vectors * vectors).sum(dim=-1)
                near = (squares > _ITSELF) & (squares <= self._cutoff**2)
                yield _Block(rows, vectors, torch.where(near, squares, self._cutoff**2), near)


@dataclass(frozen=True)
class _Block:
    """Vectors (images, rows, n_atoms, 3) from the atoms of `rows` to all, squares, and which count."""

    rows: slice
    vectors: torch.Tensor
    squares: torch.Tensor
    near: torch.Tensor


def _damped(squares: torch.Tensor, inner: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
    return 1.0 / (squares**3 + inner**3), 1.0 / (squares**4 + inner**4)


def _counts(radius: torch.Tensor, block: _Block) -> tuple[torch.Tensor, torch.Tensor]:
    """How far each pair counts as neighbours, and the slope of that over distance by distance."""
    distances = block.squares.sqrt()
    contact = radius[block.rows, None] + radius[None, :]
    counts = torch.sigmoid(COUNTING_STEEPNESS * (contact / distances - 1.0)) * block.near
    slopes = counts * (counts - 1.0) * (COUNTING_STEEPNESS * contact) / (block.squares * distances)
    return counts, slopes


def _weights(
    coordination: torch.Tensor, references: torch.Tensor, column: torch.Tensor, n_columns: int
) -> tuple[torch.Tensor, torch.Tensor]:
    """Weights of the references and their slopes over coordination, each in its column."""
    away = coordination[:, None] - references
    weights = torch.softmax(-WEIGHTING_STEEPNESS * away**2, dim=1)
    slopes = -2.0 * WEIGHTING_STEEPNESS * away
    slopes = weights * (slopes - (weights * slopes).sum(dim=1, keepdim=True))
    empty = coordination.new_zeros(len(coordination), n_columns)
    return empty.scatter(1, column, weights), empty.scatter(1, column, slopes)


def _elements(numbers: NDArray[np.integer]) -> tuple[NDArray[Any], ...]:
    """What belongs to the atoms of one composition, in atomic units.

    Returns
    -------
    Radius for counting and √(½ √Z ⟨r⁴⟩/⟨r²⟩) of each atom, both (n_atoms,); coordination numbers of
    its references, (n_atoms, 5), and where they stand in the last, C6 between all references of all
    elements present, (5·n_elements, 5·n_elements).
    """
    reference = _references()
    present, of_atom = np.unique(numbers, return_inverse=True)
    table = reference["c6ab"][np.ix_(present, present)]
    known = table[..., 0] > 0
    # An element's reference coordination numbers are the same beside every partner.
    own = np.where(known, table[..., 1], -1.0).max(axis=(1, 3))
    own[own < 0] = _NO_REFERENCE
    size = 5 * len(present)
    c6 = np.where(known, table[..., 0], 0.0).transpose(0, 2, 1, 3).reshape(size, size)
    column = 5 * of_atom[:, None] + np.arange(5)
    return reference["rcov"][numbers], reference["r2r4"][numbers], own[of_atom], column, c6


@cache
def _references() -> dict[str, NDArray[np.floating]]:
    path = resources.files("torch_dftd") / "nn" / "params" / "dftd3_params.npz"
    with path.open("rb") as file, np.load(file) as values:
        return {name: values[name].astype(float) for name in ("c6ab", "rcov", "r2r4")}


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
