"""What `cgrec init` proposes, as the page draws it: atoms, and which bead each lies in."""

from __future__ import annotations

import re
from collections.abc import Sequence
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from ..chain import Chain
from ..chain.forecast import forecast
from ..configuration import build, composed
from ..files import Json, write_text
from ..frames import Frames
from ..mapping import Mapping
from ..report.figures import superpose
from ..report.scenes import looks_of
from ..setup.writing import inline
from ..sources import FileSource, ForceFieldSource, QuantumSource
from ..system import System

#: Atoms up to which a mapping is drawn and edited by hand.
MOST_ATOMS = 20_000


def proposal(path: Path) -> Json:
    """Levels of a YAML that was written here, with the beads of each atom.

    Raises:
        ValueError: a recipe that is refused, in words.
    """
    chain = build(composed([str(path)]))
    frames = _first(chain)
    costs = re.findall(r"^# (Cost: .*(?:\n#   .*)*)", path.read_text(), flags=re.MULTILINE)
    said = [f"{what}: {said}" for what, said in forecast(chain)]
    found: Json = {"said": [*said, *(_joined(one) for one in costs)], "levels": []}
    if frames is None or frames.n_sites > MOST_ATOMS:
        return found
    kinds, kind = looks_of(frames.system)
    laid = superpose(np.asarray(frames.positions[:1], float), frames.system.masses)[0]
    found["atoms"] = {
        "positions": np.round(laid, 4).tolist(),
        "labels": list(frames.system.full_labels),
        "kinds": [{**one, "radius": one["radius"] / 10} for one in kinds],
        "kind": kind,
        "bonds": np.asarray(frames.system.bonds).tolist(),
    }
    total: Mapping | None = None
    for name, recipe in chain.recipes.items():
        system = frames.system if total is None else total.coarse
        if getattr(recipe.mapping, "needs_frames", False):
            break
        own = recipe.mapping(system)
        total = own if total is None else own @ total
        found["levels"].append(
            {
                "name": name,
                "n_sites": total.coarse.n_sites,
                "labels": list(total.coarse.full_labels),
                "beads": _beads(total.sparse_position_weights.toarray()),
            }
        )
    return found


def _joined(comment: str) -> str:
    """A comment of several lines as one."""
    return " ".join(line.lstrip("# ") for line in comment.splitlines())


def _first(chain: Chain) -> Frames | None:
    """The first frame of its source; None of a source that has none before the work."""
    if isinstance(chain.source, ForceFieldSource):
        return chain.source.molecule[1][:1]
    if isinstance(chain.source, QuantumSource) and chain.source.potential is None:
        return chain.source.start()[:1]
    return chain.source.beginning[:1] if isinstance(chain.source, FileSource) else None


def _beads(weights: NDArray[np.float64]) -> list[int]:
    """(n_atoms,) the bead of each, -1 of those in none."""
    inside = weights.any(axis=0)
    return np.where(inside, np.abs(weights).argmax(axis=0), -1).tolist()


def regroup(path: Path, beads: Sequence[Sequence[int]]) -> None:
    """Give the first level of a YAML that was written here other beads, and drop the levels above,
    whose sites were chosen from the old ones.

    Args:
        beads: atoms of each.

    Raises:
        ValueError: beads that no mapping has; the YAML stays as it was.
    """
    before = path.read_text()
    chain = build(composed([str(path)]))
    frames = _first(chain)
    if frames is None:
        raise ValueError("mapping: expected a structure to be grouped, found none before the work")
    write_text(path, _with_beads(before, _labelled(frames.system, beads)))
    try:
        list(forecast(build(composed([str(path)]))))
    except ValueError:
        write_text(path, before)
        raise


def _labelled(system: System, beads: Sequence[Sequence[int]]) -> list[list[str]]:
    given = [[int(atom) for atom in bead] for bead in beads if bead]
    every = [atom for bead in given for atom in bead]
    if not every or not 0 <= min(every) <= max(every) < system.n_sites:
        raise ValueError(f"mapping: expected atoms 0 to {system.n_sites - 1}, found {given}")
    labels = system.unique_labels
    return [
        [f"#{atom}" if "#" in labels[atom] else labels[atom] for atom in bead] for bead in given
    ]


def _with_beads(text: str, beads: list[list[str]]) -> str:
    """The YAML, with these beads in the first level and no other level."""
    n = len(beads)
    rule = inline({"_target_": "cgrec.mapping.Parts", "beads": beads})
    head, first, *_ = re.split(r"^(?=  l\d+:)", text, flags=re.MULTILINE)
    head = re.sub(r"^  - /level@levels\.(?!l1:).*\n", "", head, flags=re.MULTILINE)
    first = re.sub(r"^  l1:.*$", f"  l1:   # {n} sites: chosen by hand", first, flags=re.MULTILINE)
    first = re.sub(r"^    mapping:.*$", lambda _: f"    mapping: {rule}", first, flags=re.MULTILINE)
    ends = f"    variables: {inline({'ends_l1': ['#0', f'#{n - 1}']})}"
    first = re.sub(r"^    variables:.*$", lambda _: ends, first, flags=re.MULTILINE)
    return head + first
