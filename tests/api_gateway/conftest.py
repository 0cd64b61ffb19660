from __future__ import annotations

from tests.fixtures.gateway import _quiet_log, client, gateway, sql

__all__ = ["_quiet_log", "client", "gateway", "sql"]
