"""What a task leaves: rows and bytes in both databases, files by role, log lines.

Sizes of rows are those PostgreSQL stores (compressed values count compressed), with the row's header and its
entries in the table's indexes. Free space within pages is not in them: it is the arithmetic's.
"""

from __future__ import annotations

import gzip
import json
from collections import defaultdict
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import psycopg
from psycopg import sql

ROW_HEADER_BYTES = 28
"""A row's header (24 bytes) and its pointer in the page (4)."""

_DELIVERIES = "SELECT id FROM webhook_deliveries WHERE task_id = %(task)s"
OURS: Mapping[str, str] = {
    "tasks": "id = %(task)s",
    "task_attempts": "task_id = %(task)s",
    "task_history": "task_id = %(task)s",
    "task_logs": "task_id = %(task)s",
    "task_results": "task_id = %(task)s",
    "files": "task_id = %(task)s",
    "webhook_deliveries": "task_id = %(task)s",
    "webhook_attempts": f"delivery_id IN ({_DELIVERIES})",
    "audit_lines": "target = %(task)s",
    "structures": "id = (SELECT structure_id FROM tasks WHERE id = %(task)s)",
}
"""Tables of ours that a task has rows in, and which."""

_RUN_EVENTS = (
    "(resource_id = 'prefect.flow-run.' || %(run)s"
    " OR related_resource_ids @> jsonb_build_array('prefect.flow-run.' || %(run)s))"
)
_TASK_RUNS = "SELECT id FROM task_run WHERE flow_run_id = %(run)s::uuid"
PREFECTS: Mapping[str, str] = {
    "flow_run": "id = %(run)s::uuid",
    "flow_run_state": "flow_run_id = %(run)s::uuid",
    "task_run": "flow_run_id = %(run)s::uuid",
    "task_run_state": f"task_run_id IN ({_TASK_RUNS})",
    "log": "flow_run_id = %(run)s::uuid",
    "artifact": "flow_run_id = %(run)s::uuid",
    "events": _RUN_EVENTS,
    "event_resources": f"event_id IN (SELECT id FROM events WHERE {_RUN_EVENTS})",  # noqa: S608 - constants
}
"""The same of Prefect's, for a flow run."""

Connection = psycopg.Connection[Any]


@dataclass(frozen=True)
class Usage:
    """So many rows, files or lines, and their bytes."""

    number: float
    bytes: float

    def __add__(self, other: Usage) -> Usage:
        return Usage(self.number + other.number, self.bytes + other.bytes)


NOTHING = Usage(0, 0)


def rows_of(connection: Connection, table: str, where: str, values: Mapping[str, str]) -> Usage:
    """Rows of a table that a condition picks, without their index entries."""
    columns = connection.execute(
        "SELECT attname FROM pg_attribute WHERE attrelid = %s::regclass AND attnum > 0 AND NOT attisdropped",
        [table],
    ).fetchall()
    sizes = sql.SQL(" + ").join(
        sql.SQL("coalesce(pg_column_size({}), 0)").format(sql.Identifier(name)) for (name,) in columns
    )
    query = sql.SQL("SELECT count(*), coalesce(sum({} + {}), 0) FROM {} WHERE ").format(
        sql.Literal(ROW_HEADER_BYTES), sizes, sql.Identifier(table)
    )
    row = connection.execute(query + sql.SQL(where), values).fetchone()
    assert row is not None  # noqa: S101 - an aggregate has one row
    return Usage(int(row[0]), float(row[1]))


def index_bytes_a_row(connection: Connection, table: str) -> float:
    """Mean bytes of a row's entries in all indexes of its table.

    Those of B-trees are counted. A GIN index has no such count: its pages are taken whole, which is too much
    for a small table.
    """
    connection.execute("CREATE EXTENSION IF NOT EXISTS pgstattuple")
    rows = rows_of(connection, table, "true", {}).number
    if rows == 0:
        return 0.0
    found = connection.execute(
        "SELECT coalesce(sum(CASE WHEN a.amname = 'gin' THEN pg_relation_size(i.indexrelid)"
        " ELSE (pgstattuple(i.indexrelid)).tuple_len END), 0)"
        " FROM pg_index i JOIN pg_class c ON c.oid = i.indexrelid JOIN pg_am a ON a.oid = c.relam"
        " WHERE i.indrelid = %s::regclass",
        [table],
    ).fetchone()
    assert found is not None  # noqa: S101 - an aggregate has one row
    return float(found[0]) / rows


def rows_left(
    connection: Connection, tables: Mapping[str, str], index_bytes: Mapping[str, float], **values: str
) -> dict[str, Usage]:
    """Rows by table, with their index entries; tables without any are left out."""
    left = {table: rows_of(connection, table, where, values) for table, where in tables.items()}
    return {
        table: Usage(usage.number, usage.bytes + usage.number * index_bytes[table])
        for table, usage in left.items()
        if usage.number
    }


def everything(connection: Connection) -> Usage:
    """All rows of a database's own tables, without indexes."""
    tables = connection.execute("SELECT tablename FROM pg_tables WHERE schemaname = 'public'").fetchall()
    return sum((rows_of(connection, table, "true", {}) for (table,) in tables), NOTHING)


def files_left(connection: Connection, storage_root: Path, task_id: str) -> dict[str, Usage]:
    """Files of a task by role; what no role names (stage results, checkpoints) by the stage's name."""
    registered = connection.execute("SELECT path, role FROM files WHERE task_id = %s", [task_id]).fetchall()
    roles = {storage_root / path: role for path, role in registered}
    left: dict[str, Usage] = defaultdict(lambda: NOTHING)
    for path in sorted((storage_root / "results" / task_id).rglob("*")):
        if path.is_file():
            role = roles.get(path) or roles.get(path.with_suffix("")) or _unregistered(path)
            left[role] += Usage(1, path.stat().st_size)
    return dict(left)


def _unregistered(path: Path) -> str:
    return f"{path.name.partition('.')[0]} ({'stage' if 'stages' in path.parts else 'work'})"


def structure_left(connection: Connection, storage_root: Path, task_id: str) -> Usage:
    """The files of a task's structure: as uploaded, and as the calculations read it."""
    rows = connection.execute(
        "SELECT source_path, path FROM structures WHERE id = (SELECT structure_id FROM tasks WHERE id = %s)",
        [task_id],
    ).fetchall()
    paths = {storage_root / path for row in rows for path in row}
    return sum((Usage(1, path.stat().st_size) for path in paths if path.is_file()), NOTHING)


def lines_of(folder: Path, task_id: str) -> list[bytes]:
    """A task's lines in the log files of a kind."""
    wanted = task_id.encode()
    return [
        line
        for file in sorted(folder.glob("*.jsonl"))
        for line in file.read_bytes().splitlines(keepends=True)
        if wanted in line and json.loads(line).get("task_id") == task_id
    ]


def raw_and_gzipped(lines: Iterable[bytes]) -> tuple[Usage, Usage]:
    """Lines as they are written, and as the archiver keeps them."""
    lines = list(lines)
    content = b"".join(lines)
    packed = len(gzip.compress(content)) if content else 0
    return Usage(len(lines), len(content)), Usage(len(lines), packed)
