"""Interaction energies of the poses of a search."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from matplotlib.figure import Figure

from mof_benchmark.plots.style import BLUE, GREY, ORANGE, new_figure, style_axes
from mof_benchmark.units import EV_TO_KJ_MOL


def plot_pose_energies(interaction_energies_eV: Sequence[float], *, guest: str) -> Figure:
    """Draw all poses by rank, best first; the scale is cut above zero, where poses mean nothing."""
    energies = EV_TO_KJ_MOL * np.asarray(interaction_energies_eV)
    figure = new_figure()
    axes = figure.subplots()
    ranks = np.arange(1, len(energies) + 1)
    axes.scatter(ranks, energies, color=BLUE, s=14)
    axes.scatter(
        ranks[:1], energies[:1], color=ORANGE, s=40, zorder=3, label=f"best, {energies[0]:.1f} kJ/mol"
    )
    axes.axhline(0, color=GREY, linewidth=1)
    lowest = min(energies[0], -1.0)
    axes.set_ylim(1.15 * lowest, -0.5 * lowest)
    axes.legend(frameon=False)
    style_axes(axes, xlabel="Rank", ylabel="Interaction energy (kJ/mol)", title=f"{guest} poses")
    return figure
