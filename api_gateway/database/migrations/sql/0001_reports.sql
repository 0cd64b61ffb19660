-- What flows and GPU hosts may write (docs/interfaces.md). All is fenced: an attempt that is no
-- longer the task's own writes nothing. Rows are locked in the order tasks, task_attempts.

CREATE FUNCTION attempt_answer(task tasks, attempt integer) RETURNS text
LANGUAGE sql STABLE AS $$
    SELECT CASE
        WHEN task.id IS NULL OR task.attempt <> attempt OR task.status NOT IN ('ASSIGNED', 'RUNNING')
            THEN 'fenced'
        WHEN task.stop_requested_at IS NOT NULL THEN 'stop'
        ELSE 'go'
    END
$$;


CREATE FUNCTION attempt_heartbeat(task_id text, attempt integer, source text) RETURNS text
LANGUAGE plpgsql AS $$
DECLARE
    task tasks;
    answer text;
BEGIN
    -- A heartbeat lost in a crash of the server is replaced by the next.
    PERFORM set_config('synchronous_commit', 'off', true);
    SELECT * INTO task FROM tasks t WHERE t.id = attempt_heartbeat.task_id;
    answer := attempt_answer(task, attempt_heartbeat.attempt);
    IF answer = 'fenced' THEN
        RETURN answer;
    END IF;
    UPDATE task_attempts a SET
        flow_heartbeat_at = CASE source WHEN 'flow' THEN clock_timestamp() ELSE a.flow_heartbeat_at END,
        host_heartbeat_at = CASE source WHEN 'host' THEN clock_timestamp() ELSE a.host_heartbeat_at END
    WHERE a.task_id = attempt_heartbeat.task_id AND a.attempt = attempt_heartbeat.attempt;
    RETURN answer;
END $$;


CREATE FUNCTION attempt_report(task_id text, attempt integer, progress jsonb, logs jsonb) RETURNS text
LANGUAGE plpgsql AS $$
DECLARE
    task tasks;
    answer text;
    percentage double precision;
BEGIN
    SELECT * INTO task FROM tasks t WHERE t.id = attempt_report.task_id FOR NO KEY UPDATE;
    answer := attempt_answer(task, attempt_report.attempt);
    IF answer = 'fenced' THEN
        RETURN answer;
    END IF;
    UPDATE task_attempts a SET host_heartbeat_at = clock_timestamp()
    WHERE a.task_id = attempt_report.task_id AND a.attempt = attempt_report.attempt;

    INSERT INTO task_logs (task_id, attempt, timestamp, level, logger, message, gpu_id, extra)
    SELECT task.id, task.attempt,
        coalesce((line ->> 'timestamp')::timestamptz, clock_timestamp()),
        coalesce(line ->> 'level', 'INFO'), coalesce(line ->> 'logger', 'task'),
        coalesce(line ->> 'message', ''), coalesce((line ->> 'gpu_id')::integer, task.gpu_id),
        coalesce(nullif(line -> 'extra', 'null'), '{}')
    FROM jsonb_array_elements(coalesce(nullif(attempt_report.logs, 'null'), '[]'))
        WITH ORDINALITY AS lines (line, number)
    ORDER BY number;

    IF attempt_report.progress IS NOT NULL AND attempt_report.progress <> 'null' THEN
        UPDATE tasks t SET progress = attempt_report.progress, progress_event = nextval('task_event_seq')
        WHERE t.id = task.id RETURNING * INTO task;
        percentage := (task.progress ->> 'percentage')::double precision;
        -- At most one event per 5 % and per 2 s.
        IF 'task.progress' = ANY (task.notify_events)
            AND percentage >= coalesce(task.notified_percentage, 0) + 5
            AND clock_timestamp() >= coalesce(task.notified_at, '-infinity') + interval '2 seconds'
        THEN
            PERFORM task_webhook(task, 'task.progress');
            UPDATE tasks t SET notified_percentage = percentage, notified_at = clock_timestamp()
            WHERE t.id = task.id;
        END IF;
    END IF;
    PERFORM pg_notify('mofsim_task', task.id);
    RETURN answer;
END $$;


CREATE FUNCTION attempt_result(task_id text, attempt integer, result jsonb, files jsonb) RETURNS text
LANGUAGE plpgsql AS $$
DECLARE
    task tasks;
