"""The expected memory follows from edges, and the edges are those of the model's own graph."""

from __future__ import annotations

import dataclasses
from pathlib import Path

import pytest

from mof_benchmark.calculators.footprint import BASE_MB, Footprint, footprint
from mof_benchmark.calculators.loading import load_potential
from mof_benchmark.calculators.registry import card, cards
from mof_benchmark.structures import builtin
from mof_benchmark.structures.neighbours import count_neighbours


def test_the_measured_figures_of_sevennet_are_told() -> None:
    assert footprint(card("sevennet_prod"), "cuda").kB_per_edge == pytest.approx(112.5)
    assert footprint(card("sevennet_prod_l3i5"), "cuda").kB_per_edge == pytest.approx(218.25)
    assert footprint(card("sevennet_prod"), "cpu").kB_per_edge == pytest.approx(15)


def test_every_model_of_the_registry_has_a_footprint() -> None:
    for each in cards():
        found = footprint(each, "cuda")
        assert found.memory_MB(1000, "cuda") > BASE_MB["cuda"]
        assert 4 <= found.cutoff_A <= 12


def test_edges_are_those_that_the_model_itself_makes(tmp_path: Path) -> None:
    atoms = builtin.build("Mg-MOF-74")
    potential = load_potential("sevennet_prod", models_dir=tmp_path)
    graph = potential.make_calculator()._passes._graph(atoms)  # type: ignore[attr-defined]
    found = footprint(card("sevennet_prod"), "cpu").edges(count_neighbours(atoms), len(atoms))
    assert found == graph["edge_index"].shape[1]


def test_a_cutoff_between_two_counted_radii_takes_the_larger() -> None:
    counts = {5.0: 100, 6.0: 180}
    assert Footprint(cutoff_A=5.5, kB_per_edge=1).edges(counts, 10) == 180
    assert Footprint(cutoff_A=12.0, kB_per_edge=1).edges(counts, 10) == 8 * 180


def test_a_model_of_few_neighbours_makes_no_more_edges_than_those() -> None:
    few = footprint(card("orb3"), "cuda")
    assert few.edges({6.0: 10_000}, n_atoms=100) == 2000


def test_double_precision_takes_twice_the_memory() -> None:
    single = card("mace_prod")
    double = dataclasses.replace(single, dtype="float64")
    assert footprint(double, "cuda").kB_per_edge == pytest.approx(2 * footprint(single, "cuda").kB_per_edge)
