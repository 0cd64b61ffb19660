"""What the libraries under us must find in the environment before they are imported."""

from __future__ import annotations

import os
import time

from mofsim_settings import Settings, load_settings


def client_environment(settings: Settings) -> dict[str, str]:
    """Prefect's own settings for a process that talks to the server.

    Retries are short here, since everything that must not be lost is proposed again by the worker
    itself (Prefect's own waits double without a bound).
    """
    return {
        "PREFECT_API_URL": settings.prefect.api_url,
        "PREFECT_HOME": str(settings.home / "prefect"),
        **access_environment(settings),
        "PREFECT_SERVER_ALLOW_EPHEMERAL_MODE": "false",
        "PREFECT_CLIENT_MAX_RETRIES": "2",
        "PREFECT_CLIENT_CSRF_SUPPORT_ENABLED": "false",
        # Client and server come from one lock file; the check would need the server to be up.
        "PREFECT_CLIENT_SERVER_VERSION_CHECK_ENABLED": "false",
        "PREFECT_LOGGING_LEVEL": "INFO",
        "PREFECT_LOGGING_TO_API_WHEN_MISSING_FLOW": "ignore",
        "PREFECT_CLI_COLORS": "false",
        "DO_NOT_TRACK": "1",
    }


def process_environment(settings: Settings) -> dict[str, str]:
    """What every part of mofsim is started with, by whatever starts it."""
    return {
        "MOFSIM_HOME": str(settings.home),
        "PREFECT_HOME": str(settings.home / "prefect"),
        "PREFECT_API_URL": settings.prefect.api_url,
        **access_environment(settings),
        "PREFECT_TELEMETRY_ENABLE_RESOURCE_METRICS": "false",
        "DO_NOT_TRACK": "1",
        "PYTHONUNBUFFERED": "1",
    }


def access_environment(settings: Settings) -> dict[str, str]:
    """How a process proves itself to Prefect and to Dask, where they ask for it."""
    access: dict[str, str] = {}
    if settings.prefect.auth_string.get_secret_value():
        access["PREFECT_API_AUTH_STRING"] = settings.prefect.auth_string.get_secret_value()
    if settings.prefect.tls_ca_file is not None:
        access["PREFECT_API_SSL_CERT_FILE"] = str(settings.prefect.tls_ca_file)
    dask = settings.dask
    if dask.tls_ca_file is not None:
        access |= {
            "DASK_DISTRIBUTED__COMM__REQUIRE_ENCRYPTION": "True",
            "DASK_DISTRIBUTED__COMM__TLS__CA_FILE": str(dask.tls_ca_file),
        }
        for role in ("SCHEDULER", "WORKER", "CLIENT"):
            access[f"DASK_DISTRIBUTED__COMM__TLS__{role}__CERT"] = str(dask.tls_cert_file)
            access[f"DASK_DISTRIBUTED__COMM__TLS__{role}__KEY"] = str(dask.tls_key_file)
    return access


def basic_auth(settings: Settings) -> tuple[str, str] | None:
    """User and password for a plain request to Prefect, where it asks for them."""
    user, _, password = settings.prefect.auth_string.get_secret_value().partition(":")
    return (user, password) if user else None


def prepare_environment(settings: Settings) -> None:
    """Set it for this process and its children; call it before Prefect is imported."""
    os.environ.update(client_environment(settings))


def wait_for_settings() -> Settings:
    """Read the settings once they say where the database, Prefect and Dask are."""
    while True:
        settings = load_settings()
        addresses = (
            settings.database.url.get_secret_value(),
            settings.prefect.api_url,
            settings.dask.scheduler_address,
        )
        if all(addresses):
            return settings
        time.sleep(0.5)
