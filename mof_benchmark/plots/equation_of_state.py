"""Energies over volumes with the fitted equation of state."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Protocol

import numpy as np
from ase.eos import EquationOfState
from matplotlib.figure import Figure

from mof_benchmark.plots.style import BLUE, GREY, ORANGE, new_figure, style_axes


class Point(Protocol):
    """A point of the curve."""

    volume_A3: float
    energy_eV: float
    converged: bool


def plot_equation_of_state(
    points: Sequence[Point], *, minimum: tuple[float, float], n_atoms: int, eos: str, title: str
) -> Figure:
    """Draw points and curve above the minimum, in meV/atom; points that did not converge are open."""
    volumes = np.array([point.volume_A3 for point in points])
    energies = np.array([point.energy_eV for point in points])
    converged = np.array([point.converged for point in points])
    curve = EquationOfState(volumes, energies, eos=eos)
    curve.fit(warn=False)
    x, y = curve.getplotdata()[4:6]
    figure = new_figure()
    axes = figure.subplots()

    def scale(values: np.ndarray) -> np.ndarray:
        return np.asarray(1e3 * (values - minimum[1]) / n_atoms)

    axes.plot(x, scale(y), color=BLUE, linewidth=1.6, label=eos)
    axes.scatter(volumes[converged], scale(energies[converged]), color=ORANGE, zorder=3, label="converged")
    if not converged.all():
        axes.scatter(
            volumes[~converged],
            scale(energies[~converged]),
            facecolors="none",
            edgecolors=ORANGE,
            zorder=3,
            label="not converged",
        )
    axes.axvline(minimum[0], color=GREY, linestyle="--", linewidth=1)
    axes.legend(frameon=False)
    style_axes(axes, xlabel="Volume (Å³)", ylabel="Energy − minimum (meV/atom)", title=title)
    return figure
