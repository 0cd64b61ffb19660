"""The words of the OpenAPI document."""

from __future__ import annotations

DESCRIPTION = """
Simulations of metal-organic frameworks with universal machine-learning potentials.

**Keys.** `Authorization: Bearer <key>` or `X-API-Key: <key>`. Keys carry the scopes `read`, `write`
and `admin`, and a rate limit: see the headers `RateLimit-*` and, with code 40029, `Retry-After`.

**Answers.** Every answer has one shape; `code` is the HTTP status on success and a five-digit code
on failure: see [the table of error codes](/docs/errors). `Accept-Language: zh` or `en` chooses the
language of `message`. `X-Request-ID` is taken from the request or made, and names the request in
every log line and webhook.

**A first task**, in Python:

```python
import httpx

api = httpx.Client(base_url="http://localhost:8000/api/v1", headers={"X-API-Key": key})
task = api.post("/tasks/optimization", json={
    "model": "sevennet_prod",
    "structure": {"source": "builtin", "name": "MOF-5"},
    "parameters": {"fmax": 0.05},
}).json()["data"]
api.get(f"/tasks/{task['task_id']}").json()["data"]["status"]
```
"""

TAGS = [
    {"name": "tasks", "description": "Submit calculations, follow them, read their results and logs."},
    {"name": "webhooks", "description": "What was sent to whom, and what became of it."},
    {"name": "structures", "description": "Uploaded and built-in structures."},
    {"name": "models", "description": "Machine-learning potentials: what there is and what is loaded."},
    {"name": "files", "description": "Files of results."},
    {"name": "system", "description": "Health, GPUs, queue, configuration, log."},
]
