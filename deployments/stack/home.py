"""The home folder of a stack: made privately, used by one `up` or `down` at a time."""

from __future__ import annotations

import fcntl
import json
import os
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import IO, Any

from deployments.stack.errors import StackError
from mofsim_settings import Settings


def stack_file(home: Path) -> Path:
    """What the running stack wrote about itself; also a source of `mofsim_settings`."""
    return home / "run" / "stack.json"


def make_home(settings: Settings) -> None:
    """Make the folders of a home.

    Raises
    ------
    StackError
        When the folder cannot be made or written; nothing is left behind then.
    """
    made: list[Path] = []
    try:
        for folder in (settings.home, settings.run_dir, settings.log_dir, settings.storage_root):
            made += [path for path in (folder, *folder.parents) if not path.exists()]
            folder.mkdir(parents=True, exist_ok=True)
        settings.home.chmod(0o700)
        # Without a name: several parts may start in a home at once.
        with tempfile.TemporaryFile(dir=settings.run_dir):
            pass
    except OSError as error:
        for path in sorted(set(made), reverse=True):
            with suppress(OSError):
                path.rmdir()
        reason = error.strerror or str(error)
        raise StackError(
            f"The home {settings.home} cannot be written ({reason}). "
            "Choose another with --home or MOFSIM_HOME."
        ) from error


@contextmanager
def locked(home: Path, patience_seconds: float = 0.0) -> Iterator[None]:
    """Hold the home against another `up` or `down` for the length of a block.

    Raises
    ------
    StackError
        When another one is still at work after `patience_seconds`; it is named.
    """
    deadline = time.monotonic() + patience_seconds
    with (home / "run" / "lock").open("a+") as file:
        while not _try_lock(file):
            if time.monotonic() >= deadline:
                file.seek(0)
                holder = file.read().strip() or "Another process"
                raise StackError(
                    f"{holder} is starting or stopping the stack in {home}; wait for it to finish."
                )
            time.sleep(0.1)
        file.truncate(0)
        file.write(f"Process {os.getpid()}")
        file.flush()
        try:
            yield
        finally:
            file.truncate(0)


def _try_lock(file: IO[str]) -> bool:
    try:
        fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        return False
    return True


def write_private(path: Path, text: str) -> None:
    """Write a file that only its owner may read, all of it or nothing."""
    partial = path.with_name(f".{path.name}.{os.getpid()}")
    with os.fdopen(os.open(partial, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600), "w") as file:
        file.write(text)
        file.flush()
        os.fsync(file.fileno())
    partial.replace(path)


def write_stack_file(home: Path, facts: dict[str, Any]) -> None:
    write_private(stack_file(home), json.dumps(facts, indent=2) + "\n")
