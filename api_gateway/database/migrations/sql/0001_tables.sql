-- The tables. api_gateway/database/models says what each column means.

CREATE SEQUENCE task_event_seq AS bigint;

CREATE TABLE api_keys (
    id VARCHAR(64) COLLATE "C" NOT NULL,
    name TEXT NOT NULL,
    lookup TEXT NOT NULL,
    salt BYTEA NOT NULL,
    hash BYTEA NOT NULL,
    scopes TEXT[] NOT NULL,
    rate_per_minute INTEGER,
    created_at TIMESTAMP WITH TIME ZONE DEFAULT clock_timestamp() NOT NULL,
    expires_at TIMESTAMP WITH TIME ZONE,
    revoked_at TIMESTAMP WITH TIME ZONE,
    last_used_at TIMESTAMP WITH TIME ZONE,
    CONSTRAINT pk_api_keys PRIMARY KEY (id),
    CONSTRAINT uq_api_keys_name UNIQUE (name),
    CONSTRAINT uq_api_keys_lookup UNIQUE (lookup)
);

CREATE TABLE audit_lines (
    id BIGINT GENERATED ALWAYS AS IDENTITY,
    at TIMESTAMP WITH TIME ZONE DEFAULT clock_timestamp() NOT NULL,
    api_key_id VARCHAR(64) COLLATE "C",
    actor TEXT NOT NULL,
    action TEXT NOT NULL,
    target TEXT NOT NULL,
    detail JSONB DEFAULT '{}' NOT NULL,
    request_id TEXT,
    CONSTRAINT pk_audit_lines PRIMARY KEY (id)
);
CREATE INDEX ix_audit_lines_target ON audit_lines (target);

CREATE TABLE gpu_slots (
    gpu_id INTEGER NOT NULL,
    boot_id TEXT NOT NULL,
    booted_at TIMESTAMP WITH TIME ZONE DEFAULT clock_timestamp() NOT NULL,
    report JSONB NOT NULL,
    reported_at TIMESTAMP WITH TIME ZONE DEFAULT clock_timestamp() NOT NULL,
    kill_requested_at TIMESTAMP WITH TIME ZONE,
    kill_reason TEXT,
    CONSTRAINT pk_gpu_slots PRIMARY KEY (gpu_id)
);

CREATE TABLE slot_commands (
    id VARCHAR(64) COLLATE "C" NOT NULL,
    gpu_id INTEGER NOT NULL,
    action VARCHAR(32) NOT NULL,
    model TEXT NOT NULL,
    request_id TEXT,
    created_at TIMESTAMP WITH TIME ZONE DEFAULT clock_timestamp() NOT NULL,
    done_at TIMESTAMP WITH TIME ZONE,
    error JSONB,
    CONSTRAINT pk_slot_commands PRIMARY KEY (id),
    CONSTRAINT ck_slot_commands_action CHECK (action IN ('load', 'unload'))
);
CREATE INDEX ix_slot_commands_open ON slot_commands (gpu_id, created_at) WHERE done_at IS NULL;

CREATE TABLE task_durations (
    task_type VARCHAR(32) NOT NULL,
    model TEXT NOT NULL,
    median_seconds DOUBLE PRECISION NOT NULL,
    samples INTEGER NOT NULL,
    updated_at TIMESTAMP WITH TIME ZONE DEFAULT clock_timestamp() NOT NULL,
    CONSTRAINT pk_task_durations PRIMARY KEY (task_type, model),
    CONSTRAINT ck_task_durations_task_type
        CHECK (task_type IN ('optimization', 'stability', 'bulk-modulus', 'heat-capacity', 'interaction-energy', 'single-point-energy'))
);

CREATE TABLE batches (
    id VARCHAR(64) COLLATE "C" NOT NULL,
    n_tasks INTEGER NOT NULL,
    options JSONB DEFAULT '{}' NOT NULL,
    api_key_id VARCHAR(64) COLLATE "C",
    request_id TEXT NOT NULL,
    created_at TIMESTAMP WITH TIME ZONE DEFAULT clock_timestamp() NOT NULL,
    CONSTRAINT pk_batches PRIMARY KEY (id),
    CONSTRAINT fk_batches_api_key_id FOREIGN KEY(api_key_id) REFERENCES api_keys (id)
);

