"""Structures evaluated together get what each gets alone; on a GPU, what the CPU gives."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from ase import Atoms
from ase.build import bulk, molecule
from numpy.typing import NDArray

from mof_benchmark.calculators import sevennet_passes
from mof_benchmark.calculators.contract import Potential
from mof_benchmark.calculators.dispersion import CpuDispersion, GpuDispersion
from mof_benchmark.calculators.loading import load_card, load_potential
from mof_benchmark.calculators.metering import MeteredCalculator
from mof_benchmark.calculators.passes import Passes
from mof_benchmark.calculators.registry import card
from mof_benchmark.errors import OutOfMemoryError
from mof_benchmark.structures import builtin

ABSENT = Path("absent")


def structures() -> list[Atoms]:
    """Of different size, one without a cell and one without an edge."""
    rattled = bulk("MgO", "rocksalt", a=4.25, cubic=True)
    rattled.rattle(0.1, seed=5)
    return [rattled, molecule("H2O"), Atoms("Cu"), bulk("Cu"), rattled.repeat((1, 1, 2))]


@pytest.fixture(scope="module")
def plain_sevennet() -> Potential:
    """By the package's own layers, on a CPU."""
    entry = card("sevennet_prod")
    own_layers = replace(entry, settings={**entry.settings, "accelerate": False})
    return load_card(own_layers, dtype="float64", models_dir=ABSENT)


@pytest.fixture(params=["plain_sevennet", "mace_double", "orb_double"])
def passes(request: pytest.FixtureRequest) -> Iterator[Passes]:
    potential: Potential = request.getfixturevalue(request.param)
    found: Passes = potential.make_calculator()._passes  # type: ignore[attr-defined]
    most_edges = found._most_edges
    yield found
    found._most_edges = most_edges


@pytest.mark.parametrize("most_edges", [1, 250, 100_000], ids=["each alone", "some together", "all in one"])
def test_together_gives_what_alone_gives(passes: Passes, most_edges: int) -> None:
    alone = [next(passes.evaluate([atoms])) for atoms in structures()]
    passes._most_edges = most_edges
    assert_equal(list(passes.evaluate(structures())), alone, atol=1e-9)


def test_passes_are_as_large_as_allowed(passes: Passes, monkeypatch: pytest.MonkeyPatch) -> None:
    atoms = structures()[0]
    n_edges = passes._count_edges(passes._graph(atoms))
    sizes = []
    whole = passes._pass

    def noting(group: list[Any]) -> Sequence[dict[str, Any]]:
        sizes.append(len(group))
        return whole(group)

    monkeypatch.setattr(passes, "_pass", noting)
    passes._most_edges = 3 * n_edges
    assert len(list(passes.evaluate([atoms] * 7))) == 7
    assert sizes == [3, 3, 1]


def test_edges_that_fill_up_a_replayed_pass_are_not_heard(plain_sevennet: Potential) -> None:
    passes = plain_sevennet.make_calculator()._passes  # type: ignore[attr-defined]
    network, atoms = passes._network, structures()[0].repeat((1, 1, 2))
    graph = passes._graph(atoms)
    vectors, edges = torch.as_tensor(graph["edge_vec"]), torch.as_tensor(graph["edge_index"])
    vectors, edges = vectors[:-3], edges[:, :-3]
    filled = sevennet_passes.filled_up(vectors, edges, network.cutoff_A)
    numbers = torch.as_tensor(atoms.numbers)
    assert len(filled[0]) == filled[1].shape[1] > len(vectors)
    energies, slope = network(vectors, edges, numbers)
    filled_energies, filled_slope = network(*filled, numbers)
    torch.testing.assert_close(filled_energies, energies, rtol=0, atol=1e-12)
    torch.testing.assert_close(filled_slope[: len(vectors)], slope, rtol=0, atol=1e-12)


class TestOnAGpu:
    """Run on a machine with one: `./mofsim test -m gpu`."""

    pytestmark = pytest.mark.gpu

    @pytest.fixture(scope="class")
    def single(self) -> Potential:
        return load_potential("sevennet_prod", device="cuda", models_dir=ABSENT)

    @pytest.mark.parametrize("family", ["sevennet", "mace", "orb"])
    def test_a_gpu_gives_what_the_cpu_gives(self, family: str, request: pytest.FixtureRequest) -> None:
        cpu, on_gpu = (request.getfixturevalue(f"{family}{where}_double") for where in ("", "_gpu"))
        expected = [dict(results) for results in MeteredCalculator(cpu).evaluate_many(structures())]
        found = list(MeteredCalculator(on_gpu).evaluate_many(structures()))
        assert_equal(found, expected, atol=1e-6)

    @pytest.mark.parametrize("name", ["SOD", "Mg-MOF-74", "MOF-5", "FAU"])
    def test_a_replayed_pass_follows_the_structure(self, single: Potential, name: str) -> None:
        cpu = load_potential("sevennet_prod", models_dir=ABSENT)
        replayed, fused = single.make_calculator(), cpu.make_calculator()
        for step in range(6):
            atoms = builtin.build(name)
            atoms.rattle(0.02, seed=step)
            atoms.set_cell(atoms.cell[:] * (1 + 0.002 * step), scale_atoms=True)
            for calculator in (replayed, fused):
                calculator.calculate(atoms)
            assert replayed.results["energy"] == pytest.approx(fused.results["energy"], abs=1e-6 * len(atoms))
            np.testing.assert_allclose(replayed.results["forces"], fused.results["forces"], atol=5e-5)
            np.testing.assert_allclose(replayed.results["stress"], fused.results["stress"], atol=1e-6)

    @pytest.mark.parametrize("repeat", [1, 3])
    def test_the_dispersion_equals_simple_dftd3(self, repeat: int) -> None:
        atoms = builtin.build("MOF-5").repeat(repeat)
        atoms.rattle(0.05, seed=1)
        dense, library = GpuDispersion("cuda").evaluate(atoms), CpuDispersion().evaluate(atoms)
        assert dense["energy"] == pytest.approx(library["energy"], abs=2e-8 * len(atoms))
        np.testing.assert_allclose(dense["forces"], library["forces"], atol=1e-6)
        np.testing.assert_allclose(dense["stress"], library["stress"], atol=1e-8)

    def test_what_the_gpu_cannot_hold_is_told_and_the_next_one_runs(self, single: Potential) -> None:
        calculator = MeteredCalculator(single, with_d3=False)
        torch.cuda.set_per_process_memory_fraction(0.02)
        try:
            with pytest.raises(OutOfMemoryError, match="CUDA out of memory"):
                calculator.calculate(builtin.build("FAU").repeat((4, 4, 2)))
            calculator.calculate(builtin.build("SOD"))
        finally:
            torch.cuda.set_per_process_memory_fraction(1.0)
        assert np.isfinite(calculator.results["energy"])
        peak_MB = calculator.metrics().peak_gpu_memory_MB
        assert peak_MB is not None
        assert peak_MB > 100


def assert_equal(found: list[dict[str, Any]], expected: list[dict[str, Any]], *, atol: float) -> None:
    assert len(found) == len(expected)
    for ours, theirs in zip(found, expected, strict=True):
        assert ours.keys() >= {"energy", "forces"}
        for name in ("energy", "forces", "stress"):
            assert (name in ours) == (name in theirs)
            if name in theirs:
                close(ours[name], theirs[name], atol)


def close(found: NDArray[np.float64], expected: NDArray[np.float64], atol: float) -> None:
    np.testing.assert_allclose(found, expected, rtol=0, atol=atol)
