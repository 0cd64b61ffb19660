"""The models of the benchmark, declared; and whether each is ready on this host.

Names and settings follow the benchmark's own registry (Kraß, Huang, Moosavi, npj Comput. Mater.
2025, doi 10.1038/s41524-025-01872-3). Nothing here imports torch or a model package: packages
are looked up by name and weights by path, so the gateway may ask at any time.
"""

from __future__ import annotations

import importlib.util
from dataclasses import dataclass
from difflib import get_close_matches
from functools import cache
from importlib import metadata
from pathlib import Path
from typing import Any

from mof_benchmark.calculators.contract import Framework, ModelCard
from mof_benchmark.errors import ModelNotFoundError

MATERIALS_PROJECT_ELEMENTS = frozenset([*range(1, 84), *range(89, 95)])
"""The 89 elements of the Materials Project trajectories: H to Bi and Ac to Pu."""

MACE_RELEASES = "https://github.com/ACEsuit/mace-mp/releases/download"
ORB_WEIGHTS = "https://orbitalmaterials-public-models.s3.us-west-1.amazonaws.com/forcefields"


@dataclass(frozen=True, kw_only=True)
class Availability:
    """Whether a model can be loaded here; if not, why, and what a person can do about it."""

    available: bool
    reason: str = ""
    what_to_do: str = ""


@dataclass(frozen=True)
class Family:
    """What a model family needs on a host."""

    module: str
    distribution: str
    lives_apart: bool = False
    """Its pins conflict with mofsim's: it always runs in an environment of its own."""


FAMILIES: dict[Framework, Family] = {
    "sevennet": Family("sevenn", "sevenn"),
    "mace": Family("mace", "mace-torch"),
    "orb": Family("orb_models", "orb-models"),
    "fairchem": Family("fairchem", "fairchem-core", lives_apart=True),
    "grace": Family("tensorpotential", "tensorpotential", lives_apart=True),
    "mattersim": Family("mattersim", "mattersim", lives_apart=True),
    "matgl": Family("matgl", "matgl", lives_apart=True),
    "posegnn": Family("posegnn", "posegnn", lives_apart=True),
}


def _sevennet(name: str, display_name: str, weights: str, **settings: Any) -> ModelCard:
    return ModelCard(
        name=name,
        display_name=display_name,
        framework="sevennet",
        with_d3=settings.pop("with_d3", True),
        settings=settings,
        elements=MATERIALS_PROJECT_ELEMENTS,
        licence="GPL-3.0",
        citation="Park et al., J. Chem. Theory Comput. 2024, doi 10.1021/acs.jctc.4c00190",
        weights=weights,
    )


def _mace(name: str, display_name: str, file: str, **options: Any) -> ModelCard:
    url = options.pop("url", None)
    return ModelCard(
        name=name,
        display_name=display_name,
        framework="mace",
        with_d3=options.pop("with_d3", True),
        settings={"file": file, "url": url},
        elements=options.pop("elements", MATERIALS_PROJECT_ELEMENTS),
        licence=options.pop("licence", "MIT"),
        citation=options.pop("citation", "Batatia et al., arXiv 2401.00096"),
        weights=options.pop("weights", f"Download {url}"),
    )


def _orb(name: str, display_name: str, architecture: str, file: str, **options: Any) -> ModelCard:
    url = f"{ORB_WEIGHTS}/{file}"
    return ModelCard(
        name=name,
        display_name=display_name,
        framework="orb",
        with_d3=options.pop("with_d3", True),
        settings={
            "architecture": architecture,
            "file": file.rpartition("/")[2],
            "url": url,
            "precision": options.pop("precision", "float32-high"),
        },
        licence="Apache-2.0",
        citation=options.pop("citation", "Neumann et al., arXiv 2410.22570"),
        weights=f"Download {url}",
    )