CREATE TABLE custom_models (
    id VARCHAR(64) COLLATE "C" NOT NULL,
    name TEXT NOT NULL,
    framework TEXT NOT NULL,
    description TEXT DEFAULT '' NOT NULL,
    with_d3 BOOLEAN NOT NULL,
    config JSONB DEFAULT '{}' NOT NULL,
    file_name TEXT NOT NULL,
    path TEXT NOT NULL,
    sha256 TEXT NOT NULL,
    size_bytes BIGINT NOT NULL,
    status VARCHAR(32) NOT NULL,
    validation JSONB,
    api_key_id VARCHAR(64) COLLATE "C",
    created_at TIMESTAMP WITH TIME ZONE DEFAULT clock_timestamp() NOT NULL,
    validated_at TIMESTAMP WITH TIME ZONE,
    deleted_at TIMESTAMP WITH TIME ZONE,
    CONSTRAINT pk_custom_models PRIMARY KEY (id),
    CONSTRAINT ck_custom_models_status
        CHECK (status IN ('uploaded', 'validating', 'validated', 'rejected')),
    CONSTRAINT fk_custom_models_api_key_id FOREIGN KEY(api_key_id) REFERENCES api_keys (id)
);
CREATE UNIQUE INDEX uq_custom_models_name ON custom_models (name) WHERE deleted_at IS NULL;

CREATE TABLE idempotency_keys (
    api_key_id VARCHAR(64) COLLATE "C" NOT NULL,
    key TEXT NOT NULL,
    body_sha256 TEXT NOT NULL,
    status_code INTEGER,
    response JSONB,
    created_at TIMESTAMP WITH TIME ZONE DEFAULT clock_timestamp() NOT NULL,
    expires_at TIMESTAMP WITH TIME ZONE NOT NULL,
    CONSTRAINT pk_idempotency_keys PRIMARY KEY (api_key_id, key),
    CONSTRAINT fk_idempotency_keys_api_key_id FOREIGN KEY(api_key_id)
        REFERENCES api_keys (id) ON DELETE CASCADE
);
CREATE INDEX ix_idempotency_keys_expires_at ON idempotency_keys (expires_at);

CREATE TABLE rate_buckets (
    api_key_id VARCHAR(64) COLLATE "C" NOT NULL,
    tokens DOUBLE PRECISION NOT NULL,
    refilled_at TIMESTAMP WITH TIME ZONE DEFAULT clock_timestamp() NOT NULL,
    CONSTRAINT pk_rate_buckets PRIMARY KEY (api_key_id),
    CONSTRAINT fk_rate_buckets_api_key_id FOREIGN KEY(api_key_id)
        REFERENCES api_keys (id) ON DELETE CASCADE
);

CREATE TABLE structures (
    id VARCHAR(64) COLLATE "C" NOT NULL,
    name TEXT NOT NULL,
    format TEXT NOT NULL,
    source_path TEXT NOT NULL,
    source_sha256 TEXT NOT NULL,
    size_bytes BIGINT NOT NULL,
    path TEXT NOT NULL,
    sha256 TEXT NOT NULL,
    n_atoms INTEGER NOT NULL,
    formula TEXT NOT NULL,
    elements TEXT[] NOT NULL,
    space_group TEXT,
    cell_parameters JSONB,
    density_g_cm3 DOUBLE PRECISION,
    warnings TEXT[] DEFAULT '{}' NOT NULL,
    api_key_id VARCHAR(64) COLLATE "C",
    created_at TIMESTAMP WITH TIME ZONE DEFAULT clock_timestamp() NOT NULL,
    deleted_at TIMESTAMP WITH TIME ZONE,
    CONSTRAINT pk_structures PRIMARY KEY (id),
    CONSTRAINT fk_structures_api_key_id FOREIGN KEY(api_key_id) REFERENCES api_keys (id)
);
CREATE INDEX ix_structures_created_at_id ON structures (created_at, id);
CREATE UNIQUE INDEX uq_structures_source_sha256 ON structures (source_sha256) WHERE deleted_at IS NULL;

