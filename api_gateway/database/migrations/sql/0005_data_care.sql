-- What the data care (deployments/maintenance/data_care.py) asks and tells.

CREATE FUNCTION files_to_compress(days integer)
RETURNS TABLE (file_id text, path text, size_bytes bigint)
LANGUAGE sql STABLE AS $$
    SELECT f.id, f.path, f.size_bytes FROM files f
    WHERE f.stored_bytes IS NULL AND f.role LIKE '%trajectory%'
        AND f.created_at < clock_timestamp() - make_interval(days => days)
    ORDER BY f.created_at, f.id
$$;

CREATE FUNCTION file_compressed(file_id text, stored_bytes bigint) RETURNS void
LANGUAGE sql AS $$
    UPDATE files f SET stored_bytes = file_compressed.stored_bytes WHERE f.id = file_compressed.file_id
$$;

CREATE FUNCTION results_to_clear(days integer) RETURNS TABLE (task_id text, stored_bytes bigint)
-- Results whose time is over, and those whose files a run that was cut off left behind.
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
            AND f.created_at < clock_timestamp() - make_interval(days => days)
            AND NOT EXISTS (SELECT 1 FROM task_results r WHERE r.task_id = f.task_id)
    ) due
    ORDER BY due.task_id
$$;

CREATE FUNCTION result_clear(task_id text, days integer) RETURNS boolean
-- Whether the files may go: a result that was used in the meantime stays.
LANGUAGE plpgsql AS $$
BEGIN
    DELETE FROM task_results r
    WHERE r.task_id = result_clear.task_id
        AND r.kept_from < clock_timestamp() - make_interval(days => days);
    RETURN NOT EXISTS (SELECT 1 FROM task_results r WHERE r.task_id = result_clear.task_id);
END $$;

CREATE FUNCTION files_cleared(task_id text) RETURNS void
LANGUAGE sql AS $$
    UPDATE files f SET stored_bytes = 0 WHERE f.task_id = files_cleared.task_id
$$;
