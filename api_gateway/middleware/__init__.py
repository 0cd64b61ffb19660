"""What every request passes through, outermost first: `RequestContext`, `BodySize`."""

from api_gateway.middleware.body_size import BodySize
from api_gateway.middleware.request_context import RequestContext

__all__ = ["BodySize", "RequestContext"]
