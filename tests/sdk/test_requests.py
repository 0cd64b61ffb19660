"""The six submissions mirror the service's own parameters, names and defaults."""

from __future__ import annotations

import inspect
import typing
from dataclasses import fields
from typing import Any

import pytest
from mofsim_client import MOFSimClient, Optimization, Stability, requests
from mofsim_client.requests import SUBMISSIONS, Submission
from pydantic import BaseModel

from api_gateway.tasks.schemas import Options
from mof_benchmark.schemas import (
    bulk_modulus,
    heat_capacity,
    interaction_energy,
    optimization,
    single_point,
    stability,
)

PARAMETERS: dict[str, type[BaseModel]] = {
    "single-point-energy": single_point.SinglePointParameters,
    "optimization": optimization.OptimizationParameters,
    "stability": stability.StabilityParameters,
    "bulk-modulus": bulk_modulus.BulkModulusParameters,
    "heat-capacity": heat_capacity.HeatCapacityParameters,
    "interaction-energy": interaction_energy.InteractionEnergyParameters,
}
RESULTS: dict[str, type[BaseModel]] = {
    "single-point-energy": single_point.SinglePointResult,
    "optimization": optimization.OptimizationResult,
    "stability": stability.StabilityResult,
    "bulk-modulus": bulk_modulus.BulkModulusResult,
    "heat-capacity": heat_capacity.HeatCapacityResult,
    "interaction-energy": interaction_energy.InteractionEnergyResult,
}
STAGES: dict[str, tuple[type, type[BaseModel]]] = {
    "opt": (requests.StabilityOptimization, stability.StabilityOptimization),
    "nvt": (requests.NvtSettings, stability.NvtSettings),
    "npt": (requests.NptSettings, stability.NptSettings),
}


@pytest.mark.parametrize("task_type", SUBMISSIONS)
def test_names_and_defaults_are_those_of_the_service(task_type: str) -> None:
    kind, schema = SUBMISSIONS[task_type], PARAMETERS[task_type]
    assert set(kind.parameter_names()) == set(schema.model_fields)
    served = schema().model_dump()
    for field in fields(kind):
        if field.name in schema.model_fields and field.name not in STAGES:
            assert field.default == served[field.name], field.name


@pytest.mark.parametrize("task_type", SUBMISSIONS)
def test_choices_are_those_of_the_service(task_type: str) -> None:
    hints = typing.get_type_hints(SUBMISSIONS[task_type])
    for name, field in PARAMETERS[task_type].model_fields.items():
        if typing.get_origin(field.annotation) is typing.Literal:
            assert typing.get_args(hints[name]) == typing.get_args(field.annotation), name


@pytest.mark.parametrize("stage", STAGES)
def test_the_stages_of_a_stability_run_take_what_the_service_takes(stage: str) -> None:
    ours, theirs = STAGES[stage]
    hints = typing.get_type_hints(ours)
    assert set(hints) == set(theirs.model_fields)
    for name, field in theirs.model_fields.items():
        if typing.get_origin(field.annotation) is typing.Literal:
            assert typing.get_args(hints[name]) == typing.get_args(field.annotation), name


@pytest.mark.parametrize("task_type", SUBMISSIONS)
def test_every_field_of_a_result_has_its_place(task_type: str) -> None:
    ours = set(SUBMISSIONS[task_type].result_type.model_fields)
    assert set(RESULTS[task_type].model_fields) <= ours


@pytest.mark.parametrize("task_type", SUBMISSIONS)
def test_every_parameter_is_documented(task_type: str) -> None:
    kind = SUBMISSIONS[task_type]
    documentation = inspect.getdoc(kind) or ""
    own = [name for name in kind.parameter_names() if name not in ("with_d3", "protocol")]
    assert [name for name in own if name not in documentation] == []


def test_options_are_those_of_the_service() -> None:
    options = {field.name for field in fields(Submission)} & set(Options.model_fields)
    assert options == set(Options.model_fields) - {"callback"}


def test_only_what_differs_from_the_defaults_is_sent() -> None:
    submission = Optimization("MOF-5", "m", fmax=0.001, max_steps=50, tags=("a", "b"), priority="HIGH")
    assert submission.parameters() == {"max_steps": 50}
    assert submission.options() == {"tags": ["a", "b"], "priority": "HIGH"}
    assert Stability("MOF-5", "m", nvt={"steps": 10}, supercell=(2, 1, 1)).parameters() == {
        "nvt": {"steps": 10},
        "supercell": [2, 1, 1],
    }


def test_what_is_sent_is_what_the_service_reads() -> None:
    sent: dict[str, Any] = Stability("MOF-5", "m", nvt={"steps": 10}, supercell=(2, 1, 1)).parameters()
    read = stability.StabilityParameters.model_validate(sent)
    assert (read.nvt.steps, read.nvt.timestep_fs, read.supercell) == (10, 1.0, (2, 1, 1))


def test_an_unknown_argument_is_named_with_the_nearest_one() -> None:
    client = MOFSimClient("http://127.0.0.1:9")
    with pytest.raises(TypeError, match=r"Optimization takes no argument 'fmaxx'; did you mean 'fmax'\?"):
        client.submit_optimization("MOF-5", "m", fmaxx=0.1)  # type: ignore[call-arg]
