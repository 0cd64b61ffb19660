"""The published protocol: what it sets, and what it says it has set."""

from __future__ import annotations

import pytest

from mof_benchmark.schemas import (
    BulkModulusParameters,
    HeatCapacityParameters,
    OptimizationParameters,
    StabilityParameters,
    overruled,
    settled,
)
from mof_benchmark.schemas.common import CalculationParameters
from mof_benchmark.schemas.protocol import PUBLISHED


@pytest.mark.parametrize("kind", PUBLISHED, ids=lambda kind: kind.__name__)
def test_the_defaults_are_the_published_settings_but_for_the_steps_of_an_optimization(
    kind: type[CalculationParameters],
) -> None:
    default = kind()
    changed = [name for name, value in PUBLISHED[kind].items() if getattr(default, name) != value]
    assert changed == (["max_steps"] if kind is OptimizationParameters else [])


def test_what_differs_is_set_and_said() -> None:
    asked = BulkModulusParameters(protocol="mofsimbench", n_points=7, eos="vinet", with_d3=False)
    held = settled(asked)
    assert (held.n_points, held.eos, held.with_d3) == (11, "birchmurnaghan", None)
    assert overruled(asked) == [
        "Protocol mofsimbench: with_d3 is None, not False.",
        "Protocol mofsimbench: n_points is 11, not 7.",
        "Protocol mofsimbench: eos is birchmurnaghan, not vinet.",
    ]
    assert settled(held) == held


def test_a_stage_of_a_stability_run_is_set_as_a_whole() -> None:
    asked = StabilityParameters.model_validate({"protocol": "mofsimbench", "npt": {"steps": 100}, "seed": 4})
    held = settled(asked)
    assert (held.npt.steps, held.seed) == (50_000, 4)
    assert len(overruled(asked)) == 1


def test_a_stored_request_names_every_parameter_and_is_overruled_in_none() -> None:
    stored = OptimizationParameters.model_validate(
        OptimizationParameters(protocol="mofsimbench").model_dump()
    )
    assert settled(stored).max_steps == 5000
    assert overruled(stored) == []


def test_without_the_protocol_everything_stays_as_asked_for() -> None:
    asked = HeatCapacityParameters(mesh=20, symmetrize=True)
    assert settled(asked) == asked
    assert overruled(asked) == []


@pytest.mark.parametrize("supercell", [(0, 1, 1), (1, -2, 1), (1, 1, 50)])
@pytest.mark.parametrize("kind", [StabilityParameters, HeatCapacityParameters])
def test_a_wrong_supercell_is_refused(
    kind: type[CalculationParameters], supercell: tuple[int, int, int]
) -> None:
    with pytest.raises(ValueError, match="supercell must be between"):
        kind.model_validate({"supercell": supercell})
