"""The one format of every part's log, and its files."""

from __future__ import annotations

import json
import logging
import multiprocessing
from datetime import UTC, datetime
from pathlib import Path

import pytest

from mofsim_logs import KINDS, JsonFormatter, LogFiles, encode, kind_of, timestamp


def lines(folder: Path, kind: str) -> list[str]:
    return [
        line for file in sorted((folder / kind).glob("*.jsonl")) for line in file.read_text().splitlines()
    ]


@pytest.mark.parametrize(
    ("logger", "kind"),
    [
        ("access", "access"),
        ("audit", "audit"),
        ("task.optimization", "task"),
        ("gateway.engine", "system"),
        ("deployments.worker.service", "system"),
        ("tasks.stage", "system"),
    ],
)
def test_a_logger_s_name_says_which_log_its_lines_belong_to(logger: str, kind: str) -> None:
    assert kind_of(logger) == kind
    assert kind in KINDS


def test_a_record_of_the_standard_library_has_the_format_of_the_requirements() -> None:
    record = logging.makeLogRecord(
        {"name": "deployments.hosts", "levelname": "WARNING", "msg": "%d °C", "args": (91,), "step": 4}
    )
    line = json.loads(JsonFormatter(gpu_id=3).format(record))
    assert set(line) == {"timestamp", "level", "logger", "message", "gpu_id", "extra"}
    assert (line["level"], line["logger"], line["message"], line["gpu_id"]) == (
        "WARNING",
        "deployments.hosts",
        "91 °C",
        3,
    )
    assert line["extra"] == {"step": 4}


def test_a_timestamp_is_utc_with_milliseconds() -> None:
    assert timestamp(datetime(2026, 1, 30, 10, 0, 0, 123456, tzinfo=UTC)) == "2026-01-30T10:00:00.123Z"


def _write_many(folder: Path, writer: int) -> None:
    files = LogFiles(folder)
    for number in range(500):
        files.write("task", [encode({"writer": writer, "number": number, "text": "x" * 300})])


def test_lines_of_several_processes_do_not_mix_and_none_is_lost(tmp_path: Path) -> None:
    context = multiprocessing.get_context("fork")
    writers = [context.Process(target=_write_many, args=(tmp_path, writer)) for writer in range(4)]
    for writer in writers:
        writer.start()
    for writer in writers:
        writer.join()
    found = [json.loads(line) for line in lines(tmp_path, "task")]
    assert sorted((line["writer"], line["number"]) for line in found) == [
        (writer, number) for writer in range(4) for number in range(500)
    ]


def test_a_disk_that_fails_costs_lines_not_the_work(tmp_path: Path) -> None:
    (tmp_path / "logs").write_text("not a folder")
    files = LogFiles(tmp_path / "logs")
    files.write("system", ["{}", "{}"])
    assert files.lost == 2
