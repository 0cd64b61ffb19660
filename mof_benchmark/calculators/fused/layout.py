"""Equivariant features as one array per irrep with the channels innermost, and the paths between them.

e3nn stores a feature row channel by channel (`mul`, then `2l+1`); a loop over channels then jumps
in memory. Here each irrep has an array of shape (atoms, 2l+1, channels), so that such a loop is
contiguous, becomes vector instructions, and a linear layer is one matrix product per irrep.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import torch
from e3nn.o3 import Irreps, TensorProduct, wigner_3j


class UnsupportedModelError(ValueError):
    """The model has a layer that the fused network does not know; run it as it is."""


@dataclass(frozen=True)
class Block:
    """All channels of one irrep."""

    degree: int
    parity: int
    channels: int

    @property
    def components(self) -> int:
        return 2 * self.degree + 1


@dataclass(frozen=True)
class Layout:
    """Where each term of an e3nn irreps string lies among the blocks.

    `places[i]` is (block, first channel) of term i; terms of the same irrep share a block.
    """

    blocks: tuple[Block, ...]
    places: tuple[tuple[int, int], ...]

    @classmethod
    def of(cls, irreps: Irreps) -> Layout:
        channels: dict[tuple[int, int], int] = {}
        terms = []
        for multiplicity, irrep in Irreps(irreps):
            key = (int(irrep.l), int(irrep.p))
            terms.append((key, channels.get(key, 0)))
            channels[key] = channels.get(key, 0) + int(multiplicity)
        order = list(channels)
        return cls(
            blocks=tuple(Block(degree, parity, channels[degree, parity]) for degree, parity in order),
            places=tuple((order.index(key), first) for key, first in terms),
        )

    def split(self, features: torch.Tensor, irreps: Irreps) -> list[torch.Tensor]:
        """Bring e3nn rows, shape (n, irreps.dim), into blocks of shape (n, 2l+1, channels)."""
        blocks = [features.new_empty(len(features), b.components, b.channels) for b in self.blocks]
        terms = zip(Irreps(irreps), Irreps(irreps).slices(), self.places, strict=True)
        for (multiplicity, irrep), columns, (block, first) in terms:
            term = features[:, columns].reshape(len(features), multiplicity, irrep.dim)
            blocks[block][:, :, first : first + multiplicity] = term.transpose(1, 2)
        return blocks

    def join(self, blocks: list[torch.Tensor], irreps: Irreps) -> torch.Tensor:
        """Undo `split`."""
        return torch.cat(
            [
                blocks[block][:, :, first : first + multiplicity].transpose(1, 2).flatten(1)
                for (multiplicity, _), (block, first) in zip(Irreps(irreps), self.places, strict=True)
            ],
            dim=1,
        )


@dataclass(frozen=True)
class Path:
    """One path of a `uvu` tensor product: features × spherical harmonics → messages.

    `entries` are the non-zero Clebsch-Gordan coefficients, normalised as e3nn does, as
    (component in, component of the harmonics, component out, coefficient).
    """

    block_in: int
    first_in: int
    first_harmonic: int
    harmonics: int
    block_out: int
    first_out: int
    channels: int
    first_weight: int
    entries: tuple[tuple[int, int, int, float], ...]


def paths_of(product: TensorProduct, scale: float) -> tuple[Path, ...]:
    """Enumerate the paths of a `uvu` tensor product whose messages are multiplied by `scale`.

    Raises
    ------
    UnsupportedModelError
        For a connection other than weighted `uvu` or more than one channel of harmonics.
    """
    layout_in, layout_out = Layout.of(product.irreps_in1), Layout.of(product.irreps_out)
    harmonics = product.irreps_in2.slices()
    paths, first_weight = [], 0
    for step in product.instructions:
        channels, irrep_in = product.irreps_in1[step.i_in1]
        one, irrep_harmonic = product.irreps_in2[step.i_in2]
        irrep_out = product.irreps_out[step.i_out].ir
        if step.connection_mode != "uvu" or not step.has_weight or one != 1:
            raise UnsupportedModelError(f"tensor product path {step}")
        block_in, first_in = layout_in.places[step.i_in1]
        block_out, first_out = layout_out.places[step.i_out]
        coefficients = wigner_3j(irrep_in.l, irrep_harmonic.l, irrep_out.l, dtype=torch.float64)
        factor = step.path_weight * scale
        paths.append(
            Path(
                block_in=block_in,
                first_in=first_in,
                first_harmonic=harmonics[step.i_in2].start,
                harmonics=irrep_harmonic.dim,
                block_out=block_out,
                first_out=first_out,
                channels=channels,
                first_weight=first_weight,
                entries=_non_zero(coefficients * factor),
            )
        )
        first_weight += channels
    return tuple(paths)


def _non_zero(coefficients: torch.Tensor) -> tuple[tuple[int, int, int, float], ...]:
    # e3nn 0.4 keeps its coefficients in float32, where a zero may read 1e-9.
    places = torch.nonzero(coefficients.abs() > 1e-6 * coefficients.abs().max())
    return tuple((int(m), int(h), int(k), float(coefficients[m, h, k])) for m, h, k in places)


def harmonics_recursion(degree_max: int) -> tuple[tuple[int, int, int, float], ...]:
    """How each spherical harmonic follows from those one degree lower.

    With Y₁ = √3 · unit vector, `Y[out] += coefficient · Y[low] · Y[1 + axis]` builds all harmonics up
    to `degree_max` in e3nn's `component` normalisation; entries are (low, axis, out, coefficient).
    """
    from e3nn.o3 import spherical_harmonics

    direction = torch.tensor([0.36, 0.48, 0.8], dtype=torch.float64)
    entries = []
    for degree in range(1, degree_max):
        low, high, one = (
            spherical_harmonics(d, direction, normalize=True, normalization="component")
            for d in (degree, degree + 1, 1)
        )
        coefficients = wigner_3j(degree, 1, degree + 1, dtype=torch.float64)
        unscaled = torch.einsum("abk,a,b->k", coefficients, low, one)
        scale = (unscaled @ high) / (unscaled @ unscaled)
        entries += [
            (degree**2 + i, axis, (degree + 1) ** 2 + k, c)
            for i, axis, k, c in _non_zero(coefficients * scale)
        ]
    return tuple(entries)


def linear_matrices(
    linear: Any, layout_in: Layout, layout_out: Layout, dtype: torch.dtype
) -> list[list[tuple[int, torch.Tensor]]]:
    """For each output block of an e3nn `Linear`: (input block, matrix of shape (in, out)).

    Raises
    ------
    UnsupportedModelError
        When the layer has a bias.
    """
    if linear.bias_numel:
        raise UnsupportedModelError("linear layer with a bias")
    dense: dict[tuple[int, int], torch.Tensor] = {}
    first = 0
    for step in linear.instructions:
        size = step.path_shape[0] * step.path_shape[1]
        weight = linear.weight.detach()[first : first + size].double().reshape(step.path_shape)
        first += size
        block_in, first_in = layout_in.places[step.i_in]
        block_out, first_out = layout_out.places[step.i_out]
        matrix = dense.setdefault(
            (block_out, block_in),
            torch.zeros(
                layout_in.blocks[block_in].channels,
                layout_out.blocks[block_out].channels,
                dtype=torch.float64,
            ),
        )
        rows = slice(first_in, first_in + step.path_shape[0])
        matrix[rows, first_out : first_out + step.path_shape[1]] = weight * step.path_weight
    return [
        [(i, matrix.to(dtype).contiguous()) for (o, i), matrix in dense.items() if o == block]
        for block in range(len(layout_out.blocks))
    ]
