"""Heat capacity over temperature, and the phonon density of states."""

from __future__ import annotations

import numpy as np
from ase import units
from matplotlib.figure import Figure
from numpy.typing import NDArray

from mof_benchmark.plots.style import BLUE, GREY, ORANGE, new_figure, style_axes

GAS_CONSTANT_J_MOL_K = units.kB * units.mol / units.J


def plot_heat_capacity(
    temperatures_K: NDArray[np.float64],
    heat_capacity_J_mol_K: NDArray[np.float64],
    *,
    n_atoms: int,
    title: str,
) -> Figure:
    """Draw Cv(T) below the Dulong–Petit limit of the cell."""
    figure = new_figure()
    axes = figure.subplots()
    axes.plot(temperatures_K, heat_capacity_J_mol_K, color=BLUE, linewidth=1.8)
    limit = 3 * n_atoms * GAS_CONSTANT_J_MOL_K
    axes.axhline(limit, color=GREY, linestyle="--", linewidth=1)
    axes.annotate(
        "Dulong–Petit",
        xy=(0.01, limit),
        xycoords=("axes fraction", "data"),
        xytext=(0, -11),
        textcoords="offset points",
        color=GREY,
        fontsize=8,
    )
    axes.set_ylim(bottom=0)
    style_axes(axes, xlabel="Temperature (K)", ylabel="Cv (J/(mol K))", title=title)
    return figure


def plot_density_of_states(
    frequencies_THz: NDArray[np.float64], density_per_THz: NDArray[np.float64], *, title: str
) -> Figure:
    """Draw the phonon density of states; what lies below zero is imaginary and marked."""
    figure = new_figure()
    axes = figure.subplots()
    axes.fill_between(frequencies_THz, density_per_THz, color=BLUE, alpha=0.25, linewidth=0)
    axes.plot(frequencies_THz, density_per_THz, color=BLUE, linewidth=1.4)
    if frequencies_THz[0] < -0.5:
        axes.axvspan(frequencies_THz[0], 0, color=ORANGE, alpha=0.12, linewidth=0)
        axes.annotate(
            "imaginary", xy=(frequencies_THz[0], 0.95), xycoords=("data", "axes fraction"), color=ORANGE
        )
    axes.set_ylim(bottom=0)
    style_axes(axes, xlabel="Frequency (THz)", ylabel="Phonon DOS (1/THz)", title=title)
    return figure
