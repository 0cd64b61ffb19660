-- The moves of a task: guarded, stamped, recorded, announced and put in the outbox, whoever makes
-- them. Every move is one UPDATE of tasks.status (with status_reason).

CREATE FUNCTION new_id(prefix text) RETURNS text
LANGUAGE plpgsql VOLATILE AS $$
-- The SQL twin of mof_benchmark.identifiers.new_id: UUIDv7 in Crockford base32. (uuidv7() itself
-- is only in PostgreSQL 18.)
DECLARE
    milliseconds bigint := floor(extract(epoch FROM clock_timestamp()) * 1000);
    random_part text := substr(replace(gen_random_uuid()::text, '-', ''), 14);
    bits varbit := B'00' || ('x' || lpad(to_hex(milliseconds), 12, '0') || '7' || random_part)::bit(128);
    text_part text := '';
BEGIN
    FOR i IN 0..25 LOOP
        text_part := text_part
            || substr(
                '0123456789abcdefghjkmnpqrstvwxyz',
                substring(bits FROM i * 5 + 1 FOR 5)::bit(5)::integer + 1, 1
            );
    END LOOP;
    RETURN prefix || '_' || text_part;
END $$;


CREATE FUNCTION task_guard() RETURNS trigger
LANGUAGE plpgsql AS $$
BEGIN
    IF TG_OP = 'INSERT' THEN
        IF NEW.status NOT IN ('PENDING', 'QUEUED') THEN
            RAISE EXCEPTION 'a task cannot begin as %', NEW.status USING ERRCODE = 'MF001';
        END IF;
    ELSIF (OLD.status, NEW.status) NOT IN (
        ('PENDING', 'QUEUED'), ('PENDING', 'FAILED'), ('PENDING', 'CANCELLED'),
        ('QUEUED', 'ASSIGNED'), ('QUEUED', 'CANCELLED'),
        ('ASSIGNED', 'RUNNING'), ('ASSIGNED', 'QUEUED'), ('ASSIGNED', 'FAILED'),
        ('ASSIGNED', 'CANCELLED'), ('ASSIGNED', 'TIMEOUT'),
        ('RUNNING', 'COMPLETED'), ('RUNNING', 'QUEUED'), ('RUNNING', 'FAILED'),
        ('RUNNING', 'CANCELLED'), ('RUNNING', 'TIMEOUT')
    ) THEN
        RAISE EXCEPTION 'task % cannot move from % to %', NEW.id, OLD.status, NEW.status
            USING ERRCODE = 'MF001';
    ELSIF OLD.status <> 'PENDING' AND NEW.status = 'QUEUED' AND NEW.attempt <> OLD.attempt + 1 THEN
        RAISE EXCEPTION 'task % is queued again without a new attempt number', NEW.id
            USING ERRCODE = 'MF001';
    END IF;

    CASE NEW.status
        WHEN 'QUEUED' THEN NEW.queued_at := clock_timestamp();
        WHEN 'ASSIGNED' THEN NEW.assigned_at := coalesce(NEW.assigned_at, clock_timestamp());
        WHEN 'RUNNING' THEN NEW.started_at := coalesce(NEW.started_at, clock_timestamp());
        WHEN 'COMPLETED', 'FAILED', 'CANCELLED', 'TIMEOUT' THEN NEW.ended_at := clock_timestamp();
        ELSE NULL;
    END CASE;
    RETURN NEW;
END $$;

CREATE TRIGGER task_guard_insert BEFORE INSERT ON tasks
    FOR EACH ROW EXECUTE FUNCTION task_guard();
CREATE TRIGGER task_guard_move BEFORE UPDATE OF status ON tasks
    FOR EACH ROW WHEN (OLD.status IS DISTINCT FROM NEW.status) EXECUTE FUNCTION task_guard();


CREATE FUNCTION task_webhook(task tasks, event text) RETURNS void
LANGUAGE plpgsql AS $$
-- One row in the outbox, when the task asked to be told of this event. Times are UTC.
DECLARE
    result jsonb;
    summary json;
BEGIN
    IF task.notify_url IS NULL OR NOT event = ANY (task.notify_events) THEN
        RETURN;
    END IF;
    IF task.status = 'COMPLETED' THEN
        SELECT r.result INTO result FROM task_results r WHERE r.task_id = task.id;
    END IF;
    summary := json_strip_nulls(json_build_object(
        'duration_seconds', round(extract(epoch FROM task.ended_at - task.started_at)::numeric, 3),
        'converged', result -> 'converged',
        'final_energy_eV', coalesce(result -> 'final_energy_eV', result -> 'energy_eV')
    ));
    INSERT INTO webhook_deliveries (id, task_id, event, url, body)
    VALUES (new_id('dlv'), task.id, event, task.notify_url, json_build_object(
        'event', event,
        'task_id', task.id,
        'status', task.status,
        'timestamp', to_char(clock_timestamp() AT TIME ZONE 'UTC', 'YYYY-MM-DD"T"HH24:MI:SS.MS"Z"'),
        'request_id', task.request_id,
        'result_url', CASE WHEN task.status = 'COMPLETED' THEN '/api/v1/tasks/' || task.id || '/result' END,
        'summary', summary,
        'progress', CASE WHEN event = 'task.progress' THEN task.progress END,
        'error', task.error
    )::text);
    PERFORM pg_notify('mofsim_webhook', '');
END $$;


CREATE FUNCTION task_moved() RETURNS trigger
LANGUAGE plpgsql AS $$
DECLARE
    before text := CASE WHEN TG_OP = 'UPDATE' THEN OLD.status END;
BEGIN
    INSERT INTO task_history (task_id, from_status, to_status, attempt, gpu_id, reason)
    VALUES (NEW.id, before, NEW.status, NEW.attempt, NEW.gpu_id, NEW.status_reason);

    -- A reason to place: a task in the queue, a GPU that came free, or a run whose end can be
    -- foreseen now that it has begun.
    IF NEW.status = 'QUEUED' OR before IN ('ASSIGNED', 'RUNNING') THEN
        PERFORM pg_notify('mofsim_queue', '');
    END IF;
    IF before IS NOT NULL THEN
        PERFORM pg_notify('mofsim_task', NEW.id);
    END IF;

    CASE NEW.status
        WHEN 'RUNNING' THEN
            -- A task that is tried again was announced already.
            IF NEW.started_at IS DISTINCT FROM OLD.started_at THEN
                PERFORM task_webhook(NEW, 'task.started');
            END IF;
        WHEN 'COMPLETED', 'FAILED', 'CANCELLED', 'TIMEOUT' THEN
            PERFORM task_webhook(NEW, 'task.' || lower(NEW.status));
        ELSE NULL;
    END CASE;
    RETURN NULL;
END $$;

CREATE TRIGGER task_moved_insert AFTER INSERT ON tasks
    FOR EACH ROW EXECUTE FUNCTION task_moved();
CREATE TRIGGER task_moved_move AFTER UPDATE OF status ON tasks
    FOR EACH ROW WHEN (OLD.status IS DISTINCT FROM NEW.status) EXECUTE FUNCTION task_moved();
