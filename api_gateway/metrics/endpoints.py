"""`/metrics`."""

from __future__ import annotations

from fastapi import APIRouter
from prometheus_client import CONTENT_TYPE_LATEST
from starlette.responses import Response

from api_gateway.auth.credentials import Scope
from api_gateway.metrics.service import Metrics
from api_gateway.routing import GuardedRoute, operation
from api_gateway.services import Services


def router(services: Services) -> APIRouter:
    """Serve the metrics, to everybody or, when the settings close them, to keys that may read."""
    metrics = Metrics(services)
    scope = None if services.settings.gateway.metrics_public else Scope.READ
    made = APIRouter(route_class=GuardedRoute)

    @made.get("/metrics", include_in_schema=False, **operation(scope))
    async def get_metrics() -> Response:
        """Metrics in Prometheus's text format."""
        return Response(await metrics.text(), media_type=CONTENT_TYPE_LATEST)

    return made
