"""Names of units as other programs spell them -> ours: 'kcal mol-1 Angstrom-1' ->
'kcal/mol/angstrom'.
"""

from __future__ import annotations

import re

from ..units import ENERGY, LENGTH

_LENGTHS = {
    "nm": "nm",
    "nanometer": "nm",
    "nanometers": "nm",
    "nanometre": "nm",
    "nanometres": "nm",
    "angstrom": "angstrom",
    "angstroms": "angstrom",
    "a": "angstrom",
    "å": "angstrom",
    "ang": "angstrom",
    "bohr": "bohr",
    "bohrs": "bohr",
    "a0": "bohr",
}
#: Energies as they are spelt, and whether 'mol' must follow.
_ENERGIES = {
    "kj": ("kJ/mol", True),
    "kilojoule": ("kJ/mol", True),
    "kilojoules": ("kJ/mol", True),
    "kcal": ("kcal/mol", True),
    "kilocalorie": ("kcal/mol", True),
    "kilocalories": ("kcal/mol", True),
    "ev": ("eV", False),
    "electronvolt": ("eV", False),
    "electronvolts": ("eV", False),
    "hartree": ("hartree", False),
    "hartrees": ("hartree", False),
    "ha": ("hartree", False),
    "eh": ("hartree", False),
}


def length_name(text: str) -> str | None:
    """Our name of a length unit; None where the text is none that is known."""
    words = _words(text)
    return _LENGTHS.get(words[0]) if len(words) == 1 else None


def energy_name(text: str) -> str | None:
    """Our name of an energy unit, or None."""
    name, rest = _energy(_words(text))
    return name if not rest else None


def force_name(text: str) -> str | None:
    """Our name of a force unit, 'energy/length', or None."""
    energy, rest = _energy(_words(text))
    length = _LENGTHS.get(rest[0]) if len(rest) == 1 else None
    return f"{energy}/{length}" if energy and length else None


def known(kind: str) -> str:
    """The units of a kind ("length", "energy" or "force") that cgrec knows, for errors."""
    if kind == "force":
        return (
            "an energy over a length, such as kJ/mol/nm, kcal/mol/angstrom, eV/angstrom or "
            "hartree/bohr"
        )
    return ", ".join(LENGTH if kind == "length" else ENERGY)


def _energy(words: list[str]) -> tuple[str | None, list[str]]:
    """Our name of the energy the words begin with, and the words after it."""
    name, molar = _ENERGIES.get(words[0] if words else "", (None, False))
    if name is None:
        return None, words
    rest = words[1:]
    if not molar:
        return name, rest
    return (name, rest[1:]) if rest[:1] in (["mol"], ["mole"], ["moles"]) else (None, rest)


def _words(text: str) -> list[str]:
    """Lower-case words of a unit without its signs and exponents."""
    return re.findall(r"a0|[^\W\d_]+", text.lower())
