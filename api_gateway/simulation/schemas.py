"""What a simulated GPU can be made to show."""

from __future__ import annotations

from pydantic import BaseModel, ConfigDict, Field


class Simulation(BaseModel):
    """A simulated GPU's sensor; what is left out takes its default.

    The hosts read it as `deployments.hosts.sensors.Simulation`.
    """

    model_config = ConfigDict(
        extra="forbid",
        allow_inf_nan=False,
        json_schema_extra={"examples": [{"temperature_C": 91.0, "memory_free_MB": 1500.0}]},
    )

    memory_total_MB: float = Field(80_000.0, ge=0, description="Memory, MB.")
    memory_free_MB: float = Field(78_000.0, ge=0, description="Free memory, MB.")
    memory_reclaimable_MB: float = Field(
        0.0, ge=0, description="Memory that warm models hold and a calculation could get, MB."
    )
    temperature_C: float = Field(40.0, ge=-273.15, le=1000, description="Temperature, °C.")
    utilisation_percent: float = Field(0.0, ge=0, le=100, description="Utilisation, %.")
    lost: bool = Field(False, description="The GPU has fallen off the bus.")
    driver_error: str | None = Field(
        None, min_length=1, max_length=500, description="The driver answers this error (`Xid 79`)."
    )