CREATE TABLE tasks (
    id VARCHAR(64) COLLATE "C" NOT NULL,
    place BIGINT GENERATED ALWAYS AS IDENTITY,
    task_type VARCHAR(32) NOT NULL,
    model TEXT NOT NULL,
    structure_id TEXT NOT NULL,
    structure JSONB NOT NULL,
    n_atoms INTEGER,
    parameters JSONB NOT NULL,
    options JSONB DEFAULT '{}' NOT NULL,
    require_convergence BOOLEAN DEFAULT false NOT NULL,
    priority SMALLINT NOT NULL,
    timeout_seconds INTEGER NOT NULL,
    tags TEXT[] DEFAULT '{}' NOT NULL,
    "memory_estimate_MB" DOUBLE PRECISION,
    batch_id VARCHAR(64) COLLATE "C",
    retry_of VARCHAR(64) COLLATE "C",
    api_key_id VARCHAR(64) COLLATE "C",
    request_id TEXT NOT NULL,
    status VARCHAR(32) NOT NULL,
    status_reason TEXT,
    attempt INTEGER DEFAULT 1 NOT NULL,
    gpu_id INTEGER,
    not_before TIMESTAMP WITH TIME ZONE,
    spent_seconds DOUBLE PRECISION DEFAULT 0 NOT NULL,
    setbacks INTEGER DEFAULT 0 NOT NULL,
    stop_requested_at TIMESTAMP WITH TIME ZONE,
    stop_reason VARCHAR(32),
    progress JSONB,
    progress_event BIGINT,
    error JSONB,
    notify_url TEXT,
    notify_events TEXT[] DEFAULT '{}' NOT NULL,
    notify_secret_encrypted BYTEA,
    notify_retry_times INTEGER DEFAULT 3 NOT NULL,
    notify_retry_interval_seconds DOUBLE PRECISION DEFAULT 10 NOT NULL,
    notified_percentage DOUBLE PRECISION,
    notified_at TIMESTAMP WITH TIME ZONE,
    created_at TIMESTAMP WITH TIME ZONE DEFAULT clock_timestamp() NOT NULL,
    queued_at TIMESTAMP WITH TIME ZONE,
    assigned_at TIMESTAMP WITH TIME ZONE,
    started_at TIMESTAMP WITH TIME ZONE,
    ended_at TIMESTAMP WITH TIME ZONE,
    CONSTRAINT pk_tasks PRIMARY KEY (id),
    CONSTRAINT ck_tasks_priority CHECK (priority BETWEEN 0 AND 3),
    CONSTRAINT ck_tasks_attempt CHECK (attempt >= 1),
    CONSTRAINT ck_tasks_stop CHECK ((stop_requested_at IS NULL) = (stop_reason IS NULL)),
    CONSTRAINT uq_tasks_place UNIQUE (place),
    CONSTRAINT ck_tasks_task_type
        CHECK (task_type IN ('optimization', 'stability', 'bulk-modulus', 'heat-capacity', 'interaction-energy', 'single-point-energy')),
    CONSTRAINT fk_tasks_batch_id FOREIGN KEY(batch_id) REFERENCES batches (id),
    CONSTRAINT fk_tasks_api_key_id FOREIGN KEY(api_key_id) REFERENCES api_keys (id),
    CONSTRAINT ck_tasks_status
        CHECK (status IN ('PENDING', 'QUEUED', 'ASSIGNED', 'RUNNING', 'COMPLETED', 'FAILED', 'CANCELLED', 'TIMEOUT')),
    CONSTRAINT ck_tasks_stop_reason CHECK (stop_reason IN ('cancel', 'timeout'))
);
CREATE INDEX ix_tasks_batch_place ON tasks (batch_id, place) WHERE batch_id IS NOT NULL;
CREATE INDEX ix_tasks_bound ON tasks (gpu_id) WHERE status IN ('ASSIGNED', 'RUNNING');
CREATE INDEX ix_tasks_completed ON tasks (ended_at) WHERE status = 'COMPLETED';
CREATE INDEX ix_tasks_created_at ON tasks (created_at);
CREATE INDEX ix_tasks_model_place ON tasks (model, place);
CREATE INDEX ix_tasks_queue ON tasks (priority, place) WHERE status = 'QUEUED';
CREATE INDEX ix_tasks_status_place ON tasks (status, place);
CREATE INDEX ix_tasks_structure_place ON tasks (structure_id, place);
CREATE INDEX ix_tasks_tags ON tasks USING gin (tags);
CREATE INDEX ix_tasks_type_place ON tasks (task_type, place);

