"""Making a backup: the databases as of one moment, then the files they name."""

from __future__ import annotations

import os
import tempfile
from collections.abc import Iterator
from pathlib import Path

from deployments.backup import databases
from deployments.backup.errors import BackupError
from deployments.backup.snapshots import Dump, File, Root, Snapshot, Store, now
from mofsim_settings import Settings

NOT_COPIED = ("run", "postgres", "postgres.partial", "postgres.password", "prefect")
"""What a start makes again, and the database cluster, which is dumped."""


def create(settings: Settings, store: Store, *, keep: int) -> Snapshot:
    """Make a backup and remove those beyond `keep`.

    Files come after the databases: what a row names when it is dumped is on the disk by then,
    because results are never changed and only removed with their row.

    Raises
    ------
    BackupError
        When a database does not answer or the folder cannot be written; earlier backups are whole
        as before.
    """
    if store.folder.is_relative_to(settings.home):
        raise BackupError(f"Backups in {store.folder} would be lost with the home {settings.home}.")
    with store.writing():
        created_at, new_bytes = now(), 0
        dumps = []
        with databases.reachable(settings) as urls, tempfile.TemporaryDirectory(dir=store.folder) as scratch:
            for name in databases.NAMES:
                file = Path(scratch) / name
                databases.dump(urls[name], file)
                databases.check(file)
                checksum, size, is_new = store.add(file)
                new_bytes += size if is_new else 0
                dumps.append(Dump(name=name, sha256=checksum, size_bytes=size))
        earlier = store.snapshots()
        known = {(file.root, file.path): file for file in earlier[-1].files} if earlier else {}
        files = []
        for root, path, place in _files(settings):
            copied = _copy(store, root, path, place, known.get((root, place)))
            if copied is not None:
                file_entry, is_new = copied
                new_bytes += file_entry.size_bytes if is_new else 0
                files.append(file_entry)
        snapshot = Snapshot(created_at=created_at, new_bytes=new_bytes, databases=dumps, files=files)
        store.commit(snapshot)
        store.prune(keep)
    return snapshot


def roots(settings: Settings) -> dict[Root, Path]:
    """The folders of an installation; storage and models may lie in the home or elsewhere."""
    return {"storage": settings.storage_root, "models": settings.models_dir, "home": settings.home}


def _files(settings: Settings) -> Iterator[tuple[Root, Path, str]]:
    """Every regular file with its root and its place below it."""
    places = roots(settings)
    apart = {places["storage"], places["models"], *(settings.home / name for name in NOT_COPIED)}
    for root, folder in places.items():
        for parent, folders, names in os.walk(folder):
            here = Path(parent)
            if root == "home":
                folders[:] = [name for name in folders if here / name not in apart]
            for name in sorted(names):
                path = here / name
                if path.is_file() and not path.is_symlink() and path not in apart:
                    yield root, path, path.relative_to(folder).as_posix()


def _copy(store: Store, root: Root, path: Path, place: str, known: File | None) -> tuple[File, bool] | None:
    """The file's entry, and whether its content was new; None for one that is gone by now."""
    try:
        facts = path.stat()
        if (
            known is not None
            and (known.size_bytes, known.mtime_ns) == (facts.st_size, facts.st_mtime_ns)
            and store.has(known.sha256)
        ):
            checksum, size, is_new = known.sha256, known.size_bytes, False
        else:
            checksum, size, is_new = store.add(path)
    except FileNotFoundError:
        return None
    entry = File(
        root=root,
        path=place,
        sha256=checksum,
        size_bytes=size,
        mtime_ns=facts.st_mtime_ns,
        mode=facts.st_mode & 0o777,
    )
    return entry, is_new
