"""Fit of an equation of state to energies over volumes (ASE's forms)."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from ase.eos import EquationOfState

from mof_benchmark.errors import CalculationFailedError
from mof_benchmark.schemas.bulk_modulus import EquationOfState as EosName
from mof_benchmark.units import EV_A3_TO_GPA

_WITH_PRESSURE_DERIVATIVE = frozenset({"murnaghan", "birch", "birchmurnaghan", "vinet", "pouriertarantola"})


@dataclass(frozen=True, kw_only=True)
class EosFit:
    """Minimum and curvature of the fitted curve.

    `minimum_inside` tells whether the minimum lies within the sampled volumes, not at or beyond
    their ends.
    """

    bulk_modulus_GPa: float
    volume_A3: float
    energy_eV: float
    pressure_derivative: float | None
    rmse_eV: float
    minimum_inside: bool


def volumes_around(volume_A3: float, strain_range: float, n_points: int) -> list[float]:
    """Volumes from −`strain_range` to +`strain_range` (relative change of the volume), ascending, Å³."""
    return [float(v) for v in volume_A3 * np.linspace(1 - strain_range, 1 + strain_range, n_points)]


def fit_equation_of_state(volumes_A3: Sequence[float], energies_eV: Sequence[float], eos: EosName) -> EosFit:
    """Fit `eos` to the points.

    Raises
    ------
    CalculationFailedError
        When the points have no minimum a curve could describe.
    """
    curve = EquationOfState(volumes_A3, energies_eV, eos=eos)
    try:
        volume, energy, modulus = curve.fit(warn=False)
    except (RuntimeError, ValueError, np.linalg.LinAlgError) as error:
        raise CalculationFailedError(
            f"The {eos} equation of state cannot be fitted: {str(error).rstrip('.')}."
        ) from error
    if not np.isfinite([volume, energy, modulus]).all() or modulus <= 0:
        raise CalculationFailedError(
            f"The energies have no minimum between {min(volumes_A3):.1f} and {max(volumes_A3):.1f} Å³ that "
            f"{eos} could describe."
        )
    fitted = _evaluate(curve, np.asarray(volumes_A3, dtype=float))
    step = (max(volumes_A3) - min(volumes_A3)) / (len(volumes_A3) - 1)
    return EosFit(
        bulk_modulus_GPa=float(modulus * EV_A3_TO_GPA),
        volume_A3=float(volume),
        energy_eV=float(energy),
        pressure_derivative=float(curve.eos_parameters[2]) if eos in _WITH_PRESSURE_DERIVATIVE else None,
        rmse_eV=float(np.sqrt(np.mean((fitted - np.asarray(energies_eV)) ** 2))),
        minimum_inside=bool(min(volumes_A3) + step / 2 < volume < max(volumes_A3) - step / 2),
    )


def _evaluate(curve: EquationOfState, volumes: np.ndarray) -> np.ndarray:
    if curve.eos_string == "sj":
        return np.asarray(curve.fit0(volumes ** -(1 / 3)))
    return np.asarray(curve.func(volumes, *curve.eos_parameters))
