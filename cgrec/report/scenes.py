"""Structures that can be turned: what 3Dmol draws, one scene for every level."""

from __future__ import annotations

import colorsys
import json
from collections.abc import Sequence
from functools import lru_cache
from itertools import product
from pathlib import Path
from typing import TypedDict

import numpy as np
from markupsafe import Markup
from numpy.typing import NDArray

from ..frames import Frames
from ..system import System
from .figures import is_liquid, site_colours, superpose, wrap_molecules
from .read import LevelFiles

#: Sites of a scene, beyond which a browser is slow and the page large.
MOST_SITES = 6000
#: Angstroms in nm: 3Dmol's unit.
_ANGSTROM = 10.0
#: Angstrom: radius of a ball of 12 amu, of a heavy atom, of hydrogen; and of the sticks.
_BEAD, _ATOM, _HYDROGEN, _STICK = 0.75, 0.32, 0.2, 0.13
#: Angstrom: a bead is no larger.
_LARGEST_BEAD = 1.6


class Kind(TypedDict):
    """Sites that look alike."""

    name: str
    radius: float
    colour: str


class Scene(TypedDict):
    """One frame of a level. Lengths in Angstrom."""

    name: str
    positions: list[list[float]]
    bonds: list[list[int]]
    stick: float
    kinds: list[Kind]
    kind: list[int]
    labels: list[str]
    residue: list[str] | None
    box: list[list[list[float]]]


def scenes(levels: Sequence[LevelFiles]) -> list[Scene]:
    """A scene for every level that has frames and not too many sites."""
    found = [(level, level.frames or level.targets) for level in levels]
    return [
        _scene(level, frames)
        for level, frames in found
        if frames is not None and frames.n_sites <= MOST_SITES
    ]


def script(scene: Sequence[Scene]) -> Markup:
    """The scenes as json that stands in a page."""
    text = json.dumps(scene, separators=(",", ":"), ensure_ascii=False)
    return Markup(text.replace("<", "\\u003c"))


@lru_cache
def library() -> tuple[Markup, str]:
    """The code of 3Dmol, and its licence."""
    folder = Path(__file__).with_name("3dmol")
    code = (folder / "3Dmol-min.js").read_text(encoding="utf-8")
    licence = (folder / "LICENSE").read_text(encoding="utf-8")
    return Markup(code), licence


def _scene(level: LevelFiles, frames: Frames) -> Scene:
    system, first = frames.system, frames[:1]
    x = np.asarray(first.positions, float)
    box: list[list[list[float]]] = []
    if is_liquid(frames):
        cell = np.asarray(first.boxes(), float)[0]
        placed = wrap_molecules(x[0], system, cell) - cell.sum(0) / 2
        box = _edges(cell)
    else:
        placed = superpose(x, system.masses)[0]
    kinds, kind = looks_of(system)
    return Scene(
        name=f"{level.name}, {system.n_sites} sites",
        positions=np.round(_ANGSTROM * placed, 2).tolist(),
        bonds=_drawn_bonds(system, placed, frames),
        stick=_STICK if _all_atoms(system) else 1.7 * _STICK,
        kinds=kinds,
        kind=kind,
        labels=list(system.full_labels),
        residue=_residue_colours(system, is_liquid(frames)),
        box=box,
    )


def _all_atoms(system: System) -> bool:
    return "X" not in system.elements


def looks_of(system: System) -> tuple[list[Kind], list[int]]:
    """The kinds of sites, and that of each; radii in Angstrom."""
    looks = [
        (name, colour, _radius(element, mass))
        for name, colour, element, mass in zip(
            system.types, site_colours(system), system.elements, system.masses
        )
    ]
    order = {look: k for k, look in enumerate(dict.fromkeys(looks))}
    kinds = [Kind(name=n, colour=c, radius=r) for n, c, r in order]
    return kinds, [order[look] for look in looks]


def _radius(element: str, mass: float) -> float:
    """A ball of a bead grows with mass^1/3."""
    if element == "X":
        return round(min(_BEAD * float(np.cbrt(mass / 12)), _LARGEST_BEAD), 2)
    return _HYDROGEN if element == "H" else _ATOM


def _drawn_bonds(system: System, x: NDArray[np.float64], frames: Frames) -> list[list[int]]:
    """Bonds but those that the box cuts."""
    bonds = np.asarray(system.bonds)
    if frames.box is None or not len(bonds):
        return [list(map(int, pair)) for pair in bonds]
    shortest = float(np.linalg.norm(np.asarray(frames[:1].boxes(), float)[0], axis=1).min())
    lengths = np.linalg.norm(x[bonds[:, 0]] - x[bonds[:, 1]], axis=1)
    return [list(map(int, pair)) for pair in bonds[lengths < shortest / 2]]


def _residue_colours(system: System, liquid: bool) -> list[str] | None:
    """From the first residue, blue, to the last, red; None where that says nothing."""
    residues = np.unique(system.residues, return_inverse=True)[1]
    n = int(residues.max(initial=0)) + 1
    if liquid or n < 2:
        return None
    hues = 0.66 * (1 - np.arange(n) / (n - 1))
    colours = ["#" + "".join(f"{round(255 * c):02x}" for c in _rgb(hue)) for hue in hues]
    return [colours[k] for k in residues]


def _rgb(hue: float) -> tuple[float, float, float]:
    return colorsys.hls_to_rgb(float(hue), 0.45, 0.62)


def _edges(cell: NDArray[np.float64]) -> list[list[list[float]]]:
    """The twelve edges of a box around zero."""
    corners = np.array([np.array(c) @ cell for c in product((0, 1), repeat=3)]) - cell.sum(0) / 2
    x = np.round(_ANGSTROM * corners, 2)
    pairs = [(a, a | 1 << k) for a in range(8) for k in range(3) if not a & 1 << k]
    return [[x[a].tolist(), x[b].tolist()] for a, b in pairs]
