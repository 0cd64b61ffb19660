"""The daily chores as Prefect flows, for their schedule (deployments `…/maintenance`)."""

from __future__ import annotations

from datetime import UTC, datetime

from prefect import flow
from prefect.logging import get_run_logger

from deployments.maintenance.data_care import care
from deployments.maintenance.log_archive import archive
from mofsim_settings import load_settings


@flow(name="archive-logs")
def archive_logs() -> None:
    """Bring the log files into their shape of today: raw, gzipped, packed by month."""
    settings = load_settings()
    done = archive(settings.log_dir, datetime.now(UTC).date())
    get_run_logger().info("%d days gzipped, %d packed", len(done.gzipped), len(done.packed))


@flow(name="care-for-data")
def care_for_data() -> None:
    """Compress old trajectories and clear results away whose time is over."""
    care(load_settings(), get_run_logger().info)
