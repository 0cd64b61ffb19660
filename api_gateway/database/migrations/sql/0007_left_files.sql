-- Files of attempts that end without a result: registered, served and cleared away like all others.

ALTER TABLE files ADD COLUMN used_at TIMESTAMP WITH TIME ZONE;


CREATE FUNCTION register_files(task tasks, files jsonb) RETURNS void
-- Called by what has locked the task and seen to the fence.
LANGUAGE sql AS $$
    INSERT INTO files (id, task_id, attempt, role, path, media_type, size_bytes, sha256)
    SELECT file ->> 'file_id', task.id, task.attempt, file ->> 'role', file ->> 'path',
        file ->> 'media_type', (file ->> 'size_bytes')::bigint, file ->> 'sha256'
    FROM jsonb_array_elements(coalesce(nullif(register_files.files, 'null'), '[]')) AS file
    WHERE NOT EXISTS (SELECT 1 FROM files f WHERE f.task_id = task.id AND f.path = file ->> 'path')
    ON CONFLICT DO NOTHING
$$;


CREATE FUNCTION attempt_files(task_id text, attempt integer, files jsonb) RETURNS text
-- Fenced as the others, but the present attempt may write after its end too: a stop takes effect after
-- the grace time, whether or not its host is dead yet and its files are at rest.
LANGUAGE plpgsql AS $$
DECLARE
    task tasks;
    answer text;
BEGIN
    SELECT * INTO task FROM tasks t WHERE t.id = attempt_files.task_id FOR NO KEY UPDATE;
    answer := attempt_answer(task, attempt_files.attempt);
    IF answer = 'fenced' THEN
        IF task.id IS NULL OR task.attempt <> attempt_files.attempt
            OR task.status NOT IN ('FAILED', 'CANCELLED', 'TIMEOUT')
        THEN
            RETURN answer;
        END IF;
        answer := 'stop';
    END IF;
    -- An attempt with a result has named its files.
    IF EXISTS (SELECT 1 FROM task_results r WHERE r.task_id = task.id AND r.attempt = task.attempt) THEN
        RETURN answer;
    END IF;
    -- What an earlier attempt left that was tried again.
    DELETE FROM files f WHERE f.task_id = task.id AND f.attempt < task.attempt
        AND NOT EXISTS (SELECT 1 FROM task_results r WHERE r.task_id = task.id AND r.attempt = f.attempt);
    PERFORM register_files(task, attempt_files.files);
    RETURN answer;
END $$;


CREATE OR REPLACE FUNCTION attempt_result(task_id text, attempt integer, result jsonb, files jsonb) RETURNS text
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
    -- What earlier attempts left is no part of this result.
    DELETE FROM files f WHERE f.task_id = task.id AND f.attempt < task.attempt;
    PERFORM register_files(task, attempt_result.files);
    RETURN 'go';
END $$;


CREATE OR REPLACE FUNCTION files_to_compress(days integer)
RETURNS TABLE (file_id text, path text, size_bytes bigint)
-- Not those of a task that goes on: its next attempt may read what earlier ones left.
LANGUAGE sql STABLE AS $$
    SELECT f.id, f.path, f.size_bytes FROM files f
    WHERE f.stored_bytes IS NULL AND f.role LIKE '%trajectory%'
        AND f.created_at < clock_timestamp() - make_interval(days => days)
        AND NOT EXISTS (SELECT 1 FROM tasks t WHERE t.id = f.task_id AND t.ended_at IS NULL)
    ORDER BY f.created_at, f.id
$$;

CREATE OR REPLACE FUNCTION results_to_clear(days integer) RETURNS TABLE (task_id text, stored_bytes bigint)
-- Results whose time is over, files that never had one, and those that a run which was cut off left.
LANGUAGE sql STABLE AS $$
    SELECT due.task_id, coalesce((
        SELECT sum(coalesce(f.stored_bytes, f.size_bytes)) FROM files f WHERE f.task_id = due.task_id
    ), 0)::bigint
    FROM (
        SELECT r.task_id FROM task_results r
        WHERE r.kept_from < clock_timestamp() - make_interval(days => days)
        UNION
        SELECT f.task_id FROM files f
        WHERE f.stored_bytes IS DISTINCT FROM 0 AND f.task_id IS NOT NULL
            AND coalesce(f.used_at, f.created_at) < clock_timestamp() - make_interval(days => days)
            AND NOT EXISTS (SELECT 1 FROM task_results r WHERE r.task_id = f.task_id)
    ) due
    WHERE NOT EXISTS (SELECT 1 FROM tasks t WHERE t.id = due.task_id AND t.ended_at IS NULL)
    ORDER BY due.task_id
$$;

CREATE OR REPLACE FUNCTION result_clear(task_id text, days integer) RETURNS boolean
-- Whether the files may go: what was used in the meantime stays.
LANGUAGE plpgsql AS $$
BEGIN
    DELETE FROM task_results r
    WHERE r.task_id = result_clear.task_id
        AND r.kept_from < clock_timestamp() - make_interval(days => days);
    RETURN NOT EXISTS (SELECT 1 FROM task_results r WHERE r.task_id = result_clear.task_id)
        AND NOT EXISTS (
            SELECT 1 FROM files f WHERE f.task_id = result_clear.task_id
                AND f.used_at >= clock_timestamp() - make_interval(days => days)
        );
END $$;

CREATE FUNCTION task_used(task_id text) RETURNS void
-- Count anew the time that a task's result or, without one, its files are kept; once a day is enough.
LANGUAGE plpgsql AS $$
BEGIN
    UPDATE task_results r SET kept_from = clock_timestamp()
    WHERE r.task_id = task_used.task_id AND r.kept_from < clock_timestamp() - interval '1 day';
    UPDATE files f SET used_at = clock_timestamp()
    WHERE f.task_id = task_used.task_id
        AND coalesce(f.used_at, f.created_at) < clock_timestamp() - interval '1 day'
        AND NOT EXISTS (SELECT 1 FROM task_results r WHERE r.task_id = f.task_id);
END $$;
