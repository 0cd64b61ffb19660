"""What the gateway's worker process does with an uploaded model: look at its bytes, run nothing."""

from __future__ import annotations

import resource
from pathlib import Path

from mof_benchmark.calculators.custom.scan import CustomFramework, scan

MEMORY_BYTES = 4 * 1024**3


def scan_upload(path: Path, framework: CustomFramework) -> None:
    """Look at an uploaded file under a limit of memory.

    Raises
    ------
    InvalidFileError, UnsafeModelFileError
        As `scan` does.
    """
    _, hard = resource.getrlimit(resource.RLIMIT_AS)
    resource.setrlimit(resource.RLIMIT_AS, (MEMORY_BYTES, hard))
    scan(path, framework)