def _fairchem(name: str, display_name: str, file: str, page: str, citation: str) -> ModelCard:
    return ModelCard(
        name=name,
        display_name=display_name,
        framework="fairchem",
        with_d3=True,
        settings={"file": file, "seed": 0},
        licence="FAIR Chemistry License",
        citation=citation,
        weights=f"Accept the licence at https://huggingface.co/facebook/{page} and download {file}",
    )


def _grace(name: str, model: str) -> ModelCard:
    return ModelCard(
        name=name,
        display_name=model,
        framework="grace",
        with_d3=True,
        settings={"file": model, "model": model},
        licence="Academic Software License",
        citation="Bochkarev, Lysogorskiy, Drautz, Phys. Rev. X 14, 021036 (2024)",
        weights=f"Run `grace_models download {model}` in the family's environment",
    )


_ORB_V3 = "Rhodes et al., arXiv 2504.06231"
_ESEN = "Fu et al., arXiv 2502.12147"
_OMAT24 = "Barroso-Luque et al., arXiv 2410.12771"
_IN_WHEEL = "Comes inside the sevenn wheel"
_MF_OMPA = "Download 7net-MF-ompa from https://doi.org/10.6084/m9.figshare.28590722"

_CARDS: tuple[ModelCard, ...] = (
    _sevennet("sevennet_prod", "SevenNet-0 (11 July 2024)", _IN_WHEEL, checkpoint="7net-0"),
    _sevennet(
        "sevennet_prod_nod3",
        "SevenNet-0 (11 July 2024), no dispersion",
        _IN_WHEEL,
        checkpoint="7net-0",
        with_d3=False,
    ),
    _sevennet("sevennet_prod_l3i5", "SevenNet-l3i5", _IN_WHEEL, checkpoint="7net-l3i5"),
    _sevennet(
        "sevennet_prod_ompa",
        "SevenNet-MF-ompa, modal mpa",
        _MF_OMPA,
        file="checkpoint_sevennet_mf_ompa.pth",
        modal="mpa",
        minimum_version="0.11",
    ),
    _sevennet(
        "sevennet_prod_ompa_omat",
        "SevenNet-MF-ompa, modal omat24",
        _MF_OMPA,
        file="checkpoint_sevennet_mf_ompa.pth",
        modal="omat24",
        minimum_version="0.11",
    ),
    _mace(
        "mace_prod",
        "MACE-MPA-0 medium",
        "mace-mpa-0-medium.model",
        url=f"{MACE_RELEASES}/mace_mpa_0/mace-mpa-0-medium.model",
    ),
    _mace(
        "mace_prod_b3",
        "MACE-MP-0b3 medium",
        "mace-mp-0b3-medium.model",
        url=f"{MACE_RELEASES}/mace_mp_0b3/mace-mp-0b3-medium.model",
    ),
    _mace(
        "mace_prod_0a",
        "MACE-MP-0a medium (2023-12-03, 128-L1)",
        "2023-12-03-mace-128-L1_epoch-199.model",
        url=f"{MACE_RELEASES}/mace_mp_0/2023-12-03-mace-128-L1_epoch-199.model",
    ),
    _mace(
        "mace_prod_mof",
        "MACE-MP-MOF0 v1",
        "mofs_v1.model",
        with_d3=False,
        elements=None,
        citation="Elena et al., npj Comput. Mater. 11, 125 (2025)",
        weights="Get mofs_v1.model from the data of doi 10.1038/s41524-025-01611-8",
    ),
    _mace(
        "mace_prod_omat",
        "MACE-OMAT-0 medium",
        "mace-omat-0-medium.model",
        licence="Academic Software License",
        url=f"{MACE_RELEASES}/mace_omat_0/mace-omat-0-medium.model",
    ),
    _mace(
        "mace_prod_matpes",
        "MACE-MatPES r2SCAN (fine-tuned from OMAT)",
        "MACE-matpes-r2scan-omat-ft.model",
        licence="Academic Software License",
        url="https://github.com/ACEsuit/mace-foundations/releases/download/mace_matpes_0/"
        "MACE-matpes-r2scan-omat-ft.model",
    ),
    _orb("orb_prod", "ORB-D3-v2 (dispersion learned)", "orb-d3-v2", "orb-d3-v2-20241011.ckpt", with_d3=False),
    _orb("orb_prod_mp", "ORB-MPtraj-only-v2", "orb-mptraj-only-v2", "orb-mptraj-only-v2-20241014.ckpt"),
    _orb(
        "orb_prod_v3",
        "ORB-v3 conservative-inf-omat",
        "orb-v3-conservative-inf-omat",
        "orb-v3/orb-v3-conservative-inf-omat-20250404.ckpt",
        precision="float32-highest",
        citation=_ORB_V3,
    ),
    _orb(
        "orb_prod_v3_mp",
        "ORB-v3 conservative-inf-mpa",
        "orb-v3-conservative-inf-mpa",
        "orb-v3/orb-v3-conservative-inf-mpa-20250404.ckpt",
        precision="float32-highest",
        citation=_ORB_V3,
    ),
    _orb(
        "orb3",
        "ORB-v3 direct-20-omat",
        "orb-v3-direct-20-omat",
        "orb-v3/orb-v3-direct-20-omat-20250404.ckpt",
        with_d3=False,
        citation=_ORB_V3,
    ),
    _fairchem("omat24_prod", "eqV2-86M-OMAT-MP-sAlex", "eqV2_86M_omat_mp_salex.pt", "OMAT24", _OMAT24),
    _fairchem("omat24_prod_mp", "eqV2-DeNS-86M-MP", "eqV2_dens_86M_mp.pt", "OMAT24", _OMAT24),
    _fairchem("omat24_prod_esen", "eSEN-30M-OAM", "esen_30m_oam.pt", "OMAT24", _ESEN),
    _fairchem("omat24_prod_esen_mp", "eSEN-30M-MP", "esen_30m_mptrj.pt", "OMAT24", _ESEN),
    _grace("grace_prod", "GRACE-2L-MP-r6"),
    _grace("grace_prod_oam", "GRACE-2L-OAM"),
    _grace("grace_prod_omat", "GRACE-2L-OMAT"),
    ModelCard(
        name="mattersim_prod",
        display_name="MatterSim v1.0.0 5M",
        framework="mattersim",
        with_d3=True,
        settings={"file": "MatterSim-v1.0.0-5M.pth"},
        licence="MIT",
        citation="Yang et al., arXiv 2405.04967",
        weights="Download MatterSim-v1.0.0-5M.pth from https://github.com/microsoft/mattersim",
    ),
    ModelCard(
        name="matgl_prod",
        display_name="TensorNet-MatPES-PBE v2025.1",
        framework="matgl",
        with_d3=True,
        settings={"file": "TensorNet-MatPES-PBE-v2025.1-PES", "model": "TensorNet-MatPES-PBE-v2025.1-PES"},
        licence="BSD-3-Clause",
        citation="Ko et al., arXiv 2503.03837",
        weights="Download the folder from https://github.com/materialsvirtuallab/matgl",
    ),
    ModelCard(
        name="posegnn_prod",
        display_name="PosEGNN v1 6M",
        framework="posegnn",
        with_d3=True,
        settings={"file": "pos-egnn.v1-6M.ckpt"},
        licence="Apache-2.0",
        citation="IBM Research, PosEGNN, huggingface.co/ibm-research/materials.pos-egnn",
        weights="Download pos-egnn.v1-6M.ckpt from https://huggingface.co/ibm-research/materials.pos-egnn",
    ),
)
_BY_NAME = {card.name: card for card in _CARDS}

