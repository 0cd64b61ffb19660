"""What an output file is, told from its name."""

from __future__ import annotations

from pathlib import Path

import pytest

from mof_benchmark.outputs import output_file, written_files


def test_files_for_people_are_found_with_their_roles_and_all_else_is_left_out(tmp_path: Path) -> None:
    names = {
        "opt/trajectory.traj": "trajectory",
        "opt/convergence.svg": "convergence_plot_svg",
        "nvt.checkpoint.npz": "nvt_checkpoint",
        "npt.png": "dynamics_plot",
        "phonon_dos.csv": "phonon_dos",
        "phonon_dos.png": "phonon_dos_plot",
        "pose_07.extxyz": "ranked_pose",
    }
    internal = (
        ".npt.partial.png",
        "npt.checkpoint.unfinished.npz",
        "opt/.optimized.partial.cif",
        "result.pkl",
    )
    (tmp_path / "opt").mkdir()
    for name in (*names, *internal):
        (tmp_path / name).write_bytes(b"some")
    found = written_files(tmp_path)
    assert {file.path: file.role for file in found} == names
    media_types = {file.path: file.media_type for file in found}
    assert media_types["npt.png"] == "image/png"
    assert media_types["nvt.checkpoint.npz"] == "application/octet-stream"


def test_a_folder_that_was_never_made_holds_nothing(tmp_path: Path) -> None:
    assert written_files(tmp_path / "1") == []


def test_a_calculation_cannot_write_a_file_that_nobody_knows(tmp_path: Path) -> None:
    with pytest.raises(ValueError, match=r"new\.csv"):
        output_file(tmp_path / "new.csv", tmp_path)
