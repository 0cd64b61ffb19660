"""The folder of backups: `objects/` by checksum, and one small document per backup.

A file that did not change between two backups is one object, so that every backup is complete and
costs only what is new. Nothing is ever overwritten; an interrupted backup leaves objects without a
document, which the next one uses or removes.
"""

from __future__ import annotations

import fcntl
import hashlib
import json
import os
import shutil
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import UTC, datetime
from pathlib import Path
from typing import Literal

from pydantic import BaseModel, ValidationError

from deployments.backup.errors import BackupError

Root = Literal["home", "storage", "models"]
_CHUNK_BYTES = 1 << 20


class Stored(BaseModel):
    """A piece of a backup: the object that holds its content."""

    sha256: str
    size_bytes: int


class Dump(Stored):
    """A database in a backup."""

    name: str


class File(Stored):
    """A file in a backup, by its place below one of the roots of an installation."""

    root: Root
    path: str
    mtime_ns: int
    mode: int


class Snapshot(BaseModel):
    """One backup."""

    format: Literal[1] = 1
    created_at: datetime
    new_bytes: int
    databases: list[Dump]
    files: list[File]

    @property
    def name(self) -> str:
        return self.created_at.strftime("%Y%m%dT%H%M%S.%fZ")

    def summary(self) -> str:
        """One line for people."""
        total = sum(part.size_bytes for part in self.parts())
        return (
            f"{self.name}: {len(self.databases)} databases, {len(self.files)} files, "
            f"{total / 1e6:.1f} MB ({self.new_bytes / 1e6:.1f} MB new)"
        )

    def checksums(self) -> set[str]:
        return {part.sha256 for part in self.parts()}

    def parts(self) -> list[Stored]:
        return [*self.databases, *self.files]


class Store:
    """The folder of all backups of an installation.

    Parameters
    ----------
    folder
        Made when it is not there.
    """

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self._objects = folder / "objects"
        self._documents = folder / "snapshots"

    @contextmanager
    def writing(self) -> Iterator[None]:
        """Hold the folder against another backup for the length of a block.

        Raises
        ------
        BackupError
            When one is at work, or the folder cannot be written.
        """
        try:
            for folder in (self._objects, self._documents):
                folder.mkdir(parents=True, exist_ok=True)
            # Keys and tasks of all users are in it.
            self.folder.chmod(0o700)
            lock = (self.folder / ".lock").open("a")
        except OSError as error:
            raise BackupError(f"The folder {self.folder} cannot be written: {error.strerror}.") from error
        with lock:
            try:
                fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
            except BlockingIOError:
                raise BackupError(f"Another backup is being written to {self.folder}.") from None
            yield

    def add(self, source: Path) -> tuple[str, int, bool]:
        """Copy a file into the objects; answers checksum, size and whether it was new.

        Raises
        ------
        BackupError
            When the copy reads back differently: the disk is failing.
        """
        digest, size = hashlib.sha256(), 0
        partial, name = tempfile.mkstemp(prefix=".partial-", dir=self._objects)
        try:
            with source.open("rb") as original, os.fdopen(partial, "wb") as copy:
                while chunk := original.read(_CHUNK_BYTES):
                    digest.update(chunk)
                    size += len(chunk)
                    copy.write(chunk)
                copy.flush()
                os.fsync(copy.fileno())
            checksum = digest.hexdigest()
            if self.has(checksum):
                return checksum, size, False
            if _checksum(Path(name)) != checksum:
                raise BackupError(f"{self.folder} does not give back what was written to it: {source}.")
            self.object(checksum).parent.mkdir(exist_ok=True)
            Path(name).rename(self.object(checksum))
        finally:
            Path(name).unlink(missing_ok=True)
        return checksum, size, True

    def has(self, checksum: str) -> bool:
        return self.object(checksum).exists()

    def object(self, checksum: str) -> Path:
        return self._objects / checksum[:2] / checksum

    def commit(self, snapshot: Snapshot) -> None:
        """Write the document that makes a backup of the objects."""
        body = snapshot.model_dump_json(indent=1)
        document = {"sha256": hashlib.sha256(body.encode()).hexdigest(), "snapshot": body}
        partial = self._documents / f".{snapshot.name}"
        with partial.open("w") as file:
            json.dump(document, file)
            file.flush()
            os.fsync(file.fileno())
        partial.rename(self._document(snapshot.name))

    def snapshots(self) -> list[Snapshot]:
        """All backups, oldest first.

        Raises
        ------
        BackupError
            When a document is damaged.
        """
        return [self._read(path) for path in sorted(self._documents.glob("*.json"))]

    def find(self, name: str) -> Snapshot:
        """A backup by its name, or the newest by `latest`.

        Raises
        ------
        BackupError
            When there is none such, or it is damaged.
        """
        if name == "latest":
            names = sorted(self._documents.glob("*.json"))
            if not names:
                raise BackupError(f"There is no backup in {self.folder}.")
            return self._read(names[-1])
        if not self._document(name).is_file():
            known = ", ".join(path.stem for path in sorted(self._documents.glob("*.json"))) or "none"
            raise BackupError(f"There is no backup {name} in {self.folder}; there are: {known}.")
        return self._read(self._document(name))

    def verify(self, snapshot: Snapshot) -> None:
        """Read every object of a backup again.

        Raises
        ------
        BackupError
            Naming the first one that is missing or damaged.
        """
        for checksum in sorted(snapshot.checksums()):
            path = self.object(checksum)
            if not path.is_file() or _checksum(path) != checksum:
                names = [part.name for part in snapshot.databases if part.sha256 == checksum]
                names += [part.path for part in snapshot.files if part.sha256 == checksum]
                state = "damaged" if path.is_file() else "missing"
                raise BackupError(f"Backup {snapshot.name}: {', '.join(names)} is {state} ({path}).")

    def prune(self, keep: int) -> int:
        """Remove the oldest backups beyond `keep`, and every object that none needs; count them."""
        snapshots = self.snapshots()
        old, kept = snapshots[:-keep], snapshots[-keep:]
        needed: set[str] = set().union(*(snapshot.checksums() for snapshot in kept))
        # Documents first: an interruption leaves objects too many, never too few.
        for snapshot in old:
            self._document(snapshot.name).unlink()
        for path in self._objects.rglob("*"):
            if path.is_file() and path.name not in needed:
                path.unlink()
        return len(old)

    def copy_out(self, checksum: str, target: Path) -> None:
        """Copy an object to a file of its own."""
        target.parent.mkdir(parents=True, exist_ok=True)
        shutil.copyfile(self.object(checksum), target)

    def _document(self, name: str) -> Path:
        return self._documents / f"{name}.json"

    def _read(self, path: Path) -> Snapshot:
        try:
            document = json.loads(path.read_text())
            body: str = document["snapshot"]
            if hashlib.sha256(body.encode()).hexdigest() != document["sha256"]:
                raise ValueError("the checksum differs")
            return Snapshot.model_validate_json(body)
        except (ValueError, KeyError, ValidationError) as error:
            raise BackupError(f"The backup {path} is damaged: {error}.") from error


def now() -> datetime:
    return datetime.now(UTC)


def _checksum(path: Path) -> str:
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()
