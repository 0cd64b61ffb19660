"""What the attempts of a task left in their work folders."""

from __future__ import annotations

import hashlib
from pathlib import Path

from tasks.files import left_files


def test_of_two_attempts_files_of_one_name_the_later_ones_count(tmp_path: Path) -> None:
    folders = [tmp_path / "results" / "task_x" / attempt for attempt in ("2", "1")]
    for folder in folders:
        (folder / "opt").mkdir(parents=True)
        (folder / "nvt.traj").write_bytes(folder.name.encode())
    (folders[1] / "opt" / "optimized.cif").write_text("data_x")

    files = {file["path"]: file for file in left_files(folders, tmp_path)}

    assert files.keys() == {"results/task_x/2/nvt.traj", "results/task_x/1/opt/optimized.cif"}
    nvt = files["results/task_x/2/nvt.traj"]
    assert nvt["role"] == "nvt_trajectory"
    assert nvt["size_bytes"] == 1
    assert nvt["sha256"] == hashlib.sha256(b"2").hexdigest()


def test_attempts_that_wrote_nothing_left_nothing(tmp_path: Path) -> None:
    assert left_files([tmp_path / "results" / "task_x" / "1"], tmp_path) == []
