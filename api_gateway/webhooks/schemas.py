"""Documents of the webhook resource."""

from __future__ import annotations

from pydantic import BaseModel, Field

from api_gateway.database.models import DeliveryStatus
from api_gateway.envelope import Timestamp


class DeliveryAttempt(BaseModel):
    """One try of a delivery."""

    number: int
    at: Timestamp
    status_code: int | None = Field(description="What the receiver answered; null without an answer.")
    latency_ms: float | None
    error: str | None = Field(description="Why it did not count as delivered.")


class Delivery(BaseModel):
    """One event on its way to one address."""

    delivery_id: str = Field(description="`X-MOFSim-Delivery`, the same at every try.")
    event: str
    url: str = Field(description="Without its query, which may carry a secret.")
    status: DeliveryStatus
    created_at: Timestamp
    next_attempt_at: Timestamp | None = Field(description="Null once it was delivered or given up.")
    delivered_at: Timestamp | None
    attempts: list[DeliveryAttempt]
