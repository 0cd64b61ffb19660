-- An attempt belongs to the pool worker that claims it first; Prefect is told afterwards.

ALTER TABLE task_attempts ADD COLUMN worker TEXT;


CREATE FUNCTION attempt_claim(task_id text, attempt integer, worker text) RETURNS text
-- `fenced` for all but the first; the first may ask again.
LANGUAGE plpgsql AS $$
DECLARE
    task tasks;
    answer text;
BEGIN
    SELECT * INTO task FROM tasks t WHERE t.id = attempt_claim.task_id FOR NO KEY UPDATE;
    answer := attempt_answer(task, attempt_claim.attempt);
    IF answer <> 'go' THEN
        RETURN answer;
    END IF;
    UPDATE task_attempts a SET worker = attempt_claim.worker, flow_heartbeat_at = clock_timestamp()
    WHERE a.task_id = task.id AND a.attempt = task.attempt
        AND (a.worker IS NULL OR a.worker = attempt_claim.worker);
    RETURN CASE WHEN FOUND THEN 'go' ELSE 'fenced' END;
END $$;


CREATE FUNCTION attempt_workers(flow_run_ids uuid[]) RETURNS TABLE (flow_run_id uuid, worker text)
LANGUAGE sql STABLE AS $$
    SELECT a.flow_run_id, a.worker FROM task_attempts a
    WHERE a.flow_run_id = ANY (attempt_workers.flow_run_ids) AND a.worker IS NOT NULL
$$;
