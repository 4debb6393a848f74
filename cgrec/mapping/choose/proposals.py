"""`propose_mappings`: partitions of a system by several methods, each with what it costs in
information, noise and slow motion.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, field, replace
from itertools import combinations, product
from pathlib import Path

import numpy as np
import yaml
from numpy.typing import NDArray

from ...cell import lattice_steps
from ...files import write_text
from ...frames import Frames
from ...statistics.errors import Estimate
from ...system import System
from ...units import shown
from .. import (
    FORCE_MAPS,
    Mapping,
    Pick,
    contract,
    essential_dynamics,
    find_sites,
    from_partition,
    learned_beads,
)
from ..made_for import by_index, lasting_labels, molecules_fingerprint
from .scores import hidden_fluctuation, kinetic_share, noise_removed

#: What each score says, with its unit; of all but the last, less is better.
SCORES = {
    "inner": "fluctuation of distances within beads / nm",
    "noise": "force labels, rms a site / kJ/mol/nm",
    "hidden": "hidden energy fluctuation, half of Var(U/kT given the sites) / k_B",
    "kinetics": "share of slow motion kept (VAMP-2)",
}
#: Shares of the fluctuation for which essential dynamics is tried.
_SHARES = (0.9, 0.7, 0.5)


@dataclass(frozen=True, eq=False)
class Proposal(Mapping):
    """A Mapping, the method it comes from, and its scores.

    Attributes:
        method: one of `METHODS`.
        beads: atoms that go with each site.
        place: "centre", of mass of the bead, or "atom", the one of it that ties it to the others.
        scores: {one of `SCORES`: value and error}, those that the frames allow.
    """

    method: str = ""
    beads: tuple[tuple[int, ...], ...] = ()
    place: str = "centre"
    scores: dict[str, Estimate[float]] = field(default_factory=dict)

    def rule(self) -> dict[str, object]:
        """What a level's configuration takes as `mapping`."""
        labels = lasting_labels(self.fine)
        if self.place == "atom":
            picks = [int(atom) for atom in self.sparse_position_weights.argmax(axis=1)]
            rule: dict[str, object] = {
                "_target_": "cgrec.mapping.Pick",
                "sites": [labels[i] for i in picks],
            }
        else:
            picks = [i for atoms in self.beads for i in atoms]
            rule = {
                "_target_": "cgrec.mapping.Parts",
                "beads": [[labels[i] for i in a] for a in self.beads],
            }
        indexed = by_index(labels[i] for i in picks)
        return {**rule, "made_for": molecules_fingerprint(self.fine, picks, indexed)}

    def save_rule(self, path: Path) -> None:
        """Write `rule` as YAML, with the atoms of each bead."""
        lines = [
            f"# {self.method}, sites at the {self.place}: {self.coarse.n_sites} of "
            f"{self.fine.n_sites}",
            "# made_for: names and bonds of the molecules it was made for; others are refused",
        ]
        lines += [
            f"# {n}: {', '.join(self.fine.labels[i] for i in atoms)}"
            for n, atoms in zip(self.coarse.names, self.beads)
        ]
        rule = yaml.safe_dump(self.rule(), sort_keys=False, default_flow_style=None)
        write_text(path, "\n".join([*lines, rule]))


Beads = Iterable[list[list[int]]]


def _essential(
    system: System, frames: Frames | None, n_sites: int, protected: Sequence[int]
) -> Beads:
    if frames is None:
        raise ValueError(
            "essential_dynamics: expected frames, found none: give some, or choose a method "
            "that needs none"
        )
    return (
        essential_dynamics(frames, n_sites, share=share, protected=protected)[0]
        for share in _SHARES
    )


def _contracted(cost: str) -> Callable[..., Beads]:
    def beads(
        system: System, frames: Frames | None, n_sites: int, protected: Sequence[int]
    ) -> Beads:
        labels = [f"#{i}" for i in protected]
        return [contract(system, cost, labels).beads(n_sites, symmetric=False)]

    return beads


def _learned(
    system: System, frames: Frames | None, n_sites: int, protected: Sequence[int]
) -> Beads:
    if protected:
        raise ValueError(
            "learned: expected no protected sites, which people's mappings know nothing of; "
            "use another method"
        )
    return [learned_beads(system, n_sites)]