_WHEEL_CHECKPOINTS = {
    "7net-0": "SevenNet_0__11Jul2024/checkpoint_sevennet_0.pth",
    "7net-l3i5": "SevenNet_l3i5/checkpoint_l3i5.pth",
}


def cards() -> tuple[ModelCard, ...]:
    """All models of the registry, in the order they are shown."""
    return _CARDS


def knows(name: str) -> bool:
    """Whether a model of that name is declared here."""
    return name in _BY_NAME


def card(name: str) -> ModelCard:
    """Find a model by its registry name.

    Raises
    ------
    ModelNotFoundError
        When there is no such name.
    """
    try:
        return _BY_NAME[name]
    except KeyError:
        near = get_close_matches(name, _BY_NAME)
        hint = f"did you mean {', '.join(near)}?" if near else "the list of models shows all."
        raise ModelNotFoundError(f"There is no model {name[:64]!r}; {hint}", field="model") from None


def weights_path(card: ModelCard, models_dir: Path) -> Path:
    """Where the model's weights lie, or have to lie, on this host.

    A file in the models folder, except for the checkpoints that the sevenn wheel carries.
    """
    inside_wheel = _WHEEL_CHECKPOINTS.get(card.settings.get("checkpoint", ""))
    if inside_wheel is None:
        return models_dir / str(card.settings["file"])
    spec = importlib.util.find_spec("sevenn")
    root = Path(spec.origin).parent if spec is not None and spec.origin else Path("sevenn")
    return root / "pretrained_potentials" / inside_wheel


