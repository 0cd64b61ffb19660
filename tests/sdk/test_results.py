"""Results as tables, pictures and notebook output."""

from __future__ import annotations

import io
from datetime import UTC, datetime
from typing import Any

import numpy as np
import pytest
from matplotlib.figure import Figure
from mofsim_client import (
    BulkModulusResult,
    HeatCapacityResult,
    InteractionEnergyResult,
    Listing,
    MOFSimClient,
    MOFSimError,
    OptimizationResult,
    OutOfMemoryError,
    Result,
    SinglePointResult,
    StabilityResult,
    Task,
    TaskInfo,
    to_dataframe,
)

COMMON: dict[str, Any] = {
    "task_id": "task_1",
    "status": "COMPLETED",
    "structure_name": "<MOF-5>",
    "model": "sevennet_prod",
    "converged": True,
}
OPTIMIZATION = OptimizationResult(
    **COMMON,
    task_type="optimization",
    final_energy_eV=-100.5,
    final_fmax=0.0009,
    steps=2,
    energy_history=[-100.0, -100.4, -100.5],
    fmax_history=[0.5, 0.1, 0.0009],
    output_files={"optimized_structure": "/api/v1/files/file_1"},
)
RESULTS: list[Result] = [
    OPTIMIZATION,
    SinglePointResult(
        **COMMON,
        task_type="single-point-energy",
        energy_eV=-1.0,
        energy_per_atom_eV=-0.5,
        forces_eV_A=[[0.0, 0.0, 0.1], [0.0, 0.0, -0.1]],
        n_atoms=2,
    ),
    StabilityResult(
        **COMMON,
        task_type="stability",
        stable=True,
        coordination=[{"metal": "Zn", "initial": 4.0, "relaxed": 4.0, "final": 3.9}],
        radial_distribution={"r_A": [1.0, 2.0], "g": [0.0, 1.5]},
    ),
    BulkModulusResult(
        **COMMON,
        task_type="bulk-modulus",
        bulk_modulus_GPa=15.0,
        equilibrium_volume_A3=100.0,
        equilibrium_energy_eV=-5.0,
        volumes_A3=[96.0, 100.0, 104.0],
        energies_eV=[-4.9, -5.0, -4.9],
        points_converged=[True, True, False],
    ),
    HeatCapacityResult(
        **COMMON,
        task_type="heat-capacity",
        temperatures_K=[0.0, 300.0],
        heat_capacity_J_mol_K=[0.0, 200.0],
        heat_capacity_J_g_K=[0.0, 0.8],
    ),
    InteractionEnergyResult(
        **COMMON,
        task_type="interaction-energy",
        interaction_energy_eV=-0.3,
        poses=[
            {"rank": 1, "interaction_energy_eV": -0.3, "relaxed": True},
            {"rank": 2, "interaction_energy_eV": -0.2, "relaxed": False},
        ],
    ),
]
N_ROWS = {
    "optimization": 3,
    "single-point-energy": 2,
    "stability": 1,
    "bulk-modulus": 3,
    "heat-capacity": 2,
    "interaction-energy": 2,
}
by_type = pytest.mark.parametrize("result", RESULTS, ids=[result.task_type for result in RESULTS])


@by_type
def test_a_result_is_a_table_of_its_own_rows(result: Result) -> None:
    table = result.to_dataframe()
    assert len(table) == N_ROWS[result.task_type]
    assert not table.isna().any().any()


def test_the_steps_of_an_optimization_are_its_rows() -> None:
    table = OPTIMIZATION.to_dataframe()
    assert list(table.columns) == ["step", "energy_eV", "fmax_eV_A"]
    assert np.allclose(table["energy_eV"], [-100.0, -100.4, -100.5])


def test_many_results_are_one_table_with_a_row_each() -> None:
    table = to_dataframe([*RESULTS, OutOfMemoryError("task_2 ended FAILED", detail="24 GB")])
    assert len(table) == 7
    assert table["final_energy_eV"].dropna().tolist() == [-100.5]
    assert "24 GB" in table["error"].dropna().item()
    assert "energy_history" not in table.columns


@by_type
def test_a_result_is_drawn_with_named_axes(result: Result) -> None:
    ax = result.plot()
    assert ax.get_xlabel()
    assert ax.get_ylabel()
    assert "<MOF-5>" in ax.get_title()
    picture = io.BytesIO()
    figure = ax.figure
    assert isinstance(figure, Figure)
    figure.savefig(picture, format="png")
    assert picture.getvalue().startswith(b"\x89PNG")


def test_a_result_is_drawn_where_one_wants_it() -> None:
    ax = Figure().subplots()
    assert OPTIMIZATION.plot(ax) is ax
    assert list(ax.lines[0].get_ydata()) == [-100.0, -100.4, -100.5]


def test_an_unknown_result_has_nothing_to_draw() -> None:
    with pytest.raises(MOFSimError, match="nothing to draw"):
        Result(**COMMON, task_type="new").plot()


@by_type
def test_a_notebook_shows_a_result_without_its_lists(result: Result) -> None:
    html = result._repr_html_()
    assert "&lt;MOF-5&gt;" in html
    assert "<MOF-5>" not in html
    assert "COMPLETED" in html


def test_a_notebook_shows_a_running_task_with_its_bar() -> None:
    info = TaskInfo(
        task_id="task_1",
        status="RUNNING",
        structure_name="<b>",
        created_at=datetime(2026, 1, 1, tzinfo=UTC),
        progress={"stage": "optimize", "percentage": 40, "values": {"energy_eV": -1.25}},
    )
    html = Task(MOFSimClient("http://127.0.0.1:9"), info)._repr_html_()
    assert "width:40%" in html
    assert "-1.25" in html
    assert "<b>" not in html.replace("<b>task_1</b>", "")


def test_a_notebook_shows_a_list_as_a_table() -> None:
    infos = [TaskInfo(task_id=f"task_{n}", status="QUEUED", structure_name="<x>") for n in range(70)]
    html = Listing(infos)._repr_html_()
    assert html.count("<tr>") == 61
    assert "… 10 more" in html
    assert "&lt;x&gt;" in html
    assert "gpu_id" not in html
    assert Listing([1, 2]) == [1, 2]