METHODS: dict[str, Callable[..., Beads]] = {
    "essential_dynamics": _essential,
    "local_variation": _contracted("local_variation"),
    "normalised_cut": _contracted("normalised_cut"),
    "learned": _learned,
}


def propose_mappings(
    system: System,
    frames: Frames | None = None,
    method: str = "essential_dynamics",
    n_sites: int = 5,
    *,
    protected: Sequence[str] = (),
    place: str = "both",
    lag: int = 10,
) -> list[Proposal]:
    """Mappings onto `n_sites` beads, best first.

    Best is what has the least sum of ranks over the scores that the frames allow; without frames
    the order is that of `METHODS`.

    Args:
        system: the atoms.
        frames: of them, for methods and scores that need some: positions for "inner", forces for
            "noise", energies for "hidden", an unweighted run in time for "kinetics".
        method: one of `METHODS`, or "all".
        n_sites: of the coarse System.
        protected: labels of sites that stay sites of their own.
        place: where in its bead a site lies: "centre" (of mass), "atom" (that with most bonds to
            other beads), or "both".
        lag: frames, of "kinetics".

    Raises:
        ValueError: an unknown method, a number of sites that a method cannot give, or molecules cut
            by the box.
        KeyError: an unknown protected site.
    """
    if method != "all" and method not in METHODS:
        raise ValueError(
            f"propose_mappings: expected a method among {', '.join(METHODS)} or all, found "
            f"{method!r}"
        )
    if not 0 < n_sites <= system.n_sites:
        raise ValueError(
            f"propose_mappings: expected 1 to {system.n_sites} sites for {system.n_sites} "
            f"atoms, found {n_sites}"
        )
    kept = find_sites(system, protected, "protected")
    if frames is not None:
        need_whole(frames)
    names = [m for m in METHODS if m == method or (method == "all" and _possible(m, frames, kept))]
    if place not in ("centre", "atom", "both"):
        raise ValueError(f"propose_mappings: expected place centre, atom or both, found {place!r}")
    places = ("centre", "atom") if place == "both" else (place,)
    found: dict[str, Proposal] = {}
    for name in names:
        for beads, where in product(METHODS[name](system, frames, n_sites, kept), places):
            found.setdefault(f"{where} {beads}", _proposal(system, beads, name, where))
    proposals = list(found.values())
    if frames is not None:
        proposals = [replace(p, scores=scores(p, frames, lag)) for p in proposals]
    return ranked(proposals)


def _proposal(system: System, beads: list[list[int]], method: str, place: str) -> Proposal:
    if place == "atom":
        mapping = Pick([f"#{linking_atom(system, atoms)}" for atoms in beads])(system)
    else:
        mapping = from_partition(system, beads)
    atoms = tuple(map(tuple, beads))
    return Proposal(
        mapping.fine,
        mapping.coarse,
        mapping.position_weights,
        method=method,
        beads=atoms,
        place=place,
    )


def linking_atom(system: System, bead: Sequence[int]) -> int:
    """The heavy atom of a bead with most bonds to other beads, among those the one with most bonds,
    among those the first.
    """
    near, inside = system.neighbours(), set(bead)
    heavy = [i for i in bead if system.elements[i] != "H"] or list(bead)
    return max(heavy, key=lambda i: (len(set(near[i]) - inside), len(near[i]), -i))


def need_whole(frames: Frames) -> None:
    """ValueError, with the atoms' names, where the box cuts a bond: a bead across it would have its
    centre in the middle of nowhere.
    """
    boxes = frames.boxes()
    if boxes is None or not len(frames.system.bonds):
        return
    i, j = frames.system.bonds.T
    apart = np.asarray(frames.positions[:, i], float) - frames.positions[:, j]
    cut = np.abs(lattice_steps(apart, np.asarray(boxes, float))).max((0, 2)) > 0
    if cut.any():
        k = int(np.flatnonzero(cut)[0])
        labels = frames.system.labels
        raise ValueError(
            f"propose_mappings: expected whole molecules, found {int(cut.sum())} bonds across "
            f"the box, first {labels[i[k]]} (#{i[k]}) to "
            f"{labels[j[k]]} (#{j[k]}): read the trajectory with cgrec.read, which makes "
            "molecules whole"
        )


