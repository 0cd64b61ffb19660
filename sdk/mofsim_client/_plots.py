"""Pictures of results (need the extra `plot`)."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from mofsim_client._exceptions import MissingPackageError

if TYPE_CHECKING:
    from matplotlib.axes import Axes


def axes(ax: Axes | None) -> Axes:
    """The axes to draw on, new ones if none are given.

    They belong to a figure of their own, not to pyplot: nothing is shown or kept unasked.
    """
    if ax is not None:
        return ax
    try:
        from matplotlib.figure import Figure
    except ImportError as error:
        raise MissingPackageError("This needs Matplotlib: pip install 'mofsim-client[plot]'.") from error
    new: Any = Figure(figsize=(6.0, 4.0), layout="constrained").subplots()
    return new  # type: ignore[no-any-return]


def curve(
    ax: Axes | None, x: list[Any], y: list[Any], labels: tuple[str, str], title: str, marker: str = ""
) -> Axes:
    """One line with its axes named."""
    drawn = axes(ax)
    drawn.plot(x, y, marker=marker or None)
    drawn.set_xlabel(labels[0])
    drawn.set_ylabel(labels[1])
    drawn.set_title(title)
    return drawn
