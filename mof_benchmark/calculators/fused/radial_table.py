"""The radial weights of a convolution as a table over the distance.

A convolution's weights depend on the distance alone: Bessel functions times cutoff, through a
small network whose last layer alone costs more than the tensor product. Cubic Hermite
interpolation on a fine grid gives the same numbers to float32 accuracy and their slopes for free.
"""

from __future__ import annotations

import copy
import math
from typing import Any

import torch

KNOTS_PER_CUTOFF = 1600


def radial_table(
    basis: torch.nn.Module,
    cutoff_function: torch.nn.Module,
    network: torch.nn.Module,
    cutoff_A: float,
    dtype: torch.dtype,
) -> tuple[torch.Tensor, float]:
    """Tabulate `network(basis(r) · cutoff_function(r))`.

    Returns
    -------
    table
        Shape (knots, 3, weights): the value, its rise to the next knot, and the slope times the
        spacing.
    knots_per_A
        Inverse of the spacing, 1/Å. Where the cutoff function changes its form (XPLOR's `r_on`),
        a knot lies there: its second derivative jumps.
    """
    intervals = _intervals(cutoff_A, getattr(cutoff_function, "r_on", None))
    spacing = cutoff_A / intervals
    distance = torch.arange(intervals + 1, dtype=torch.float64) * spacing
    # sin(x)/x at 0; atoms are never this close, and the network is smooth there.
    distance[0] = 1e-3 * spacing
    radial = [copy.deepcopy(module).double() for module in (basis, cutoff_function, network)]

    for module in radial:
        module.requires_grad_(False)

    def weights(r: torch.Tensor) -> Any:
        return radial[2](radial[0](r) * radial[1](r).unsqueeze(-1))

    # Each row depends on its own distance only, so one product with ones gives every slope.
    values, slopes = torch.autograd.functional.jvp(weights, distance, torch.ones_like(distance))
    # The rise is taken in double: a difference of neighbouring float32 values would spoil the forces.
    rises = torch.diff(values, dim=0, append=values[-1:])
    table = torch.stack([values, rises, slopes * spacing], dim=1)
    return table.to(dtype).contiguous(), intervals / cutoff_A


def _intervals(cutoff_A: float, switch_A: float | None) -> int:
    if switch_A is None:
        return KNOTS_PER_CUTOFF
    for intervals in range(KNOTS_PER_CUTOFF, 2 * KNOTS_PER_CUTOFF):
        at = switch_A / cutoff_A * intervals
        if math.isclose(at, round(at), abs_tol=1e-9):
            return intervals
    return 2 * KNOTS_PER_CUTOFF
