"""Make the environment of a model family: `python -m mof_benchmark.calculators.remote.install FAMILY`."""

from __future__ import annotations

import argparse
import shutil
import subprocess
import sys
from importlib import metadata
from pathlib import Path

from mofsim_settings import load_settings

PACKAGES: dict[str, tuple[str, ...]] = {
    "sevennet": ("sevenn==0.13.0",),
    "mattersim": ("mattersim==1.2.3",),
    "matgl": ("matgl==4.1.2",),
    "fairchem": ("fairchem-core==1.10.0",),
    "grace": ("tensorpotential==0.6.2.1",),
    # The package itself is copied from its repository, see `families.posegnn`.
    "posegnn": ("torch-geometric", "ase"),
}
"""What pip installs for a family."""

_OWN_TORCH = frozenset({"fairchem", "grace"})
"""Families that bring the torch they were pinned to, or none; the others get mofsim's."""

_UNUSED: dict[str, tuple[str, ...]] = {"mattersim": ("torchvision", "torchaudio")}
"""Packages that a dependency asks for and the model does not; beside a CPU torch, the general
index's builds of these break its import (`operator torchvision::nms does not exist`)."""


def install(family: str, models_dir: Path) -> Path:
    """Make `<models_dir>/environments/<family>` afresh and return its interpreter.

    A build that fails leaves an environment that was there before as it was.

    Raises
    ------
    KeyError
        When the family has no environment of its own.
    subprocess.CalledProcessError
        When Python or pip failed; they said why on the terminal.
    """
    packages = PACKAGES[family]
    target = models_dir / "environments" / family
    building = target.with_name(f"{family}.building")
    shutil.rmtree(building, ignore_errors=True)
    building.parent.mkdir(parents=True, exist_ok=True)
    # An environment may be renamed as long as only its interpreter is called, not its scripts.
    subprocess.run([sys.executable, "-m", "venv", building], check=True)
    torch = () if family in _OWN_TORCH else (f"torch=={metadata.version('torch').split('+')[0]}",)
    subprocess.run([building / "bin" / "python", "-m", "pip", "install", *packages, *torch], check=True)
    if unused := _UNUSED.get(family):
        subprocess.run([building / "bin" / "python", "-m", "pip", "uninstall", "--yes", *unused], check=True)
    shutil.rmtree(target, ignore_errors=True)
    building.rename(target)
    return target / "bin" / "python"


def main() -> None:
    """Read the arguments and install."""
    parser = argparse.ArgumentParser(
        prog="mofsim models install", description="Make the environment that a model family lives in."
    )
    parser.add_argument("family", choices=sorted(PACKAGES))
    parser.add_argument("--into", type=Path, help="models folder (the settings' own by default)")
    arguments = parser.parse_args()
    models_dir = arguments.into or load_settings().models_dir
    print(install(arguments.family, models_dir))


if __name__ == "__main__":
    main()
