"""How close sites of each pair of types come: the diameters of the excluded volume.

The rule, for sites more than two bonds apart. Its model is the repulsion prior of mlcg (N. Charron
et al., Nat. Chem. 2025: a low percentile of the distances by type, from the fourth neighbour of the
chain on); blocks make it robust.

1. The sample is cut into twenty blocks of time (or replicas), and the shortest distance is found in
   each. A pair's distance is the lower quartile of the twenty: half a dozen frames lie below it,
   and four blocks may hold frames that no molecule can be in.
2. The same over all types together, among sites at least four bonds apart or in different
   molecules, is the contact distance of this System, if those pairs move freely: many different
   pairs of sites come near it, inside a molecule others in one frame than in another, and far more
   often just outside it than inside. In a single fold they do not: then it is at most the size of
   the sites, that is `TOUCH` times the sum of the radii of two spheres of their masses and the
   density of water (Na-Cl 0.27 nm, water 0.23, a residue 0.42), or a bond length where that is
   more.
3. A pair that stays further apart than `LOOSE` contact distances is believed where it moves freely,
   and where its sites are always of two molecules and no further apart than two spheres that touch:
   without a wall of their own, like ions of a short sample sat at the distance of unlike ones. Else
   something holds the two apart (a helix, a chain), which says nothing of their size: it gets the
   contact distance, as does
4. a pair that is within the cutoff in less than a quarter of the blocks. Where nothing comes into
   contact at all, that is the size of the sites.
5. Sites may pass through each other, as centres of long groups of atoms do: they come nearer than
   two spheres, in some blocks far nearer than in others, and there are hardly more pairs just
   outside of their distance than inside of it. They have no wall, and do not count for the contact
   distance. A wall at `CLOSEST` cost beads of a bilayer up to 10^7 kJ/mol in frames of the sample
   itself.

Nothing here but what is within reach depends on the cutoff.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Protocol

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from ... import geometry
from ...bonds import close_pairs
from ...frames import Frames
from ...statistics.sampling import blocks_of
from ...system import System
from ..graph import SiteGraph

#: Blocks of the sample.
BLOCKS = 20
#: Share of them whose shortest distances lie below a pair's.
SHARE = 0.25
#: Contact distances a pair of types may stay apart without having to show that it moves freely.
LOOSE = 1.2
#: Pairs move freely where so many different ones ...
PARTNERS = 8
#: ... come within so many distances, ...
NEAR = 1.25
#: ... at most this share of those of one frame is inside one molecule and there again in the next
#: one looked at, ...
KEPT = 0.5
#: ... at most this share of all is there again (more is a crystal), ...
KEPT_AT_ALL = 0.9
#: ... and for each of the six or so that lie below the distance itself ...
BELOW = 6
#: ... so many samples lie there (an ideal gas has one).
STEEP = 10
#: Sites, of all frames together, in which that is looked at.
LOOKED_AT = 60_000
#: Frames in which it is looked at, at least, and at most.
FEWEST = 5
MOST = 60
#: Pairs pass through each other where the shortest distance of all is less than this share of their
#: distance, and this many samples or fewer lie within NEAR of it for each one inside (an ideal gas
#: has one, soft beads two or three, a liquid hundreds).
UNEVEN, SOFT = 0.8, 4
#: Share of the radii's sum at which two spheres touch.
TOUCH = 0.6
#: nm^3 per amu, of a sphere of the density of water.
VOLUME = 1.66054e-3
#: nm: no two atoms that are not bonded come closer, hydrogen bonds included.
CLOSEST = 0.1
#: Sites of one portion of frames.
PORTION = 20_000


class Wall(Protocol):
    """A wall between pairs of sites of one System, whose diameters are to be found.

    Attributes:
        types: site types.
        cutoff: nm within which pairs are looked for.
        n_sites: of the System.
        codes: first * n_sites + second, sorted, of the pairs that it leaves out.
    """

    types: tuple[str, ...]
    cutoff: float
    n_sites: int
    codes: Tensor

    def graph(self, frames: Frames) -> SiteGraph:
        """The graph of some frames, with neighbours up to the cutoff."""
        ...


def contact_distances(wall: Wall, frames: Frames) -> NDArray[np.float64]:
    """(n_types, n_types) nm by the rule above, for the types, cutoff and excluded pairs of `wall`;
    0 of a pair without a wall.
    """
    n_types = len(wall.types)
    blocks = blocks_of(frames, min(BLOCKS, len(frames)))
    # all pairs, and those far along the chain
    shortest = np.full((2, len(blocks), n_types, n_types), np.inf)
    for block, which in enumerate(blocks):
        for graph in _graphs(wall, frames[which]):
            _shorten(wall, graph, _third_neighbours(wall, frames.system), shortest[:, block])
    shortest = np.minimum(shortest, shortest.swapaxes(-1, -2))
    place = int(SHARE * (len(blocks) - 1))
    found = np.sort(shortest[0], axis=0)[place]
    touching = _by_mass(wall, frames.system)
    passing = _pass(wall, frames, found, shortest[0].min(0), touching)
    shortest[1][:, passing] = np.inf
    contact = float(np.sort(shortest[1].min((1, 2)))[place])
    usual = _usual(wall, frames, contact, touching)
    held = np.isfinite(found) & (found > LOOSE * usual)
    held &= ~(_of_two_molecules(wall, frames.system) & (found < touching / TOUCH))
    asked = held & (NEAR * found <= wall.cutoff)  # else what lies just outside is out of sight
    if asked.any():
        held &= ~_moves_freely(wall, frames, np.where(asked, found, 0.0))
    found = np.where(held, usual, found)
    walls = np.maximum(np.where(np.isfinite(found), found, usual), CLOSEST)
    return np.where(passing, 0.0, walls)


def _pass(
    wall: Wall,
    frames: Frames,
    distances: NDArray[np.float64],
    shortest: NDArray[np.float64],
    touching: NDArray[np.float64],
) -> NDArray[np.bool_]:
    """(n_types, n_types) whether sites pass through each other.

    Args:
        wall: whose pairs.
        frames: of the sample.
        distances: (n_types, n_types) nm of the pairs.
        shortest: (n_types, n_types) nm in any frame.
        touching: (n_types, n_types) nm, size of the sites.
    """
    asked = (distances < touching) & (shortest < UNEVEN * distances)
    if not asked.any():
        return asked
    n_types = len(wall.types)
    reach = np.where(asked, distances, 0.0).ravel()
    inside, around = np.zeros((2, n_types**2))
    for graph in _graphs(wall, frames):
        r, own, other, _ = _near_pairs(wall, graph)
        kind = own * n_types + other
        inside += np.bincount(kind[r < reach[kind]], minlength=n_types**2)
        around += np.bincount(kind[r < NEAR * reach[kind]], minlength=n_types**2)
    return asked & (around - inside < SOFT * inside).reshape(n_types, n_types)


def _of_two_molecules(wall: Wall, system: System) -> NDArray[np.bool_]:
    """(n_types, n_types) whether no molecule has sites of both types."""
    number = {name: k for k, name in enumerate(wall.types)}
    counts = np.zeros((int(system.molecules.max()) + 1, len(number)))
    kinds = np.array([number[name] for name in system.types])
    np.add.at(counts, (system.molecules, kinds), 1)
    return counts.T @ counts - np.diag(counts.sum(0)) == 0


def _usual(
    wall: Wall, frames: Frames, contact: float, touching: NDArray[np.float64]
) -> NDArray[np.float64]:
    """(n_types, n_types) nm two sites are taken to come close: `contact`, or their size (`touching`,
    or a bond length where that is more) where that is less and it is not free.
    """
    n_types = len(wall.types)
    if (
        np.isfinite(contact)
        and _moves_freely(wall, frames, np.full((n_types,) * 2, contact), far=True).all()
    ):
        return np.full((n_types, n_types), contact)
    size = np.maximum(touching, _bond_length(frames))
    return np.minimum(contact, size)


def _graphs(wall: Wall, frames: Frames) -> Iterator[SiteGraph]:
    step = max(1, PORTION // frames.n_sites)
    for start in range(0, len(frames), step):
        yield wall.graph(frames[start : start + step])


def _third_neighbours(wall: Wall, system: System) -> NDArray[np.int64]:
    """Sorted codes of pairs at most three bonds apart."""
    return close_pairs(system.n_sites, system.bonds, 3) @ np.array([wall.n_sites, 1])


def among(codes: Tensor, graph: SiteGraph, n_sites: int) -> Tensor:
    """(n_frames * n_sites, n_slots) whether the pair of each place in the neighbour table is one of
    some pairs of sites.

    Args:
        codes: first * n_sites + second of those pairs, sorted; the sites are numbered inside every
            copy of `n_sites`.
        graph: the table.
        n_sites: of a copy.
    """
    other = graph.neighbour_index
    own = torch.arange(len(other), device=other.device)[:, None]
    wanted = (own % n_sites) * n_sites + other % n_sites
    place = torch.searchsorted(codes, wanted).clamp_max(len(codes) - 1)
    return (codes[place] == wanted) & (own // n_sites == other // n_sites)


def _near_pairs(
    wall: Wall, graph: SiteGraph
) -> tuple[NDArray[np.float64], NDArray[np.int64], NDArray[np.int64], NDArray[np.int64]]:
    """(distance, type, other type, code of the pair of sites) of every pair within the cutoff that
    is not excluded.
    """
    with torch.no_grad():
        r = graph.neighbour_vectors().norm(dim=-1)
    near = r < wall.cutoff
    if len(wall.codes):
        near &= ~among(wall.codes, graph, wall.n_sites)
    own, slot = near.nonzero(as_tuple=True)
    other = graph.neighbour_index[own, slot]
    codes = (own % wall.n_sites) * wall.n_sites + other % wall.n_sites
    return tuple(
        t.cpu().numpy() for t in (r[near], graph.species[own], graph.species[other], codes)
    )  # type: ignore[return-value]


def _shorten(
    wall: Wall, graph: SiteGraph, third: NDArray[np.int64], shortest: NDArray[np.float64]
) -> None:
    """Lower `shortest` (2, n_types, n_types) to what this graph has: all pairs, and those more than
    three bonds apart.
    """
    n_types = len(wall.types)
    with torch.no_grad():
        r = graph.neighbour_vectors().norm(dim=-1)
        r = r.masked_fill(r >= wall.cutoff, torch.inf)
        kind = graph.species[:, None] * n_types + graph.species[graph.neighbour_index]
        for which, codes in enumerate((wall.codes, torch.from_numpy(third))):
            if len(codes):
                r = r.masked_fill(among(codes, graph, wall.n_sites), torch.inf)
            found = torch.full((n_types**2,), torch.inf, dtype=r.dtype)
            found.scatter_reduce_(0, kind.flatten(), r.flatten(), "amin")
            np.minimum(shortest[which], found.view(n_types, n_types).numpy(), out=shortest[which])


def _moves_freely(
    wall: Wall, frames: Frames, distances: NDArray[np.float64], far: bool = False
) -> NDArray[np.bool_]:
    """(n_types, n_types) whether pairs of these types come near `distances` as free particles do; 0
    asks nothing.

    With `far`, all types together and only pairs more than three bonds apart.
    """
    looks = _looks(frames)
    molecules = frames.system.molecules
    third = _third_neighbours(wall, frames.system) if far else np.zeros(0, np.int64)
    n_types = len(wall.types)
    near = np.zeros(n_types**2)
    kept, inside_kept, all_of = np.zeros((3, n_types**2))
    partners: list[set[int]] = [set() for _ in range(n_types**2)]
    before: list[NDArray[np.int64]] = [np.zeros(0, np.int64)] * n_types**2
    for look in looks:
        graph = wall.graph(frames[[look]])
        r, own, other, codes = _near_pairs(wall, graph)
        inside = (r < NEAR * distances[own, other]) & ~np.isin(codes, third)
        kind = (
            np.zeros_like(own) if far else np.minimum(own, other) * n_types + np.maximum(own, other)
        )[inside]
        codes = codes[inside]
        for one in np.unique(kind).tolist():
            here = np.unique(codes[kind == one])
            near[one] += len(here) / 2  # both orders of a pair have a code
            again = np.intersect1d(here, before[one], assume_unique=True)
            kept[one] += len(again)
            inside_kept[one] += (
                molecules[again // wall.n_sites] == molecules[again % wall.n_sites]
            ).sum()
            all_of[one] += min(len(here), len(before[one]))
            before[one] = here
            if len(partners[one]) < 2 * PARTNERS:
                partners[one].update(here[: 2 * PARTNERS].tolist())
    near *= len(frames) / len(looks)
    many = np.array([len(p) for p in partners]) >= 2 * PARTNERS
    moving = (inside_kept <= KEPT * all_of) & (kept <= KEPT_AT_ALL * all_of)
    free = many & moving & (near >= BELOW * STEEP)
    if far:
        return np.full((n_types, n_types), bool(free[0]))
    square = free.reshape(n_types, n_types)
    return np.asarray(square | square.T)


def _looks(frames: Frames) -> NDArray[np.int64]:
    """Numbers of some frames, evenly spread."""
    number = int(np.clip(LOOKED_AT // frames.n_sites, FEWEST, MOST))
    return np.unique(np.linspace(0, len(frames) - 1, number).round().astype(np.int64))


def _bond_length(frames: Frames) -> float:
    """nm, mean over the bonds of some frames; 0 without bonds."""
    if not len(frames.system.bonds):
        return 0.0
    some = frames[_looks(frames)]
    return float(geometry.distance(np.asarray(some.positions, float), frames.system.bonds).mean())


def _by_mass(wall: Wall, system: System) -> NDArray[np.float64]:
    """(n_types, n_types) nm from the masses of each type; a type the System lacks is taken for its
    mean site.
    """
    types = np.array(system.types)
    masses = np.array(
        [
            system.masses[types == t].mean() if (types == t).any() else system.masses.mean()
            for t in wall.types
        ]
    )
    radii = np.cbrt(0.75 / np.pi * VOLUME * masses)
    return np.asarray(TOUCH * (radii[:, None] + radii))
