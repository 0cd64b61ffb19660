"""`python -m deployments.maintenance`: the worker of the scheduled chores, behind everything else."""

from __future__ import annotations

import os
import sys

from deployments.stack.parts import MAINTENANCE_POOL


def main() -> None:
    # The chores can wait; calculations and requests cannot.
    os.nice(15)
    words = ("worker", "start", "--pool", MAINTENANCE_POOL, "--type", "process")
    command = [sys.executable, "-P", "-m", "prefect", *words, "--install-policy", "never"]
    os.execv(sys.executable, command)  # noqa: S606 - itself, in this process


if __name__ == "__main__":
    main()
