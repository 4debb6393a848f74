"""Elements that a file states, beside those that names mean: what contradicts is refused or remarked,
never taken without a word.
"""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import NamedTuple

from ..remarks import remark
from ..site_labels import listed
from . import pdb
from .elements import Doubt, guess_elements, is_known, is_virtual

#: What a file may say of an atom of no element known, and of deuterium.
_NO_SYMBOL = ("", "X", "D")


class Stated(NamedTuple):
    """What is known of the element of one site.

    Attributes:
        label: of the site, for messages.
        residue: its name.
        stated: what the file says; "" where it says nothing.
        guess: what the name means; "X" of a bead or a site without mass.
    """

    label: str
    residue: str
    stated: str
    guess: str | Doubt


def symbol_of(stated: str) -> str:
    """The symbol in what a file states, in whatever case; "" where it is that of no element."""
    from ase.data import atomic_numbers

    said = stated.strip().capitalize()
    return "H" if said == "D" else said if said in atomic_numbers else ""


def check_stated(sites: Sequence[Stated], where: str) -> None:
    """Compare what a file states with what names mean.

    Names of amino acids, caps and water mean one element each: another one is refused. Elsewhere
    names are free, and the file wins with a remark. A blank column, beads, sites without mass and
    deuterium are left alone.

    Args:
        where: the file, for messages.

    Raises:
        ValueError: a symbol of no element for an atom, or another element than the name means.
    """
    doubtful = []
    for site in sites:
        said = site.stated.strip().capitalize()
        if said in _NO_SYMBOL or site.guess == "X":
            continue
        symbol = symbol_of(said)
        meant = " or ".join(site.guess.elements if isinstance(site.guess, Doubt) else [site.guess])
        if not symbol:
            if is_virtual(said) and not is_known(site.residue):
                continue
            raise ValueError(
                f"{where}: {site.label}: expected the symbol of an element, by its name {meant}, "
                f"found {site.stated.strip()!r}; {_WAY.format(meant=meant)}"
            )
        if isinstance(site.guess, Doubt) or symbol == site.guess:
            continue
        if is_known(site.residue):
            raise ValueError(
                f"{where}: {site.label}: expected the element {meant}, as its name says in "
                f"{site.residue}, found {symbol}; {_WAY.format(meant=meant)}"
            )
        doubtful.append(f"{site.label} is {symbol}, by its name {meant}")
    if doubtful:
        said = listed(list(dict.fromkeys(doubtful)))
        remark(f"{where} states other elements than names say, and is believed: {said}")


_WAY = (
    "write {meant} (columns 77 and 78 of a PDB), or leave it blank, for names decide then; if the "
    "element is right, correct the name"
)


def check_pdb(path: str | Path) -> None:
    """`check_stated` of a PDB file that another library reads; any other file is left alone.

    Raises:
        ValueError: as `check_stated`.
    """
    path = Path(path)
    if path.suffix.lower() not in pdb.ENDINGS or not path.exists():
        return
    rows = pdb.rows(path)
    places = list(dict.fromkeys(row.place for row in rows))
    number = {place: k for k, place in enumerate(places)}
    guessed = guess_elements(
        [row.name for row in rows],
        [row.residue for row in rows],
        [number[row.place] for row in rows],
    )
    check_stated(
        [Stated(row.label, row.residue, row.element, guess) for row, guess in zip(rows, guessed)],
        str(path),
    )
