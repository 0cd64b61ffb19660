"""The commands of whoever runs mofsim for others: single parts, set-up, backup, restore."""

from __future__ import annotations

import os
import subprocess
import sys
from datetime import UTC, datetime
from pathlib import Path
from typing import Annotated

import psycopg
import typer

from deployments.backup import BackupError
from deployments.cli.common import HomeOption, console, fail, home_of
from deployments.environment import process_environment
from deployments.maintenance import data_care, log_archive
from deployments.stack.errors import StackError
from deployments.stack.health import problem_of
from deployments.stack.home import make_home
from deployments.stack.parts import SINGLE_PARTS, single_part
from mofsim_settings import load_settings

FolderOption = Annotated[
    Path | None, typer.Option("--folder", help="Folder of the backups (backup.folder of the settings).")
]


def part(
    name: Annotated[str, typer.Argument(help=f"One of {', '.join(SINGLE_PARTS)}.")],
    gpu: Annotated[int | None, typer.Option(min=0, help="Number of the GPU slot, for a host.")] = None,
    home: HomeOption = None,
) -> None:
    """Run one part in the foreground, as containers and units do; addresses come from the settings."""
    settings = load_settings(home_of(home))
    try:
        chosen = single_part(settings, name, gpu)
        make_home(settings)
    except StackError as error:
        fail(str(error))
    environment = {**os.environ, **process_environment(settings), **chosen.environment}
    os.execve(chosen.command[0], list(chosen.command), environment)  # noqa: S606


def healthy(
    name: Annotated[str, typer.Argument(help=f"One of {', '.join(SINGLE_PARTS)}.")],
    gpu: Annotated[int | None, typer.Option(min=0, help="Number of the GPU slot, for a host.")] = None,
    home: HomeOption = None,
) -> None:
    """Say whether a part of this machine works; the exit status is what health checks need."""
    problem = problem_of(load_settings(home_of(home)), name, gpu)
    if problem is not None:
        fail(problem)
    console.print("healthy")


def care(
    dry_run: Annotated[bool, typer.Option("--dry-run", help="Only say what would be done.")] = False,
    home: HomeOption = None,
) -> None:
    """Archive old logs, compress old trajectories, clear expired results away; done daily by itself."""
    settings = load_settings(home_of(home))
    url = settings.database.url.get_secret_value()
    if not url:
        fail("No database: start the stack, or set database.url.")
    if dry_run:
        with psycopg.connect(url) as connection:
            due = data_care.plan(connection, settings)
        for file in due.compress:
            console.print(f"compress {file.path} ({file.size_bytes / 1e6:.1f} MB)", highlight=False)
        for result in due.clear:
            console.print(f"clear    {result.task_id} ({result.stored_bytes / 1e6:.1f} MB)", highlight=False)
        console.print(
            f"{len(due.compress)} trajectories to compress, {len(due.clear)} results to clear away."
        )
        return
    archived = log_archive.archive(settings.log_dir, datetime.now(UTC).date())
    console.print(f"{len(archived.gzipped)} days of logs gzipped, {len(archived.packed)} packed.")
    data_care.care(settings, console.print)


def deploy(home: HomeOption = None) -> None:
    """Bring database and Prefect to what this version needs; running it again changes nothing."""
    folder = home_of(home)
    settings = load_settings(folder)
    if not settings.database.url.get_secret_value() or not settings.prefect.api_url:
        fail("There is nothing to deploy to: start the stack, or set database.url and prefect.api_url.")
    environment = {**os.environ, **process_environment(settings)}
    for title, module in (
        ("database schema", ("api_gateway.database", "upgrade")),
        ("pools, queues, deployments, schedules", ("deployments.prefect_setup",)),
    ):
        command = [sys.executable, "-P", "-m", *module]
        if subprocess.run(command, env=environment, check=False).returncode != 0:
            fail(f"Not deployed: {title}.")
        console.print(f"  {title}: as this version needs them")


def backup(
    action: Annotated[
        str, typer.Argument(help="create; list the backups; verify their checksums.")
    ] = "create",
    folder: FolderOption = None,
    keep: Annotated[
        int | None, typer.Option(min=1, help="Backups to keep (backup.keep of the settings).")
    ] = None,
    home: HomeOption = None,
) -> None:
    """Copy both databases, the files and the configuration; the stack may run meanwhile."""
    from deployments.backup import snapshots
    from deployments.backup.create import create

    settings = load_settings(home_of(home))
    target = folder or settings.backup.folder
    if target is None:
        fail("No folder for backups: give --folder, or set backup.folder.")
    store = snapshots.Store(target.expanduser().absolute())
    try:
        if action == "create":
            made = create(settings, store, keep=keep or settings.backup.keep)
            console.print(f"{made.summary()}, in {store.folder / made.name}", soft_wrap=True)
        elif action in ("list", "verify"):
            for snapshot in store.snapshots():
                if action == "verify":
                    store.verify(snapshot)
                console.print(snapshot.summary() + (", verified" if action == "verify" else ""))
        else:
            fail(f"There is no {action!r}; there are create, list and verify.")
    except (BackupError, StackError) as error:
        fail(str(error))


def restore(
    name: Annotated[str, typer.Argument(help="Name of the backup; by default the newest.")] = "latest",
    folder: FolderOption = None,
    replace: Annotated[
        bool, typer.Option("--replace", help="Overwrite a database that has tables already.")
    ] = False,
    home: HomeOption = None,
) -> None:
    """Bring a home back from a backup: into an empty folder, its databases into the configured server."""
    from deployments.backup import snapshots
    from deployments.backup.restore import restore as bring_back

    target_home = home_of(home)
    source = folder or load_settings(target_home).backup.folder
    if source is None:
        fail("No folder of backups: give --folder, or set backup.folder.")
    store = snapshots.Store(source.expanduser().absolute())
    try:
        restored = bring_back(target_home, store, name, replace=replace)
    except (BackupError, StackError) as error:
        fail(str(error))
    console.print(f"Restored {restored.summary()} to {target_home}.", soft_wrap=True)
