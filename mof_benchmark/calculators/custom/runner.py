"""Start the validation of an uploaded model in a process apart, and judge what it leaves.

Free of torch. The process may have been taken over by the file it read, so nothing it leaves is
trusted: the report is parsed as a document of limited size, the weights are looked at as any upload
is, and how they are loaded follows from the user's configuration alone.
"""

from __future__ import annotations

import contextlib
import hashlib
import json
import os
import shutil
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

from ase.data import atomic_numbers

from mof_benchmark.calculators.custom import validation
from mof_benchmark.calculators.custom.confinement import Limits
from mof_benchmark.calculators.custom.scan import CustomFramework, scan
from mof_benchmark.calculators.custom.settings import precision_of, settings_of
from mof_benchmark.errors import MofsimError
from mof_benchmark.schemas.custom_model import CustomModelCard, ValidationFailure, ValidationReport

WALL_SECONDS = 1200.0
_LOOK_SECONDS = 0.2
_MAX_REPORT_BYTES = 1024**2


@dataclass(frozen=True, kw_only=True)
class Upload:
    """An uploaded model."""

    name: str
    path: Path
    framework: CustomFramework
    with_d3: bool
    config: dict[str, Any]


@dataclass(frozen=True, kw_only=True)
class Rules:
    """What a validation may take."""

    limits: Limits = field(default_factory=Limits)
    wall_seconds: float = WALL_SECONDS


def validate(
    upload: Upload,
    *,
    storage_root: Path,
    rules: Rules | None = None,
    wanted: Callable[[], bool] = lambda: True,
) -> tuple[ValidationReport, CustomModelCard | None]:
    """Validate a model; with a report that passes comes the card, its weights stored beside the upload.

    Parameters
    ----------
    upload
        Its file lies in a folder of its own under the storage root.
    wanted
        Asked about every 0.2 s; once false the process is killed.
    """
    rules = rules or Rules()
    try:
        if upload.path.stat().st_size == 0:
            raise FileNotFoundError(upload.path)
    except OSError:
        return _failed(10004, "StorageError", "The uploaded file is gone."), None
    folder = Path(tempfile.mkdtemp(prefix="validating-", dir=upload.path.parent))
    try:
        report = _run(upload, folder, rules, wanted)
        if not report.passed:
            return report, None
        return report, _keep(upload, folder / "work" / validation.WEIGHTS, report, storage_root)
    except MofsimError as error:
        return _failed(error.code, type(error).__name__, error.detail), None
    finally:
        shutil.rmtree(folder, ignore_errors=True)


def _run(upload: Upload, folder: Path, rules: Rules, wanted: Callable[[], bool]) -> ValidationReport:
    work, order = folder / "work", folder / "order.json"
    work.mkdir()
    order.write_text(
        json.dumps(
            {
                "name": upload.name,
                "upload": str(upload.path.absolute()),
                "framework": upload.framework,
                "with_d3": upload.with_d3,
                "config": upload.config,
                "folder": str(work.absolute()),
                "limits": asdict(rules.limits),
            }
        )
    )
    with (folder / "output").open("w+b") as output:
        process = subprocess.Popen(
            [sys.executable, "-P", "-m", validation.__name__, str(order)],
            stdin=subprocess.DEVNULL,
            stdout=output,
            stderr=output,
            # Nothing of ours: no address of a database, no key.
            env={
                "PATH": "/usr/bin:/bin",
                "HOME": str(work),
                "TMPDIR": str(work),
                "LANG": "C.UTF-8",
                **dict.fromkeys(("OMP_NUM_THREADS", "MKL_NUM_THREADS", "OPENBLAS_NUM_THREADS"), "1"),
            },
            cwd=Path(__file__).parents[3],
            start_new_session=True,
        )
        begun = time.monotonic()
        try:
            while True:
                with contextlib.suppress(subprocess.TimeoutExpired):
                    process.wait(_LOOK_SECONDS)
                    break
                if not wanted():
                    return _failed(50005, "StoppedError", "The validation is no longer wanted.")
                if time.monotonic() - begun > rules.wall_seconds:
                    return _failed(
                        50002,
                        "TaskTimedOutError",
                        f"The validation took longer than {rules.wall_seconds:.0f} s.",
                    )
        finally:
            # The whole session, also after an ordinary end: nothing it started may stay.
            with contextlib.suppress(ProcessLookupError):
                os.killpg(process.pid, signal.SIGKILL)
            process.wait()
        return _read_report(work / validation.REPORT, process.returncode)


def _read_report(path: Path, returncode: int) -> ValidationReport:
    try:
        # A link could point at a file of ours.
        handle = os.open(path, os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK)
        with os.fdopen(handle, "rb") as file:
            content = file.read(_MAX_REPORT_BYTES + 1)
        if len(content) > _MAX_REPORT_BYTES:
            raise ValueError("too long")
        return ValidationReport.model_validate_json(content)
    except (OSError, ValueError):
        how = f"with signal {-returncode}" if returncode < 0 else f"with status {returncode}"
        return _failed(
            50010,
            "ModelLoadError",
            f"The validating process ended {how} and left no report: it met a limit of memory, CPU time "
            "or files, or broke.",
        )


def _keep(upload: Upload, weights: Path, report: ValidationReport, storage_root: Path) -> CustomModelCard:
    if weights.is_symlink() or not weights.is_file():
        raise MofsimError("The validation left no weights.")
    # Bare weights may ask for nothing but tensors, whatever the framework of the upload.
    scan(weights, "pytorch")
    with weights.open("rb") as file:
        digest = hashlib.file_digest(file, "sha256").hexdigest()
    kept = upload.path.parent / f"weights-{digest[:16]}.pt"
    weights.chmod(0o644)
    weights.replace(kept)
    return CustomModelCard(
        framework=upload.framework,
        dtype=precision_of(upload.framework, upload.config),
        settings=settings_of(upload.framework, upload.config),
        elements=sorted(atomic_numbers[symbol] for symbol in report.elements),
        weights=kept.relative_to(storage_root).as_posix(),
        sha256=digest,
    )


def _failed(code: int, kind: str, detail: str) -> ValidationReport:
    return ValidationReport(passed=False, error=ValidationFailure(code=code, type=kind, detail=detail))
