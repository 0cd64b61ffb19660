"""Element symbols as files spell them."""

from __future__ import annotations

import re

from ase.data import atomic_numbers

from mof_benchmark.errors import InvalidFileError

_ISOTOPES = {"D": "H", "T": "H"}
_SYMBOL = re.compile(r"([A-Za-z]{1,2})(?:\d*[+-]|[+-]\d*|\d+)?")
HEAVIEST = 103


def symbol_of(text: str, where: str, warnings: set[str]) -> str:
    """Read an element symbol such as `Zn`, `ZN`, `Zn2+` or `D`.

    Parameters
    ----------
    where
        Names the atom in a message (`Site C1 in line 40`).
    warnings
        Receives a sentence when deuterium or tritium becomes hydrogen.

    Raises
    ------
    InvalidFileError
        When no element goes by that name.
    """
    match = _SYMBOL.fullmatch(text)
    symbol = match.group(1).capitalize() if match else ""
    if symbol in _ISOTOPES:
        warnings.add(
            f"{'Deuterium' if symbol == 'D' else 'Tritium'} is computed as hydrogen: "
            "the potentials know elements, not isotopes."
        )
        symbol = _ISOTOPES[symbol]
    if not is_element(symbol):
        raise InvalidFileError(f"{where}: '{text[:20]}' is no chemical element.")
    return symbol


def symbol_of_label(label: str, where: str, warnings: set[str], known: frozenset[str]) -> str:
    """Guess the element of a site from its label alone, `C12` or `Zn1A`.

    A label in capitals may mean two elements (`CO1`: cobalt or carbon); `known`, the elements of the
    file's formula, decides, and without it the label is refused.
    """
    letters = re.match(r"[A-Za-z]+", label)
    prefix = letters.group(0) if letters else ""
    two, one = prefix[:2], prefix[:1]
    if len(two) == 2 and two[1].islower():
        return symbol_of(two, where, warnings)
    choices = [name for name in (two.capitalize(), one.upper()) if is_element(name) or name in _ISOTOPES]
    if len(set(choices)) == 2 and known:
        choices = [name for name in choices if name in known] or choices
    if len(set(choices)) > 1:
        raise InvalidFileError(
            f"{where}: the label '{label[:20]}' could be {choices[0]} or {choices[1]}; "
            "add '_atom_site_type_symbol'."
        )
    return symbol_of(choices[0] if choices else prefix or label, where, warnings)


def is_element(symbol: str) -> bool:
    return 0 < int(atomic_numbers.get(symbol, 0)) <= HEAVIEST
