"""The System of a trajectory: from its topology, its own columns, or the names and masses a caller
gives.
"""

from __future__ import annotations

import difflib
from collections.abc import Mapping, Sequence
from dataclasses import replace
from functools import partial
from pathlib import Path

import numpy as np
from numpy.typing import ArrayLike, NDArray

from ..system import System
from ..trace import is_alpha_carbon
from .bonding import add_sampled_bonds, at_bonds_of_atoms, check_order
from .given_names import check_names_given
from .portions import Portion
from .request import Opened, Request, SiteColumns, units_of
from .topology import (
    element_mass,
    guess_element,
    name_residues,
    read_species,
    read_topology,
    select_sites,
    site_names,
)
from .universe import Topology

#: amu by which the masses of one atom in two files may differ: isotopes and rounding differ by less
#: than a hydrogen.
_SAME_MASS = 0.5


class SystemMaker:
    """Makes the System a trajectory needs, and completes it once frames are known."""

    def __init__(self, request: Request, opened: Opened, n_sites: int):
        """Take what the caller gives, else what the file itself states.

        Raises:
            ValueError: nothing says what the sites are, what was given does not fit the file or
                does not exist.
        """
        self._request = request
        self.n_file = n_sites
        self._sites: Topology | None = None
        where = str(request.path)
        columns = opened.columns
        if request.species is not None and request.topology is None:
            check_names_given(request.species, columns, where)
        if request.topology is not None:
            self.system, complete = self._from_topology(opened, n_sites)
        elif request.species is not None and opened.system is None:
            self.system, complete = self._from_names(request.species, opened, n_sites), False
        elif opened.system is not None:
            self.system, complete = opened.system.system, opened.system.bonds_complete
            self._sites = opened.system.sites
        elif columns is not None and columns.elements is not None:
            self.system, complete = self._from_names(columns.elements, opened, n_sites), False
        elif columns is not None and columns.types is not None and columns.masses is not None:
            self.system, complete = self._from_names(columns.types, opened, n_sites), False
        else:
            raise ValueError(
                f"{where} does not say what its {n_sites} sites are: give topology= (a PDB, "
                "GRO, PSF, "
                "prmtop, ... or a System) or species= (one name a site, or one name for all)"
            )
        if request.masses is not None:
            self._check_number(n_sites)
            self.system = with_masses(self.system, self._of_sites(request.masses), where)
        self._guess = not complete
        stated = opened.system is not None and request.species is None and opened.system.named
        self._named = request.topology is not None or complete or stated
        self._check_number(n_sites)

    def _from_topology(self, opened: Opened, n_sites: int) -> tuple[System, bool]:
        """The System of the topology, with what the trajectory's columns and species= add; and
        whether its bonds are complete.
        """
        request, where = self._request, str(self._request.path)
        assert request.topology is not None
        self._sites = read_topology(request.topology, request.masses, request.elements)
        self.system, complete = self._sites.system, self._sites.bonds_complete
        self._check_number(n_sites)
        system = self.system
        if opened.units.mass != 1.0 and _is_lammps_data(request.topology):
            system = _in_amu(system, opened)
        if request.species is not None:
            names, masses = self._names_of_sites(request.species), request.masses
            own = None if masses is None else self._of_sites(masses)
            system = with_species(system, names, own, where)
        elif not any(system.names):
            system = _named(system)
        stated = _states_masses(request.topology)
        return with_columns(system, self._own(opened.columns), where, had_masses=stated), complete

    def _from_names(self, species: Sequence[object] | str, opened: Opened, n_sites: int) -> System:
        """The System of names, with masses and charges of the trajectory's own columns."""
        columns, masses = opened.columns or SiteColumns(), self._request.masses
        if masses is None:
            masses = columns.masses  # type: ignore[assignment]
        if masses is None and opened.units.length == "sigma":
            masses = np.full(n_sites, opened.units.mass)  # type: ignore[assignment]
        where = str(self._request.path)
        self._sites = read_species(
            species,
            n_sites,
            masses=masses,
            elements=self._request.elements,
            charges=columns.charges,
            are_atoms=partial(first_frames_show, self._request, opened),
            where=where,
        )
        return _compared(self._sites.system, self._own(columns) or SiteColumns(), where)

    def _names_of_sites(self, species: Sequence[object] | str) -> Sequence[object] | str:
        """Names given for the sites of the file, of those that are sites of the System."""
        kept = None if self._sites is None else self._sites.kept
        if (
            isinstance(species, str)
            or kept is None
            or self._sites is None
            or len(species) != self._sites.n_file
        ):
            return species
        return [species[i] for i in kept]

    def _of_sites(self, masses: Mapping[str, float] | ArrayLike) -> Mapping[str, float] | ArrayLike:
        """Masses given for the sites of the file, of those that are sites of the System."""
        if self._sites is None or self._sites.kept is None:
            return masses
        if not isinstance(masses, Mapping):
            listed = np.asarray(masses, float)
            return listed[self._sites.kept] if listed.shape == (self._sites.n_file,) else listed
        # of sites that are left out
        return {name: mass for name, mass in masses.items() if mass != 0}

    def _own(self, columns: SiteColumns | None) -> SiteColumns | None:
        """Columns of the file for the sites of the System."""
        if columns is None or self._sites is None or self._sites.kept is None:
            return columns
        if (
            self.n_file != self._sites.n_file
        ):  # the trajectory was written without the sites that are left out
            return columns
        kept = self._sites.kept
        return SiteColumns(
            None if columns.elements is None else tuple(columns.elements[i] for i in kept),
            None if columns.masses is None else columns.masses[kept],
            None if columns.charges is None else columns.charges[kept],
            None if columns.types is None else tuple(columns.types[i] for i in kept),
        )

    def cut(self, portion: Portion) -> Portion:
        """Frames (n, n_file, 3) of the file -> of the sites of the System (n, n_sites, 3).

        Raises:
            ValueError: a massless site that is left out carries a force.
        """
        if self._sites is None or self._sites.kept is None or self.n_file == self.system.n_sites:
            return portion
        assert portion.positions is not None
        kept, forces = self._sites.kept, portion.forces
        if forces is not None:
            self._sites.check_massless(forces, self._selected(), str(self._request.path))
            forces = forces[:, kept]
        return replace(portion, positions=portion.positions[:, kept], forces=forces)

    def _selected(self) -> list[int] | slice:
        chosen = self._request.selection
        return slice(None) if chosen is None else select_sites(self.system, chosen)

    def _check_number(self, n_sites: int) -> None:
        if n_sites == self.system.n_sites or (
            self._sites is not None and n_sites == self._sites.n_file
        ):
            return
        topology = self._request.topology
        named = topology if isinstance(topology, str | Path) else "(a System)"
        raise ValueError(
            f"{self._request.path} holds {n_sites} sites and its topology {named} "
            f"{self.system.n_sites}: "
            "expected the same number; give the topology this trajectory was written with"
        )

    def compare(self, request: Request, opened: Opened) -> None:
        """ValueError where a further file states other sites than the first."""
        where = str(request.path)
        columns = self._own(opened.columns) or SiteColumns()
        if opened.system is not None and columns.elements is None:
            columns = replace(columns, elements=opened.system.system.elements)
        _check_elements(self.system, columns, where)
        _check_types(self.system, columns, where)

    def complete(self, positions: NDArray[np.floating], box: NDArray[np.floating] | None) -> System:
        """The System with the bonds that frames show and its list lacks.

        Args:
            positions: (n, n_sites, 3) nm, a sample over the whole trajectory.
            box: (3, 3) or (n, 3, 3) nm, or None.
        """
        if not self._guess:
            return self.system
        system = add_sampled_bonds(self.system, positions, box)
        topology = self._request.topology
        if isinstance(topology, str | Path) and Path(topology) != self._request.path:
            check_order(self.system, Path(topology), positions, box, str(self._request.path))
        return system if self._named else name_residues(system)


