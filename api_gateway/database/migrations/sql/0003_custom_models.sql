-- Validation of uploaded models: a machine's worker takes one, says that it lives, and reports.

ALTER TABLE custom_models
    ADD COLUMN card JSONB,
    ADD COLUMN validation_worker TEXT,
    ADD COLUMN validation_seen_at TIMESTAMP WITH TIME ZONE,
    ADD COLUMN validation_attempts INTEGER DEFAULT 0 NOT NULL;
CREATE INDEX ix_custom_models_validating ON custom_models (id) WHERE status = 'validating';


CREATE FUNCTION model_validation_take(worker text, patience_seconds double precision) RETURNS jsonb
LANGUAGE plpgsql AS $$
DECLARE
    model custom_models;
BEGIN
    LOOP
        SELECT * INTO model FROM custom_models m
        WHERE m.status = 'validating' AND m.deleted_at IS NULL
            AND (m.validation_worker IS NULL
                OR m.validation_seen_at < clock_timestamp() - make_interval(secs => patience_seconds))
        ORDER BY m.id LIMIT 1 FOR NO KEY UPDATE SKIP LOCKED;
        IF NOT FOUND THEN
            RETURN NULL;
        END IF;
        -- What takes its worker along every time is no model for anybody.
        EXIT WHEN model.validation_attempts < 3;
        UPDATE custom_models m SET status = 'rejected', validation_worker = NULL, validation = jsonb_build_object(
            'passed', false, 'checks', '[]'::jsonb, 'error', jsonb_build_object(
                'code', 50009, 'type', 'WorkerLostError',
                'detail', 'The process that validated it was lost three times.'))
        WHERE m.id = model.id;
    END LOOP;
    UPDATE custom_models m SET validation_worker = worker, validation_seen_at = clock_timestamp(),
        validation_attempts = m.validation_attempts + 1
    WHERE m.id = model.id;
    RETURN jsonb_build_object('model_id', model.id, 'name', model.name, 'framework', model.framework,
        'with_d3', model.with_d3, 'config', model.config, 'path', model.path);
END $$;


CREATE FUNCTION model_validation_alive(model_id text, worker text) RETURNS boolean
LANGUAGE plpgsql AS $$
BEGIN
    UPDATE custom_models m SET validation_seen_at = clock_timestamp()
    WHERE m.id = model_id AND m.validation_worker = worker AND m.status = 'validating' AND m.deleted_at IS NULL;
    RETURN FOUND;
END $$;


CREATE FUNCTION model_validation_done(model_id text, worker text, report jsonb, card jsonb) RETURNS boolean
LANGUAGE plpgsql AS $$
BEGIN
    UPDATE custom_models m SET
        status = CASE WHEN nullif(model_validation_done.card, 'null') IS NULL THEN 'rejected' ELSE 'validated' END,
        validation = report, card = nullif(model_validation_done.card, 'null'),
        validated_at = CASE WHEN nullif(model_validation_done.card, 'null') IS NULL THEN NULL ELSE clock_timestamp() END,
        validation_worker = NULL, validation_seen_at = NULL
    WHERE m.id = model_id AND m.validation_worker = worker AND m.status = 'validating' AND m.deleted_at IS NULL;
    RETURN FOUND;
END $$;


CREATE FUNCTION custom_model(name text) RETURNS jsonb
LANGUAGE sql STABLE AS $$
    SELECT m.card || jsonb_build_object('with_d3', m.with_d3)
    FROM custom_models m
    WHERE m.name = custom_model.name AND m.status = 'validated' AND m.deleted_at IS NULL
$$;
