"""The execution side, played through the database functions that flows and hosts really call."""

from __future__ import annotations

import hashlib
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import ase.build
import ase.io

from mof_benchmark.identifiers import new_id
from mof_benchmark.schemas import (
    CalculationResult,
    CellParameters,
    Metrics,
    OptimizationResult,
    Provenance,
    SinglePointResult,
)
from tests.api_gateway.tasks_for_tests import Sql

PROVENANCE = Provenance(
    model="sevennet_prod",
    checkpoint_sha256="0" * 64,
    d3=None,
    device="cpu",
    dtype="float32",
    structure_sha256="1" * 64,
    package_versions={"sevenn": "0.10.4"},
)
METRICS = Metrics(
    force_evaluations=3, model_seconds=1.0, d3_seconds=0.5, other_seconds=0.1, peak_memory_MB=500.0
)


def single_point() -> SinglePointResult:
    return SinglePointResult(
        converged=True,
        provenance=PROVENANCE,
        metrics=METRICS,
        energy_eV=-100.5,
        energy_per_atom_eV=-10.05,
        forces_eV_A=[[0.0, 0.0, 0.1]] * 10,
        max_force_eV_A=0.1,
        stress_GPa=[0.1, 0.1, 0.1, 0.0, 0.0, 0.0],
        stress_eV_A3=[0.0006, 0.0006, 0.0006, 0.0, 0.0, 0.0],
        volume_A3=1000.0,
        density_g_cm3=1.2,
        n_atoms=10,
    )


def optimization() -> OptimizationResult:
    return OptimizationResult(
        converged=True,
        provenance=PROVENANCE,
        metrics=METRICS,
        initial_energy_eV=-100.0,
        final_energy_eV=-100.5,
        final_fmax=0.0009,
        steps=12,
        initial_volume_A3=1000.0,
        final_volume_A3=990.0,
        volume_change_percent=-1.0,
        cell_parameters=CellParameters(a=9.96, b=9.96, c=9.96, alpha=90, beta=90, gamma=90),
        rmsd_from_initial=0.02,
        energy_history=[-100.0, -100.5],
        fmax_history=[0.5, 0.0009],
        optimizer="LBFGS",
    )


@dataclass(frozen=True)
class Hands:
    """Moves tasks as placement, host, flow and follower do."""

    sql: Sql
    storage: Path

    def start(self, task_id: str) -> None:
        self.sql.bind(task_id)
        self.sql.start(task_id)

    def report(self, task_id: str, step: int, *messages: str) -> None:
        progress = {
            "stage": "optimize",
            "current_step": step,
            "total_steps": 10,
            "percentage": 10.0 * step,
            "values": {"energy_eV": -1.5},
        }
        lines = [
            {
                "timestamp": "2026-01-01T00:00:00Z",
                "level": "INFO",
                "logger": "task.optimization",
                "message": message,
                "gpu_id": 0,
                "extra": {},
            }
            for message in messages
        ]
        assert self.sql.call("attempt_report", task_id, 1, progress, lines) == "go"

    def complete(self, task_id: str, result: CalculationResult) -> None:
        """Store a result with two real files and end the task."""
        frames = [ase.build.bulk("MgO", "rocksalt", a=a) for a in (4.3, 4.2)]
        files = [
            self._write(task_id, "optimized_structure", "optimized.cif", frames[-1:]),
            self._write(task_id, "trajectory", "trajectory.extxyz", frames),
        ]
        assert self.sql.call("attempt_result", task_id, 1, result.model_dump(mode="json"), files) == "go"
        self.sql.run("UPDATE tasks SET status = 'COMPLETED' WHERE id = %s", task_id)

    def leave(self, task_id: str) -> None:
        """Store what a calculation had written when it ended too soon."""
        frames = [ase.build.bulk("MgO", "rocksalt", a=4.3)]
        files = [
            self._write(task_id, "trajectory", "opt/trajectory.extxyz", frames),
            self._write(task_id, "nvt_trajectory", "nvt.traj", frames),
        ]
        assert self.sql.call("attempt_files", task_id, 1, files) == "go"

    def fail(self, task_id: str, **error: Any) -> None:
        self.sql.call("attempt_error", task_id, 1, error)
        self.sql.run(
            "UPDATE tasks SET status = 'FAILED', error = (SELECT error FROM task_attempts"
            " WHERE task_id = tasks.id AND attempt = 1) WHERE id = %s",
            task_id,
        )

    def _write(self, task_id: str, role: str, name: str, frames: list[Any]) -> dict[str, Any]:
        path = self.storage / "results" / task_id / "1" / name
        path.parent.mkdir(parents=True, exist_ok=True)
        ase.io.write(path, frames)
        content = path.read_bytes()
        return {
            "file_id": new_id("file"),
            "role": role,
            "path": path.relative_to(self.storage).as_posix(),
            "media_type": "chemical/x-cif",
            "size_bytes": len(content),
            "sha256": hashlib.sha256(content).hexdigest(),
        }
