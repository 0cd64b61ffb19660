"""The embedded Prefect server in one process: `python -m deployments.stack.prefect_server`.

`prefect server start` would migrate at once and die while PostgreSQL still starts; here the slow
imports run meanwhile.
"""

from __future__ import annotations

import os
from urllib.parse import urlsplit

import uvicorn
from sqlalchemy import make_url

from deployments.stack.waiting import wait_until_accepting
from mofsim_settings import Settings, load_settings

SECONDS_PER_DAY = 86_400


def server_environment(settings: Settings) -> dict[str, str]:
    """Prefect's own settings for a small, private server that keeps its database small.

    Its database is `prefect`, beside ours on the same PostgreSQL. Nothing is reported to the
    outside; the service for schedules runs only when a chore has one, and that for late runs, which
    mofsim does not use, never.
    """
    api = urlsplit(settings.prefect.api_url)
    database = make_url(settings.database.url.get_secret_value()).set(
        drivername="postgresql+asyncpg", database="prefect"
    )
    auth_string = settings.prefect.auth_string.get_secret_value()
    return {
        **({"PREFECT_SERVER_API_AUTH_STRING": auth_string} if auth_string else {}),
        "PREFECT_SERVER_DATABASE_CONNECTION_URL": database.render_as_string(hide_password=False),
        "PREFECT_SERVER_DATABASE_SQLALCHEMY_POOL_SIZE": "10",
        "PREFECT_SERVER_DATABASE_SQLALCHEMY_MAX_OVERFLOW": "20",
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
        "PREFECT_SERVER_SERVICES_DB_VACUUM_ENABLED": "events,flow_runs",
        "PREFECT_SERVER_SERVICES_DB_VACUUM_RETENTION_PERIOD": str(
            settings.prefect.keep_runs_days * SECONDS_PER_DAY
        ),
    }


def listen_host(settings: Settings) -> str:
    return settings.prefect.listen_host or urlsplit(settings.prefect.api_url).hostname or "127.0.0.1"


def main() -> None:
    settings = load_settings()
    # Prefect reads its settings from the environment when it is imported.
    os.environ.update(server_environment(settings))
    from prefect.server.api.server import create_app

    app = create_app(final=True)
    wait_until_accepting(settings.database.url.get_secret_value())
    api = urlsplit(settings.prefect.api_url)
    uvicorn.run(
        app, host=listen_host(settings), port=api.port or 80, timeout_keep_alive=5, log_level="warning"
    )


if __name__ == "__main__":
    main()
