"""Documents of `interaction-energy`."""

from __future__ import annotations

from typing import Literal

from pydantic import Field, model_validator

from mof_benchmark.schemas.common import CalculationParameters, CalculationResult, Document

GuestMolecule = Literal[
    "CO2", "H2O", "N2", "CH4", "H2", "CO", "O2", "NH3", "SO2", "H2S", "Ar", "He", "Kr", "Xe"
]


class InteractionEnergyParameters(CalculationParameters):
    """Energy of a guest in a framework."""

    mode: Literal["configuration", "search"] = Field(
        "configuration",
        description="`configuration`: the structure holds host and guest; `search`: an empty framework, "
        "the guest is inserted at random and the best poses are kept.",
    )
    guest_molecule: GuestMolecule = Field("CO2", description="The guest, for `search`.")
    guest_indices: list[int] | None = Field(
        None, description="Atoms of the guest (from 0), for `configuration`; unset: found by connectivity."
    )
    n_poses: int = Field(100, ge=1, le=10_000, description="Accepted insertions, for `search`.")
    seed: int = Field(0, ge=0, lt=2**32, description="Seed of the insertions.")
    batch_size: int = Field(16, ge=1, le=1024, description="Poses evaluated in one stage batch.")
    min_distance_factor: float = Field(
        0.85,
        gt=0,
        le=2,
        description="Closest host–guest contact as a fraction of the sum of van der Waals radii.",
    )
    relax: Literal["none", "rigid", "free"] = Field(
        "rigid",
        description="Relaxation of the best poses of a `search`: none, the guest alone, or everything "
        "(fixed cell).",
    )
    n_relax: int = Field(1, ge=1, le=100, description="Best poses that are relaxed.")
    fmax: float = Field(0.05, gt=0, le=10, description="Largest force of that relaxation, eV/Å.")
    max_steps: int = Field(300, ge=1, le=100_000, description="Most steps of that relaxation.")

    @model_validator(mode="after")
    def _guest_indices_are_distinct(self) -> InteractionEnergyParameters:
        indices = self.guest_indices
        if indices is not None and (not indices or min(indices) < 0 or len(set(indices)) != len(indices)):
            raise ValueError("guest_indices must be distinct and not negative")
        if self.mode == "search" and self.protocol == "mofsimbench":
            raise ValueError("the published protocol evaluates given configurations; it has no search")
        return self


class Pose(Document):
    """One place of the guest."""

    rank: int = Field(description="1 is the lowest in energy.")
    interaction_energy_eV: float = Field(description="E(host+guest) − E(host) − E(guest), eV.")
    guest_center_A: list[float] = Field(description="Centre of mass of the guest, Å.")
    min_distance_A: float | None = Field(description="Closest host–guest contact, Å; null beyond 6 Å.")
    relaxed: bool = Field(description="Whether the pose was relaxed.")


class InteractionEnergyResult(CalculationResult):
    """The interaction energy, its terms and the pose it belongs to."""

    mode: Literal["configuration", "search"]
    guest: str = Field(description="Formula of the guest.")
    interaction_energy_eV: float = Field(description="E(host+guest) − E(host) − E(guest), eV.")
    interaction_energy_kJ_mol: float = Field(description="The same in kJ/mol.")
    energy_host_guest_eV: float = Field(description="E(host+guest), eV.")
    energy_host_eV: float = Field(description="E(host), eV.")
    energy_guest_eV: float = Field(description="E(guest) in the same cell, eV.")
    guest_indices: list[int] = Field(description="Atoms of the guest in the pose's file (from 0).")
    guest_positions_A: list[list[float]] = Field(description="Positions of the guest, shape (n, 3), Å.")
    min_distance_A: float | None = Field(description="Closest host–guest contact, Å; null beyond 6 Å.")
    closest_contacts: list[str] = Field(description="The five closest contacts, `Mg12–O56 2.31 Å`.")
    poses: list[Pose] = Field(default_factory=list, description="Ranked poses of a search.")
