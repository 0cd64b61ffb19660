"""What must hold after the storm, asked of the database and of Prefect."""

from __future__ import annotations

import statistics
from collections import Counter
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any

import httpx

from deployments.bench.chaos.watch import Watch
from deployments.environment import basic_auth

MEDIAN_SECONDS = 15.0
WORST_SECONDS = 60.0


@dataclass
class Followed:
    """A strike and what followed."""

    number: int
    kind: str
    victim: str
    at: datetime
    running: int
    """Tasks on a GPU when it fell."""
    recovered_seconds: float | None = None
    """None: not within the patience."""
    set_back: list[str] = field(default_factory=list)
    """`task:attempt on GPU: why` of every attempt that it cost."""


@dataclass(frozen=True)
class Criterion:
    """One thing that must hold, and what was found."""

    name: str
    found: str
    holds: bool


def attribute_setbacks(watch: Watch, strikes: list[Followed]) -> int:
    """Write each lost attempt to the strike before it; answers how many tasks one strike interrupted twice.

    An attempt that was taken back before it began, because another GPU came free first, lost nothing.
    """
    rows = watch.insist(
        "SELECT h.task_id, h.at, a.attempt, h.reason,"
        " coalesce(a.started_at, a.flow_heartbeat_at) IS NOT NULL AS began"
        " FROM task_history h JOIN task_attempts a ON a.task_id = h.task_id AND a.attempt = h.attempt - 1"
        " WHERE h.to_status = 'QUEUED' AND h.from_status IN ('ASSIGNED', 'RUNNING') ORDER BY h.id"
    )
    interruptions: Counter[tuple[int, str]] = Counter()
    for row in rows:
        before = [strike for strike in strikes if strike.at <= row["at"]]
        if before:
            before[-1].set_back.append(f"{row['task_id']}:{row['attempt']}: {row['reason']}")
            interruptions[before[-1].number, row["task_id"]] += row["began"]
    return sum(count > 1 for count in interruptions.values())


def judge(
    watch: Watch,
    strikes: list[Followed],
    *,
    submitted: int,
    wrong: list[str],
    idle_gpus: list[int],
) -> list[Criterion]:
    """Every criterion of the exercise.

    Parameters
    ----------
    submitted
        Tasks that the gateway accepted.
    wrong
        Tasks whose result is missing or not the right one.
    idle_gpus
        GPUs that computed no task afterwards.
    """
    ends = watch.insist(
        "SELECT t.id, t.status, count(h.id) FILTER ("
        " WHERE h.to_status IN ('COMPLETED', 'FAILED', 'CANCELLED', 'TIMEOUT')) AS ends"
        " FROM tasks t LEFT JOIN task_history h ON h.task_id = t.id GROUP BY t.id"
    )
    failed = [row["id"] for row in ends if row["status"] != "COMPLETED"]
    not_once = [row["id"] for row in ends if row["ends"] != 1]
    twice = attribute_setbacks(watch, strikes)
    held = watch.insist("SELECT count(*) AS n FROM task_attempts WHERE released_at IS NULL")[0]["n"]
    open_runs = _open_runs(watch)
    known = [strike.recovered_seconds for strike in strikes if strike.recovered_seconds is not None]
    median = statistics.median(known) if known else float("inf")
    worst = max(known, default=float("inf")) if len(known) == len(strikes) else float("inf")
    return [
        Criterion("every task is known", f"{len(ends)} of {submitted}", len(ends) == submitted),
        Criterion("every task completed", _named(failed), not failed),
        Criterion("every task ended exactly once", _named(not_once), not not_once),
        Criterion("every result is right", _named(wrong), not wrong),
        Criterion(
            "every GPU computes afterwards", _named([f"GPU {gpu}" for gpu in idle_gpus]), not idle_gpus
        ),
        Criterion("no attempt holds a GPU afterwards", str(held), held == 0),
        Criterion("no run is open in Prefect afterwards", str(open_runs), open_runs == 0),
        Criterion("tasks that one strike interrupted more than once", str(twice), twice == 0),
        Criterion("median recovery", f"{median:.1f} s (< {MEDIAN_SECONDS:.0f} s)", median < MEDIAN_SECONDS),
        Criterion("worst recovery", f"{worst:.1f} s (< {WORST_SECONDS:.0f} s)", worst < WORST_SECONDS),
    ]


def _open_runs(watch: Watch) -> int:
    states: dict[str, Any] = {"type": {"any_": ["PENDING", "RUNNING", "CANCELLING"]}}
    answer = httpx.post(
        f"{watch.settings.prefect.api_url}/flow_runs/count",
        json={"flow_runs": {"state": states}},
        auth=basic_auth(watch.settings),
        timeout=30.0,
        trust_env=False,
    )
    return int(answer.raise_for_status().json())


def _named(wrong: list[str]) -> str:
    return "yes" if not wrong else f"{len(wrong)} not: {', '.join(wrong[:5])}"
