"""What one stage leaves for the next, in the task's own folder and in those of earlier attempts."""

from __future__ import annotations

from pathlib import Path

import numpy as np
from ase import Atoms
from numpy.typing import NDArray

from tasks.stage import Work, work_folders

RELAXED = "relaxed.traj"


def write_relaxed(work: Work, relaxed: Atoms, name: str = RELAXED) -> None:
    """Leave a structure, every bit of it, momenta too."""
    from mof_benchmark.calculations.preparation import write_exact

    write_exact(work.checkpoints / name, relaxed)


def read_relaxed(work: Work, name: str = RELAXED) -> Atoms:
    """Read what an earlier stage left by `write_relaxed`."""
    from mof_benchmark.calculations.preparation import read_exact

    return read_exact(work.checkpoints / name)


def write_array(work: Work, name: str, array: NDArray[np.float64]) -> None:
    """Leave an array, all or nothing."""
    target = work.checkpoints / f"{name}.npy"
    unfinished = work.checkpoints / f"{name}.{work.request.attempt}.unfinished.npy"
    np.save(unfinished, array)
    unfinished.replace(target)


def read_array(work: Work, name: str) -> NDArray[np.float64]:
    """Read what an earlier stage left by `write_array`."""
    return np.asarray(np.load(work.checkpoints / f"{name}.npy", allow_pickle=False))


def output(work: Work, name: str) -> Path:
    """An output file an earlier stage left.

    Raises
    ------
    FileNotFoundError
        When no attempt has it.
    """
    path = find_output(work, name)
    if path is None:
        raise FileNotFoundError(f"The output file {name} is gone.")
    return path


def find_output(work: Work, name: str) -> Path | None:
    """An output file of this attempt, or of the newest earlier one that has it."""
    for folder in work_folders(work.host.settings, work.request):
        if (folder / name).is_file():
            return folder / name
    return None