def first_frames_show(request: Request, opened: Opened, elements: Sequence[str]) -> bool:
    """Whether the first frames of a file have the distances of atoms of these elements."""
    portion = next(opened.portions(request.frames), Portion())
    if portion.positions is None:
        return False
    length = units_of(request, opened).factors()[0]
    given = request.given_box(length)
    own = (
        None
        if portion.box is None or request.box is not None
        else np.asarray(portion.box, float) * length
    )
    return at_bonds_of_atoms(elements, portion.positions * length, own if given is None else given)


def _is_lammps_data(topology: str | Path | System) -> bool:
    return not isinstance(topology, System) and Path(topology).suffix.lower() == ".data"


def _in_amu(system: System, opened: Opened) -> System:
    """The System of a LAMMPS data file whose masses are in the unit of its style: reduced sites are
    no atoms.
    """
    masses = system.masses * opened.units.mass
    if opened.units.length != "sigma":
        elements = tuple(guess_element("", m) for m in masses)
        return replace(system, masses=masses, elements=elements, types=elements, names=elements)
    types = (
        opened.columns.types
        if opened.columns is not None and opened.columns.types
        else system.types
    )
    return replace(
        system, masses=masses, elements=("X",) * system.n_sites, types=types, names=types
    )


def _named(system: System) -> System:
    """Sites of a file that has no names, such as LAMMPS data, called by element and type: C2, T2."""
    names = [f"{'T' if e == 'X' else e}{t}" for e, t in zip(system.elements, system.types)]
    return replace(system, names=tuple(names))


