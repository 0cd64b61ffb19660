"""Real models, loaded once, and small structures to try them on."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import ase.io
import pytest
from ase import Atoms
from ase.build import bulk

from mof_benchmark.calculators.contract import Potential
from mof_benchmark.calculators.loading import load_potential
from mof_benchmark.calculators.metering import MeteredCalculator

DATA = Path(__file__).resolve().parents[3] / "shared" / "data"


@pytest.fixture(scope="session")
def data() -> Path:
    """Folder of real structures and reference numbers."""
    if not DATA.is_dir():
        pytest.skip("needs the real structures in ../shared/data")
    return DATA


@pytest.fixture(scope="session")
def reference(data: Path) -> dict[str, Any]:
    """Numbers made with the benchmark's own scripts."""
    return dict(json.loads((data / "reference" / "reference.json").read_text()))


@pytest.fixture(scope="session")
def rsm0004(data: Path) -> Atoms:
    """A real MOF of 13 atoms."""
    return ase.io.read(data / "structures" / "RSM0004.cif")


@pytest.fixture(scope="session")
def sevennet(tmp_path_factory: pytest.TempPathFactory) -> Potential:
    return load_potential("sevennet_prod", models_dir=tmp_path_factory.mktemp("models"))


@pytest.fixture(scope="session")
def sevennet_double(tmp_path_factory: pytest.TempPathFactory) -> Potential:
    return load_potential("sevennet_prod", dtype="float64", models_dir=tmp_path_factory.mktemp("models"))


@pytest.fixture
def calculator(sevennet: Potential) -> MeteredCalculator:
    return MeteredCalculator(sevennet)


@pytest.fixture
def magnesia() -> Atoms:
    """Rock salt MgO, strained and rattled so that no force or stress vanishes by symmetry."""
    atoms = bulk("MgO", "rocksalt", a=4.25)
    atoms.set_cell(atoms.cell[:] @ [[1.02, 0.01, 0.0], [0.0, 0.99, 0.02], [0.0, 0.0, 1.01]], scale_atoms=True)
    atoms.rattle(0.08, seed=1)
    return atoms
