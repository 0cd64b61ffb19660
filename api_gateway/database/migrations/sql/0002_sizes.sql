-- What a task's size tells: its memory and its duration.

ALTER TABLE structures ADD COLUMN neighbours JSONB;

ALTER TABLE tasks
    ADD COLUMN n_edges BIGINT,
    ADD COLUMN size_class SMALLINT DEFAULT 0 NOT NULL,
    ADD COLUMN out_of_memory BOOLEAN DEFAULT false NOT NULL;

ALTER TABLE task_durations ADD COLUMN size_class SMALLINT DEFAULT 0 NOT NULL;
ALTER TABLE task_durations DROP CONSTRAINT pk_task_durations;
ALTER TABLE task_durations ADD CONSTRAINT pk_task_durations PRIMARY KEY (task_type, model, size_class);

CREATE TABLE memory_calibrations (
    task_type VARCHAR(32) NOT NULL,
    model TEXT NOT NULL,
    device VARCHAR(32) NOT NULL,
    "base_MB" DOUBLE PRECISION NOT NULL,
    "kB_per_edge" DOUBLE PRECISION NOT NULL,
    samples INTEGER NOT NULL,
    updated_at TIMESTAMP WITH TIME ZONE DEFAULT clock_timestamp() NOT NULL,
    CONSTRAINT pk_memory_calibrations PRIMARY KEY (task_type, model, device),
    CONSTRAINT ck_memory_calibrations_task_type
        CHECK (task_type IN ('optimization', 'stability', 'bulk-modulus', 'heat-capacity', 'interaction-energy', 'single-point-energy')),
    CONSTRAINT ck_memory_calibrations_device CHECK (device IN ('cpu', 'cuda'))
);
