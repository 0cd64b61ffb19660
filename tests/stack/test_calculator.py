"""ASE on a served model: the same numbers as the service's own single points."""

from __future__ import annotations

import numpy as np
import pytest
from ase.build import bulk
from ase.optimize import BFGS
from mofsim_client import MOFSimCalculator, MOFSimClient

pytestmark = pytest.mark.stack
MODEL = "sevennet_prod"
TAG = "ase-on-a-served-model"


def test_an_ase_optimization_runs_on_a_served_model(client: MOFSimClient) -> None:
    atoms = bulk("MgO", "rocksalt", a=4.3)
    atoms.positions[1] += (0.15, 0.05, 0.0)
    atoms.calc = MOFSimCalculator(client, MODEL, priority="HIGH", tags=[TAG])
    start = atoms.get_potential_energy()
    optimizer = BFGS(atoms, logfile=None)
    assert optimizer.run(fmax=0.1, steps=30)
    assert atoms.get_potential_energy() < start - 0.02
    assert np.linalg.norm(atoms.get_forces(), axis=1).max() < 0.1

    served = client.submit_single_point(atoms, MODEL).wait(300)
    assert atoms.get_potential_energy() == pytest.approx(served.energy_eV, abs=1e-9)
    assert np.allclose(atoms.get_forces(), served.forces_eV_A, rtol=0, atol=1e-9)
    assert np.allclose(atoms.get_stress(), served.stress_eV_A3, rtol=0, atol=1e-9)

    asked = len(list(client.list_tasks(tag=TAG)))
    assert asked == optimizer.nsteps + 1
    atoms.get_stress()
    assert len(list(client.list_tasks(tag=TAG))) == asked


def test_a_calculator_that_keeps_nothing_leaves_no_task_and_no_structure(client: MOFSimClient) -> None:
    atoms = bulk("MgO", "rocksalt", a=4.41)
    atoms.calc = MOFSimCalculator(client, MODEL, with_d3=False, tags=["gone"], keep=False)
    before = {structure.file_id for structure in client.list_structures()}
    assert atoms.get_potential_energy() < 0
    assert list(client.list_tasks(tag="gone")) == []
    assert {structure.file_id for structure in client.list_structures()} == before
