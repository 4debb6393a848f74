"""Which element an atom's name means, which depends on its residue: CA is carbon in ALA and calcium
in CA.

A name is only taken for an element's where it is plainly an atom's; a stated mass must agree. What
could be two elements is asked for, and names of beads (W, BB, SC1, PO4, N4a) mean no element ("X").
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

#: amu of deuterium, which has no symbol of its own among the elements.
DEUTERIUM = 2.014
#: Residues whose atoms follow the rules of the PDB for proteins: the element is the first letter of
#: the name.
_AMINO_NAMES = (
    "ALA ARG ARN ASN ASP ASH ASPH CYS CYX CYM CYS1 CYS2 GLN GLU GLH GLUH GLY HIS HID HIE HIP "
    "HSD HSE HSP "
    "HISA HISB HISH HISD HISE ILE LEU LYS LYN LYSH MET MSE SEC PHE PRO HYP SER THR TRP TYR VAL "
    "ACE NME NMA "
    "NH2 NHE FOR NLE AIB ORN DAB SEP TPO PTR"
)
_WATER_NAMES = (
    "HOH SOL WAT H2O DOD D2O TIP TIP2 TIP3 TIP3P TIP4 TIP4P TIP5 TIP5P SPC SPCE T3P T4P T5P OPC"
)
_AMINO = frozenset(_AMINO_NAMES.split())
#: Residue names of water.
WATER_RESIDUES = frozenset(_WATER_NAMES.split())
_NUCLEIC = re.compile(r"(R|D)?(A|C|G|U|T|I)(5|3|N)?|ADE|CYT|GUA|URA|THY")
_AMINO_NAME = re.compile(
    r"N[HEDZT]?\d?|C[ABGDEZHTY]?\d?|CA[YT]|O[GDEHTY]?\d?|OXT|OC[T]?\d|O[123]P|P|S[DG]|SE|\d?[HD][A-Z]{0,3}\d{0,2}"
)
_WATER_NAME = re.compile(r"O|OW\d?|OH2|O1|\d?[HD]|\d?[HD]W?\d?|[HD]W[AB]|[HD][12][A-Z]?|HH\d")
_NUCLEIC_NAME = re.compile(
    r"P[A-G]?|O[A-G0-9]?[0-9]?[PA-G]?[\d'*]*|[CN]\d+[MA]?['*]?|\d?[HD][A-Z]?\d*['*T]*\d*|O[23]'?|CM\d?"
)
#: Names of ions in force fields and files that are no symbols.
_IONS = {
    "SOD": "Na",
    "POT": "K",
    "CLA": "Cl",
    "CAL": "Ca",
    "CES": "Cs",
    "LIT": "Li",
    "RUB": "Rb",
    "BAR": "Ba",
    "CAD": "Cd",
    "IOD": "I",
    "CIO": "Cs",
    "IB": "I",
    "MGH": "Mg",
    "ZINC": "Zn",
}
#: Two letters that begin like an organic element and are plainly another one, also beside carbon.
_PLAIN_PAIRS = {
    "CL",
    "BR",
    "FE",
    "SI",
    "SE",
    "MG",
    "ZN",
    "MN",
    "LI",
    "AL",
    "AG",
    "AU",
    "RU",
    "RH",
    "MO",
    "TI",
    "ZR",
}
#: Two letters that are plainly an organic atom beside other atoms of its residue: C alpha, H
#: epsilon, P beta, ...
_GREEK = {"CA", "CB", "CD", "CE", "NB", "ND", "NE", "HE", "HO", "HF", "HS", "PA", "PB"}
#: Two letters that begin like sulphur and are small beads of Martini (SP1, SN3, SC4, SQ2).
_BEAD_PAIRS = {"SP", "SN", "SC", "SQ", "SX"}
#: Metals of cofactors whose symbol looks like the name of an organic atom.
_COFACTORS = {("B12", "CO"): "Co", ("CNC", "CO"): "Co", ("COB", "CO"): "Co", ("F43", "NI"): "Ni"}
_ORGANIC = "HCNOPSFIB"
#: One letter that is a symbol, but far more often the name of a bead or a dummy.
_RARE = {"W", "V", "U", "Y"}
#: Elements after bismuth have no stable isotope: their symbols (Cm, Pa, Ra) are bead names unless a
#: mass says otherwise.
_LAST_STABLE = 83
#: amu within which a mass is plainly that of an element.
_SAME = 0.5
#: amu by which a mass may lie below and above that of its element: hydrogen masses moved from and
#: to atoms (up to 4 amu each), hydrogens joined to a united atom.
_SPREAD = {"H": (0.2, 3.2), "C": (9.3, 4.2), "N": (9.3, 3.2), "O": (6.3, 1.2), "S": (3.2, 1.2)}


#: amu of CH, CH2, CH3 and CH4 as one site. CH2 is nearer to nitrogen, and CH4 to oxygen, than
#: rounding is large.
_UNITED_CARBON = (13.019, 14.027, 15.035, 16.043)


class Atom(NamedTuple):
    """What is known of one site: name, residue, names of the other sites of it, mass (amu; None
    where not stated).
    """

    name: str
    residue: str = ""
    others: frozenset[str] = frozenset()
    mass: float | None = None


class Doubt(NamedTuple):
    """A name that could be one of several elements."""

    elements: tuple[str, ...]


def element_mass(element: str) -> float:
    """amu; 0 for "X"."""
    from ase.data import atomic_masses, atomic_numbers

    return 0.0 if element == "X" else float(atomic_masses[atomic_numbers[element]])


def mass_agrees(element: str, mass: float | None) -> bool:
    """Whether a site of `mass` can be this element, repartitioned and united hydrogens allowed;
    True without a mass.
    """
    if mass is None or not mass > 0 or element == "X":
        return True
    true = element_mass(element)
    below, above = _SPREAD.get(element, (max(1.6, 0.04 * true),) * 2)
    return bool(true - below <= mass <= true + above)


def guess_element(
    name: str, mass: float | None = None, residue: str = "", others: Sequence[str] = ()
) -> str:
    """Chemical symbol meant by the name of an atom or ion, "X" where it is none's or could be
    several's.

    Args:
        name: of the site.
        mass: amu, where stated; without a name it decides.
        residue: name of its residue; "" where there is none.
        others: names of the other sites of the residue.
    """
    found = classify(Atom(name, residue.upper(), frozenset(others), mass))
    return "X" if isinstance(found, Doubt) else found


def classify(atom: Atom) -> str | Doubt:
    """The element of one site, "X" where its name is no atom's, a Doubt where it could be several."""
    if not re.search("[A-Za-z]", atom.name):
        return _by_mass(atom.mass)
    candidates = [c for c in _candidates(atom) if mass_agrees(c, atom.mass)]
    if atom.mass is None or not atom.mass > 0:
        return (
            Doubt(tuple(candidates))
            if len(candidates) > 1
            else candidates[0]
            if candidates
            else "X"
        )
    near = [
        c for c in (*candidates, atom.name.strip()[0].upper()) if c in _ORGANIC or c in candidates
    ]
    exact = [c for c in near if abs(element_mass(c) - atom.mass) < _SAME]
    return (exact or candidates or ["X"])[0]


