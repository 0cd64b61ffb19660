"""The calculations of several stages through the whole stack, small ones."""

from __future__ import annotations

from typing import Any

import pytest
from mofsim_client import MOFSimClient, Task

pytestmark = pytest.mark.stack
STRUCTURE, MODEL = "SOD", "sevennet_prod"


def test_the_calculations_of_several_stages_complete_with_their_files(client: MOFSimClient) -> None:
    tasks: dict[str, Task[Any]] = {
        "bulk_modulus_GPa": client.submit_bulk_modulus(STRUCTURE, MODEL, n_points=5, fmax=0.1),
        "heat_capacity_300K_J_mol_K": client.submit_heat_capacity(STRUCTURE, MODEL, fmax=0.1, mesh=10.0),
        "interaction_energy_eV": client.submit_interaction_energy(
            STRUCTURE, MODEL, mode="search", guest_molecule="H2", n_poses=20, max_steps=5
        ),
        "volume_drift_percent": client.submit_stability(
            STRUCTURE, MODEL, opt={"fmax": 0.5}, nvt={"steps": 10}, npt={"steps": 20}, trajectory_interval=5
        ),
    }
    for quantity, task in tasks.items():
        found: dict[str, Any] = task.wait(timeout=240).to_dict()
        result = found.get("result", found)
        assert isinstance(result[quantity], float), quantity
        assert result["metrics"]["force_evaluations"] > 5
        assert len(result["output_files"]) >= 4
