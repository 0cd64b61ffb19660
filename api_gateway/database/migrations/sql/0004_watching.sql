-- Alerts, timed gateway processes, and how long results are kept.

CREATE TABLE alerts (
    id VARCHAR(64) COLLATE "C" NOT NULL,
    type TEXT NOT NULL,
    subject TEXT NOT NULL,
    level TEXT NOT NULL,
    message TEXT NOT NULL,
    details JSONB DEFAULT '{}' NOT NULL,
    raised_at TIMESTAMP WITH TIME ZONE NOT NULL,
    resolved_at TIMESTAMP WITH TIME ZONE,
    via TEXT NOT NULL,
    raise_told_at TIMESTAMP WITH TIME ZONE,
    resolve_told_at TIMESTAMP WITH TIME ZONE,
    CONSTRAINT pk_alerts PRIMARY KEY (id)
);
-- A condition is one alert for as long as it lasts, whoever tells of it and however often.
CREATE UNIQUE INDEX uq_alerts_active ON alerts (type, subject) WHERE resolved_at IS NULL;
CREATE INDEX ix_alerts_raised_at_id ON alerts (raised_at, id);
CREATE INDEX ix_alerts_untold ON alerts (raised_at)
    WHERE raise_told_at IS NULL OR (resolved_at IS NOT NULL AND resolve_told_at IS NULL);

CREATE TABLE gateway_processes (
    id VARCHAR(64) COLLATE "C" NOT NULL,
    host TEXT NOT NULL,
    pid INTEGER NOT NULL,
    started_at TIMESTAMP WITH TIME ZONE DEFAULT clock_timestamp() NOT NULL,
    reported_at TIMESTAMP WITH TIME ZONE DEFAULT clock_timestamp() NOT NULL,
    requests INTEGER NOT NULL,
    p99_seconds DOUBLE PRECISION,
    CONSTRAINT pk_gateway_processes PRIMARY KEY (id)
);

-- The last tasks of a model to end, and the tasks that ended lately.
CREATE INDEX ix_tasks_model_ended_at ON tasks (model, ended_at) WHERE ended_at IS NOT NULL;

-- A result is kept for a time that counts from here: its creation, or its last use.
ALTER TABLE task_results ADD COLUMN kept_from TIMESTAMP WITH TIME ZONE;
UPDATE task_results SET kept_from = created_at;
ALTER TABLE task_results ALTER COLUMN kept_from SET DEFAULT clock_timestamp();
ALTER TABLE task_results ALTER COLUMN kept_from SET NOT NULL;
CREATE INDEX ix_task_results_kept_from ON task_results (kept_from);

-- Size on the disk of a file that lies there compressed.
ALTER TABLE files ADD COLUMN stored_bytes BIGINT;

-- Pool workers, one for each machine.
CREATE TABLE pool_workers (
    host TEXT NOT NULL,
    pid INTEGER NOT NULL,
    reported_at TIMESTAMP WITH TIME ZONE DEFAULT clock_timestamp() NOT NULL,
    CONSTRAINT pk_pool_workers PRIMARY KEY (host)
);

CREATE FUNCTION worker_heartbeat(host text, pid integer) RETURNS void
LANGUAGE plpgsql AS $$
BEGIN
    PERFORM set_config('synchronous_commit', 'off', true);
    INSERT INTO pool_workers (host, pid) VALUES (worker_heartbeat.host, worker_heartbeat.pid)
    ON CONFLICT ON CONSTRAINT pk_pool_workers
        DO UPDATE SET pid = excluded.pid, reported_at = excluded.reported_at;
END $$;

CREATE FUNCTION worker_left(host text, pid integer) RETURNS void
-- An orderly end is no loss.
LANGUAGE sql AS $$
    DELETE FROM pool_workers w WHERE w.host = worker_left.host AND w.pid = worker_left.pid
$$;
