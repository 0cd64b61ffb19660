"""Edges to distances and spherical harmonics, and edge gradients to forces and virial."""

from __future__ import annotations

import math
from typing import Any

import numpy as np
from numba import njit
from numpy.typing import NDArray

Floats = NDArray[np.floating[Any]]
Integers = NDArray[np.int64]

_ROOT_3 = math.sqrt(3.0)


@njit(nogil=True, cache=True, error_model="numpy")  # type: ignore[untyped-decorator]
def harmonics_of_edges(
    vectors: Floats,
    low: Integers,
    axis: Integers,
    high: Integers,
    coefficient: Floats,
    distance: Floats,
    harmonics: Floats,
) -> None:
    """Fill distances (Å) and e3nn's `component` spherical harmonics of every edge.

    `low, axis, high, coefficient` are the recursion of `layout.harmonics_recursion`.
    """
    for e in range(vectors.shape[0]):
        x, y, z = vectors[e, 0], vectors[e, 1], vectors[e, 2]
        r = math.sqrt(x * x + y * y + z * z)
        distance[e] = r
        harmonics[e, :] = 0.0
        harmonics[e, 0] = 1.0
        if harmonics.shape[1] > 1:
            for a in range(3):
                harmonics[e, 1 + a] = _ROOT_3 * vectors[e, a] / r
        for n in range(low.shape[0]):
            harmonics[e, high[n]] += coefficient[n] * harmonics[e, low[n]] * harmonics[e, 1 + axis[n]]


@njit(nogil=True, cache=True, error_model="numpy")  # type: ignore[untyped-decorator]
def forces_and_virial(
    vectors: Floats,
    centre: Integers,
    neighbour: Integers,
    low: Integers,
    axis: Integers,
    high: Integers,
    coefficient: Floats,
    distance: Floats,
    harmonics: Floats,
    harmonics_gradient: Floats,
    distance_gradient: Floats,
    forces: Floats,
    virial: Floats,
) -> None:
    """Add each edge's pull to forces (eV/Å) and the symmetric virial dE/dstrain (eV).

    An edge vector points from `centre` to `neighbour`. `harmonics_gradient` is used up.
    """
    for e in range(vectors.shape[0]):
        r = distance[e]
        # The recursion backwards: the highest degree first.
        for n in range(low.shape[0] - 1, -1, -1):
            pull = coefficient[n] * harmonics_gradient[e, high[n]]
            harmonics_gradient[e, low[n]] += pull * harmonics[e, 1 + axis[n]]
            harmonics_gradient[e, 1 + axis[n]] += pull * harmonics[e, low[n]]
        along = 0.0
        if harmonics.shape[1] > 1:
            for a in range(3):
                along += harmonics_gradient[e, 1 + a] * vectors[e, a] / r
        for a in range(3):
            gradient = distance_gradient[e] * vectors[e, a] / r
            if harmonics.shape[1] > 1:
                gradient += _ROOT_3 / r * (harmonics_gradient[e, 1 + a] - along * vectors[e, a] / r)
            forces[centre[e], a] += gradient
            forces[neighbour[e], a] -= gradient
            for b in range(3):
                virial[a, b] += 0.5 * gradient * vectors[e, b]
                virial[b, a] += 0.5 * gradient * vectors[e, b]
