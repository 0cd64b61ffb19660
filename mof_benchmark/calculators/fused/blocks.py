"""The layers of an interaction block on channels-innermost features, each with its backward pass."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from e3nn.o3 import Irreps

from mof_benchmark.calculators.fused.geometry import Floats, Integers
from mof_benchmark.calculators.fused.kernel_text import (
    COMMON_ARGUMENTS,
    KernelShape,
    backward_text,
    forward_text,
)
from mof_benchmark.calculators.fused.layout import Layout, UnsupportedModelError, linear_matrices, paths_of
from mof_benchmark.calculators.fused.machine_code import compiled, vector_bytes
from mof_benchmark.calculators.fused.radial_table import radial_table

Blocks = list[torch.Tensor]
"""One array of shape (atoms, 2l+1, channels) per irrep."""


@dataclass(frozen=True)
class Edges:
    """The graph and what the kernels read and write of it.

    Edges are sorted by their centre; those of atom i are `first[i]:first[i + 1]`. Vectors (Å) point
    from the centre to the neighbour.
    """

    vectors: Floats
    centre: Integers
    neighbour: Integers
    first: Integers
    distance: Floats
    harmonics: Floats
    harmonics_gradient: Floats
    distance_gradient: Floats


class BlockLinear:
    """An equivariant linear layer: one matrix per pair of input and output blocks."""

    def __init__(self, linear: Any, dtype: torch.dtype) -> None:
        self.layout_in, self.layout_out = Layout.of(linear.irreps_in), Layout.of(linear.irreps_out)
        self.matrices = linear_matrices(linear, self.layout_in, self.layout_out, dtype)

    def forward(self, inputs: Blocks, onto: Blocks | None = None) -> Blocks:
        """Apply the layer, adding the result to `onto` (in place) when given."""
        n = len(inputs[0])
        outputs = onto or [
            inputs[0].new_zeros(n, block.components, block.channels) for block in self.layout_out.blocks
        ]
        for output, terms in zip(outputs, self.matrices, strict=True):
            for source, matrix in terms:
                _flat(output).addmm_(_flat(inputs[source]), matrix)
        return outputs

    def backward(self, gradients: Blocks, onto: Blocks | None = None) -> Blocks:
        """Gradient by the inputs, added to `onto` (in place) when given."""
        n = len(gradients[0])
        outputs = onto or [
            gradients[0].new_zeros(n, block.components, block.channels) for block in self.layout_in.blocks
        ]
        for gradient, terms in zip(gradients, self.matrices, strict=True):
            for source, matrix in terms:
                _flat(outputs[source]).addmm_(_flat(gradient), matrix.T)
        return outputs


class Gate:
    """Scalars through their activation; the other irreps times activated scalars.

    Only e3nn's normalised SiLU is known, with one channel of gates per gated channel.
    """

    def __init__(self, gate: Any, layout_in: Layout) -> None:
        scalars, *others = layout_in.blocks
        gated = Layout.of(gate.irreps_gated).blocks
        self.scalars = Irreps(gate.irreps_scalars).dim
        self.channels = [block.channels for block in gated]
        activations = [*gate.act_scalars.acts, *gate.act_gates.acts]
        known = all(activation.f is torch.nn.functional.silu for activation in activations)
        if not known or (scalars.degree, scalars.parity) != (0, 1) or tuple(others) != gated:
            raise UnsupportedModelError(f"gate {gate}")
        self.factor = float(activations[0].cst)

    def forward(self, inputs: Blocks) -> tuple[Blocks, Callable[[Blocks], Blocks]]:
        """Apply the gate; the second result takes output gradients to input gradients."""
        source = inputs[0]
        active = torch.nn.functional.silu(source).mul_(self.factor)
        scalars, *gates = active.split([self.scalars, *self.channels], dim=2)
        outputs = [scalars.contiguous()]
        outputs += [block * gate for block, gate in zip(inputs[1:], gates, strict=True)]

        def backward(gradients: Blocks) -> Blocks:
            pulls = [gradients[0]]
            pulls += [
                (gradient * block).sum(1, keepdim=True)
                for gradient, block in zip(gradients[1:], inputs[1:], strict=True)
            ]
            first = torch.ops.aten.silu_backward(torch.cat(pulls, dim=2).mul_(self.factor), source)
            return [first, *(g * gate for g, gate in zip(gradients[1:], gates, strict=True))]

        return outputs, backward


class Convolution:
    """The fused convolution: tensor product and sum over neighbours in one pass over the edges."""

    def __init__(
        self, convolution: Any, embedding: Any, *, cutoff_A: float, dtype: torch.dtype, inner_gradient: bool
    ) -> None:
        product = convolution.convolution
        self.layout_in, self.layout_out = Layout.of(product.irreps_in1), Layout.of(product.irreps_out)
        self.inner_gradient = inner_gradient
        self.real = np.dtype(str(dtype).removeprefix("torch."))
        self.table, self.knots_per_A = radial_table(
            embedding.basis_function, embedding.cutoff_function, convolution.weight_nn, cutoff_A, dtype
        )
        shape = KernelShape(
            paths=paths_of(product, 1.0 / float(convolution.denominator)),
            blocks_in=self.layout_in.blocks,
            blocks_out=self.layout_out.blocks,
            n_harmonics=product.irreps_in2.dim,
            real={"float32": "float", "float64": "double"}[self.real.name],
            vector_bytes=vector_bytes(),
        )
        common = tuple(kind for kind, _ in COMMON_ARGUMENTS)
        arrays = ("ptr",) * (len(shape.blocks_in) + len(shape.blocks_out))
        inner = ("ptr",) * (len(shape.blocks_in) if inner_gradient else 0)
        self._forward = compiled(forward_text(shape), "forward", common + arrays)
        self._backward = compiled(
            backward_text(shape, inner_gradient=inner_gradient),
            "backward",
            common + arrays + inner + ("ptr", "ptr"),
        )

    def forward(self, edges: Edges, inputs: Blocks) -> Blocks:
        """Sum the messages of every atom's neighbours."""
        n = len(inputs[0])
        outputs = [inputs[0].new_zeros(n, b.components, b.channels) for b in self.layout_out.blocks]
        self._forward(*self._graph(edges), *self._pointers(inputs), *self._pointers(outputs))
        return outputs

    def backward(self, edges: Edges, inputs: Blocks, gradients: Blocks) -> Blocks:
        """Add to the edges' gradients; return the inputs' (none for a first layer)."""
        inner = [torch.zeros_like(block) for block in inputs] if self.inner_gradient else []
        self._backward(
            *self._graph(edges),
            *self._pointers(inputs),
            *self._pointers(gradients),
            *self._pointers(inner),
            *(_address(a, self.real) for a in (edges.harmonics_gradient, edges.distance_gradient)),
        )
        return inner

    def _graph(self, edges: Edges) -> tuple[Any, ...]:
        return (
            len(edges.first) - 1,
            _address(edges.first, np.int64),
            _address(edges.neighbour, np.int64),
            _address(edges.harmonics, self.real),
            _address(edges.distance, np.float64),
            self.table.data_ptr(),
            len(self.table),
            self.knots_per_A,
        )

    def _pointers(self, blocks: Blocks) -> list[int]:
        return [_address(block.numpy(), self.real) for block in blocks]


def _address(array: Any, kind: Any) -> int:
    """Address for the kernels, which trust type and layout blindly."""
    if array.dtype != kind or not array.flags.c_contiguous:
        raise TypeError(f"an array of {array.dtype} is not a contiguous one of {kind}")
    return int(array.__array_interface__["data"][0])


def _flat(block: torch.Tensor) -> torch.Tensor:
    return block.view(-1, block.shape[-1])