def _candidates(atom: Atom) -> list[str]:
    """The elements a name may mean, the likeliest first."""
    if not _is_spelt_like_an_atom(atom):
        return []
    name = atom.name.strip().upper().rstrip("+-")
    core = re.match(r"\d*([A-Z]*)", name)[1]  # type: ignore[index]
    named = {"residues": (_AMINO, _AMINO_NAME), "water": (WATER_RESIDUES, _WATER_NAME)}
    for residues, pattern in named.values():
        if atom.residue in residues:
            return _first_letter(name, core) if pattern.fullmatch(name) else []
    if _NUCLEIC.fullmatch(atom.residue) and atom.others and _NUCLEIC_NAME.fullmatch(name):
        return _first_letter(name, core)
    if (atom.residue, name) in _COFACTORS:
        return [_COFACTORS[atom.residue, name]]
    if not atom.others or atom.residue in ("ION", "IONS"):
        return _ion(atom, name, core)
    return _in_molecule(atom, name, core)


def _is_spelt_like_an_atom(atom: Atom) -> bool:
    """Whether small letters are those of a symbol (Ca) or all there are; Nda, N4a and C1x are
    beads'.
    """
    name = atom.name.strip().rstrip("+-0123456789")
    if name.isupper() or name.islower() or atom.residue in WATER_RESIDUES:
        return True
    return _is_element(name.lstrip("0123456789"), atom.mass is not None)


