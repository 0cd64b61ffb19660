"""The application: everything of the gateway put together."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import AsyncIterator
from functools import partial

import httpx
from fastapi import APIRouter, FastAPI
from starlette.middleware.cors import CORSMiddleware

from api_gateway import __version__, documentation, error_handlers
from api_gateway.alerts.conditions import DiskFree, disk_free_GB
from api_gateway.alerts.endpoints import router as alerts
from api_gateway.alerts.monitor import Monitor
from api_gateway.alerts.notifier import Notifier
from api_gateway.auth.guard import Guard
from api_gateway.custom_models.endpoints import router as custom_models
from api_gateway.database import Database, SecretBox
from api_gateway.documentation.text import DESCRIPTION, TAGS
from api_gateway.files.endpoints import router as files
from api_gateway.latency import Latency
from api_gateway.listener import TaskListener
from api_gateway.log_ring import LogRing
from api_gateway.metrics.durations import Durations
from api_gateway.metrics.endpoints import router as metrics
from api_gateway.middleware import BodySize, RequestContext
from api_gateway.models.endpoints import router as models
from api_gateway.paging import Counts
from api_gateway.scheduling.engine import Engine
from api_gateway.scheduling.service import QueueService
from api_gateway.services import Services
from api_gateway.simulation.endpoints import router as simulation
from api_gateway.storage.endpoints import router as storage
from api_gateway.structures.endpoints import router as structures
from api_gateway.structures.storage import StructureStorage
from api_gateway.system.endpoints import router as system
from api_gateway.tasks.endpoints import router as tasks
from api_gateway.tracing import Tracing
from api_gateway.webhooks.addresses import AddressRules
from api_gateway.webhooks.endpoints import router as webhooks
from api_gateway.webhooks.sender import WebhookSender
from mofsim_settings import Settings

PREFIX = "/api/v1"
EXPOSED_HEADERS = (
    "X-Request-ID",
    "Retry-After",
    "RateLimit-Limit",
    "RateLimit-Remaining",
    "RateLimit-Reset",
    "ETag",
)
"""What a page of another origin may read of an answer's headers."""


def create_app(
    settings: Settings, *, log_ring: LogRing | None = None, disk_free: DiskFree = disk_free_GB
) -> FastAPI:
    """Make the application; it connects to nothing before its lifespan starts.

    Parameters
    ----------
    disk_free
        Looks at the free space of a disk.
    """
    services = _services(settings, log_ring or LogRing())
    monitor = partial(Monitor, disk_free=disk_free)

    @contextlib.asynccontextmanager
    async def lifespan(app: FastAPI) -> AsyncIterator[None]:
        sender = WebhookSender(services.database, services.addresses, services.secrets)
        # The first upload need not wait for a parsing process to start.
        warming = asyncio.create_task(services.structures.builtins())
        try:
            async with (
                services.tracing.exporting(),
                services.listener.running(),
                sender.running(),
                Engine(services.database, settings, also=(monitor, Notifier, Durations)),
                services.latency.reported(services.database, settings.alerts.check_seconds),
            ):
                yield
        finally:
            warming.cancel()
            await asyncio.gather(warming, return_exceptions=True)
            await services.prefect_http.aclose()
            await services.database.close()

    app = FastAPI(
        title="mofsim",
        version=__version__,
        description=DESCRIPTION,
        openapi_tags=TAGS,
        lifespan=lifespan,
        redirect_slashes=False,
        docs_url=None,
        redoc_url=None,
        generate_unique_id_function=lambda route: route.name,
    )
    app.state.services = services
    error_handlers.install(app)
    gateway = settings.gateway
    app.add_middleware(BodySize, json_bytes=gateway.max_json_bytes, upload_bytes=gateway.max_upload_bytes)
    app.add_middleware(
        RequestContext, default_language=gateway.language, latency=services.latency, tracing=services.tracing
    )
    if gateway.cors_origins:
        app.add_middleware(
            CORSMiddleware,
            allow_origins=gateway.cors_origins,
            allow_methods=["GET", "POST", "PUT", "DELETE"],
            allow_headers=["*"],
            expose_headers=EXPOSED_HEADERS,
        )
    api = APIRouter(prefix=PREFIX)
    for router in (tasks, webhooks, structures, custom_models, models, files, system, alerts, storage):
        api.include_router(router)
    if settings.compute.simulated:
        api.include_router(simulation)
    app.include_router(api)
    documentation.install(app)
    app.include_router(metrics(services))
    return app


def _services(settings: Settings, log_ring: LogRing) -> Services:
    database = Database.from_settings(settings)
    return Services(
        settings=settings,
        database=database,
        guard=Guard(database, settings.gateway.default_rate_per_minute),
        listener=TaskListener(database),
        queue=QueueService(settings),
        structures=StructureStorage(settings.storage_root, settings.gateway.max_upload_bytes),
        addresses=AddressRules(settings.gateway.webhook_allowed_hosts),
        secrets=SecretBox.from_settings(settings),
        log_ring=log_ring,
        counts=Counts(),
        tracing=Tracing.from_settings(settings),
        prefect_http=httpx.AsyncClient(
            trust_env=False,
            verify=settings.prefect.verify,
            # Sooner than Prefect's server, which hangs up after five seconds without a request.
            limits=httpx.Limits(keepalive_expiry=3.0),
        ),
        latency=Latency(settings.alerts.api_window_seconds, settings.alerts.api_least_requests),
    )
