"""Sizes that suit a level: reach of the network, time step, batch, replicas, priors, corrections.

Measured on the experiments that ship; what is slow or wrong on other systems is for a person to
change in the YAML, which says each of them.
"""

from __future__ import annotations

import contextlib
import math

import numpy as np
import torch

from .. import geometry
from ..files import Json
from ..frames import Frames
from ..observables import dielectric_constant
from ..potential import FlatBottomPrior
from ..potential.priors.terms import inverse_masses
from ..units import thermal_energy
from .kinds import kinds_of
from .ladder import Rung, Situation
from .slow import turns_of, variables_of

#: Distances between neighbours that a network of a liquid sees, as a multiple of the edge that one
#: site has to itself.
REACH = 2.1
#: nm. Networks of one molecule see this far, those of liquids no less and no more than these.
ALONE, NEAREST, FURTHEST = 1.0, 0.6, 1.4
#: amu/nm^3 of 1 g/cm^3, and g/cm^3 from which ions are a melt, whose charges nothing screens by its
#: permittivity.
AMU_PER_NM3, MELT = 602.2, 1.0
#: Relative permittivity of water at 298 K, and the relative error up to which one that was measured
#: is taken.
WATER, KNOWN = 78.4, 0.1
#: nm between twice the reach and the box: room for the list of neighbours.
ROOM, SKIN = 0.02, 0.1
#: Time steps in a period of the stiffest bond, and of a site among its neighbours, whose hardest
#: collisions are quicker: with 8 a salt in one-site water was 7 K too hot.
IN_A_PERIOD, IN_A_COLLISION = 8, 12
#: 1/ps^2, squared angular frequency of the slowest system there is: a period of 0.16 ps.
LEAST_RATE = (2 * math.pi / 0.16) ** 2
#: ps, and what the time step is rounded down to.
STEPS = (0.001, 0.002, 0.003, 0.004, 0.005, 0.006, 0.008, 0.01, 0.012, 0.015, 0.02)
#: Frames in which walls are looked for.
OF_WALLS = 1000
#: (nm, ps): time steps of sites that nobody has seen move, up to a length of their shortest bond.
#: Carbonyls vibrate in 24 fs; alpha carbons and centres of residues bear 8 fs.
UNSEEN_STEPS = ((0.2, 0.002), (0.245, 0.004), (math.inf, 0.008))
#: Frames of each replica of such a run.
SAVED_UNSEEN = 200
#: Sites in a batch, and in all replicas of a run together.
IN_A_BATCH, IN_A_RUN = 640, 2000
#: Steps of a fit, of a run of one molecule, and of a run of many molecules, each of which counts;
#: the forecast may take fewer.
FIT, RUN, RUN_OF_MANY = 3000, 25_000, 6000
#: Frames in a run, at least and at most, and sites of all of them together: more only repeat what is
#: known, and g(r) and corrections of pairs look at them all.
FEWEST_SAVED, SAVED, SITES_SAVED = 500, 4000, 500_000


