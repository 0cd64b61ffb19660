"""The archiver loses no line and repeats none, wherever it is cut off."""

from __future__ import annotations

import subprocess
import sys
from collections import Counter
from datetime import date, timedelta
from pathlib import Path

import pytest

from deployments.maintenance.log_archive import archive, read_lines
from mofsim_logs import KINDS

TODAY = date(2026, 3, 20)
LINES_A_DAY = 20
CRASHING = """
import os, sys
from datetime import date
from pathlib import Path

calls, left = 0, int(sys.argv[2])

def hook(event, arguments):
    # The archiver's steps are renames and removals: end without any farewell before one of them.
    global left
    if event in ("os.rename", "os.remove", "os.truncate"):
        if left == 0:
            os._exit(9)
        left -= 1

from deployments.maintenance.log_archive import archive
sys.addaudithook(hook)
archive(Path(sys.argv[1]), date.fromisoformat(sys.argv[3]))
"""


def write_days(folder: Path, days: int) -> dict[str, Counter[str]]:
    """Files of so many days before today, and the lines they hold."""
    written: dict[str, Counter[str]] = {kind: Counter() for kind in KINDS}
    for kind in KINDS:
        (folder / kind).mkdir(parents=True, exist_ok=True)
        for age in range(days):
            day = TODAY - timedelta(days=age)
            lines = [f'{{"day": "{day}", "number": {number}}}' for number in range(LINES_A_DAY)]
            (folder / kind / f"{day}.jsonl").write_text("\n".join(lines) + "\n")
            written[kind].update(lines)
    return written


def kept(folder: Path) -> dict[str, Counter[str]]:
    return {kind: Counter(read_lines(folder, kind)) for kind in KINDS}


def test_a_week_stays_raw_a_month_is_gzipped_and_what_is_older_is_packed_by_month(tmp_path: Path) -> None:
    written = write_days(tmp_path, 70)
    archive(tmp_path, TODAY)
    assert kept(tmp_path) == written
    here = tmp_path / "task"
    assert len(list(here.glob("*.jsonl"))) == 8
    assert len(list(here.glob("*.jsonl.gz"))) == 23
    assert sorted(file.name for file in here.glob("*.tar")) == ["2026-01.tar", "2026-02.tar"]


def test_each_day_moves_on_and_months_grow(tmp_path: Path) -> None:
    written = write_days(tmp_path, 3)
    for later in range(0, 45, 5):
        archive(tmp_path, TODAY + timedelta(days=later))
        assert kept(tmp_path) == written
    assert [file.name for file in sorted((tmp_path / "audit").glob("*")) if file.is_file()] == ["2026-03.tar"]


def test_lines_written_late_join_their_day(tmp_path: Path) -> None:
    written = write_days(tmp_path, 50)
    archive(tmp_path, TODAY)
    for age in (10, 40, 40):
        day = TODAY - timedelta(days=age)
        line = f'{{"late": {len(written["task"])}, "day": "{day}"}}'
        (tmp_path / "task" / f"{day}.jsonl").write_text(line + "\n")
        written["task"][line] += 1
        archive(tmp_path, TODAY)
    assert kept(tmp_path) == written


# The first kind takes 52 moves to gzip its days and four to pack three of them.
@pytest.mark.parametrize("steps", [0, 1, 52, 53, 54, 57])
def test_a_crash_at_any_step_loses_and_repeats_no_line(tmp_path: Path, steps: int) -> None:
    written = write_days(tmp_path, 34)
    done = subprocess.run(
        [sys.executable, "-c", CRASHING, str(tmp_path), str(steps), TODAY.isoformat()],
        cwd=Path(__file__).parents[3],
        check=False,
    )
    assert done.returncode == 9
    archive(tmp_path, TODAY)
    assert kept(tmp_path) == written
    assert list(tmp_path.rglob("*.partial")) == []
