"""Output files of an attempt, as the database registers them."""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from mof_benchmark.identifiers import new_id
from mof_benchmark.outputs import written_files
from mof_benchmark.schemas import OutputFile


def file_documents(
    files: list[OutputFile], workdirs: Sequence[Path], storage_root: Path
) -> list[dict[str, Any]]:
    """Describe output files for `attempt_result` and `attempt_files`.

    Parameters
    ----------
    files
        As the calculation named them, relative to its work folder.
    workdirs
        Work folders inside `storage_root` where a file may lie: that of the present attempt first,
        then earlier ones, whose finished stages a later attempt takes over with their files.

    Raises
    ------
    FileNotFoundError
        When a file is in none of them.
    """
    return [_document(file, find_file(file, workdirs), storage_root) for file in files]


def left_files(workdirs: Sequence[Path], storage_root: Path) -> list[dict[str, Any]]:
    """Describe the output files that lie in work folders, however whole they are, for `attempt_files`.

    `workdirs` are those of `file_documents`; of two files with one name the present attempt's counts.
    """
    found = {file.path: file for workdir in reversed(workdirs) for file in written_files(workdir)}
    return file_documents(list(found.values()), workdirs, storage_root)


def find_file(file: OutputFile, workdirs: Sequence[Path]) -> Path:
    """Where an output file lies; see `file_documents`."""
    for workdir in workdirs:
        if (workdir / file.path).is_file():
            return workdir / file.path
    raise FileNotFoundError(f"The output file {file.path} is gone.")


def _document(file: OutputFile, path: Path, storage_root: Path) -> dict[str, Any]:
    with path.open("rb") as content:
        digest = hashlib.file_digest(content, "sha256").hexdigest()
    return {
        "file_id": new_id("file"),
        "role": file.role,
        "path": path.relative_to(storage_root).as_posix(),
        "media_type": file.media_type,
        "size_bytes": path.stat().st_size,
        "sha256": digest,
    }
