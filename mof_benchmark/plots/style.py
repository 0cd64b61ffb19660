"""The look all figures share, and how they are written.

Figures are made without pyplot: its table of open figures is global, and hosts draw in threads.
"""

from __future__ import annotations

from pathlib import Path

from matplotlib.axes import Axes
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.figure import Figure

BLUE = "#2f6fb3"
ORANGE = "#d9762b"
GREEN = "#3a8f5c"
GREY = "#6b7280"
INK = "#1f2933"
GRID = "#e3e7ec"


def new_figure(*, width_in: float = 7.0, height_in: float = 4.4) -> Figure:
    """Make an empty figure on an Agg canvas."""
    figure = Figure(figsize=(width_in, height_in), layout="constrained", facecolor="white")
    FigureCanvasAgg(figure)
    return figure


def style_axes(axes: Axes, *, xlabel: str, ylabel: str, title: str = "") -> None:
    """Give axes their labels (with units) and the common look."""
    axes.set_xlabel(xlabel, color=INK)
    axes.set_ylabel(ylabel, color=INK)
    if title:
        axes.set_title(title, color=INK, loc="left", fontsize=11, fontweight="bold")
    axes.grid(True, color=GRID, linewidth=0.8)
    axes.set_axisbelow(True)
    axes.tick_params(colors=GREY, labelsize=9)
    for side in ("top", "right"):
        axes.spines[side].set_visible(False)
    for side in ("left", "bottom"):
        axes.spines[side].set_color(GREY)


def save(figure: Figure, stem: Path) -> list[Path]:
    """Write `<stem>.png` and `<stem>.svg`, each all or nothing."""
    written = []
    for suffix in (".png", ".svg"):
        path = stem.with_name(stem.name + suffix)
        partial = path.with_name(f".{path.stem}.partial{suffix}")
        # Without a date the same data give the same file.
        metadata = {"Date": None} if suffix == ".svg" else None
        figure.savefig(partial, dpi=150, metadata=metadata)
        partial.replace(path)
        written.append(path)
    return written
