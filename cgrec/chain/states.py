"""What report.json says of a chain of residues: its pair distances, its hand, its states."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import asdict

from ..files import Json
from ..frames import Frames
from ..observables import (
    LedgerRow,
    basin_definitions,
    basins,
    helix_hand,
    pair_distance_divergence,
    pair_row,
    transitions,
)
from ..observables.free_energy import Range
from ..observables.ledger import plain
from ..roles import Variable
from ..trace import longest_chain
from ..variables import single_numbers

#: Residues of a molecule that is compared as a chain: shorter ones have no pair that could fold.
LEAST_RESIDUES = 5


def is_chain(frames: Frames) -> bool:
    """Whether the largest molecule is a chain of residues, and the frames are of it alone: in a
    liquid of chains the first of many says little.
    """
    system = frames.system
    if frames.box is not None and bool(system.molecules.any()):
        return False
    return len({int(system.residues[i]) for i in longest_chain(system)}) >= LEAST_RESIDUES


def compare_pairs(
    name: str, against: str, model: Frames, reference: Frames
) -> tuple[list[LedgerRow], list[Json]]:
    """The row of the ledger for the pair distances of a chain, and what report.json says of them;
    nothing of what is no chain.
    """
    if not is_chain(model) or min(len(model), len(reference)) < 2:
        return [], []
    found = pair_distance_divergence(model, reference)
    about = plain({"level": name, "against": against, **found.to_json()})
    return [pair_row(name, against, found)], [about]


def of_chain(frames: Frames, targets: Frames | None = None) -> Json:
    """{"hand": helical turns of both hands} of a chain of alpha carbons, and of its parent's."""
    if not is_chain(frames) or len(frames) < 2:
        return {}
    found = {"own": helix_hand(frames), "parent": None if targets is None else helix_hand(targets)}
    known = {key: hand.to_json() for key, hand in found.items() if hand is not None}
    return {"hand": plain(known)} if known else {}


def states_of(
    frames: Frames,
    variables: tuple[Variable, ...],
    given: Mapping[str, Mapping[str, Sequence[float]]],
    targets: Frames | None = None,
) -> Json:
    """{"states": of the level itself and of its parent} by the basins of the chain.

    Of each basin its population and its free energy in kT relative to the first basin that has a
    frame, with block errors; and of two basins in one variable the transitions between
    them, counted with the gap between the basins as hysteresis.
    """
    singles = [v for one in variables for v in single_numbers(one, frames.system)]
    known = basin_definitions(given, singles)
    if not known:
        return {}
    ensembles = {"own": frames, "parent": targets}
    found = {
        key: _states(ensemble, singles, known)
        for key, ensemble in ensembles.items()
        if ensemble is not None and len(ensemble) > 1
    }
    return {"states": plain(found)}


def _states(
    frames: Frames, variables: list[Variable], known: Mapping[str, Mapping[str, Range]]
) -> Json:
    """{"relative_to", "basins", "transitions"} of one ensemble."""
    for zero in known:
        try:
            energies = basins(frames, variables, known, relative_to=zero)
        except ValueError:  # no frame lies in it
            continue
        return {
            "relative_to": zero,
            "basins": {name: asdict(basin) for name, basin in energies.items()},
            "transitions": _passages(frames, variables, known),
        }
    return {"relative_to": None, "basins": {}, "transitions": None}


def _passages(
    frames: Frames, variables: list[Variable], known: Mapping[str, Mapping[str, Range]]
) -> Json | None:
    """Between two basins of one variable; None where there are not two such."""
    names = {variable for box in known.values() for variable in box}
    axes = [v for v in variables if v.name in names]
    if len(known) != 2 or len(names) != 1 or axes[0].periodic:
        return None
    variable = axes[0]
    lower, upper = sorted(known, key=lambda basin: known[basin][variable.name][0])
    low, high = known[lower][variable.name][1], known[upper][variable.name][0]
    if low > high:
        return None
    found = transitions(variable.of(frames), low, high, frames.replicas)
    return {"variable": variable.name, "low": lower, "high": upper, **found.to_json()}
