"""The kernels against e3nn's tensor product, on irreps and channel counts of many shapes."""

from __future__ import annotations

from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest
import torch

from mof_benchmark.calculators.safe_load import allow_e3nn_constants

allow_e3nn_constants()

from e3nn.o3 import Irreps, SphericalHarmonics  # noqa: E402
from sevenn.nn.convolution import IrrepsConvolution  # noqa: E402
from sevenn.nn.edge_embedding import BesselBasis, PolynomialCutoff, XPLORCutoff  # noqa: E402

from mof_benchmark.calculators.fused.blocks import Convolution, Edges  # noqa: E402
from mof_benchmark.calculators.fused.layout import Layout  # noqa: E402

ATOMS, NEIGHBOURS, CUTOFF_A = 5, 7, 4.0

SHAPES = {
    "scalars only": ("16x0e", 2, 1, "16x0e+16x1e+16x2e"),
    "odd numbers of channels": ("6x0e+3x1e+5x2e", 2, 1, "6x0e+3x1e+5x2e"),
    "mirror parity": ("8x0e+4x0o+4x1o+2x1e", 2, -1, "8x0e+8x0o+8x1o+8x1e+8x2e"),
    "third degree to scalars": ("16x0e+8x1e+4x2e+4x3e", 3, 1, "16x0e"),
}


class Case:
    """A random convolution of one shape with e3nn's answer by autograd."""

    def __init__(self, shape: str, dtype: torch.dtype, cutoff: Any) -> None:
        irreps_in, degree, parity, irreps_out = SHAPES[shape]
        torch.manual_seed(7)
        harmonics = Irreps.spherical_harmonics(degree, parity)
        self.convolution = IrrepsConvolution(
            Irreps(irreps_in),
            harmonics,
            Irreps(irreps_out),
            [4, 8],
            torch.nn.functional.silu,
            denominator=3.0,
        ).to(dtype)
        self.embedding = SimpleNamespace(
            basis_function=BesselBasis(CUTOFF_A, 4).to(dtype), cutoff_function=cutoff
        )
        self.dtype = dtype
        self.centre = torch.arange(ATOMS).repeat_interleave(NEIGHBOURS)
        self.neighbour = torch.randint(0, ATOMS, self.centre.shape)
        direction = torch.nn.functional.normalize(torch.randn(len(self.centre), 3, dtype=dtype), dim=1)
        self.distance = (1.0 + (CUTOFF_A - 1.0) * torch.rand(len(self.centre), dtype=dtype)).requires_grad_()
        self.harmonics = SphericalHarmonics(harmonics, True, "component")(direction).detach().requires_grad_()
        self.features = torch.randn(ATOMS, Irreps(irreps_in).dim, dtype=dtype, requires_grad=True)

    def by_e3nn(self) -> tuple[torch.Tensor, torch.Tensor, tuple[torch.Tensor, ...]]:
        radial = self.embedding.basis_function(self.distance)
        radial = radial * self.embedding.cutoff_function(self.distance).unsqueeze(-1)
        data = {
            "x": self.features,
            "edge_attr": self.harmonics,
            "edge_embedding": radial,
            "edge_index": torch.stack([self.centre, self.neighbour]),
        }
        messages = self.convolution(data)["x"]
        pull = torch.randn_like(messages)
        wanted = [self.features, self.harmonics, self.distance]
        return messages.detach(), pull, torch.autograd.grad((messages * pull).sum(), wanted)

    def fused(self, pull: torch.Tensor, *, inner_gradient: bool = True) -> tuple[torch.Tensor, ...]:
        product = self.convolution.convolution
        convolution = Convolution(
            self.convolution,
            self.embedding,
            cutoff_A=CUTOFF_A,
            dtype=self.dtype,
            inner_gradient=inner_gradient,
        )
        real = convolution.real
        edges = Edges(
            vectors=np.empty((0, 3)),
            centre=self.centre.numpy(),
            neighbour=self.neighbour.numpy(),
            first=np.arange(ATOMS + 1) * NEIGHBOURS,
            distance=self.distance.detach().double().numpy(),
            harmonics=self.harmonics.detach().numpy(),
            harmonics_gradient=np.zeros(self.harmonics.shape, dtype=real),
            distance_gradient=np.zeros(len(self.distance), dtype=real),
        )
        inputs = Layout.of(product.irreps_in1).split(self.features.detach(), product.irreps_in1)
        messages = convolution.forward(edges, inputs)
        pulls = Layout.of(product.irreps_out).split(pull, product.irreps_out)
        inner = convolution.backward(edges, inputs, pulls)
        return (
            Layout.of(product.irreps_out).join(messages, product.irreps_out),
            Layout.of(product.irreps_in1).join(inner, product.irreps_in1) if inner else torch.empty(0),
            torch.as_tensor(edges.harmonics_gradient),
            torch.as_tensor(edges.distance_gradient),
        )


@pytest.mark.parametrize("shape", SHAPES)
def test_messages_and_their_gradients_equal_those_of_e3nn_in_double(shape: str) -> None:
    case = Case(shape, torch.float64, PolynomialCutoff(CUTOFF_A))
    messages, pull, (features, harmonics, distance) = case.by_e3nn()
    for ours, theirs in zip(case.fused(pull), (messages, features, harmonics, distance), strict=True):
        # What is left is e3nn's own coefficients, kept in float32, and the radial table.
        torch.testing.assert_close(ours, theirs, rtol=0, atol=2e-7 * float(theirs.abs().max()))


@pytest.mark.parametrize(
    "cutoff", [PolynomialCutoff(CUTOFF_A), XPLORCutoff(CUTOFF_A, 3.5)], ids=["poly", "xplor"]
)
def test_single_precision_loses_no_more_than_its_rounding(cutoff: Any) -> None:
    case = Case("odd numbers of channels", torch.float32, cutoff)
    messages, pull, (features, harmonics, distance) = case.by_e3nn()
    for ours, theirs in zip(case.fused(pull), (messages, features, harmonics, distance), strict=True):
        torch.testing.assert_close(ours, theirs, rtol=0, atol=5e-6 * float(theirs.abs().max()))


def test_a_first_layer_skips_only_the_gradient_nobody_reads() -> None:
    case = Case("scalars only", torch.float64, PolynomialCutoff(CUTOFF_A))
    _, pull, _ = case.by_e3nn()
    full, short = case.fused(pull), case.fused(pull, inner_gradient=False)
    assert short[1].numel() == 0
    for index in (0, 2, 3):
        torch.testing.assert_close(short[index], full[index], rtol=0, atol=1e-12)


def test_features_survive_the_way_into_blocks_and_back() -> None:
    irreps = Irreps("4x0e+2x1e+3x0e+1x2e+5x1e")
    features = torch.randn(3, irreps.dim)
    layout = Layout.of(irreps)
    assert [block.channels for block in layout.blocks] == [7, 7, 1]
    assert torch.equal(layout.join(layout.split(features, irreps), irreps), features)
