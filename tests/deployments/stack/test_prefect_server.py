"""What our settings become for the Prefect server."""

from __future__ import annotations

from pathlib import Path

from pydantic import SecretStr

from deployments.stack.prefect_server import server_environment
from mofsim_settings import DatabaseSettings, PrefectSettings, Settings


def test_a_database_with_tls_is_named_as_prefect_s_driver_takes_it(tmp_path: Path) -> None:
    url = "postgresql://mofsim:secret@db:5432/mofsim?sslmode=verify-full&sslrootcert=/etc/mofsim/tls/ca.pem"
    settings = Settings(
        home=tmp_path,
        database=DatabaseSettings(url=SecretStr(url)),
        prefect=PrefectSettings(api_url="http://127.0.0.1:4200/api", pool_size=7),
    )
    environment = server_environment(settings)
    assert environment["PREFECT_SERVER_DATABASE_CONNECTION_URL"] == (
        "postgresql+asyncpg://mofsim:secret@db:5432/prefect?ssl=verify-full"
    )
    assert environment["PGSSLROOTCERT"] == "/etc/mofsim/tls/ca.pem"
    assert environment["PREFECT_SERVER_DATABASE_SQLALCHEMY_POOL_SIZE"] == "7"
    assert environment["PREFECT_SERVER_DATABASE_SQLALCHEMY_MAX_OVERFLOW"] == "14"
