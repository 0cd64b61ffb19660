"""What `./mofsim test` runs, and CI with it."""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Sequence
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]
CHECKS = (
    ("ruff", "format", "--check", "."),
    ("ruff", "check", "."),
    ("mypy",),
    ("pyright", "--project", "pyproject.toml", "--pythonpath", sys.executable),
    ("pytest", "--numprocesses=2"),
)


def run(pytest_arguments: Sequence[str]) -> int:
    """Run every check to its end and answer 0 when all passed; with arguments, only pytest."""
    chosen = [("pytest", *pytest_arguments)] if pytest_arguments else CHECKS
    failed = [check[0] for check in chosen if _fails(check)]
    if failed:
        print(f"mofsim: failed: {', '.join(failed)}", file=sys.stderr)
    return 1 if failed else 0


def _fails(check: Sequence[str]) -> bool:
    print(f"mofsim: {' '.join(check)}", file=sys.stderr, flush=True)
    return subprocess.run([sys.executable, "-m", *check], cwd=ROOT, check=False).returncode != 0
