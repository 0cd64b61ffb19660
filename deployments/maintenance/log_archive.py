"""Old log files: raw for a week, then gzipped, after a month packed by month, kept for ever.

    <kind>/2026-01-30.jsonl            the last seven days
    <kind>/2026-01-22.jsonl.gz         until thirty days
    <kind>/2026-01.tar                 months: the days' gzipped files

Every step writes a whole new file beside the old, renames it into place and only then removes what
it came from; a step that finds the work of an interrupted one finishes it. So whatever is cut off
where, each line is in exactly one place once the archiver has run again.
"""

from __future__ import annotations

import fcntl
import gzip
import io
import os
import re
import shutil
import tarfile
from collections import defaultdict
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from datetime import date, timedelta
from pathlib import Path

from mofsim_logs import KINDS

RAW_DAYS = 7
GZIPPED_DAYS = 30
_DAY = re.compile(r"(\d{4}-\d{2}-\d{2})\.jsonl(\.gz)?")
_PARTIAL = ".partial"


@dataclass
class Archived:
    """What a run did."""

    gzipped: list[str] = field(default_factory=list)
    packed: list[str] = field(default_factory=list)


def archive(folder: Path, today: date) -> Archived:
    """Bring the log files of `<home>/logs` into their shape of `today`.

    Raises
    ------
    OSError
        When the disk fails or is full; nothing is lost, and the next run goes on.
    """
    done = Archived()
    with _alone(folder):
        for kind in KINDS:
            here = folder / kind
            if not here.is_dir():
                continue
            for partial in here.glob(f"*{_PARTIAL}"):
                partial.unlink()
            for day, file in _days(here, ".jsonl"):
                if day < today - timedelta(days=RAW_DAYS):
                    _gzip(file)
                    done.gzipped.append(f"{kind}/{file.name}")
            months: dict[str, list[Path]] = defaultdict(list)
            for day, file in _days(here, ".jsonl.gz"):
                if day < today - timedelta(days=GZIPPED_DAYS):
                    months[day.strftime("%Y-%m")].append(file)
            for month, files in months.items():
                _pack(here / f"{month}.tar", files)
                done.packed += [f"{kind}/{file.name}" for file in files]
    return done


@contextmanager
def _alone(folder: Path) -> Iterator[None]:
    folder.mkdir(parents=True, exist_ok=True)
    with (folder / ".archiver.lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        yield


def _days(folder: Path, ending: str) -> list[tuple[date, Path]]:
    found = []
    for file in sorted(folder.glob(f"*{ending}")):
        name = _DAY.fullmatch(file.name)
        if name is not None:
            found.append((date.fromisoformat(name[1]), file))
    return found


def _gzip(raw: Path) -> None:
    target = raw.with_name(f"{raw.name}.gz")
    if target.exists() and _ends_with(target, raw):
        # An earlier run was cut off between the two last steps.
        raw.unlink()
        return
    partial = target.with_name(f"{target.name}{_PARTIAL}")
    with partial.open("wb") as file:
        if target.exists():
            # Lines of a process that wrote late; gzip's format lets members follow each other.
            with target.open("rb") as before:
                shutil.copyfileobj(before, file)
        with raw.open("rb") as lines, gzip.GzipFile("", "wb", fileobj=file, mtime=0) as packed:
            shutil.copyfileobj(lines, packed)
        _to_disk(file)
    partial.replace(target)
    _sync_folder(target.parent)
    raw.unlink()


def _ends_with(target: Path, raw: Path) -> bool:
    """Whether the content of a gzipped file ends with that of a raw one."""
    with gzip.open(target) as file:
        content = file.read()
    return content.endswith(raw.read_bytes())


def _pack(month: Path, files: list[Path]) -> None:
    """Move gzipped days into the month's archive."""
    partial = month.with_name(f"{month.name}{_PARTIAL}")
    have: dict[str, list[bytes]] = defaultdict(list)
    with partial.open("wb") as file:
        with tarfile.open(fileobj=file, mode="w") as packed:
            if month.exists():
                with tarfile.open(month) as before:
                    for member in before.getmembers():
                        content = before.extractfile(member)
                        assert content is not None  # noqa: S101 - there are only files in it
                        have[_day_of(member.name)].append(data := content.read())
                        packed.addfile(member, io.BytesIO(data))
            for day in files:
                content_of_day = day.read_bytes()
                already = have[day.name]
                if content_of_day in already:
                    continue
                name = day.name if not already else f"{day.name}.{len(already)}"
                member = tarfile.TarInfo(name)
                member.size = len(content_of_day)
                member.mtime = day.stat().st_mtime
                packed.addfile(member, io.BytesIO(content_of_day))
        _to_disk(file)
    partial.replace(month)
    _sync_folder(month.parent)
    for day in files:
        day.unlink()


def _day_of(member: str) -> str:
    """Name of the day's file; a day that was packed twice has a number behind it."""
    return member.partition(".gz")[0] + ".gz"


def _to_disk(file: io.BufferedWriter) -> None:
    file.flush()
    os.fsync(file.fileno())


def _sync_folder(folder: Path) -> None:
    descriptor = os.open(folder, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


def read_lines(folder: Path, kind: str) -> Iterator[str]:
    """Every line of a kind, wherever it lies, in order of days within each place."""
    here = folder / kind
    for month in sorted(here.glob("*.tar")):
        with tarfile.open(month) as packed:
            for member in sorted(packed.getmembers(), key=lambda one: one.name):
                content = packed.extractfile(member)
                if content is not None:
                    yield from gzip.decompress(content.read()).decode().splitlines()
    for file in sorted(here.glob("*.jsonl.gz")):
        yield from gzip.decompress(file.read_bytes()).decode().splitlines()
    for file in sorted(here.glob("*.jsonl")):
        yield from file.read_text().splitlines()
