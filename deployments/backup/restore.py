"""Bringing an installation back from a backup."""

from __future__ import annotations

import os
import shutil
from pathlib import Path

from deployments.backup import databases
from deployments.backup.create import roots
from deployments.backup.errors import BackupError
from deployments.backup.snapshots import File, Snapshot, Store
from deployments.stack import postgres
from deployments.stack.home import make_home
from deployments.stack.lifecycle import refuse_second
from mofsim_settings import Settings, load_settings


def restore(home: Path, store: Store, name: str = "latest", *, replace: bool = False) -> Snapshot:
    """Fill an empty home, its storage and its databases from a backup.

    The databases go to the server that the environment or the restored `mofsim.toml` names, else
    to a new embedded one. Tasks that ran when the backup was made are taken up by the next start.

    Parameters
    ----------
    replace
        Whether databases that have tables already may be overwritten.

    Raises
    ------
    BackupError
        When the backup is damaged, the home is not empty, or a database has tables; nothing is
        changed then.
    """
    refuse_second(home)
    snapshot = store.find(name)
    store.verify(snapshot)
    if home.exists() and any(home.iterdir()):
        raise BackupError(f"The home {home} is not empty; move it away first.")
    try:
        _bring_files(store, [file for file in snapshot.files if file.root == "home"], home)
        settings = load_settings(home)
        make_home(settings)
        if not settings.database.url.get_secret_value():
            postgres.prepare(home)
        _bring_databases(store, snapshot, settings, replace=replace)
    except BaseException:
        _empty(home)
        raise
    for root, folder in roots(settings).items():
        if root != "home":
            _bring_files(store, [file for file in snapshot.files if file.root == root], folder)
    return snapshot


def _bring_databases(store: Store, snapshot: Snapshot, settings: Settings, *, replace: bool) -> None:
    with databases.reachable(settings) as urls:
        taken = [name for name in databases.NAMES if not databases.is_empty(urls[name])]
        if taken and not replace:
            raise BackupError(f"The database {' and '.join(taken)} has tables already; --replace overwrites.")
        for dumped in snapshot.databases:
            databases.load(urls[dumped.name], store.object(dumped.sha256))


def _bring_files(store: Store, files: list[File], folder: Path) -> None:
    for file in files:
        target = folder / file.path
        if not target.resolve().is_relative_to(folder.resolve()):
            raise BackupError(f"{file.path} lies outside of its folder.")
        if _is_there(target, file):
            continue
        store.copy_out(file.sha256, target)
        target.chmod(file.mode)
        os.utime(target, ns=(file.mtime_ns, file.mtime_ns))


def _is_there(target: Path, file: File) -> bool:
    """A shared storage may have outlived the home."""
    if not target.is_file():
        return False
    facts = target.stat()
    return (facts.st_size, facts.st_mtime_ns) == (file.size_bytes, file.mtime_ns)


def _empty(home: Path) -> None:
    for path in home.iterdir() if home.exists() else ():
        if path.is_dir():
            shutil.rmtree(path)
        else:
            path.unlink()
