"""Guards the GPUs' memory: what a task will need, and whether any GPU can ever hold it.

The model's own figures (`mof_benchmark.calculators.footprint`) tell it before anything like the
task has run; afterwards the measured peaks of finished tasks do.
"""

from __future__ import annotations

import math
import statistics
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from sqlalchemy import text
from sqlalchemy.dialects.postgresql import insert
from sqlalchemy.ext.asyncio import AsyncSession

from api_gateway.database.models import DeviceKind, MemoryCalibration
from api_gateway.errors import StructureTooLargeError
from api_gateway.scheduling.placement import MEMORY_MARGIN_MB
from mof_benchmark.calculators.contract import ModelCard
from mof_benchmark.calculators.footprint import D3_BYTES_PER_PAIR_OF_ATOMS, Footprint, footprint
from mof_benchmark.calculators.registry import card
from mof_benchmark.errors import InvalidParameterError, ModelNotFoundError
from mof_benchmark.schemas import TaskType
from mofsim_settings import Settings

LARGE_ATOMS = 5000
"""More atoms than this are computed in single precision only, their dispersion on the CPU."""

GROWTH_AFTER_OUT_OF_MEMORY = 1.5

_LARGEST_CELL: dict[TaskType, float] = {
    TaskType.SINGLE_POINT: 1.0,
    TaskType.INTERACTION_ENERGY: 1.1,
    TaskType.HEAT_CAPACITY: 1.1,
    TaskType.OPTIMIZATION: 1.2,
    TaskType.BULK_MODULUS: 1.2,
    TaskType.STABILITY: 1.2,
}
"""Edges at their most, over those of the structure as given: guests join it and cells shrink."""

_MINIMUM_SAMPLES = 8
_MINIMUM_SPREAD = 2.0
"""Sizes must differ by this factor before a slope is told from them."""

Key = tuple[TaskType, str]


@dataclass(frozen=True)
class Line:
    """Peak memory over edges."""

    base_MB: float
    kB_per_edge: float

    def at(self, edges: float) -> float:
        return self.base_MB + edges * self.kB_per_edge / 1e3


@dataclass(frozen=True)
class Estimate:
    """What a task is expected to need."""

    n_edges: int | None = None
    memory_MB: float | None = None


@dataclass(frozen=True)
class MemoryGuard:
    """The GPUs and the measured peaks at one moment.

    Attributes
    ----------
    device
        What the slots compute on.
    largest_MB
        Total memory of the largest GPU; None while none has reported.
    measured
        Calibrations for that device.
    """

    device: DeviceKind
    largest_MB: float | None
    measured: Mapping[Key, Line]

    def estimate(
        self,
        model: ModelCard,
        task_type: TaskType,
        parameters: Mapping[str, Any],
        *,
        n_atoms: int,
        neighbours: Mapping[float, int] | None,
    ) -> Estimate:
        """Edges and peak memory of a task.

        Parameters
        ----------
        parameters
            Of the task type; a supercell multiplies.
        neighbours
            Ordered pairs within each of some radii, Å; None: nothing can be told.

        Raises
        ------
        InvalidParameterError
            When a cell of more than 5,000 atoms meets a model in double precision.
        StructureTooLargeError
            When no GPU can ever hold it.
        """
        cells = math.prod(parameters.get("supercell", (1, 1, 1)))
        atoms = n_atoms * cells
        if atoms > LARGE_ATOMS and model.dtype == "float64":
            raise InvalidParameterError(
                f"{atoms:,} atoms are more than the {LARGE_ATOMS:,} that are computed in double "
                f"precision; {model.name} is a model in double precision",
                field="model",
            )
        if not neighbours:
            return Estimate()
        found = footprint(model, self.device.value)
        n_edges = found.edges(neighbours, n_atoms) * cells
        line = self.measured.get((task_type, model.name)) or expected_line(found, task_type, self.device)
        memory_MB = line.at(n_edges)
        with_d3 = parameters.get("with_d3")
        if model.with_d3 if with_d3 is None else with_d3:
            memory_MB += D3_BYTES_PER_PAIR_OF_ATOMS[self.device.value] * atoms**2 / 1e6
        if self.largest_MB is not None and memory_MB + MEMORY_MARGIN_MB > self.largest_MB:
            raise StructureTooLargeError(
                f"{atoms:,} atoms with {n_edges:,} edges need about {memory_MB / 1e3:.1f} GB with "
                f"{model.name}; the largest GPU has {self.largest_MB / 1e3:.1f} GB",
                field="structure",
            )
        return Estimate(n_edges=n_edges, memory_MB=round(memory_MB, 1))


