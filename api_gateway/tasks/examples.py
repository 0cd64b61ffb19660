"""Examples of submissions in the OpenAPI document, with which `Try it out` works as it stands."""

from __future__ import annotations

from typing import Annotated, Any

from fastapi import Body

from api_gateway.tasks.schemas import Submission
from mof_benchmark.schemas import TaskType

_PARAMETERS: dict[TaskType, dict[str, Any]] = {
    TaskType.OPTIMIZATION: {"fmax": 0.05, "max_steps": 200},
    TaskType.BULK_MODULUS: {"n_points": 7},
}


def with_example(task_type: TaskType, submission: type[Submission]) -> Any:
    """`submission` as a body with an example for its type."""
    return Annotated[
        submission,
        Body(
            openapi_examples={
                "built-in structure": {
                    "summary": f"{task_type} of a structure that comes with the service",
                    "value": {
                        "model": "sevennet_prod",
                        "structure": {"source": "builtin", "name": "MOF-5"},
                        "parameters": _PARAMETERS.get(task_type, {}),
                        "options": {"priority": "NORMAL"},
                    },
                },
                "uploaded structure": {
                    "summary": "A structure uploaded before, and a webhook at the end",
                    "value": {
                        "model": "sevennet_prod",
                        "structure": {"source": "upload", "file_id": "struct_01kb3jz4zv8m1x2c7d9e5f6g7h"},
                        "options": {"notify_url": "https://client.example.com/callback", "tags": ["demo"]},
                    },
                },
            }
        ),
    ]
