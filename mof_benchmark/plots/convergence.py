"""How a relaxation converged."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from matplotlib.figure import Figure
from matplotlib.ticker import MaxNLocator

from mof_benchmark.plots.style import BLUE, GREEN, GREY, ORANGE, new_figure, style_axes


def plot_convergence(
    energies_eV: Sequence[float],
    fmax_eV_A: Sequence[float],
    *,
    fmax_target_eV_A: float,
    n_atoms: int,
    volumes_A3: Sequence[float] | None = None,
    title: str = "",
) -> Figure:
    """Draw energy above the last one, largest force and, where given, volume over the steps.

    All sequences have one entry per step, the start included.
    """
    steps = np.arange(len(energies_eV))
    with_volume = volumes_A3 is not None and volumes_A3[0] > 0
    figure = new_figure(height_in=6.6 if with_volume else 5.0)
    axes = figure.subplots(3 if with_volume else 2, 1, sharex=True, squeeze=False)[:, 0]

    above_meV = 1e3 * (np.asarray(energies_eV) - energies_eV[-1]) / n_atoms
    axes[0].plot(steps, above_meV, color=BLUE, linewidth=1.6)
    # Linear close to zero, so that steps uphill and the end itself stay visible.
    axes[0].set_yscale("symlog", linthresh=1e-2)
    style_axes(axes[0], xlabel="", ylabel="Energy − final (meV/atom)", title=title)

    axes[1].semilogy(steps, np.maximum(fmax_eV_A, 1e-12), color=ORANGE, linewidth=1.6)
    axes[1].axhline(fmax_target_eV_A, color=GREY, linestyle="--", linewidth=1)
    axes[1].annotate(
        f"target {fmax_target_eV_A:g} eV/Å",
        xy=(0.01, fmax_target_eV_A),
        xycoords=("axes fraction", "data"),
        xytext=(0, 3),
        textcoords="offset points",
        ha="left",
        va="bottom",
        color=GREY,
        fontsize=8,
    )
    style_axes(axes[1], xlabel="", ylabel="Largest force (eV/Å)")

    if with_volume:
        axes[2].plot(steps, np.asarray(volumes_A3), color=GREEN, linewidth=1.6)
        axes[2].ticklabel_format(axis="y", useOffset=False)
        style_axes(axes[2], xlabel="", ylabel="Volume (Å³)")
    axes[-1].set_xlabel("Step")
    axes[-1].xaxis.set_major_locator(MaxNLocator(integer=True))
    figure.align_ylabels(axes)
    return figure