CREATE TABLE files (
    id VARCHAR(64) COLLATE "C" NOT NULL,
    task_id VARCHAR(64) COLLATE "C",
    attempt INTEGER,
    role TEXT NOT NULL,
    path TEXT NOT NULL,
    media_type TEXT NOT NULL,
    size_bytes BIGINT NOT NULL,
    sha256 TEXT NOT NULL,
    created_at TIMESTAMP WITH TIME ZONE DEFAULT clock_timestamp() NOT NULL,
    CONSTRAINT pk_files PRIMARY KEY (id),
    CONSTRAINT fk_files_task_id FOREIGN KEY(task_id) REFERENCES tasks (id) ON DELETE CASCADE
);
CREATE INDEX ix_files_task_id ON files (task_id);

CREATE TABLE task_attempts (
    task_id VARCHAR(64) COLLATE "C" NOT NULL,
    attempt INTEGER NOT NULL,
    gpu_id INTEGER NOT NULL,
    reasons JSONB DEFAULT '{}' NOT NULL,
    bound_ahead BOOLEAN DEFAULT false NOT NULL,
    flow_run_id UUID,
    created_at TIMESTAMP WITH TIME ZONE DEFAULT clock_timestamp() NOT NULL,
    started_at TIMESTAMP WITH TIME ZONE,
    ended_at TIMESTAMP WITH TIME ZONE,
    outcome VARCHAR(32),
    flow_heartbeat_at TIMESTAMP WITH TIME ZONE,
    host_heartbeat_at TIMESTAMP WITH TIME ZONE,
    stop_sent_at TIMESTAMP WITH TIME ZONE,
    run_ended_at TIMESTAMP WITH TIME ZONE,
    released_at TIMESTAMP WITH TIME ZONE,
    error JSONB,
    CONSTRAINT pk_task_attempts PRIMARY KEY (task_id, attempt),
    CONSTRAINT fk_task_attempts_task_id FOREIGN KEY(task_id) REFERENCES tasks (id) ON DELETE CASCADE,
    CONSTRAINT ck_task_attempts_outcome
        CHECK (outcome IN ('completed', 'failed', 'cancelled', 'timeout', 'lost'))
);
CREATE UNIQUE INDEX ix_task_attempts_flow_run_id ON task_attempts (flow_run_id) WHERE flow_run_id IS NOT NULL;
CREATE INDEX ix_task_attempts_gpu_id_released_at ON task_attempts (gpu_id, released_at);
CREATE INDEX ix_task_attempts_run_open ON task_attempts (task_id) WHERE run_ended_at IS NULL AND ended_at IS NOT NULL;
CREATE INDEX ix_task_attempts_unreleased ON task_attempts (gpu_id) WHERE released_at IS NULL;

