"""The tables of error codes, from the classes of the server and of the client."""

from __future__ import annotations

from mofsim_client._exceptions import error_class

from api_gateway.errors import CODES, GatewayError
from docs.generated.tables import table
from mof_benchmark.errors import MofsimError

FAMILIES = {
    1: "The service itself",
    2: "Keys",
    3: "Resources",
    4: "Requests",
    5: "Tasks",
}
ANSWERS_OF_TASKS = (50003, 50004)
"""Every other code of the last family is found in a task's `error`, not in the answer to a request."""


def reference() -> str:
    """One table for each family of codes."""
    return "\n\n".join(
        f"## {family}xxxx · {title}\n\n"
        + table(
            ("code", "HTTP", "message", "信息", "`mofsim_client`", "may help"),
            (_row(kind) for code, kind in CODES.items() if code // 10_000 == family),
        )
        for family, title in FAMILIES.items()
    )


def _row(kind: type[MofsimError]) -> tuple[str, ...]:
    in_task = kind.code >= 50_000 and kind.code not in ANSWERS_OF_TASKS
    wait = kind.retry_after_seconds if issubclass(kind, GatewayError) else None
    return (
        f"`{kind.code}`",
        "in the task" if in_task else str(kind.status),
        kind.message_en,
        kind.message_zh,
        f"`{error_class(kind.code).__name__}`",
        "" if wait is None else f"again after {wait} s",
    )
