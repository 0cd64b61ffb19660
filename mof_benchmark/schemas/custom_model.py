"""Documents of models that users upload: what they say of a file, and what its validation found."""

from __future__ import annotations

from typing import Annotated, Any, Literal

from ase.data import atomic_numbers
from pydantic import Field, field_validator, model_validator

from mof_benchmark.schemas.common import Document

Width = Annotated[int, Field(ge=1, le=4096)]
Depth = Annotated[int, Field(ge=0, le=64)]
Precision = Literal["float32", "float64"]


class MaceConfig(Document):
    """A MACE `.model` says the rest itself."""

    precision: Precision = Field("float32", description="Precision it computes in.")
    head: str | None = Field(None, max_length=64, description="Which head of a model with several.")


class SevenNetConfig(Document):
    """A SevenNet checkpoint says the rest itself."""

    precision: Precision = Field("float32", description="Precision it computes in.")


class OrbSizes(Document):
    """Sizes of the network, where they differ from the published ones."""

    latent_dim: Width | None = None
    base_mlp_hidden_dim: Width | None = None
    base_mlp_depth: Depth | None = None
    head_mlp_hidden_dim: Width | None = None
    head_mlp_depth: Depth | None = None
    num_message_passing_steps: Depth | None = None


class OrbConfig(Document):
    """An ORB file holds bare weights, so the network must be named."""

    precision: Precision = Field("float32", description="Precision it computes in.")
    architecture: str = Field(
        pattern=r"^(orb-v3-(conservative|direct)-(20|inf)-(omat|mpa)|orb-v2|orb-d3-v2|orb-mptraj-only-v2)$",
        description="Published architecture the weights belong to.",
        examples=["orb-v3-conservative-inf-omat"],
    )
    sizes: OrbSizes = OrbSizes()


class PyTorchConfig(Document):
    """A generic PyTorch file holds bare weights; `interface` names the network they belong to."""

    precision: Precision = Field("float32", description="Precision it computes in.")
    interface: Literal["schnet"] = Field(
        description="`schnet`: SchNet with an atomwise energy, parameters named as SchNetPack 2 does."
    )
    elements: list[str] = Field(min_length=1, max_length=118, description="Elements it was trained on.")
    cutoff_A: float = Field(gt=0.5, le=20.0, description="Cutoff radius, Å.")
    n_atom_basis: Width = Field(description="Features of an atom.")
    n_filters: Width | None = Field(None, description="Filters; unset: as many as features.")
    n_interactions: Depth = Field(description="Interaction blocks.")
    n_rbf: Width = Field(description="Gaussians the distance is expanded in.")
    max_z: int = Field(100, ge=1, le=119, description="Rows of the embedding.")
    atomic_energies_eV: dict[str, float] = Field(
        default_factory=dict, description="Energy of each isolated atom that is added back, eV."
    )

    @field_validator("elements")
    @classmethod
    def _are_elements(cls, symbols: list[str]) -> list[str]:
        unknown = [symbol for symbol in symbols if atomic_numbers.get(symbol, 0) < 1]
        if unknown:
            raise ValueError(f"{unknown[0][:20]!r} is no element")
        return symbols

    @model_validator(mode="after")
    def _fit_the_embedding(self) -> PyTorchConfig:
        if max(atomic_numbers[symbol] for symbol in self.elements) >= self.max_z:
            raise ValueError("max_z must be greater than every atomic number")
        if not set(self.atomic_energies_eV) <= set(self.elements):
            raise ValueError("atomic_energies_eV names an element that elements does not")
        return self


CustomConfig = MaceConfig | OrbConfig | SevenNetConfig | PyTorchConfig
CONFIGS: dict[str, type[CustomConfig]] = {
    "mace": MaceConfig,
    "orb": OrbConfig,
    "sevennet": SevenNetConfig,
    "pytorch": PyTorchConfig,
}


class CustomModelMetadata(Document):
    """What a user says of an uploaded model."""

    name: str = Field(
        pattern=r"^[A-Za-z][A-Za-z0-9_.-]{0,63}$",
        description="Name by which tasks ask for it.",
        examples=["my_custom_mace"],
    )
    framework: Literal["mace", "orb", "sevennet", "pytorch"]
    description: str = Field("", max_length=2000)
    with_d3: bool = Field(description="Add PBE-D3(BJ) by default.")
    config: dict[str, Any] = Field(
        default_factory=dict, description="What the file does not say; fields depend on the framework."
    )

    @field_validator("name")
    @classmethod
    def _is_no_identifier(cls, name: str) -> str:
        if name == "custom" or name.startswith("model_"):
            raise ValueError("names that begin with 'model_', and 'custom', are the service's own")
        return name


class ModelCheck(Document):
    """One check of a validation."""

    name: str = Field(examples=["forces_match_energy"])
    passed: bool
    required: bool = Field(description="Whether the model is rejected when it fails.")
    value: float | None = Field(None, description="What was measured.")
    limit: float | None = Field(None, description="What it may be at most.")
    unit: str | None = None
    detail: str = ""


class ValidationFailure(Document):
    """Why a model could not be tried at all."""

    code: int
    type: str
    detail: str


class ValidationReport(Document):
    """What a validation found."""

    passed: bool
    error: ValidationFailure | None = None
    checks: list[ModelCheck] = Field(default_factory=list)
    elements: list[str] = Field(default_factory=list, description="Elements the model knows.")
    confinement: dict[str, str] = Field(
        default_factory=dict, description="Under which limits the file was read and tried."
    )
    seconds: float | None = Field(None, description="Duration of the validation.")
    peak_memory_MB: float | None = Field(None, description="Peak resident memory of its process, MB.")
    package_versions: dict[str, str] = Field(default_factory=dict)


class CustomModelCard(Document):
    """How a validated model is loaded; `weights` holds tensors and plain values only."""

    framework: Literal["mace", "orb", "sevennet", "pytorch"]
    dtype: Precision
    settings: dict[str, Any]
    elements: list[int] = Field(description="Atomic numbers the model knows.")
    weights: str = Field(description="File of the weights, relative to the storage root.")
    sha256: str = Field(description="Digest of that file.")