CREATE TABLE task_history (
    id BIGINT DEFAULT nextval('task_event_seq') NOT NULL,
    task_id VARCHAR(64) COLLATE "C" NOT NULL,
    at TIMESTAMP WITH TIME ZONE DEFAULT clock_timestamp() NOT NULL,
    from_status VARCHAR(32),
    to_status VARCHAR(32) NOT NULL,
    attempt INTEGER NOT NULL,
    gpu_id INTEGER,
    reason TEXT,
    CONSTRAINT pk_task_history PRIMARY KEY (id),
    CONSTRAINT fk_task_history_task_id FOREIGN KEY(task_id) REFERENCES tasks (id) ON DELETE CASCADE,
    CONSTRAINT ck_task_history_from_status
        CHECK (from_status IN ('PENDING', 'QUEUED', 'ASSIGNED', 'RUNNING', 'COMPLETED', 'FAILED', 'CANCELLED', 'TIMEOUT')),
    CONSTRAINT ck_task_history_to_status
        CHECK (to_status IN ('PENDING', 'QUEUED', 'ASSIGNED', 'RUNNING', 'COMPLETED', 'FAILED', 'CANCELLED', 'TIMEOUT'))
);
CREATE INDEX ix_task_history_task_id_id ON task_history (task_id, id);

CREATE TABLE task_logs (
    id BIGINT DEFAULT nextval('task_event_seq') NOT NULL,
    task_id VARCHAR(64) COLLATE "C" NOT NULL,
    attempt INTEGER NOT NULL,
    timestamp TIMESTAMP WITH TIME ZONE DEFAULT clock_timestamp() NOT NULL,
    level TEXT NOT NULL,
    logger TEXT NOT NULL,
    message TEXT NOT NULL,
    gpu_id INTEGER,
    extra JSONB DEFAULT '{}' NOT NULL,
    CONSTRAINT pk_task_logs PRIMARY KEY (id),
    CONSTRAINT fk_task_logs_task_id FOREIGN KEY(task_id) REFERENCES tasks (id) ON DELETE CASCADE
);
CREATE INDEX ix_task_logs_task_id_id ON task_logs (task_id, id);

CREATE TABLE task_results (
    task_id VARCHAR(64) COLLATE "C" NOT NULL,
    attempt INTEGER NOT NULL,
    result JSONB NOT NULL,
    created_at TIMESTAMP WITH TIME ZONE DEFAULT clock_timestamp() NOT NULL,
    CONSTRAINT pk_task_results PRIMARY KEY (task_id),
    CONSTRAINT fk_task_results_task_id FOREIGN KEY(task_id) REFERENCES tasks (id) ON DELETE CASCADE
);

CREATE TABLE webhook_deliveries (
    id VARCHAR(64) COLLATE "C" NOT NULL,
    task_id VARCHAR(64) COLLATE "C" NOT NULL,
    event TEXT NOT NULL,
    url TEXT NOT NULL,
    body TEXT NOT NULL,
    status VARCHAR(32) DEFAULT 'pending' NOT NULL,
    attempts INTEGER DEFAULT 0 NOT NULL,
    next_attempt_at TIMESTAMP WITH TIME ZONE DEFAULT clock_timestamp() NOT NULL,
    created_at TIMESTAMP WITH TIME ZONE DEFAULT clock_timestamp() NOT NULL,
    delivered_at TIMESTAMP WITH TIME ZONE,
    CONSTRAINT pk_webhook_deliveries PRIMARY KEY (id),
    CONSTRAINT fk_webhook_deliveries_task_id FOREIGN KEY(task_id)
        REFERENCES tasks (id) ON DELETE CASCADE,
    CONSTRAINT ck_webhook_deliveries_status CHECK (status IN ('pending', 'delivered', 'failed'))
);
CREATE INDEX ix_webhook_deliveries_due ON webhook_deliveries (next_attempt_at) WHERE status = 'pending';
CREATE INDEX ix_webhook_deliveries_task_id ON webhook_deliveries (task_id, created_at);

CREATE TABLE webhook_attempts (
    delivery_id VARCHAR(64) COLLATE "C" NOT NULL,
    number INTEGER NOT NULL,
    at TIMESTAMP WITH TIME ZONE DEFAULT clock_timestamp() NOT NULL,
    status_code INTEGER,
    latency_ms DOUBLE PRECISION,
    error TEXT,
    CONSTRAINT pk_webhook_attempts PRIMARY KEY (delivery_id, number),
    CONSTRAINT fk_webhook_attempts_delivery_id FOREIGN KEY(delivery_id)
        REFERENCES webhook_deliveries (id) ON DELETE CASCADE
);
