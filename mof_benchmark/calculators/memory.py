"""Refuse what the host's memory cannot hold: the kernel would kill the whole host, not one task."""

from __future__ import annotations

import psutil

from mof_benchmark.errors import OutOfMemoryError


def require_memory(n_atoms: int, n_edges: int, *, bytes_per_edge: float) -> None:
    """Compare what an evaluation on the CPU needs with what is free.

    Raises
    ------
    OutOfMemoryError
        When it does not fit.
    """
    needed, free = n_edges * bytes_per_edge, psutil.virtual_memory().available
    if needed > free:
        raise OutOfMemoryError(
            f"{n_atoms} atoms with {n_edges} edges need about {needed / 1e9:.1f} GB with this model; "
            f"{free / 1e9:.1f} GB are free."
        )