def _first_letter(name: str, core: str) -> list[str]:
    if core[:2] == "SE":
        return ["Se"]
    return ["H"] if core[0] == "D" else [core[0]]


def _ion(atom: Atom, name: str, core: str) -> list[str]:
    """Of a site that is alone in its residue, or of a bare name: the symbol or an ion's name, else
    the first letter.
    """
    text = name.rstrip("+-0123456789")
    if text in _IONS:
        return [_IONS[text]]
    residue = atom.residue.rstrip("+-0123456789")
    if (
        not residue and text in _GREEK
    ):  # of a bare name: C alpha is more likely than calcium, which is written Ca
        spelt = atom.name.strip()[:2] == text.capitalize()
        likely, other = (text.capitalize(), text[0]) if spelt else (text[0], text.capitalize())
        return [likely, other] if atom.mass is not None else [likely]
    lone = residue in ("", "ION", "IONS", text) or atom.residue in _IONS
    lone &= residue != "" or text not in _BEAD_PAIRS or atom.name.strip() == text.capitalize()
    if lone and len(text) > 1 and _is_element(text.capitalize(), atom.mass is not None):
        return [text.capitalize()]
    own_name = len(text) > 1 and text == residue and not _WATER_NAME.fullmatch(name)
    return [] if own_name or (len(core) > 2 and core != "OXT") else _in_molecule(atom, name, core)


def _in_molecule(atom: Atom, name: str, core: str) -> list[str]:
    """Of a site among others in a residue nobody knows, such as a ligand."""
    if not core or len(name) > 5:
        return []
    symbol, stated = core[:2].capitalize(), atom.mass is not None
    organic = ["H"] if core == "D" else [core[0]] if core[0] in _ORGANIC else []
    if len(core) > 1 and core[0] in "BI" and not _is_element(symbol, stated):
        organic = []
    if core[:2] in _PLAIN_PAIRS or (
        atom.name.strip()[:2] == symbol and _is_element(symbol, stated)
    ):
        return [symbol]
    if core[:2] in _BEAD_PAIRS:
        return [symbol] if stated and _is_element(symbol, stated) else []
    if len(core) == 1:
        return organic or ([core] if _is_element(core, stated) else [])
    if len(core) > 2 or not _is_element(symbol, stated):
        return organic
    alike = any(_relative(core, other) for other in atom.others)
    plain = core in _GREEK or alike
    return organic if plain and organic else [*organic, symbol]


def _relative(core: str, other: str) -> bool:
    """Whether `other` is named on the plan of `core`: NA beside NB, or HG beside CG; two metals say
    nothing.
    """
    letters = re.match(r"\d*([A-Z]*)", other.upper())[1]  # type: ignore[index]
    if (
        len(letters) != 2
        or letters == core
        or (_is_element(letters.capitalize(), False) and letters not in _GREEK)
    ):
        return False
    return letters[0] == core[0] or letters[1] == core[1]


def _is_element(symbol: str, stated: bool) -> bool:
    """Whether a symbol may stand for an element; rare ones only where a mass is there to agree."""
    from ase.data import atomic_numbers

    if symbol == "X" or symbol not in atomic_numbers:
        return False
    return stated or (symbol not in _RARE and atomic_numbers[symbol] <= _LAST_STABLE)


