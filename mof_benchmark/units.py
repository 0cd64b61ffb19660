"""The only place where units are converted (CODATA values through ASE)."""

from __future__ import annotations

from ase import units

EV_A3_TO_GPA: float = 1.0 / units.GPa
"""Multiply a pressure in eV/Å³ to get GPa (160.2177)."""
GPA_TO_EV_A3: float = float(units.GPa)
BAR_TO_EV_A3: float = float(units.bar)
EV_TO_KJ_MOL: float = float(units.mol / units.kJ)
"""Multiply an energy in eV to get kJ/mol (96.4853)."""
AMU_A3_TO_G_CM3: float = float(units._amu * 1e3 * 1e24)
"""Multiply a density in amu/Å³ to get g/cm³ (1.66054)."""
