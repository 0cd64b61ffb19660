"""The backup as a Prefect flow, for its schedule (deployment `backup/maintenance`)."""

from __future__ import annotations

from prefect import flow
from prefect.logging import get_run_logger

from deployments.backup.create import create
from deployments.backup.errors import BackupError
from deployments.backup.snapshots import Store
from mofsim_settings import load_settings


@flow(name="backup")
def backup() -> str:
    """Make a backup in the configured folder, and answer its name.

    Raises
    ------
    BackupError
        When there is no folder, or the backup could not be made.
    """
    settings = load_settings()
    if settings.backup.folder is None:
        raise BackupError("No folder for backups: set backup.folder.")
    made = create(settings, Store(settings.backup.folder.absolute()), keep=settings.backup.keep)
    get_run_logger().info(made.summary())
    return made.name
