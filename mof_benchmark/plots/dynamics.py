"""Volume, temperature and energy over a molecular dynamics run."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Protocol

import numpy as np
from matplotlib.figure import Figure
from numpy.typing import NDArray

from mof_benchmark.plots.style import BLUE, GREEN, GREY, ORANGE, new_figure, style_axes


class Samples(Protocol):
    """What is drawn; all sequences have one length."""

    step: list[int]
    temperature_K: list[float]
    volume_A3: list[float]
    potential_energy_eV: list[float]


def plot_dynamics(series: Samples, *, timestep_fs: float = 1.0, title: str = "") -> Figure:
    """Draw the samples and their running mean over a twentieth of the run."""
    times_ps = np.array(series.step) * timestep_fs * 1e-3
    figure = new_figure(height_in=6.6)
    axes = figure.subplots(3, 1, sharex=True)
    rows = (
        (series.volume_A3, "Volume (Å³)", GREEN),
        (series.temperature_K, "Temperature (K)", ORANGE),
        (series.potential_energy_eV, "Potential energy (eV)", BLUE),
    )
    for axis, (values, label, color) in zip(axes, rows, strict=True):
        axis.plot(times_ps, values, color=color, linewidth=0.8, alpha=0.45)
        axis.plot(times_ps, _running_mean(values), color=color, linewidth=1.8)
        axis.axhline(values[0], color=GREY, linestyle=":", linewidth=0.8)
        axis.ticklabel_format(axis="y", useOffset=False)
        style_axes(axis, xlabel="", ylabel=label)
    axes[0].set_title(title, loc="left", fontsize=11, fontweight="bold")
    axes[-1].set_xlabel("Time (ps)")
    figure.align_ylabels(axes)
    return figure


def _running_mean(values: Sequence[float]) -> NDArray[np.float64]:
    half = max(1, len(values) // 40)
    padded = np.pad(np.asarray(values, dtype=float), half, mode="edge")
    return np.convolve(padded, np.full(2 * half + 1, 1 / (2 * half + 1)), mode="valid")
