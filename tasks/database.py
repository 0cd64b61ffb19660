"""The functions of the database that flows and hosts may call (docs/interfaces.md)."""

from __future__ import annotations

from typing import Any, Literal, cast
from uuid import UUID

from psycopg import Connection, OperationalError
from psycopg.types.json import Jsonb
from psycopg_pool import ConnectionPool, PoolTimeout

from mof_benchmark.schemas import CalculationRequest

Answer = Literal["go", "stop", "fenced"]
"""`stop`: cancelled or timed out; `fenced`: another attempt has taken over, nothing was written."""

Unavailable = (OperationalError, PoolTimeout)
"""What every call raises while the database is away."""
CONNECT: dict[str, Any] = {
    "connect_timeout": 2,
    # A machine that was cut off must find its old connections dead, not wait for them.
    "keepalives_idle": 5,
    "keepalives_interval": 2,
    "keepalives_count": 3,
    "tcp_user_timeout": 10_000,
}
"""How every process of a GPU machine connects; seconds, the last one milliseconds."""


class ReportDatabase:
    """Thread-safe; connects when first used and again after an outage, at the caller's pace.

    Parameters
    ----------
    url
        `postgresql://…`
    connections
        Most connections kept.
    patience_seconds
        Longest wait for a connection before `Unavailable` is raised.
    """

    def __init__(self, url: str, *, connections: int = 2, patience_seconds: float = 2.0) -> None:
        self._pool: ConnectionPool[Connection[Any]] = ConnectionPool(
            url,
            min_size=1,
            max_size=connections,
            open=True,
            kwargs={"autocommit": True, **CONNECT, "application_name": "mofsim-reports"},
            timeout=patience_seconds,
            # The pool's own retries back off; giving up at once lets the next call try afresh.
            reconnect_timeout=0.5,
            check=ConnectionPool.check_connection,
        )

    def close(self) -> None:
        self._pool.close(timeout=1.0)

    def claim(self, request: CalculationRequest, worker: str) -> Answer:
        """Take an attempt for a pool worker; `fenced` where another one has it, too."""
        return self._answer("SELECT attempt_claim(%s, %s, %s)", request.task_id, request.attempt, worker)

    def claimants(self, flow_run_ids: list[UUID]) -> dict[UUID, str]:
        """The pool workers that have claimed the attempts of flow runs; those without one are left out."""
        with self._pool.connection() as connection:
            rows = connection.execute(
                "SELECT flow_run_id, worker FROM attempt_workers(%s)", [flow_run_ids]
            ).fetchall()
        return {flow_run_id: str(worker) for flow_run_id, worker in rows}

    def heartbeat(self, request: CalculationRequest, source: Literal["flow", "host"]) -> Answer:
        """Say that an attempt lives."""
        return self._answer("SELECT attempt_heartbeat(%s, %s, %s)", request.task_id, request.attempt, source)

    def report(
        self, request: CalculationRequest, progress: dict[str, Any] | None, logs: list[dict[str, Any]]
    ) -> Answer:
        """Store progress (None: unchanged) and log lines of an attempt."""
        return self._answer(
            "SELECT attempt_report(%s, %s, %s, %s)",
            request.task_id,
            request.attempt,
            None if progress is None else Jsonb(progress),
            Jsonb(logs),
        )

    def result(
        self, request: CalculationRequest, result: dict[str, Any], files: list[dict[str, Any]]
    ) -> Answer:
        """Store the result document and the files of an attempt."""
        return self._answer(
            "SELECT attempt_result(%s, %s, %s, %s)",
            request.task_id,
            request.attempt,
            Jsonb(result),
            Jsonb(files),
        )

    def files(self, request: CalculationRequest, files: list[dict[str, Any]]) -> Answer:
        """Store the files of an attempt that ends without a result; it may have ended already."""
        return self._answer(
            "SELECT attempt_files(%s, %s, %s)", request.task_id, request.attempt, Jsonb(files)
        )

    def error(self, request: CalculationRequest, error: dict[str, Any]) -> Answer:
        """Store why an attempt failed."""
        return self._answer(
            "SELECT attempt_error(%s, %s, %s)", request.task_id, request.attempt, Jsonb(error)
        )

    def slot_report(self, gpu_id: int, boot_id: str, report: dict[str, Any]) -> list[dict[str, Any]]:
        """Store the state of a slot; answers the open commands `{command_id, action, model}`."""
        return cast(
            list[dict[str, Any]],
            self._value("SELECT slot_report(%s, %s, %s)", gpu_id, boot_id, Jsonb(report)),
        )

    def slot_simulation(self, gpu_id: int) -> dict[str, Any] | None:
        """What a simulated GPU's sensor was made to show; None: nothing."""
        return cast(dict[str, Any] | None, self._value("SELECT slot_simulation(%s)", gpu_id))

    def command_done(self, command_id: str, error: dict[str, Any] | None) -> None:
        """Close a command; `error` None on success."""
        self._value("SELECT slot_command_done(%s, %s)", command_id, None if error is None else Jsonb(error))

    def worker_heartbeat(self, host: str, pid: int) -> None:
        """Say that the pool worker of machine `host` lives."""
        self._value("SELECT worker_heartbeat(%s, %s)", host, pid)

    def worker_left(self, host: str, pid: int) -> None:
        """Say that it has ended in good order."""
        self._value("SELECT worker_left(%s, %s)", host, pid)

    def slot_kills(self, host: str) -> list[tuple[int, int]]:
        """Hosts on machine `host` that must be killed: (GPU, pid)."""
        with self._pool.connection() as connection:
            rows = connection.execute(
                "SELECT gpu_id, pid FROM slot_kills WHERE host = %s AND pid IS NOT NULL", [host]
            ).fetchall()
        return [(int(gpu_id), int(pid)) for gpu_id, pid in rows]

    def take_validation(self, worker: str, patience_seconds: float) -> dict[str, Any] | None:
        """An uploaded model that waits to be validated, or whose worker was silent too long."""
        return cast(
            dict[str, Any] | None,
            self._value("SELECT model_validation_take(%s, %s)", worker, patience_seconds),
        )

    def validation_alive(self, model_id: str, worker: str) -> bool:
        """Say that a validation goes on; False when it is no longer wanted from this worker."""
        return bool(self._value("SELECT model_validation_alive(%s, %s)", model_id, worker))

    def validation_done(
        self, model_id: str, worker: str, report: dict[str, Any], card: dict[str, Any] | None
    ) -> bool:
        """Store a validation's report and, for a model that passed, how it is loaded."""
        return bool(
            self._value(
                "SELECT model_validation_done(%s, %s, %s, %s)",
                model_id,
                worker,
                Jsonb(report),
                None if card is None else Jsonb(card),
            )
        )

    def custom_model(self, name: str) -> dict[str, Any] | None:
        """How a validated model is loaded (`CustomModelCard` and `with_d3`); None without such a one."""
        return cast(dict[str, Any] | None, self._value("SELECT custom_model(%s)", name))

    def _answer(self, query: str, *values: Any) -> Answer:
        return cast(Answer, self._value(query, *values))

    def _value(self, query: str, *values: Any) -> Any:
        with self._pool.connection() as connection:
            row = connection.execute(query.encode(), values).fetchone()
        return None if row is None else row[0]
