"""What is kept of an uploaded model: settings and bare weights, whatever the file asks for."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from ase import Atoms

from mof_benchmark.calculators.contract import Potential
from mof_benchmark.calculators.custom.extract import extract
from mof_benchmark.calculators.custom.scan import CustomFramework, scan
from mof_benchmark.calculators.loading import load_card
from mof_benchmark.errors import ModelLoadError, MofsimError, UnsafeModelFileError
from tests.mof_benchmark.calculators.conftest import SMALL_ORB

from .hostile import UNSAFE

ORB = {"architecture": "orb-v3-conservative-inf-omat", "sizes": SMALL_ORB}
CONFIGS: dict[CustomFramework, dict[str, Any]] = {
    "mace": {"precision": "float64"},
    "orb": ORB,
    "sevennet": {},
    "pytorch": {
        "interface": "schnet",
        "elements": ["H", "C"],
        "cutoff_A": 4.0,
        "n_atom_basis": 8,
        "n_interactions": 1,
        "n_rbf": 6,
    },
}


def taken(upload: Path, framework: CustomFramework, weights: Path) -> Potential:
    card = extract(upload, framework, CONFIGS[framework], name="mine", with_d3=False, weights=weights)
    return load_card(card, dtype="float64", models_dir=weights.parent)


def test_a_mace_model_is_kept_as_configuration_and_weights(
    mace_file: Path, mace_double: Potential, magnesia: Atoms, tmp_path: Path
) -> None:
    kept = taken(mace_file, "mace", tmp_path / "weights.pt")
    scan(tmp_path / "weights.pt", "pytorch")
    results = []
    for potential in (kept, mace_double):
        calculator = potential.make_calculator()
        calculator.calculate(magnesia)
        results.append(calculator.results)
    for name in ("energy", "forces", "stress"):
        np.testing.assert_array_equal(results[0][name], results[1][name])


def test_orb_weights_are_kept_with_the_architecture_that_was_named(
    orb_file: Path, orb_double: Potential, magnesia: Atoms, tmp_path: Path
) -> None:
    kept = taken(orb_file, "orb", tmp_path / "weights.pt")
    own, published = kept.make_calculator(), orb_double.make_calculator()
    own.calculate(magnesia)
    published.calculate(magnesia)
    assert own.results["energy"] == published.results["energy"]


@pytest.mark.parametrize("framework", CONFIGS)
@pytest.mark.parametrize("name", UNSAFE)
def test_reading_a_hostile_file_runs_nothing_even_had_nobody_looked_at_it(
    name: str, framework: CustomFramework, tmp_path: Path
) -> None:
    marker, path = tmp_path / "was-here", tmp_path / "evil.pt"
    path.write_bytes(UNSAFE[name](marker))
    with pytest.raises(MofsimError):
        taken(path, framework, tmp_path / "weights.pt")
    assert not marker.exists()


def test_a_tensor_that_claims_more_than_the_file_holds_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "swollen.pt"
    torch.save({"weight": torch.zeros(1).expand(10**12)}, path)
    with pytest.raises(UnsafeModelFileError, match="claims more"):
        taken(path, "pytorch", tmp_path / "weights.pt")


def test_a_checkpoint_without_a_configuration_is_no_sevennet(tmp_path: Path) -> None:
    path = tmp_path / "other.pt"
    torch.save({"model_state_dict": {"w": torch.zeros(1)}}, path)
    with pytest.raises(ModelLoadError, match="no SevenNet checkpoint"):
        taken(path, "sevennet", tmp_path / "weights.pt")