def expected_line(found: Footprint, task_type: TaskType, device: DeviceKind) -> Line:
    """Peak memory of a task type by the model's own figures."""
    base_MB = found.memory_MB(0, device.value)
    return Line(base_MB, found.kB_per_edge * _LARGEST_CELL[task_type])


_MEASURED = text("""
    SELECT
        (SELECT jsonb_agg(jsonb_build_object(
            'device', report -> 'device', 'total', report -> 'memory_total_MB'
        )) FROM gpu_slots) AS slots,
        (SELECT jsonb_agg(c) FROM memory_calibrations c) AS calibrations
""")


async def read_guard(session: AsyncSession, settings: Settings) -> MemoryGuard:
    """The guard as of now."""
    found = (await session.execute(_MEASURED)).one()
    slots = found.slots or ()
    on_cpu = any(slot["device"] == "cpu" for slot in slots) if slots else settings.compute.device == "cpu"
    device = DeviceKind.CPU if on_cpu else DeviceKind.CUDA
    return MemoryGuard(
        device=device,
        largest_MB=max((slot["total"] for slot in slots if slot["total"] is not None), default=None),
        measured={
            (TaskType(row["task_type"]), row["model"]): Line(row["base_MB"], row["kB_per_edge"])
            for row in found.calibrations or ()
            if row["device"] == device
        },
    )


def fit(points: Sequence[tuple[int, float]], expected: Line) -> Line:
    """The line that no measured peak exceeds.

    Its slope is that of the points where they are many and differ in size, else the expected one;
    its base lifts it over the highest point.

    Parameters
    ----------
    points
        Edges and peak memory (MB) of finished tasks.
    expected
        By the model's own figures.
    """
    edges = [n_edges for n_edges, _ in points]
    kB_per_edge = expected.kB_per_edge
    if len(points) >= _MINIMUM_SAMPLES and max(edges) >= _MINIMUM_SPREAD * min(edges):
        kB_per_edge = 1e3 * statistics.linear_regression(edges, [peak for _, peak in points]).slope
        # Small structures say little of the slope: peaks between them are other things' noise.
        kB_per_edge = min(max(kB_per_edge, expected.kB_per_edge / 3), expected.kB_per_edge * 3)
    base_MB = max(peak - n_edges * kB_per_edge / 1e3 for n_edges, peak in points)
    return Line(max(base_MB, 0.0), kB_per_edge)


_PEAKS = text("""
    SELECT task_type, model, device, n_edges, peak_MB FROM (
        SELECT t.task_type, t.model, t.n_edges,
            CASE WHEN r.result #>> '{metrics,peak_gpu_memory_MB}' IS NULL
                THEN 'cpu' ELSE 'cuda' END AS device,
            coalesce(
                r.result #>> '{metrics,peak_gpu_memory_MB}', r.result #>> '{metrics,peak_memory_MB}'
            )::float8 AS peak_MB
        FROM tasks t JOIN task_results r ON r.task_id = t.id
        WHERE t.status = 'COMPLETED' AND t.n_edges IS NOT NULL
        ORDER BY t.ended_at DESC LIMIT 500
    ) recent
    WHERE peak_MB IS NOT NULL
""")


async def calibrate(session: AsyncSession) -> None:
    """Keep the lines of the latest finished tasks."""
    points: dict[tuple[TaskType, str, DeviceKind], list[tuple[int, float]]] = {}
    for task_type, model, device, n_edges, peak_MB in await session.execute(_PEAKS):
        key = TaskType(task_type), model, DeviceKind(device)
        points.setdefault(key, []).append((n_edges, peak_MB))
    rows = list(_calibrations(points))
    if rows:
        statement = insert(MemoryCalibration)
        changed = {name: statement.excluded[name] for name in ("base_MB", "kB_per_edge", "samples")}
        await session.execute(
            statement.on_conflict_do_update(
                index_elements=["task_type", "model", "device"],
                set_=changed | {"updated_at": text("clock_timestamp()")},
            ),
            rows,
        )


def _calibrations(
    points: Mapping[tuple[TaskType, str, DeviceKind], list[tuple[int, float]]],
) -> Iterable[dict[str, Any]]:
    for (task_type, model, device), measured in points.items():
        try:
            found = footprint(card(model), device.value)
        except ModelNotFoundError:
            continue
        line = fit(measured, expected_line(found, task_type, device))
        yield {
            "task_type": task_type,
            "model": model,
            "device": device,
            "base_MB": line.base_MB,
            "kB_per_edge": line.kB_per_edge,
            "samples": len(measured),
        }
