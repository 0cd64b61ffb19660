"""What the reconciler asks the database. All times are the database's own clock.

Silence is counted from the server's start at the earliest: while PostgreSQL was down nobody could
say that they live.
"""

from __future__ import annotations

from sqlalchemy import text

_BOUND = """
    FROM tasks t JOIN task_attempts a ON a.task_id = t.id AND a.attempt = t.attempt
    LEFT JOIN gpu_slots s ON s.gpu_id = a.gpu_id
    WHERE t.status IN ('ASSIGNED', 'RUNNING')
"""

_NAMED_BY_HOST = """(s.report -> 'current' ->> 'task_id' = a.task_id
    AND (s.report -> 'current' ->> 'attempt')::integer = a.attempt)"""

OVERDUE = text(f"""
    SELECT t.id AS task_id, t.attempt {_BOUND}
        AND t.stop_requested_at IS NULL
        AND t.spent_seconds + extract(epoch FROM clock_timestamp() - a.started_at) > t.timeout_seconds
""")  # noqa: S608 - constants of this module
"""Attempts whose task has run longer than it may, all its attempts together."""

STOPS_NOT_SENT = text(f"""
    SELECT t.id AS task_id, t.attempt {_BOUND}
        AND t.stop_requested_at IS NOT NULL AND a.stop_sent_at IS NULL AND a.flow_run_id IS NOT NULL
""")

STOPS_OVER_GRACE = text(f"""
    SELECT t.id AS task_id, t.attempt {_BOUND}
        AND t.stop_requested_at < clock_timestamp() - make_interval(secs => :grace)
""")

SILENT = text(f"""
    WITH bound AS (
        SELECT a.task_id, a.attempt,
            a.started_at IS NOT NULL OR a.flow_heartbeat_at IS NOT NULL AS began,
            clock_timestamp() - greatest(
                a.flow_heartbeat_at, a.started_at, pg_postmaster_start_time()
            ) AS flow_silence,
            clock_timestamp() - greatest(s.reported_at, pg_postmaster_start_time()) AS host_silence
        {_BOUND}
    )
    SELECT task_id, attempt, why, NOT flow_is_silent AS host_is_silent FROM (
        SELECT task_id, attempt, flow_is_silent, CASE
            WHEN flow_is_silent
                THEN 'its flow has been silent for ' || round(extract(epoch FROM flow_silence)) || ' s'
            -- A flow whose host is dead fails by itself; this is for one that does not notice.
            WHEN host_silence > make_interval(
                secs => CAST(:lost_after AS float8) + CASE WHEN began THEN CAST(:grace AS float8) ELSE 0 END
            )
                THEN 'its GPU host has been silent for ' || round(extract(epoch FROM host_silence)) || ' s'
        END AS why
        FROM (
            SELECT *, began AND flow_silence > make_interval(secs => :lost_after) AS flow_is_silent FROM bound
        ) heard
    ) judged
    WHERE why IS NOT NULL
""")  # noqa: S608

OVERTAKEN = text(f"""
    SELECT t.id AS task_id, t.attempt {_BOUND}
        AND t.status = 'ASSIGNED' AND a.bound_ahead AND a.flow_heartbeat_at IS NULL
        AND a.created_at < clock_timestamp() - make_interval(secs => :lost_after)
        AND EXISTS (
            SELECT 1 FROM task_attempts other
            WHERE other.gpu_id = a.gpu_id AND other.released_at IS NULL AND other.task_id <> a.task_id
        )
        AND EXISTS (
            SELECT 1 FROM gpu_slots free
            WHERE free.reported_at > clock_timestamp() - make_interval(secs => :lost_after)
                AND (free.report ->> 'ok')::boolean AND free.kill_requested_at IS NULL
                AND NOT EXISTS (
                    SELECT 1 FROM task_attempts held
                    WHERE held.gpu_id = free.gpu_id AND held.released_at IS NULL
                )
        )
""")  # noqa: S608
"""Tasks that still wait behind another one while a GPU stands idle."""

CONDEMN = text(f"""
    UPDATE gpu_slots AS slot SET kill_requested_at = clock_timestamp(), kill_reason = judged.why
    FROM (
        SELECT s.gpu_id, s.boot_id, CASE
            WHEN clock_timestamp() - greatest(s.reported_at, pg_postmaster_start_time())
                > make_interval(secs => :lost_after) THEN 'silent'
            WHEN EXISTS (
                SELECT 1 FROM task_attempts a WHERE a.gpu_id = s.gpu_id AND a.released_at IS NULL
                    AND a.ended_at < clock_timestamp() - make_interval(secs => :grace)
                    AND s.reported_at > a.ended_at AND {_NAMED_BY_HOST}
            ) THEN 'still computes an attempt that was given up'
            WHEN EXISTS (
                SELECT 1 FROM task_attempts a JOIN tasks t ON t.id = a.task_id
                WHERE a.gpu_id = s.gpu_id AND a.released_at IS NULL
                    AND t.stop_requested_at < clock_timestamp() - make_interval(secs => :grace)
                    AND s.reported_at > t.stop_requested_at + make_interval(secs => :grace)
                    AND {_NAMED_BY_HOST}
            ) THEN 'does not stop'
        END AS why
        FROM gpu_slots s WHERE s.kill_requested_at IS NULL
    ) judged
    WHERE slot.gpu_id = judged.gpu_id AND slot.boot_id = judged.boot_id AND judged.why IS NOT NULL
    RETURNING slot.gpu_id, slot.kill_reason
""")  # noqa: S608

OPEN_RUNS = text("""
    SELECT a.task_id, a.attempt, a.flow_run_id, a.outcome
    FROM task_attempts a
    WHERE a.run_ended_at IS NULL AND a.ended_at IS NOT NULL AND a.flow_run_id IS NOT NULL
""")

BOUND_RUNS = text(f"""
    SELECT a.task_id, a.attempt,
        greatest(a.created_at, a.flow_heartbeat_at, pg_postmaster_start_time())
            < clock_timestamp() - make_interval(secs => :lost_after)
            AND NOT EXISTS (
                SELECT 1 FROM task_attempts ahead
                WHERE ahead.gpu_id = a.gpu_id AND ahead.released_at IS NULL
                    AND ahead.created_at < a.created_at
            ) AS old
    {_BOUND} AND a.flow_run_id IS NOT NULL
""")  # noqa: S608

MEASURE = text("""
    INSERT INTO task_durations (task_type, model, size_class, median_seconds, samples)
    SELECT task_type, model, size_class, percentile_cont(0.5) WITHIN GROUP (ORDER BY seconds), count(*)
    FROM (
        SELECT t.task_type, t.model, t.size_class,
            extract(epoch FROM a.ended_at - a.started_at)::float8 AS seconds
        FROM tasks t JOIN task_attempts a ON a.task_id = t.id AND a.attempt = t.attempt
        WHERE t.status = 'COMPLETED' ORDER BY t.ended_at DESC LIMIT 500
    ) recent
    WHERE seconds >= 0
    GROUP BY task_type, model, size_class
    ON CONFLICT (task_type, model, size_class) DO UPDATE SET
        median_seconds = excluded.median_seconds, samples = excluded.samples,
        updated_at = excluded.updated_at
""")