def _states_masses(topology: str | Path | System) -> bool:
    return isinstance(topology, System) or Path(topology).suffix.lower() not in (
        ".pdb",
        ".gro",
        ".ent",
        ".xyz",
    )


def with_columns(
    system: System, columns: SiteColumns | None, where: str, *, had_masses: bool
) -> System:
    """`system` of a topology with what the trajectory's own columns add to it.

    Masses are taken where the topology states none (`had_masses`), charges where it has none.

    Raises:
        ValueError: elements, masses or types contradict it: the topology is in another order, or of
            something else.
    """
    if columns is None:
        return system
    _check_elements(system, columns, where)
    _check_types(system, columns, where)
    if columns.masses is not None and had_masses:
        wrong = np.flatnonzero(np.abs(columns.masses - system.masses) > _SAME_MASS)
        if len(wrong):
            i = int(wrong[0])
            raise ValueError(
                f"{where}: site {i} has a mass of {columns.masses[i]:g} amu and the topology "
                f"{system.masses[i]:g} ({system.labels[i]}): expected the same; give the "
                "topology of this "
                "run, in its order"
            )
    elif columns.masses is not None:
        system = replace(system, masses=columns.masses)
    if columns.charges is not None and not np.any(system.charges):
        system = replace(system, charges=columns.charges)
    return system


def _compared(system: System, columns: SiteColumns, where: str) -> System:
    """`system` of names a caller gave, after comparing it with the trajectory's types."""
    _check_types(system, columns, where)
    return system


def _check_elements(system: System, columns: SiteColumns, where: str) -> None:
    if columns.elements is None or len(columns.elements) != system.n_sites:
        return
    for i, (found, expected) in enumerate(zip(columns.elements, system.elements)):
        guessed = guess_element(found)
        if "X" not in (guessed, expected) and guessed != expected:
            raise ValueError(
                f"{where}: site {i} is {found} and the topology says {system.labels[i]} "
                f"({expected}): "
                "expected the same; give the topology of this run, in its order"
            )


def _check_types(system: System, columns: SiteColumns, where: str) -> None:
    """One type of the trajectory is one element: a type that is two says that the order is another."""
    if (
        columns.types is None
        or len(columns.types) != system.n_sites
        or len(set(columns.types)) == 1
    ):
        return  # some programs write 1 for every site, which says nothing
    first: dict[str, int] = {}
    for i, name in enumerate(columns.types):
        j = first.setdefault(name, i)
        if system.elements[i] != system.elements[j]:
            raise ValueError(
                f"{where}: sites {j} and {i} are both of type {name}, and the topology says "
                f"{system.labels[j]} ({system.elements[j]}) and {system.labels[i]} "
                f"({system.elements[i]}): "
                "expected one element; give the topology of this run, in its order"
            )


