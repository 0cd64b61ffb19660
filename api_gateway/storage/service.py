"""Totals of the storage, from the database and the disk."""

from __future__ import annotations

import asyncio
import shutil

from sqlalchemy import text

from api_gateway.services import Services
from api_gateway.storage.schemas import Amount, DueView, StorageView

_TOTALS = text("""
    SELECT (SELECT count(*) FROM task_results) AS results,
        (SELECT count(*) FROM task_results
            WHERE kept_from < clock_timestamp() - make_interval(days => :soon)) AS expiring,
        f.count AS files, f.stored, f.saved, s.count AS structures, s.bytes AS structure_bytes,
        m.count AS models, m.bytes AS model_bytes
    FROM (
        SELECT count(*) FILTER (WHERE stored_bytes IS DISTINCT FROM 0) AS count,
            coalesce(sum(coalesce(stored_bytes, size_bytes)), 0)::bigint AS stored,
            coalesce(sum(size_bytes - stored_bytes) FILTER (WHERE stored_bytes > 0), 0)::bigint AS saved
        FROM files
    ) f, (
        SELECT count(*), coalesce(sum(size_bytes), 0)::bigint AS bytes FROM structures
        WHERE deleted_at IS NULL
    ) s, (
        SELECT count(*), coalesce(sum(size_bytes), 0)::bigint AS bytes FROM custom_models
        WHERE deleted_at IS NULL
    ) m
""")
_SHOWN = 1000


async def totals(services: Services) -> StorageView:
    storage = services.settings.storage
    soon = max(storage.keep_results_days - storage.remind_before_days, 0)
    async with services.database.reading() as session:
        row = (await session.execute(_TOTALS, {"soon": soon})).one()
    root = services.settings.storage_root
    root.mkdir(parents=True, exist_ok=True)
    disk = await asyncio.to_thread(shutil.disk_usage, root)
    return StorageView(
        results=row.results,
        result_files=Amount(count=row.files, bytes=row.stored),
        saved_bytes=row.saved,
        structures=Amount(count=row.structures, bytes=row.structure_bytes),
        custom_models=Amount(count=row.models, bytes=row.model_bytes),
        disk_total_bytes=disk.total,
        disk_free_bytes=disk.free,
        keep_results_days=storage.keep_results_days,
        expiring_soon=row.expiring if storage.clear_expired else 0,
        remind_before_days=storage.remind_before_days,
    )


async def due(services: Services) -> DueView:
    storage = services.settings.storage
    async with services.database.reading() as session:
        files = (
            await session.execute(
                text(
                    "SELECT count(*) AS n, coalesce(sum(size_bytes), 0)::bigint AS bytes"
                    " FROM files_to_compress(:days)"
                ),
                {"days": storage.compress_after_days},
            )
        ).one()
        results = (
            (
                await session.execute(
                    text("SELECT * FROM results_to_clear(:days)"), {"days": storage.keep_results_days}
                )
            ).all()
            if storage.clear_expired
            else []
        )
    return DueView(
        to_compress=Amount(count=files.n, bytes=files.bytes),
        to_clear=Amount(count=len(results), bytes=sum(row.stored_bytes for row in results)),
        tasks=[row.task_id for row in results[:_SHOWN]],
    )
