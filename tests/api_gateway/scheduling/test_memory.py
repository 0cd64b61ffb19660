"""What a task will need, told from the model and from the peaks of its like."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest

from api_gateway.database import Database
from api_gateway.database.models import DeviceKind
from api_gateway.errors import StructureTooLargeError
from api_gateway.scheduling.memory import Line, MemoryGuard, fit, read_guard
from api_gateway.scheduling.placement import MEMORY_MARGIN_MB
from api_gateway.scheduling.reconciler import Reconciler
from mof_benchmark.calculators.registry import card
from mof_benchmark.errors import InvalidParameterError
from mof_benchmark.schemas import TaskType
from mofsim_settings import Settings
from tests.api_gateway.tasks_for_tests import Sql, new_task, submit

GUARD = MemoryGuard(device=DeviceKind.CUDA, largest_MB=80_000.0, measured={})
SEVENNET = card("sevennet_prod")
EXPECTED = Line(base_MB=500.0, kB_per_edge=112.5)
"""Of SevenNet-0 on a GPU."""


def estimate(guard: MemoryGuard = GUARD, **changes: Any) -> Any:
    values: dict[str, Any] = {
        "model": SEVENNET,
        "task_type": TaskType.SINGLE_POINT,
        "parameters": {},
        "n_atoms": 100,
        "neighbours": {5.0: 10_000, 6.0: 16_000},
    } | changes
    return guard.estimate(
        values["model"],
        values["task_type"],
        values["parameters"],
        n_atoms=values["n_atoms"],
        neighbours=values["neighbours"],
    )


def test_memory_is_linear_in_the_edges_of_the_supercell() -> None:
    assert estimate().memory_MB == pytest.approx(500 + 1125, abs=1)
    many = estimate(task_type=TaskType.HEAT_CAPACITY, parameters={"supercell": (2, 2, 1)})
    assert many.n_edges == 40_000
    assert many.memory_MB > 500 + 4 * 1125


def test_a_cell_that_may_shrink_is_expected_to_need_more() -> None:
    assert estimate(task_type=TaskType.OPTIMIZATION).memory_MB > estimate().memory_MB


def test_a_structure_that_fits_no_gpu_is_refused_with_the_figures() -> None:
    with pytest.raises(StructureTooLargeError, match=r"90\.5 GB .* 80\.0 GB"):
        estimate(neighbours={5.0: 800_000})
    assert estimate(neighbours={5.0: 700_000}).memory_MB + MEMORY_MARGIN_MB < 80_000
    unknown = replace(GUARD, largest_MB=None)
    assert estimate(unknown, neighbours={5.0: 800_000}).memory_MB > 80_000


def test_more_than_five_thousand_atoms_are_refused_in_double_precision_only() -> None:
    large = {"parameters": {"supercell": (4, 4, 4)}, "neighbours": {5.0: 1000}}
    assert estimate(**large).memory_MB
    with pytest.raises(InvalidParameterError, match="double"):
        estimate(model=replace(SEVENNET, dtype="float64"), **large)


@pytest.mark.parametrize(("device", "bytes_per_pair"), [(DeviceKind.CPU, 16), (DeviceKind.CUDA, 64)])
def test_dispersion_counts_by_pairs_of_atoms(device: DeviceKind, bytes_per_pair: int) -> None:
    guard = replace(GUARD, device=device)
    without = estimate(guard, n_atoms=5000, parameters={"with_d3": False}).memory_MB
    assert estimate(guard, n_atoms=5000).memory_MB == pytest.approx(without + bytes_per_pair * 5000**2 / 1e6)


def test_what_was_measured_beats_what_is_expected() -> None:
    measured = {(TaskType.SINGLE_POINT, "sevennet_prod"): Line(base_MB=100.0, kB_per_edge=50.0)}
    assert estimate(replace(GUARD, measured=measured)).memory_MB == pytest.approx(600, abs=1)


def test_a_fit_lies_over_every_point_and_follows_their_slope() -> None:
    points = [(n, 700 + 0.1 * n + (40 if n == 5000 else 0)) for n in range(1000, 11_000, 1000)]
    line = fit(points, EXPECTED)
    assert line.kB_per_edge == pytest.approx(100, rel=0.02)
    assert all(line.at(n) >= peak - 1e-6 for n, peak in points)
    assert line.at(10_000) < 1.1 * points[-1][1]


def test_few_or_equal_points_only_lift_the_expected_line() -> None:
    for points in ([(1000, 900.0)], [(1000, 900.0)] * 20):
        line = fit(points, EXPECTED)
        assert line.kB_per_edge == EXPECTED.kB_per_edge
        assert line.at(1000) == pytest.approx(900)


@pytest.mark.anyio
async def test_finished_tasks_calibrate_the_estimates_of_their_like(
    database: Database, settings: Settings, sql: Sql
) -> None:
    sql.slot_report(0, device="NVIDIA H200", memory_total_MB=140_000)
    for n_edges in range(1000, 11_000, 1000):
        (task_id,) = await submit(database, settings, new_task(n_edges=n_edges))
        sql.bind(task_id)
        sql.start(task_id)
        peak_MB = 300 + 0.2 * n_edges
        metrics = {"peak_memory_MB": 9_999.0, "peak_gpu_memory_MB": peak_MB}
        sql.call("attempt_result", task_id, 1, {"converged": True, "metrics": metrics}, [])
        sql.run("UPDATE tasks SET status = 'COMPLETED' WHERE id = %s", task_id)
    async with database.begin() as session:
        before = estimate(await read_guard(session, settings))
    # Its other steps are not part of this: they would talk to Prefect.
    await Reconciler(database, None, settings).measure()  # type: ignore[arg-type]
    async with database.begin() as session:
        guard = await read_guard(session, settings)
    assert before.memory_MB == pytest.approx(EXPECTED.at(10_000), abs=1)
    assert guard.largest_MB == 140_000
    assert estimate(guard).memory_MB == pytest.approx(300 + 0.2 * 10_000, abs=1)