def with_species(
    system: System,
    species: Sequence[object] | str,
    masses: Mapping[str, float] | ArrayLike | None,
    where: str,
) -> System:
    """`system` whose sites are called `species`: what a site is comes from them, bonds, charges and
    residues stay.

    Args:
        masses: as in `with_masses`; a bead whose mass is not given keeps the topology's.
    """
    names = site_names(species, system.n_sites, where)
    guessed = [guess_element(n) for n in names]
    given = np.full(system.n_sites, np.nan)
    if masses is not None:
        given = masses_by_name(masses, names, system.types, guessed, where)
    elements = [guess_element(n, None if np.isnan(m) else m) for n, m in zip(names, given)]
    own = np.array(
        [
            m if e in ("X", old) else element_mass(e)
            for m, e, old in zip(system.masses, elements, system.elements)
        ]
    )
    types = tuple(n if e == "X" else e for n, e in zip(names, elements))
    new = np.where(np.isnan(given), own, given)
    return replace(system, names=tuple(names), types=types, elements=tuple(elements), masses=new)


def with_masses(system: System, masses: Mapping[str, float] | ArrayLike, where: str) -> System:
    """`system` with the masses given: one a site, or amu by site name, type or element.

    A name of sites counts before a type, a type before an element: {"H": 3.024} is every hydrogen,
        also those called
    HB1; {"H": 3.024, "HW": 1.008} leaves those called HW alone. A mass far from an element's makes
    the site a bead.

    Raises:
        ValueError: a name that no site has.
    """
    given = masses_by_name(masses, system.names, system.types, system.elements, where)
    new = np.where(np.isnan(given), system.masses, given)
    elements = tuple(
        e if e == "X" or m == old else _still(e, n, m)
        for e, n, m, old in zip(system.elements, system.names, new, system.masses)
    )
    types = tuple(
        n if e == "X" and old != "X" else t
        for t, n, e, old in zip(system.types, system.names, elements, system.elements)
    )
    return replace(system, masses=new, elements=elements, types=types)


def _still(element: str, name: str, mass: float) -> str:
    """The element of a site whose mass was given: none where no atom of that element weighs so
    much.
    """
    return element if guess_element(element, mass) == element else guess_element(name, mass)


def masses_by_name(
    masses: Mapping[str, float] | ArrayLike,
    names: Sequence[str],
    types: Sequence[str],
    elements: Sequence[str],
    where: str,
) -> NDArray[np.float64]:
    """(n_sites,) amu, NaN where nothing is given.

    Raises:
        ValueError: a key that is no name, type or element of a site, or another number of masses
            than sites.
    """
    n = len(names)
    if not isinstance(masses, Mapping):
        listed = np.asarray(masses, float)
        if listed.shape != (n,):
            raise ValueError(
                f"{where}: masses: expected one a site for {n} sites, found shape {listed.shape}"
            )
        return listed
    unknown = [k for k in masses if k not in {*names, *types, *elements}]
    if unknown:
        near = difflib.get_close_matches(unknown[0], {*names, *types, *elements}, cutoff=0.5)
        hint = (
            f"did you mean {' or '.join(near)}?"
            if near
            else f"they are called {', '.join(sorted(set(names))[:20])}"
        )
        raise ValueError(
            f"{where}: masses: no site is called {', '.join(map(repr, unknown))}; {hint}"
        )
    by_name = np.full(n, np.nan)
    for i, keys in enumerate(zip(names, types, elements)):
        key = next((k for k in keys if k in masses), None)
        if key is not None:
            by_name[i] = float(masses[key])
    return by_name


def check_open(request: Request, system: System, box: object, opened: Opened) -> str:
    """What to ask about many molecules without a box, else "": a liquid whose box was missed has no
    images and no liquid's rows.

    Raises:
        ValueError: an array of the file that nothing used may be the box.
    """
    n_molecules = int(system.molecules.max()) + 1
    if box is not None or opened.open or request.box is not None or n_molecules < 2:
        return ""
    if opened.box_like:
        first = opened.box_like[0]
        raise ValueError(
            f"{request.path}: {n_molecules} molecules and no box, and "
            f"{', '.join(opened.box_like)} is not "
            f"used: is it the box? Then give keys={{'box': {first!r}}}; if the system is open "
            "give box='open'"
        )
    # C-alpha atoms that no bonds join are chains, and no liquid
    trace = all(is_alpha_carbon(system, k) for k in range(system.n_sites))
    if n_molecules < 10 or trace:
        return ""
    return (
        f"{request.path}: {n_molecules} molecules and no box: read as an open system, without "
        "periodic images. If it is a liquid, give box= (edges in the file's unit of length); "
        "box='open' says that it is none"
    )
