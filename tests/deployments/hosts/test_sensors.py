"""What a slot's sensor says of its device."""

from __future__ import annotations

from typing import Any

import psycopg
import pytest
import torch

from api_gateway.simulation.schemas import Simulation as Shown
from deployments.hosts.sensors import CpuSensor, NvmlSensor, SimulatedSensor, Simulation


def test_the_cpu_has_memory_and_no_temperature() -> None:
    reading = CpuSensor().read()
    assert reading.ok
    assert reading.memory_total_MB is not None
    assert reading.temperature_C is None


def test_a_simulated_gpu_shows_what_is_set_at_once() -> None:
    shown: dict[str, Any] = {"temperature_C": 91.0, "memory_free_MB": 10.0}
    sensor = SimulatedSensor(lambda: shown, 3)
    assert sensor.read().temperature_C == 91.0
    shown = {"temperature_C": 50.0}
    reading = sensor.read()
    assert (reading.temperature_C, reading.memory_free_MB) == (50.0, Simulation().memory_free_MB)
    assert reading.simulated


def test_a_simulated_gpu_can_be_lost_or_fail() -> None:
    assert SimulatedSensor(lambda: {"lost": True}, 3).read().error == "GPU is lost"
    reading = SimulatedSensor(lambda: {"driver_error": "Xid 79"}, 3).read()
    assert (reading.ok, reading.error) == (False, "Xid 79")


def test_a_broken_simulation_says_so_instead_of_pretending() -> None:
    reading = SimulatedSensor(lambda: {"temprature_C": 91.0}, 3).read()
    assert not reading.ok
    assert "temprature_C" in (reading.error or "")


def test_a_simulated_gpu_stays_as_it_is_while_the_database_is_away() -> None:
    answers: list[Any] = [{"temperature_C": 91.0}]

    def look_up() -> dict[str, Any]:
        if not answers:
            raise psycopg.OperationalError("away")
        return dict(answers.pop())

    sensor = SimulatedSensor(look_up, 3)
    assert [sensor.read().temperature_C, sensor.read().temperature_C] == [91.0, 91.0]


def test_hosts_read_what_the_gateway_lets_one_set() -> None:
    assert Shown(temperature_C=91.0).model_dump() == Simulation(temperature_C=91.0).model_dump()


def test_a_gpu_that_is_not_there_is_reported_as_such() -> None:
    reading = NvmlSensor("99").read()
    assert not reading.ok
    assert reading.error


@pytest.mark.gpu
def test_a_real_gpu_tells_its_memory_and_what_this_process_holds_of_it() -> None:
    sensor = NvmlSensor("0")
    before = sensor.read()
    held = torch.zeros(256 * 2**20, dtype=torch.uint8, device="cuda")
    after = sensor.read()
    assert before.ok
    assert after.device == torch.cuda.get_device_name(0)
    assert after.memory_total_MB is not None
    assert after.memory_free_MB is not None
    assert before.memory_free_MB is not None
    assert before.memory_free_MB - after.memory_free_MB >= 0.99 * held.nbytes / 1e6
    assert after.memory_reclaimable_MB >= 0.99 * held.nbytes / 1e6
    assert after.temperature_C is not None
    assert 10 < after.temperature_C < 110
    assert after.utilisation_percent is not None
