"""Examples made from the schemas: fields of the same name mean the same everywhere in the API."""

from __future__ import annotations

from typing import Any

Json = dict[str, Any]
_TASK = "task_01kb3jz4zv8m1x2c7d9e5f6g7h"
_FIELDS: Json = {
    "task_id": _TASK,
    "batch_id": "batch_01kb3jz4zt2n4p6q8r0s1t3v5w",
    "structure_id": "builtin:MOF-5",
    "structure_name": "MOF-5",
    "file_id": "struct_01kb3jz4zv8m1x2c7d9e5f6g7h",
    "model_id": "model_01kb3jz4zw1a2b3c4d5e6f7g8h",
    "delivery_id": "dlv_01kb3jz4zx9y8x7w6v5u4t3s2r",
    "command_id": "cmd_01kb3jz4zy5g6h7j8k9m0n1p2q",
    "request_id": "req_01kb3jz4zz3s4t5v6w7x8y9z0a",
    "timestamp": "2026-01-30T10:00:00.000Z",
    "created_at": "2026-01-30T10:00:00.000Z",
    "queued_at": "2026-01-30T10:00:00.000Z",
    "assigned_at": "2026-01-30T10:00:04.100Z",
    "started_at": "2026-01-30T10:00:05.000Z",
    "completed_at": "2026-01-30T10:05:30.500Z",
    "at": "2026-01-30T10:05:30.500Z",
    "done_at": "2026-01-30T10:05:30.500Z",
    "delivered_at": "2026-01-30T10:05:31.000Z",
    "booted_at": "2026-01-30T09:00:00.000Z",
    "reported_at": "2026-01-30T10:00:00.000Z",
    "oldest_queued_at": "2026-01-30T09:58:12.000Z",
    "task_type": "optimization",
    "status": "COMPLETED",
    "priority": "NORMAL",
    "model": "sevennet_prod",
    "tags": ["screening"],
    "gpu_id": 3,
    "attempt": 1,
    "number": 1,
    "n_tasks": 2,
    "duration_seconds": 325.5,
    "parameters": {"fmax": 0.05, "max_steps": 200},
    "options": {"priority": "NORMAL", "tags": ["screening"]},
    "placement": {"warm": True},
    "links": {"self": f"/api/v1/tasks/{_TASK}", "result": f"/api/v1/tasks/{_TASK}/result"},
    "counts": {"QUEUED": 1, "RUNNING": 1},
    "queued_by_priority": {"CRITICAL": 0, "HIGH": 0, "NORMAL": 1, "LOW": 0},
    "capacity": 100_000,
    "usable_gpus": 8,
    "idle_gpus": 2,
    "estimated_wait_seconds": 12.5,
    "position": 4,
    "available": True,
    "validated": True,
    "stage": "optimize",
    "current_step": 156,
    "total_steps": 200,
    "percentage": 78.0,
    "values": {"energy_eV": -774.92, "fmax_eV_per_Ang": 0.049},
    "result": {
        "converged": True,
        "final_energy_eV": -774.92,
        "output_files": {"optimized_structure": "/api/v1/files/file_01kb3jz4zv8m1x2c7d9e5f6g7h"},
    },
    "metrics": {"force_evaluations": 157},
    "level": "INFO",
    "logger": "task.optimization",
    "message": "OK",
    "extra": {"step": 156},
    "name": "MOF-5",
    "title": "MOF-5 (IRMOF-1)",
    "format": "cif",
    "n_atoms": 106,
    "formula": "C48H24O26Zn8",
    "elements": ["C", "H", "O", "Zn"],
    "space_group": "Fm-3m",
    "space_group_number": 225,
    "a": 18.29,
    "b": 18.29,
    "c": 18.29,
    "alpha": 60.0,
    "beta": 60.0,
    "gamma": 60.0,
    "density_g_cm3": 0.59,
    "warnings": [],
    "size_bytes": 12_345,
    "description": "Zinc oxide clusters joined by terephthalate.",
    "source": "Crystallography Open Database",
    "doi": "10.1038/46248",
    "published": "Cell, space group and positions.",
    "constructed": "",
    "display_name": "SevenNet (7net-0)",
    "framework": "sevennet",
    "dtype": "float32",
    "supported_elements": ["H", "C", "N", "O", "Zn"],
    "loaded_on": [3],
    "warm_models": ["sevennet_prod"],
    "licence": "GPL-3.0-only",
    "citation": "10.1021/acs.jctc.4c00190",
    "host": "gpu-node-1",
    "device": "NVIDIA GeForce RTX 3090",
    "memory_total_MB": 24_576.0,
    "memory_free_MB": 21_300.0,
    "temperature_C": 61.0,
    "utilisation_percent": 87.0,
    "event": "task.completed",
    "url": "https://client.example.com/callback",
    "status_code": 200,
    "latency_ms": 41.7,
    "version": "0.1.0",
    "page": 1,
    "page_size": 20,
    "total_items": 1,
    "total_pages": 1,
    "file": "(the file's bytes)",
    "settings": {"gateway": {"port": 8000, "language": "en"}},
}
_PLAIN: Json = {"string": "", "integer": 0, "number": 0.0, "boolean": False, "object": {}}
_NULL: Json = {"type": "null"}


def example_of(schema: Json, document: Json, name: str = "") -> Any:
    """An example that fits `schema`.

    Parameters
    ----------
    schema
        With its references still in it.
    document
        The OpenAPI document they refer to.
    name
        Of the field whose schema this is.
    """
    if "$ref" in schema:
        found: Json = document["components"]["schemas"][schema["$ref"].rpartition("/")[2]]
        return example_of(found, document, name)
    if schema.get("examples"):
        return schema["examples"][0]
    if name in _FIELDS and _fits(_FIELDS[name], schema, document):
        return _FIELDS[name]
    if "const" in schema or "default" in schema:
        return schema.get("const", schema.get("default"))
    if "enum" in schema:
        return schema["enum"][0]
    choices = schema.get("anyOf") or schema.get("oneOf")
    if choices:
        # What may be left out is left out, unless there is something to show.
        return None if _NULL in choices else example_of(choices[0], document, name)
    if "properties" in schema:
        return {inner: example_of(found, document, inner) for inner, found in schema["properties"].items()}
    if schema.get("type") == "array":
        return [example_of(schema["items"], document, name)]
    return _PLAIN.get(schema.get("type", "object"))


def _fits(value: Any, schema: Json, document: Json) -> bool:
    """Whether a value is of the schema's type and among its choices."""
    if "$ref" in schema:
        found = document["components"]["schemas"][schema["$ref"].rpartition("/")[2]]
        return _fits(value, found, document)
    choices = schema.get("anyOf") or schema.get("oneOf")
    if choices:
        return any(_fits(value, choice, document) for choice in choices)
    if "enum" in schema or "const" in schema:
        return value in schema.get("enum", [schema.get("const")])
    if "properties" in schema:
        return False
    kinds: dict[str, type | tuple[type, ...]] = {
        "string": str,
        "integer": int,
        "number": (int, float),
        "boolean": bool,
        "array": list,
        "object": dict,
        "null": type(None),
    }
    return isinstance(value, kinds.get(schema.get("type", ""), object))
