"""`Insertion`: whole molecules put on free points of a lattice, around sites that stay."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
from numpy.typing import NDArray

from ..cell import widths
from ..frames import Frames
from ..mapping import Mapping
from ..observables.pair_counts import half_width
from ..system import System

Array = NDArray[np.float64]
Indices = NDArray[np.int64]


class Insertion:
    """Puts the molecules that a mapping dropped around the sites it kept.

    Args:
        mapping: keeps single sites and drops whole molecules.
        template: Frames whose first one lends each kind of molecule its geometry.

    Attributes:
        kept: (n_coarse,) the fine site each coarse site is.
        molecules: fine sites of each dropped molecule.

    Raises:
        ValueError: a coarse site is no single fine site, part of a molecule is kept, or the
            template lacks a kind of molecule.
    """

    def __init__(self, mapping: Mapping, template: Frames) -> None:
        self.fine = mapping.fine
        self.kept = _kept_sites(mapping)
        self.molecules = _dropped_molecules(self.fine, self.kept)
        self.shapes = _shapes(self.fine, self.molecules, template)

    def __call__(self, frame: Frames, random: np.random.Generator, closest: float) -> Frames:
        """One coarse frame with all molecules put in, whole, turned at random; unrelaxed.

        Args:
            frame: of the kept sites, with a box.
            random: of lattice, places and turns.
            closest: nm; molecules of one heavy atom lie so far from kept sites and each other,
                larger ones farther.

        Raises:
            ValueError: no room.
        """
        kept, (_, boxes) = np.asarray(frame.positions[0], float), half_width(frame)
        positions = np.empty((self.fine.n_sites, 3))
        positions[self.kept] = kept
        places = self._places(kept, boxes[0], random, closest)
        for atoms, shape, place in zip(self.molecules, self.shapes, places):
            positions[atoms] = place + shape @ _rotation(random).T
        return replace(
            frame,
            system=self.fine,
            positions=positions[None],
            box=boxes[0],
            forces=None,
            energies=None,
            weights=None,
            replicas=None,
        )

    def _places(
        self, kept: Array, box: Array, random: np.random.Generator, closest: float
    ) -> Array:
        """(n_molecules, 3) nm, points of the coarsest lattice with enough of them free."""
        n = len(self.molecules)
        heavy = np.mean([len(heavy_atoms(self.fine, atoms)) for atoms in self.molecules])
        gap, volume, free = closest * heavy ** (1 / 3), abs(np.linalg.det(box)), 0
        spacing = (volume / n) ** (1 / 3)
        while spacing >= gap:
            lattice = _lattice(box, spacing, random)
            lattice = lattice[_nearest(lattice, kept, box) >= gap]
            free = max(free, len(lattice))
            if len(lattice) >= n:
                return lattice[random.permutation(len(lattice))[:n]]
            spacing *= 0.98
        raise ValueError(
            f"Resolvation: expected room for {n} molecules {gap:.3f} nm from each other and "
            f"from {len(kept)} kept sites, found "
            f"{free} places in a box of {volume:.4g} nm^3 ({volume / n:.4g} nm^3 per "
            "molecule); check the units of the box, or "
            "lower `closest`"
        )


def _kept_sites(mapping: Mapping) -> Indices:
    """(n_coarse,) the fine site each coarse site is."""
    weights = mapping.sparse_position_weights
    single = (np.diff(weights.indptr) == 1) & np.isclose(weights.max(axis=1).toarray(), 1)
    if not single.all():
        raise ValueError(
            "Resolvation: expected a mapping that keeps single sites, as Drop makes it; found "
            "coarse site "
            f"{mapping.coarse.labels[int(np.argmin(single))]} made of several; compose a finer "
            "backmapping with it"
        )
    return weights.indices.astype(np.int64)


def _dropped_molecules(system: System, kept: Indices) -> list[Indices]:
    """Sites of each dropped molecule."""
    dropped, labels = np.ones(system.n_sites, bool), system.molecules
    dropped[kept] = False
    cut = set(labels[kept].tolist()) & set(labels[dropped].tolist())
    if cut or not dropped.any():
        found = f"{len(cut)} molecules of which only a part is kept" if cut else "nothing dropped"
        raise ValueError(
            f"Resolvation: expected a mapping that drops whole molecules, found {found}; use Drop"
        )
    sites = np.flatnonzero(dropped)
    sites = sites[np.argsort(labels[sites], kind="stable")]
    return np.split(sites, np.flatnonzero(np.diff(labels[sites])) + 1)


def _shapes(system: System, molecules: list[Indices], template: Frames) -> list[Array]:
    """(n_atoms, 3) nm of each molecule about its centre of mass."""
    labels = template.system.molecules
    known: dict[tuple[str, tuple[str, ...]], Array] = {}
    for number in range(labels.max() + 1):
        atoms = np.flatnonzero(labels == number)
        known.setdefault(
            _kind(template.system, atoms), np.asarray(template.positions[0, atoms], float)
        )
    missing = sorted({_kind(system, atoms) for atoms in molecules} - set(known))
    if missing:
        raise ValueError(
            f"Resolvation.template: expected a molecule {' '.join(missing[0][1])} of residue "
            f"{missing[0][0]}, found only "
            f"{', '.join(' '.join(k[1][:6]) for k in sorted(known))}; give Frames that hold "
            "one of each kind dropped"
        )
    shapes = []
    for atoms in molecules:
        x = known[_kind(system, atoms)]
        shapes.append(x - system.masses[atoms] @ x / system.masses[atoms].sum())
    return shapes


def _kind(system: System, atoms: Indices) -> tuple[str, tuple[str, ...]]:
    return system.residue_names[atoms[0]], tuple(system.names[i] for i in atoms)


def heavy_atoms(system: System, atoms: Indices) -> Indices:
    """The atoms that are not hydrogen, or all where there is nothing else."""
    heavy = atoms[[system.elements[i] != "H" for i in atoms]]
    return heavy if len(heavy) else atoms


def _rotation(random: np.random.Generator) -> Array:
    from scipy.spatial.transform import Rotation

    return Rotation.random(random_state=random).as_matrix()


def _lattice(box: Array, spacing: float, random: np.random.Generator) -> Array:
    """(n, 3) nm points that fill the box, planes at least `spacing` apart, shifted at random."""
    counts = np.maximum(1, widths(box) // spacing).astype(int)
    grid = np.stack(np.meshgrid(*map(np.arange, counts), indexing="ij"), -1).reshape(-1, 3)
    return (grid + random.random(3)) / counts @ box


def _nearest(points: Array, sites: Array, box: Array) -> Array:
    """(n_points,) nm to the nearest site or image, exact up to half the width of the box."""
    inverse, found = np.linalg.inv(box), []
    for some in np.array_split(points, 1 + len(points) * len(sites) // 10**6):
        apart = (some[:, None] - sites) @ inverse
        found.append(np.linalg.norm((apart - np.round(apart)) @ box, axis=-1).min(1))
    return np.concatenate(found)