def _possible(method: str, frames: Frames | None, protected: Sequence[int]) -> bool:
    return not (method == "essential_dynamics" and frames is None) and not (
        method == "learned" and len(protected)
    )


def ranked(proposals: Sequence[Proposal]) -> list[Proposal]:
    """By the sum of their ranks over the scores that all of them have."""
    common = [s for s in SCORES if all(s in p.scores for p in proposals)]
    sums = np.zeros(len(proposals))
    for name in common:
        values = np.array([p.scores[name].value for p in proposals]) * (
            -1 if name == "kinetics" else 1
        )
        sums += (values[:, None] > values).sum(1)
    return [proposals[k] for k in np.argsort(sums, kind="stable")]


def scores(mapping: Proposal, frames: Frames, lag: int = 10) -> dict[str, Estimate[float]]:
    """Those of `SCORES` that `frames` allow."""
    coarse = mapping(replace(frames, forces=None))
    found = {"inner": inner_fluctuation(mapping.beads, frames)}
    if frames.forces is not None:
        found["noise"] = _noise(mapping, frames)
    if frames.energies is not None and mapping.coarse.n_sites > 1:
        found["hidden"] = hidden_fluctuation(frames, coarse).value
    if (
        mapping.coarse.n_sites > 1
        and len(frames) > 20 * lag
        and (frames.weights is None or np.ptp(frames.weights) == 0)
    ):
        found["kinetics"] = kinetic_share(frames, coarse, lag).share
    return found


def inner_fluctuation(beads: Sequence[Sequence[int]], frames: Frames) -> Estimate[float]:
    """Root mean square, over pairs of atoms in one bead, of the standard deviation of their
    distance, nm, with a jackknife error.
    """
    from ...statistics.errors import jackknife_rows

    pairs = [pair for atoms in beads for pair in combinations(atoms, 2)]
    if not pairs:
        return Estimate(0.0, 0.0)
    i, j = np.array(pairs).T
    x = np.asarray(frames.positions, float)
    d = np.linalg.norm(x[:, i] - x[:, j], axis=-1)
    rows = np.hstack([d, d**2])

    def spread(means: NDArray[np.floating]) -> float:
        first, second = np.split(means, 2)
        return float(np.sqrt(np.maximum(second - first**2, 0).mean()))

    value, error = jackknife_rows(frames, rows, spread)
    return Estimate(float(value), float(error))


def _noise(mapping: Mapping, frames: Frames) -> Estimate[float]:
    """Root mean square of the least-noise force on a site, kJ/mol/nm: fitted to one half of the
    frames, judged on the other.
    """
    half = len(frames) // 2
    fitted = FORCE_MAPS["least_noise"](
        Mapping(mapping.fine, mapping.coarse, mapping.position_weights), frames[:half]
    )
    judged = fitted(frames[half:])
    found = noise_removed(judged, judged).after
    mean = float(np.mean(found.value))
    return Estimate(
        mean**0.5,
        float(np.sqrt((np.asarray(found.error) ** 2).sum()) / len(found.error)) / (2 * mean**0.5),
    )


def table(proposals: Sequence[Proposal]) -> str:
    """One line each, best first."""
    known = [s for s in SCORES if any(s in p.scores for p in proposals)]
    rows = [["method", "sites", "at the", *known]]
    for p in proposals:
        cells = [
            f"{shown(p.scores[s].value, 3)} +- {shown(p.scores[s].error, 1)}"
            if s in p.scores
            else "-"
            for s in known
        ]
        rows.append([p.method, str(p.coarse.n_sites), p.place, *cells])
    widths = [max(len(r[k]) for r in rows) for k in range(len(rows[0]))]
    lines = ["  ".join(c.ljust(w) for c, w in zip(r, widths)).rstrip() for r in rows]
    return "\n".join([*lines, *(f"{s}: {SCORES[s]}" for s in known)])
