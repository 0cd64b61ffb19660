"""The gateway's side of Prefect: make, stop, close and follow flow runs."""

from api_gateway.orchestrator.announcing import event
from api_gateway.orchestrator.chores import MAINTENANCE_POOL, Chore
from api_gateway.orchestrator.client import (
    DeploymentMissingError,
    Orchestrator,
    OrchestratorRefusedError,
)
from api_gateway.orchestrator.events import run_events
from api_gateway.orchestrator.runs import AttemptKey, MadeRun, RunNews, RunOrder, RunState

__all__ = [
    "MAINTENANCE_POOL",
    "AttemptKey",
    "Chore",
    "DeploymentMissingError",
    "MadeRun",
    "Orchestrator",
    "OrchestratorRefusedError",
    "RunNews",
    "RunOrder",
    "RunState",
    "event",
    "run_events",
]
