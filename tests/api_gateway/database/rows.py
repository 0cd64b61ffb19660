"""A row in every table of a schema that the test has never seen, made from the schema's own rules."""

from __future__ import annotations

import re
from typing import Any

import psycopg
from psycopg import sql
from psycopg.rows import dict_row
from psycopg.types.json import Jsonb

Rows = dict[str, list[dict[str, Any]]]
CHOSEN: dict[str, dict[str, Any]] = {"tasks": {"status": "QUEUED"}}
"""Values that no rule of the schema tells."""
_COLUMNS = """
    SELECT a.attname AS name, format_type(a.atttypid, NULL) AS type, a.attnotnull AND NOT a.atthasdef
        AND a.attidentity = '' AS required
    FROM pg_attribute a WHERE a.attrelid = %s::regclass AND a.attnum > 0 AND NOT a.attisdropped
"""
_CONSTRAINTS = """
    SELECT c.contype, c.confrelid::regclass::text AS target, pg_get_constraintdef(c.oid) AS definition,
        (SELECT array_agg(a.attname ORDER BY k.n) FROM unnest(c.conkey) WITH ORDINALITY k(number, n)
            JOIN pg_attribute a ON a.attrelid = c.conrelid AND a.attnum = k.number) AS columns,
        (SELECT array_agg(a.attname ORDER BY k.n) FROM unnest(c.confkey) WITH ORDINALITY k(number, n)
            JOIN pg_attribute a ON a.attrelid = c.confrelid AND a.attnum = k.number) AS targets
    FROM pg_constraint c WHERE c.conrelid = %s::regclass
"""


def connect(url: str) -> psycopg.Connection[dict[str, Any]]:
    return psycopg.connect(url, autocommit=True, row_factory=dict_row)


def tables(connection: psycopg.Connection[dict[str, Any]]) -> list[str]:
    found = connection.execute("SELECT tablename AS name FROM pg_tables WHERE schemaname = 'public'")
    return sorted(row["name"] for row in found if row["name"] != "alembic_version")


def fill(connection: psycopg.Connection[dict[str, Any]]) -> None:
    """Make a row in every table, those that others refer to first."""
    waiting = {table: connection.execute(_CONSTRAINTS, [table]).fetchall() for table in tables(connection)}
    while waiting:
        ready = [
            table
            for table, rules in waiting.items()
            if not any(rule["target"] in waiting and rule["target"] != table for rule in rules)
        ]
        assert ready, f"tables refer to each other in a circle: {sorted(waiting)}"
        for table in ready:
            _insert(connection, table, waiting.pop(table))


def read(connection: psycopg.Connection[dict[str, Any]]) -> Rows:
    """Everything in every table, as JSON spells it."""
    found: Rows = {}
    for table in tables(connection):
        query = sql.SQL("SELECT to_jsonb(t) AS row FROM {} t").format(sql.Identifier(table))
        found[table] = [row["row"] for row in connection.execute(query)]
    return found


def _insert(connection: psycopg.Connection[dict[str, Any]], table: str, rules: list[dict[str, Any]]) -> None:
    values: dict[str, Any] = {}
    for column in connection.execute(_COLUMNS, [table]).fetchall():
        if column["required"]:
            values[column["name"]] = _value(column["type"])
    for rule in rules:
        if rule["contype"] == "c" and len(rule["columns"]) == 1 and rule["columns"][0] in values:
            listed = re.findall(r"'([^']*)'::", rule["definition"])
            values |= {rule["columns"][0]: listed[0]} if listed else {}
        if rule["contype"] == "f" and set(rule["columns"]) <= set(values):
            target = sql.SQL("SELECT * FROM {} LIMIT 1").format(sql.Identifier(rule["target"]))
            row = connection.execute(target).fetchone()
            assert row is not None
            values |= {
                ours: row[theirs] for ours, theirs in zip(rule["columns"], rule["targets"], strict=True)
            }
    values |= CHOSEN.get(table, {})
    query = sql.SQL("INSERT INTO {} ({}) VALUES ({})").format(
        sql.Identifier(table),
        sql.SQL(", ").join(map(sql.Identifier, values)),
        sql.SQL(", ").join([sql.Placeholder()] * len(values)),
    )
    connection.execute(query, list(values.values()))


def _value(kind: str) -> Any:
    if kind.endswith("[]"):
        return ["old"]
    if kind in ("jsonb", "json"):
        return Jsonb({"old": True})
    if kind.startswith("timestamp"):
        return "2026-01-02T03:04:05Z"
    if kind == "bytea":
        return b"old"
    if kind == "boolean":
        return True
    if kind == "uuid":
        return "00000000-0000-4000-8000-000000000001"
    return "1" if kind in ("integer", "bigint", "smallint", "double precision", "numeric", "real") else "old"