def environment_python(card: ModelCard, models_dir: Path) -> Path | None:
    """Interpreter of the environment of its own that the model lives in, if it needs one.

    Families that live apart do, and a model that wants a newer package than our pins allow.
    """
    family = FAMILIES.get(card.framework)
    if "minimum_version" not in card.settings and not (family is not None and family.lives_apart):
        return None
    return models_dir / "environments" / card.framework / "bin" / "python"


def availability(card: ModelCard, models_dir: Path) -> Availability:
    """Say whether `load_potential` would find what it needs for this model; imports nothing."""
    lack_of_package = _lack_of_package(card, models_dir)
    if lack_of_package is not None:
        return lack_of_package
    path = weights_path(card, models_dir)
    if not path.exists():
        return Availability(
            available=False,
            reason=f"Its weights ({path.name}) are not on this host.",
            what_to_do=f"{card.weights}; then put it at <models_dir>/{path.name}.",
        )
    return Availability(available=True)


def _lack_of_package(card: ModelCard, models_dir: Path) -> Availability | None:
    family = FAMILIES.get(card.framework)
    if family is None:
        return None
    python = environment_python(card, models_dir)
    if python is not None and python.exists():
        return None
    installed = None if family.lives_apart else _installed_version(family)
    minimum = card.settings.get("minimum_version")
    if installed is not None and (minimum is None or _release(installed) >= _release(minimum)):
        return None
    needed = family.distribution if minimum is None else f"{family.distribution} >= {minimum}"
    how = "Install it into this environment"
    if python is not None:
        how = f"Run `./mofsim models install {card.framework}`"
    path = weights_path(card, models_dir)
    if not path.exists():
        how += f". {card.weights}; then put it at <models_dir>/{path.name}"
    return Availability(
        available=False,
        reason=f"The package {needed} is not installed on this host"
        + ("." if path.exists() else f", nor are its weights ({path.name})."),
        what_to_do=f"{how}.",
    )


def _installed_version(family: Family) -> str | None:
    if importlib.util.find_spec(family.module) is None:
        return None
    try:
        return _version(family.distribution)
    except metadata.PackageNotFoundError:
        return None


@cache
def _version(distribution: str) -> str:
    # Takes a millisecond, and every submission asks.
    return metadata.version(distribution)


def _release(version: str) -> tuple[int, ...]:
    numbers = (part for part in version.split("+")[0].split("."))
    return tuple(int(part) for part in numbers if part.isdigit())
