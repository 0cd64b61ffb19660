"""The embedded Prefect server in one process: `python -m deployments.stack.prefect_server`.

`prefect server start` would migrate at once and die while PostgreSQL still starts; here the slow
imports run meanwhile.
"""

from __future__ import annotations

import os
from collections.abc import MutableMapping
from typing import Any
from urllib.parse import urlsplit

import uvicorn
from sqlalchemy import URL, make_url

from deployments.stack.waiting import wait_until_accepting
from mofsim_settings import Settings, load_settings

SECONDS_PER_DAY = 86_400
_RECORDED_AT_ONCE, _RECORDED_EVERY_SECONDS = 200, 1.0
"""Stages and events are only looked at: written one by one they take an eighth of the server's time."""
_TLS_FILES = ("sslrootcert", "sslcert", "sslkey")


def server_environment(settings: Settings) -> dict[str, str]:
    """Prefect's own settings for a small, private server that keeps its database small.

    Its database is `prefect`, beside ours on the same PostgreSQL. Nothing is reported to the
    outside; the service for schedules runs only when a chore has one, and that for late runs, which
    mofsim does not use, never.
    """
    api = urlsplit(settings.prefect.api_url)
    database, tls = asyncpg_address(make_url(settings.database.url.get_secret_value()))
    auth_string = settings.prefect.auth_string.get_secret_value()
    return {
        **tls,
        **({"PREFECT_SERVER_API_AUTH_STRING": auth_string} if auth_string else {}),
        "PREFECT_SERVER_DATABASE_CONNECTION_URL": database.set(database="prefect").render_as_string(
            hide_password=False
        ),
        "PREFECT_SERVER_DATABASE_SQLALCHEMY_POOL_SIZE": str(settings.prefect.pool_size),
        "PREFECT_SERVER_DATABASE_SQLALCHEMY_MAX_OVERFLOW": str(2 * settings.prefect.pool_size),
        "PREFECT_SERVER_DATABASE_TIMEOUT": "30",
        "PREFECT_SERVER_API_HOST": listen_host(settings),
        "PREFECT_SERVER_API_PORT": str(api.port or 80),
        "PREFECT_SERVER_UI_API_URL": (
            f"{settings.prefect.ui_url.rstrip('/')}/api"
            if settings.prefect.ui_url
            else settings.prefect.api_url
        ),
        "PREFECT_SERVER_UI_STATIC_DIRECTORY": str(settings.home / "prefect" / "ui"),
        "PREFECT_SERVER_UI_SHOW_PROMOTIONAL_CONTENT": "false",
        "PREFECT_SERVER_ANALYTICS_ENABLED": "false",
        "PREFECT_SERVER_SERVICES_SCHEDULER_ENABLED": str(settings.chores_scheduled).lower(),
        "PREFECT_SERVER_SERVICES_LATE_RUNS_ENABLED": "false",
        "PREFECT_SERVER_SERVICES_TASK_RUN_RECORDER_BATCH_SIZE": str(_RECORDED_AT_ONCE),
        "PREFECT_SERVER_SERVICES_TASK_RUN_RECORDER_FLUSH_INTERVAL": str(_RECORDED_EVERY_SECONDS),
        "PREFECT_SERVER_SERVICES_EVENT_PERSISTER_BATCH_SIZE": str(_RECORDED_AT_ONCE),
        "PREFECT_SERVER_SERVICES_EVENT_PERSISTER_FLUSH_INTERVAL": str(_RECORDED_EVERY_SECONDS),
        "PREFECT_SERVER_SERVICES_DB_VACUUM_ENABLED": "events,flow_runs",
        "PREFECT_SERVER_SERVICES_DB_VACUUM_RETENTION_PERIOD": str(
            settings.prefect.keep_runs_days * SECONDS_PER_DAY
        ),
    }


def asyncpg_address(url: URL) -> tuple[URL, dict[str, str]]:
    """A database's address as Prefect's driver takes it, and what must be in its environment for that.

    libpq's words for TLS are unknown to it in an address: the mode has another name, and the files are
    looked for in the environment.
    """
    query = dict(url.query)
    mode = {"ssl": query.pop("sslmode")} if "sslmode" in query else {}
    files = {f"PG{name.upper()}": str(query.pop(name)) for name in _TLS_FILES if name in query}
    return url.set(drivername="postgresql+asyncpg", query={**query, **mode}), files


def listen_host(settings: Settings) -> str:
    return settings.prefect.listen_host or urlsplit(settings.prefect.api_url).hostname or "127.0.0.1"


def let_schedules_insert_runs() -> None:
    """Have SQLAlchemy 2.1 ignore a run's `state` in bulk inserts, as 2.0 did.

    Prefect inserts the runs of a schedule with that key, which names no column; 2.1 asks such a property
    how it is stored and fails. No scheduled run would ever appear.
    (https://github.com/sqlalchemy/sqlalchemy/issues/12496)
    """
    from prefect.server.database.orm_models import FlowRun

    def ignore(cls: type[FlowRun], mapping: MutableMapping[str, Any], value: object) -> None:
        return None

    vars(FlowRun)["state"].bulk_dml_setter = ignore


def main() -> None:
    settings = load_settings()
    # Prefect reads its settings from the environment when it is imported.
    os.environ.update(server_environment(settings))
    from prefect.server.api.server import create_app

    let_schedules_insert_runs()
    app = create_app(final=True)
    wait_until_accepting(settings.database.url.get_secret_value())
    api = urlsplit(settings.prefect.api_url)
    uvicorn.run(
        app, host=listen_host(settings), port=api.port or 80, timeout_keep_alive=5, log_level="warning"
    )


if __name__ == "__main__":
    main()
