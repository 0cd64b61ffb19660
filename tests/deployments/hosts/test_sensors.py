"""What a slot's sensor says of its device."""

from __future__ import annotations

import json
from pathlib import Path

from deployments.hosts.sensors import CpuSensor, NvmlSensor, SimulatedSensor, Simulation, simulation_file


def simulate(tmp_path: Path, **values: object) -> SimulatedSensor:
    file = simulation_file(tmp_path, 3)
    file.parent.mkdir(parents=True, exist_ok=True)
    file.write_text(json.dumps(values))
    return SimulatedSensor(file, 3)


def test_the_cpu_has_memory_and_no_temperature() -> None:
    reading = CpuSensor().read()
    assert reading.ok
    assert reading.memory_total_MB is not None
    assert reading.temperature_C is None


def test_a_simulated_gpu_shows_what_is_set_at_once(tmp_path: Path) -> None:
    sensor = simulate(tmp_path, temperature_C=91.0, memory_free_MB=10.0)
    assert sensor.read().temperature_C == 91.0
    simulate(tmp_path, temperature_C=50.0)
    reading = sensor.read()
    assert (reading.temperature_C, reading.memory_free_MB) == (50.0, Simulation().memory_free_MB)
    assert reading.simulated


def test_a_simulated_gpu_can_be_lost_or_fail(tmp_path: Path) -> None:
    assert simulate(tmp_path, lost=True).read().error == "GPU is lost"
    reading = simulate(tmp_path, driver_error="Xid 79").read()
    assert (reading.ok, reading.error) == (False, "Xid 79")


def test_a_broken_simulation_says_so_instead_of_pretending(tmp_path: Path) -> None:
    reading = simulate(tmp_path, temprature_C=91.0).read()
    assert not reading.ok
    assert "temprature_C" in (reading.error or "")


def test_a_gpu_that_is_not_there_is_reported_as_such() -> None:
    reading = NvmlSensor("99").read()
    assert not reading.ok
    assert reading.error