BEGIN
    SELECT * INTO task FROM tasks t WHERE t.id = attempt_result.task_id FOR NO KEY UPDATE;
    IF attempt_answer(task, attempt_result.attempt) = 'fenced' THEN
        RETURN 'fenced';
    END IF;
    INSERT INTO task_results AS r (task_id, attempt, result)
    VALUES (task.id, task.attempt, attempt_result.result)
    ON CONFLICT ON CONSTRAINT pk_task_results DO UPDATE
        SET attempt = excluded.attempt, result = excluded.result, created_at = excluded.created_at;
    INSERT INTO files (id, task_id, attempt, role, path, media_type, size_bytes, sha256)
    SELECT file ->> 'file_id', task.id, task.attempt, file ->> 'role', file ->> 'path',
        file ->> 'media_type', (file ->> 'size_bytes')::bigint, file ->> 'sha256'
    FROM jsonb_array_elements(coalesce(nullif(attempt_result.files, 'null'), '[]')) AS file
    ON CONFLICT DO NOTHING;
    RETURN 'go';
END $$;


CREATE FUNCTION attempt_error(task_id text, attempt integer, error jsonb) RETURNS text
LANGUAGE plpgsql AS $$
DECLARE
    task tasks;
    answer text;
BEGIN
    SELECT * INTO task FROM tasks t WHERE t.id = attempt_error.task_id FOR NO KEY UPDATE;
    answer := attempt_answer(task, attempt_error.attempt);
    IF answer <> 'fenced' THEN
        UPDATE task_attempts a SET error = attempt_error.error
        WHERE a.task_id = attempt_error.task_id AND a.attempt = attempt_error.attempt;
    END IF;
    RETURN answer;
END $$;


CREATE FUNCTION slot_report(gpu_id integer, boot_id text, report jsonb) RETURNS jsonb
LANGUAGE plpgsql AS $$
DECLARE
    before gpu_slots;
    released integer;
BEGIN
    PERFORM set_config('synchronous_commit', 'off', true);
    SELECT * INTO before FROM gpu_slots s WHERE s.gpu_id = slot_report.gpu_id FOR NO KEY UPDATE;
    INSERT INTO gpu_slots AS s (gpu_id, boot_id, report)
    VALUES (slot_report.gpu_id, slot_report.boot_id, slot_report.report)
    ON CONFLICT ON CONSTRAINT pk_gpu_slots DO UPDATE SET
        boot_id = excluded.boot_id,
        booted_at = CASE WHEN s.boot_id = excluded.boot_id THEN s.booted_at ELSE excluded.booted_at END,
        report = excluded.report,
        reported_at = excluded.reported_at,
        kill_requested_at = CASE WHEN s.boot_id = excluded.boot_id THEN s.kill_requested_at END,
        kill_reason = CASE WHEN s.boot_id = excluded.boot_id THEN s.kill_reason END;

    -- Attempts that were stopped or lost leave the GPU when Prefect has closed their run and
    -- the host no longer names them.
    UPDATE task_attempts a SET released_at = clock_timestamp()
    WHERE a.gpu_id = slot_report.gpu_id AND a.released_at IS NULL AND a.ended_at IS NOT NULL
        AND (a.run_ended_at IS NOT NULL OR a.flow_run_id IS NULL)
        AND (a.task_id, a.attempt) IS DISTINCT FROM (
            slot_report.report -> 'current' ->> 'task_id',
            (slot_report.report -> 'current' ->> 'attempt')::integer
        );
    GET DIAGNOSTICS released = ROW_COUNT;

    -- A slot that is new, back or well again is a reason to place.
    IF released > 0 OR before.boot_id IS DISTINCT FROM slot_report.boot_id
        OR before.report -> 'ok' IS DISTINCT FROM slot_report.report -> 'ok'
        OR before.reported_at < clock_timestamp() - interval '5 seconds'
    THEN
        PERFORM pg_notify('mofsim_queue', '');
    END IF;
    RETURN coalesce((
        SELECT jsonb_agg(
            jsonb_build_object('command_id', c.id, 'action', c.action, 'model', c.model)
            ORDER BY c.created_at, c.id
        )
        FROM slot_commands c WHERE c.gpu_id = slot_report.gpu_id AND c.done_at IS NULL
    ), '[]');
END $$;


CREATE FUNCTION slot_command_done(command_id text, error jsonb) RETURNS void
LANGUAGE plpgsql AS $$
BEGIN
    UPDATE slot_commands c SET done_at = clock_timestamp(), error = nullif(slot_command_done.error, 'null')
    WHERE c.id = command_id AND c.done_at IS NULL;
    PERFORM pg_notify('mofsim_slot', command_id);
END $$;


CREATE VIEW slot_kills AS
-- Hosts that must be killed: asked of this very boot, so the row is gone once a new one reports.
SELECT gpu_id, boot_id, kill_requested_at, kill_reason, report ->> 'host' AS host,
    (report ->> 'pid')::integer AS pid
FROM gpu_slots WHERE kill_requested_at IS NOT NULL;
