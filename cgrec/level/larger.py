"""A larger or smaller box of a liquid, at the same density."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from itertools import product

import numpy as np
from numpy.typing import NDArray

from ..frames import Frames
from ..io import whole
from ..ranges import expect
from ..remarks import remark
from ..system import System

Floats = NDArray[np.float64]
#: Frames that are repeated, about: replicas start from them.
STARTS = 16
#: Relative: by how much an edge may differ from copies of the old box and still be taken as such.
#: Far above the rounding of a number that somebody types, far below the diameter of a molecule.
AS_COPIES = 2e-3


def filled(frames: Frames, edges: Sequence[float]) -> Frames:
    """Frames of a liquid as frames of a box with these edges.

    Where the edges are whole numbers of the old ones, the old box is repeated, of some frames.
    Elsewhere that of one frame is repeated and cut: molecules whose centre lies outside go, and of two that come too near each
    other at the cut the second. The box is then made as large as the old density asks for, which
    makes the edges shorter, the more the smaller the box; a remark says by how much.

    Args:
        frames: with a rectangular box.
        edges: nm, one for a cube, or three.

    Raises:
        ValueError: no box or a slanted one, edges that are none, or no molecule fits.
    """
    old = _edges(frames)
    new = np.asarray(edges, float)
    new = np.repeat(new, 3) if new.size == 1 else new
    if new.shape != (3,):
        raise ValueError(f"box: expected one edge in nm, or three, found {list(edges)}")
    expect("box", above=0, **dict(zip(("x", "y", "z"), new.tolist())))
    times = new / old
    if (np.abs(times - np.rint(times)) < AS_COPIES * times).all() and (times > 0.5).all():
        some = frames[:: max(1, len(frames) // STARTS)]
        return repeated(some, tuple(int(n) for n in np.rint(times)))
    copies = repeated(frames[:1], tuple(int(n) for n in np.ceil(times)))
    return _cut(copies, new, len(frames.system.molecule_sites()) / float(old.prod()))


def repeated(frames: Frames, times: tuple[int, ...]) -> Frames:
    """Each frame with `times` copies of its box along each vector, copy after copy."""
    box = np.asarray(frames.box, float)
    steps = np.array(list(product(*map(range, times))), float)
    shifts = (steps @ box).reshape(-1, len(steps), 1, 3)  # the first axis is one or the frames
    positions = np.asarray(whole(frames).positions, float)[:, None] + shifts
    return Frames(
        _copies(frames.system, len(steps)),
        positions.reshape(len(frames), -1, 3),
        frames.temperature,
        box=np.asarray(times, float)[:, None] * box,
        weights=frames.weights,
    )


def _edges(frames: Frames) -> Floats:
    box = None if frames.box is None else np.asarray(frames.box, float).reshape(-1, 3, 3)[0]
    if box is None or np.abs(box - np.diag(np.diag(box))).max() > 1e-6 * box.max():
        found = "no box" if box is None else f"a slanted one, {box.tolist()} nm"
        raise ValueError(
            f"box: expected a level with a rectangular box to make another one of, found {found}; "
            "leave box= out"
        )
    return np.diag(box)


def _copies(system: System, n: int) -> System:
    """The same sites `n` times; residues, bonds and constraints of each copy are its own."""
    sites, residues = system.n_sites, int(system.residues.max()) + 1
    each = np.arange(n)
    pairs = lambda p: (sites * each[:, None, None] + p).reshape(-1, 2)  # noqa: E731
    return System(
        names=system.names * n,
        masses=np.tile(system.masses, n),
        types=system.types * n,
        elements=system.elements * n,
        charges=np.tile(system.charges, n),
        bonds=pairs(system.bonds),
        constraints=pairs(system.constraints),
        residues=(residues * each[:, None] + system.residues).ravel(),
        residue_names=system.residue_names * n,
    )


def _cut(frames: Frames, edges: Floats, density: float) -> Frames:
    """Molecules whose centres lie in a box of these edges, none too near another one, and the box
    of their density.
    """
    positions, members = np.asarray(frames.positions[0], float), frames.system.molecule_sites()
    large = np.diag(np.asarray(frames.box, float))
    centres = np.array([positions[sites].mean(0) for sites in members])
    moved = large * np.floor(centres / large)
    inside = np.flatnonzero(((centres - moved) < edges).all(1))
    if not len(inside):
        raise ValueError(f"box: expected edges that hold a molecule, found {edges.tolist()} nm")
    positions = np.concatenate([positions[members[k]] - moved[k] for k in inside])
    owners = np.concatenate([np.full(len(members[k]), n) for n, k in enumerate(inside)])
    kept = _apart(positions, owners, edges, _nearest(frames))
    scale = float((len(kept) / density / edges.prod()) ** (1 / 3))
    remark(
        f"box: {len(kept)} molecules fit, and at their density the edges are "
        f"{', '.join(f'{edge:.4g}' for edge in scale * edges)} nm, {100 * (1 - scale):.1f} % shorter "
        "than asked for; whole numbers of the level's own box are made exactly"
    )
    chosen = [members[inside[k]] for k in kept]
    # centres move with the box, molecules keep their size
    middle = [positions[owners == k].mean(0) for k in kept]
    scaled = [positions[owners == k] + (scale - 1) * m for k, m in zip(kept, middle)]
    system = frames.system.select(np.concatenate(chosen).tolist())
    return replace(
        frames, system=system, positions=np.concatenate(scaled)[None], box=np.diag(scale * edges)
    )


def _nearest(frames: Frames) -> float:
    """nm between sites of two molecules, the least there is."""
    found = _pairs(np.asarray(frames.positions[0], float), np.asarray(frames.box, float), 0.5)
    owners = frames.system.molecules
    distances = [d for i, j, d in found if owners[i] != owners[j]]
    return min(distances, default=0.0)


def _pairs(x: Floats, box: Floats, reach: float) -> list[tuple[int, int, float]]:
    """Pairs of sites nearer than `reach`, with their distance, nm."""
    from ..io.periodic import close_pairs

    pairs, vectors = close_pairs(x, reach, box)
    lengths = np.linalg.norm(vectors, axis=-1)
    return [(int(i), int(j), float(d)) for (i, j), d in zip(pairs, lengths)]


def _apart(x: Floats, owners: NDArray[np.int64], edges: Floats, nearest: float) -> list[int]:
    """Molecules that stay: of two nearer than any were before, the later one goes."""
    gone: set[int] = set()
    for i, j, _ in sorted(_pairs(x, np.diag(edges), nearest * (1 - 1e-9))):
        one, other = sorted((int(owners[i]), int(owners[j])))
        if one != other and one not in gone:
            gone.add(other)
    return [k for k in range(int(owners.max(initial=-1)) + 1) if k not in gone]
