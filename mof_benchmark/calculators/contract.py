"""The contract between model families and calculations.

A family's adapter module has one public function::

    def load(card: ModelCard, *, device: str, dtype: str, models_dir: Path) -> Potential

and `mof_benchmark.calculators.loading.load_potential(name, ...)` finds and calls it. A
`Potential` makes fresh ASE calculators that share the loaded weights; the calculator handed to a
calculation is a `MeteredCalculator` (model plus D3, energy, forces and stress in one pass).
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field
from typing import Any, Literal

from ase import Atoms
from ase.calculators.calculator import Calculator

Framework = Literal[
    "sevennet", "mace", "orb", "fairchem", "grace", "mattersim", "matgl", "posegnn", "pytorch"
]


@dataclass(frozen=True, kw_only=True)
class ModelCard:
    """A model of the registry: what it is, not whether it is here.

    `settings` are the family's own (checkpoint name, modal, precision …); `elements` are atomic
    numbers the model knows, or None when only the checkpoint can tell.
    """

    name: str
    display_name: str
    framework: Framework
    with_d3: bool
    dtype: Literal["float32", "float64"] = "float32"
    settings: dict[str, Any] = field(default_factory=dict)
    elements: frozenset[int] | None = None
    licence: str = ""
    citation: str = ""
    weights: str = ""
    """How the weights are obtained, for a person."""


@dataclass(frozen=True, kw_only=True)
class Potential:
    """A loaded model.

    `make_calculator` returns a fresh bare ASE calculator (no D3) on the shared weights, which
    implements energy, forces and (for periodic cells) stress. `evaluate_many`, where computing several
    structures together is faster, gives the same calculator's results for each, in order. `forget` gives
    back the memory of what is kept beside the weights to be faster.
    """

    card: ModelCard
    device: str
    dtype: str
    checkpoint_sha256: str | None
    elements: frozenset[int]
    make_calculator: Callable[[], Calculator]
    evaluate_many: Callable[[Sequence[Atoms]], Iterator[dict[str, Any]]] | None = None
    forget: Callable[[], None] = lambda: None
    accelerator: str | None = None
    package_versions: dict[str, str] = field(default_factory=dict)