def settle(
    rung: Rung, situation: Situation, permittivity: float = WATER, dear: bool = False
) -> None:
    """Fill the settings of a rung from its mapped frames; of a structure that has not been run, those
    that three alanines need.

    Args:
        rung: of the ladder.
        situation: what kind of system it is.
        permittivity: of the solvent of ions.
        dear: a step of level 0 costs too much for mean forces.
    """
    frames, chain = rung.frames, situation.word in ("protein", "peptide")
    if frames.forces is None:
        rung.settings = _unseen(rung, chain, dear)
        return
    dense = situation.dense
    cutoff = _cutoff(frames, dense, bool(situation.dropped))
    settings: Json = {"priors": _priors(frames, chain, situation, permittivity)}
    settings["potential"] = {"cutoff": cutoff}
    n = frames.n_sites
    settings["training"] = {"steps": FIT, "batch_size": _between(2, IN_A_BATCH // n, 64)}
    if _ions_alone(rung, situation):
        rung.group = "ions"
        settings["training"] = {"steps": FIT // 2}
    settings["dynamics"] = _dynamics(frames, cutoff, RUN_OF_MANY if dense else RUN)
    if dense:
        settings["refine_pairs"] = {
            "_target_": "cgrec.corrections.PairRefinement",
            "cutoff": round(min(cutoff, 1.0), 2),
        }
    else:
        settings["variables"] = _variables(rung)
        settings |= _corrections(settings["variables"], chain, frames)
    rung.settings = settings


def _variables(rung: Rung) -> dict[str, list[str]]:
    """What the level is compared in, under names of its own: its ends are other sites than those of
    the level below.
    """
    return {f"{name}_{rung.name}": sites for name, sites in variables_of(rung.frames).items()}


def _ions_alone(rung: Rung, situation: Situation) -> bool:
    """Whether a solvent between ions was integrated out, now or before."""
    if situation.word != "ions":
        return False
    solvent = set() if situation.solvent is None else set(situation.solvent.residues)
    return not solvent & set(rung.frames.system.residue_names)


def _unseen(rung: Rung, chain: bool, dear: bool) -> Json:
    """Settings of a molecule of which there is a structure only."""
    system = rung.frames.system
    step = _unseen_step(rung.frames)
    length = RUN * step
    settings: Json = {
        "priors": {"dihedrals": len(system.bonded_paths(4)) > 0},
        "strays": {"_target_": "cgrec.level.Strays", "length": length / 4},
        "dynamics": {
            "timestep": step,
            "length": length,
            "save_every": length / SAVED_UNSEEN,
            "equilibration": length / 10,
        },
        "variables": _variables(rung),
    }
    if chain and system.n_sites > 4:
        settings["priors"]["walls"] = {"_target_": "cgrec.potential.priors.ChainWalls"}
    if rung.name == "l1" and not dear:
        settings["mean_forces"] = {
            "_target_": "cgrec.corrections.MeanForces",
            "length": 0.6,
            "most": 8000,
        }
    refined = _corrections({}, chain, rung.frames)
    turns = turns_of(rung.frames)
    if dear:
        settings["variables"] |= {f"{name}_{rung.name}": sites for name, sites in turns.items()}
    if not refined and turns and step > UNSEEN_STEPS[0][1]:  # forces alone are enough for atoms
        refined = {"refine": turns}
    return settings | refined


def _unseen_step(frames: Frames) -> float:
    """ps, by the shortest bond: of atoms, of a few atoms each, of residues."""
    first, second = frames.system.bonds.T
    apart = np.linalg.norm(frames.positions[0, first] - frames.positions[0, second], axis=-1)
    shortest = float(apart.min(initial=math.inf))
    return next(step for length, step in UNSEEN_STEPS if shortest <= length)


def _cutoff(frames: Frames, dense: bool, sparse: bool) -> float:
    """nm, rounded down to 0.05; within half the box."""
    reach = ALONE
    if dense:
        reach = min(max(REACH * _edge(frames, sparse), NEAREST), FURTHEST)
    if frames.box is not None:
        reach = min(reach, half_box(frames) - ROOM)
    return math.floor(reach * 20 + 1e-9) / 20


def permittivity_of(frames: Frames, situation: Situation) -> tuple[float, str]:
    """What screens ions, and how it is known: by the dipoles of the solvent where its charges are
    known and the error is small, else that of water.

    Args:
        frames: with the solvent.
        situation: of them.
    """
    if situation.solvent is not None and np.any(frames.system.charges):
        with contextlib.suppress(ValueError):  # no box, no molecules with charges
            found = dielectric_constant(frames)
            said = f"{found.value:.3g} +- {found.error:.2g} by the dipoles of "
            said += situation.solvent.name
            if found.error < KNOWN * found.value:
                return float(f"{found.value:.3g}"), f"permittivity {said}"
            return WATER, f"permittivity {WATER:g}, of water; {said} is not known well enough"
    return WATER, f"permittivity {WATER:g}, of water: change it to that of your solvent"


def _density(frames: Frames) -> float:
    """g/cm^3; 0 without a box."""
    if frames.box is None:
        return 0.0
    volume = float(np.mean(np.abs(np.linalg.det(np.asarray(frames.boxes(), float)))))
    return float(frames.system.masses.sum()) / volume / AMU_PER_NM3


def _edge(frames: Frames, sparse: bool) -> float:
    """nm, of the cube that a site has to itself, by the volume or, where a solvent was left out, by
    its mass at the density of water.
    """
    volume = float(np.mean(np.abs(np.linalg.det(np.asarray(frames.boxes(), float)))))
    by_mass = float(np.mean(frames.system.masses)) / AMU_PER_NM3
    return (by_mass if sparse else volume / frames.n_sites) ** (1 / 3)


def half_box(frames: Frames) -> float:
    """nm, half the smallest distance between two faces of the box in any frame."""
    boxes = np.asarray(frames.boxes(), float)
    volumes = np.abs(np.linalg.det(boxes))
    faces = [
        np.linalg.norm(np.cross(boxes[:, i], boxes[:, j]), axis=-1)
        for i, j in ((0, 1), (1, 2), (0, 2))
    ]
    return float(min((volumes / face).min() for face in faces) / 2)


def _priors(frames: Frames, chain: bool, situation: Situation, permittivity: float) -> Json:
    """Bonded terms that the level has; walls of a chain; charges of ions."""
    system = frames.system
    priors: Json = {
        "bonds": len(system.bonds) > 0,
        "angles": len(system.bonded_paths(3)) > 0,
    }
    priors["branches"] = priors["angles"]
    priors["dihedrals"] = not situation.dense and len(system.bonded_paths(4)) > 0
    if chain and system.n_sites > 4:
        priors["walls"] = {"_target_": "cgrec.potential.priors.ChainWalls"}
    if situation.word == "ions" and (situation.solvent is not None or _density(frames) < MELT):
        charges = {system.types[k.sites[0]]: round(k.charge or 0) for k in kinds_of(system)}
        return {"coulomb": {"charges": charges, "permittivity": permittivity}}
    return priors


def _dynamics(frames: Frames, cutoff: float, steps: int) -> Json:
    step = timestep(frames)
    length = steps * step
    replicas = _between(4, IN_A_RUN // frames.n_sites, 128)
    saved = _between(FEWEST_SAVED, SITES_SAVED // frames.n_sites, SAVED)
    every = length * replicas / saved
    settings: Json = {
        "n_replicas": replicas,
        "timestep": step,
        "length": _round(length),
        "equilibration": _round(length / 10),
        "save_every": max(step, _round(every)),
    }
    if frames.box is not None:
        skin = math.floor(min(SKIN, half_box(frames) - cutoff) * 100) / 100
        if skin < SKIN:
            settings["skin"] = max(skin, ROOM)
    return settings


def timestep(frames: Frames) -> float:
    """ps, a part of the shortest period: of a bond or an angle by how much it fluctuates and by the
    wall where it ends, of a site without bonds by the forces on it, <F^2> = kT <curvature>.
    """
    some = frames[:: max(1, -(-len(frames) // 200))]
    kT = thermal_energy(frames.temperature)
    masses = frames.system.masses
    steps, rates = IN_A_PERIOD, [LEAST_RATE]
    if len(frames.system.bonds):
        rates += [_bond_rate(some) * kT, _angle_rate(some) * kT, _wall_rate(frames)]
    else:
        curvature = (np.asarray(some.need_forces(), float) ** 2).mean((0, 2)) / kT
        steps, rates = IN_A_COLLISION, [LEAST_RATE, float((curvature / masses).max())]
    most = 2 * np.pi / math.sqrt(max(rates)) / steps
    return max((s for s in STEPS if s <= most), default=STEPS[0])


def _bond_rate(frames: Frames) -> float:
    """Largest 1 / (variance x reduced mass) of a bond: squared angular frequency over kT."""
    i, j = frames.system.bonds.T
    x = np.asarray(frames.positions, float)
    variance = np.linalg.norm(x[:, i] - x[:, j], axis=-1).var(0)
    inverse_mass = 1 / frames.system.masses
    return float(((inverse_mass[i] + inverse_mass[j]) / np.maximum(variance, 1e-8)).max())


def _wall_rate(frames: Frames) -> float:
    """1/ps^2, squared angular frequency of the stiffest wall of a bond or an angle; 0 without. Halves
    of hexane lie 0.38 +- 0.02 nm apart and never 0.42: all replicas exploded at 20 fs.
    """
    some = frames[:: max(1, -(-len(frames) // OF_WALLS))]
    rates = [0.0]
    for n, term in ((2, geometry.distance), (3, geometry.angle)):
        walls = FlatBottomPrior.fit(some, sorted(set(frames.system.types)), n)
        if walls is not None:
            paths = [tuple(path) for path in walls.sites.tolist()]
            stiffness = torch.maximum(walls.below, walls.above).numpy()
            rates.append(float((stiffness * inverse_masses(some, term, paths)).max()))
    return max(rates)


def _angle_rate(frames: Frames) -> float:
    """Largest G / variance of an angle, G its inverse mass (E. B. Wilson, J. C. Decius, P. C. Cross,
    Molecular Vibrations, 1955, Sec. 4-1); 0 without angles.
    """
    paths = np.array(frames.system.bonded_paths(3), int).reshape(-1, 3)
    if not len(paths):
        return 0.0
    x = np.asarray(frames.positions, float)
    first, second = (x[:, paths[:, k]] - x[:, paths[:, 1]] for k in (0, 2))
    a, b = (np.linalg.norm(v, axis=-1) for v in (first, second))
    cosine = ((first * second).sum(-1) / (a * b)).clip(-1, 1)
    end, middle, other = (1 / frames.system.masses[paths[:, k]] for k in range(3))
    inverse = end / a**2 + other / b**2 + middle * (1 / a**2 + 1 / b**2 - 2 * cosine / (a * b))
    variance = np.maximum(np.arccos(cosine).var(0), 1e-4)
    return float((inverse.mean(0) / variance).max())


def _corrections(variables: dict[str, list[str]], chain: bool, frames: Frames) -> Json:
    """Populations by maximum entropy: along a chain, or along the slow dihedrals."""
    if chain and frames.n_sites > 4:
        return {
            "corrections": [
                {
                    "_target_": "cgrec.corrections.ChainRefinement",
                    "offset": 1,
                    "shortest": 0.3,
                    "rounds": 2,
                }
            ]
        }
    dihedrals = {name: sites for name, sites in variables.items() if len(sites) == 4}
    return {"refine": dihedrals} if dihedrals else {}


def _between(low: int, value: int, high: int) -> int:
    return max(low, min(value, high))


def _round(ps: float) -> float:
    """Two digits."""
    return float(f"{ps:.2g}")