def _by_mass(mass: float | None) -> str:
    from ase.data import atomic_masses, chemical_symbols

    if mass is None or not mass > 0:
        return "X"
    if any(abs(mass - united) < 0.01 for united in _UNITED_CARBON):
        return "C"
    nearest = int(np.argmin(np.abs(atomic_masses[1:] - mass))) + 1
    return chemical_symbols[nearest] if abs(atomic_masses[nearest] - mass) < 0.3 else "X"


def is_known(residue: str) -> bool:
    """Whether a residue is an amino acid, a cap or water, in which names mean one element each."""
    return residue.strip().upper() in _AMINO | WATER_RESIDUES


def guess_elements(
    names: Sequence[str],
    residue_names: Sequence[str] | None = None,
    residues: Sequence[int] | None = None,
    masses: NDArray[np.float64] | None = None,
) -> list[str | Doubt]:
    """The element of every site, "X" for beads, a Doubt where a name could be several elements'.

    Where one site of a residue (of the whole list, where there are no residues) is plainly a bead,
    so are the others, unless their masses say that they are atoms; likewise where all are called
    like one heavy element with numbers.
    """
    groups: dict[int, list[int]] = {}
    for i in range(len(names)):
        groups.setdefault(0 if residues is None else residues[i], []).append(i)
    found: list[str | Doubt] = ["X"] * len(names)
    known: dict[tuple[str | float, ...], list[str | Doubt]] = {}
    for members in groups.values():
        residue = "" if residue_names is None else residue_names[members[0]]
        stated = None if masses is None else [float(masses[i]) for i in members]
        key = (residue, *(names[i] for i in members), *(stated or ()))
        if key not in known:
            known[key] = _guess_group(
                [names[i] for i in members], residue, stated, alone=residues is None
            )
        for i, guess in zip(members, known[key]):
            found[i] = guess
    return found


def as_atoms(names: Sequence[str]) -> list[str] | None:
    """The elements that bare names mean where distances show atoms: C1 C2 C3 may be carbons or
    beads. None where a name is no atom's, or could be that of several.
    """
    found = [classify(Atom(name)) for name in names]
    plain = [f for f in found if not isinstance(f, Doubt) and f != "X"]
    return plain if len(plain) == len(names) else None


def _guess_group(
    names: list[str], residue: str, masses: list[float] | None, alone: bool
) -> list[str | Doubt]:
    """Elements of the sites of one residue, or of a list of bare names (`alone`), which say nothing
    of each other.
    """
    called, atoms = residue.upper(), list[Atom]()
    for k, name in enumerate(names):
        others: frozenset[str] = frozenset() if alone else frozenset(names[:k] + names[k + 1 :])
        mass = masses[k] if masses is not None and masses[k] > 0 else None
        atoms.append(Atom(name, called, others, mass))
    known = {atom: classify(atom) for atom in dict.fromkeys(atoms)}
    found = [known[atom] for atom in atoms]
    if masses is None and called not in _AMINO | WATER_RESIDUES and _are_beads(names, found):
        return ["X"] * len(names)
    return found


def _are_beads(names: list[str], found: Sequence[str | Doubt]) -> bool:
    if "X" in [f for f, name in zip(found, names) if not is_virtual(name)]:
        return True
    if len(names) == 2 and set(found) == {"N"}:  # the gas
        return False
    numbered = [name for name in names if re.fullmatch(r"[A-Za-z]+\d+[A-Za-z]?", name)]
    return len(numbered) == len(names) and set(found) in (
        {"C"},
        {"N"},
        {"P"},
        {"S"},
        {"C", "P"},
        {"N", "P"},
    )


def is_virtual(name: str) -> bool:
    """Whether a name is that of a massless site of water models and lone pairs: MW, M, EPW, LP1,
    IW, OM, ...
    """
    return bool(
        re.fullmatch(r"MW\d?|M|MCH\d|EP\w?\d?|LP\w?\d?|VS\d?|IW|OM|DUM|XX?", name.strip().upper())
    )
