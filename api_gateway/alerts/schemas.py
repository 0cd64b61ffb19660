"""Documents of the alerts."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import Any, Literal

from pydantic import BaseModel, ConfigDict, Field

from api_gateway.alerts.rules import Level
from api_gateway.envelope import Timestamp
from api_gateway.paging import Paging


class AlertDocument(BaseModel):
    """An alert as channels and clients get it (section 7.3 of the requirements)."""

    alert_id: str = Field(
        max_length=64, pattern="^alert_[0-9a-z]+$", examples=["alert_01kb3jz4zv8m1x2c7d9e5f6g7h"]
    )
    level: Level = Field(examples=["WARNING"])
    type: str = Field(max_length=64, description="The rule's.", examples=["gpu_memory_low"])
    message: str = Field(max_length=2000, examples=["GPU 3 is short of memory: 1.2 GB free"])
    details: dict[str, Any] = Field(
        examples=[{"gpu_id": 3, "available_memory_gb": 1.2, "total_memory_gb": 24.0}]
    )
    timestamp: Timestamp = Field(description="When it was raised; once resolved, when that was.")
    resolved: bool


class Announcement(AlertDocument):
    """An alert on its way through Prefect's automations to the sink."""

    model_config = ConfigDict(extra="ignore")

    subject: str = Field(max_length=200)

    def ended(self) -> Announcement:
        """The same, over at this moment."""
        return self.model_copy(update={"resolved": True, "timestamp": datetime.now(UTC)})


class AlertView(AlertDocument):
    """An alert with its history."""

    subject: str = Field(description="What it is about.", examples=["GPU 3"])
    raised_at: Timestamp
    resolved_at: Timestamp | None
    via: Literal["prefect", "monitor"] = Field(
        description="Who told of it: Prefect's automation, or the monitor itself while Prefect was away."
    )


class AlertFilter(Paging):
    """Which alerts of the history."""

    type: str | None = Field(None, max_length=64, description="A rule's.")
    level: Level | None = None


class RuleView(BaseModel):
    """A rule."""

    type: str = Field(examples=["gpu_memory_low"])
    level: Level = Field(examples=["WARNING"])
    description: str = Field(examples=["{subject} is short of memory: {value} GB free"])
    threshold: float = Field(examples=[2.0])
    clears_at: float = Field(examples=[2.5])
    side: Literal["above", "below"] = Field(
        description="On which side of the threshold it is an alert.", examples=["below"]
    )
    unit: str = Field(examples=["GB"])
    event: str | None = Field(description="Event that Prefect's automation expects.")
    automation: str | None = Field(description="Name of the automation in Prefect's UI.")
    muted: bool | None = Field(description="Its automation is paused; null while that is not known.")
    active: int = Field(description="Alerts that last.")


class Taken(BaseModel):
    """The sink's answer."""

    alert_id: str
    new: bool = Field(description="False: it was known.")
