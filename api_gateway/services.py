"""What one gateway process holds while it runs; made by `app.create_app`, used by the endpoints."""

from __future__ import annotations

from dataclasses import dataclass

import httpx

from api_gateway.auth.guard import Guard
from api_gateway.database import Database, SecretBox
from api_gateway.latency import Latency
from api_gateway.listener import TaskListener
from api_gateway.log_ring import LogRing
from api_gateway.paging import Counts
from api_gateway.scheduling.service import QueueService
from api_gateway.structures.storage import StructureStorage
from api_gateway.tracing import Tracing
from api_gateway.webhooks.addresses import AddressRules
from mofsim_settings import Settings


@dataclass(frozen=True, kw_only=True)
class Services:
    """Parts shared by all requests of this process."""

    settings: Settings
    database: Database
    guard: Guard
    listener: TaskListener
    queue: QueueService
    structures: StructureStorage
    addresses: AddressRules
    secrets: SecretBox
    log_ring: LogRing
    counts: Counts
    latency: Latency
    tracing: Tracing
    prefect_http: httpx.AsyncClient
    """Asks Prefect's server, by plain HTTP, whether it is there."""
