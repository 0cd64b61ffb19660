-- What the sensors of simulated GPUs show, for trying scheduling and alerts without a GPU.

CREATE TABLE simulated_gpus (
    gpu_id INTEGER NOT NULL,
    simulation JSONB NOT NULL,
    CONSTRAINT pk_simulated_gpus PRIMARY KEY (gpu_id)
);

CREATE FUNCTION slot_simulation(gpu_id integer) RETURNS jsonb
LANGUAGE sql STABLE AS $$
    SELECT s.simulation FROM simulated_gpus s WHERE s.gpu_id = slot_simulation.gpu_id
$$;
