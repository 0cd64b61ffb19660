"""The files calculations write: what each is, told from its name."""

from __future__ import annotations

import re
from pathlib import Path

from mof_benchmark.schemas.common import OutputFile

MEDIA_TYPES = {
    ".cif": "chemical/x-cif",
    ".xyz": "chemical/x-xyz",
    ".extxyz": "chemical/x-xyz",
    ".png": "image/png",
    ".svg": "image/svg+xml",
    ".json": "application/json",
    ".csv": "text/csv",
    ".yaml": "application/yaml",
}

_FILES = {
    # A relaxation, also the one that other calculations begin with.
    "optimized.cif": "optimized_structure",
    "optimized.extxyz": "optimized_structure_extxyz",
    "trajectory.traj": "trajectory",
    "trajectory.extxyz": "trajectory_extxyz",
    # Dynamics. A checkpoint is NumPy's own format, readable without anything of ours.
    "nvt.traj": "nvt_trajectory",
    "nvt.extxyz": "nvt_trajectory_extxyz",
    "nvt.checkpoint.npz": "nvt_checkpoint",
    "npt.traj": "npt_trajectory",
    "npt.extxyz": "npt_trajectory_extxyz",
    "npt.checkpoint.npz": "npt_checkpoint",
    "npt_series.csv": "npt_series",
    "final.cif": "final_structure",
    "final.extxyz": "final_structure_extxyz",
    # The others.
    "evaluated.extxyz": "evaluated_structure",
    "volume_points.csv": "volume_points",
    "phonon_dos.csv": "phonon_dos",
    "band.yaml": "phonon_bands",
    "phonopy_params.yaml": "phonopy_yaml",
    "pose.cif": "pose",
    "pose.extxyz": "pose_extxyz",
}
_PLOTS = {
    "convergence": "convergence_plot",
    "npt": "dynamics_plot",
    "equation_of_state": "equation_of_state_plot",
    "heat_capacity": "heat_capacity_plot",
    "phonon_dos": "phonon_dos_plot",
    "pose_energies": "pose_energies_plot",
}
_ROLES = {
    **_FILES,
    **{f"{stem}.png": role for stem, role in _PLOTS.items()},
    **{f"{stem}.svg": f"{role}_svg" for stem, role in _PLOTS.items()},
}
_RANKED_POSE = re.compile(r"pose_\d+\.extxyz")


def role_of(name: str) -> str | None:
    """What the file of this name is; None for one that is not meant for people."""
    return "ranked_pose" if _RANKED_POSE.fullmatch(name) else _ROLES.get(name)


def output_file(path: Path, workdir: Path) -> OutputFile:
    """Describe a file that a calculation wrote.

    Raises
    ------
    ValueError
        When no file has this name: a new one is named in this module first.
    """
    role = role_of(path.name)
    if role is None:
        raise ValueError(f"{path.name} is no output file")
    return OutputFile(
        role=role,
        path=path.relative_to(workdir).as_posix(),
        media_type=MEDIA_TYPES.get(path.suffix, "application/octet-stream"),
    )


def written_files(workdir: Path) -> list[OutputFile]:
    """The output files in a work folder, as they are: whole or not, of whatever stage."""
    return [
        output_file(path, workdir)
        for path in sorted(workdir.rglob("*"))
        if role_of(path.name) is not None and path.is_file()
    ]
