"""What a rule that was written for one system remembers of it, so that another one is refused.

Small molecules call their atoms C1, C2, ... in many files, and "#7" exists in all of them: names
alone do not say whose sites are meant.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterable, Sequence

import numpy as np

from ..system import System


def by_index(labels: Iterable[str]) -> bool:
    """Whether some label is an index, "#7" or "HOH:O (#7)", which means one site in one order of
    sites only.
    """
    return any(label.startswith("#") or " (#" in label for label in labels)


def lasting_labels(system: System) -> tuple[str, ...]:
    """The shortest label that means each site alone; where no name does, its index "#7"."""
    names = system.unique_labels
    return tuple(f"#{site}" if by_index([name]) else name for site, name in enumerate(names))


def molecules_fingerprint(system: System, sites: Sequence[int], indexed: bool) -> str:
    """12 hex digits for the molecules that hold `sites`: names, residue names and bonds, in their
    order.

    What else is in the system, e.g. water, does not count; chains, residue numbers, masses and
    charges do not either, for another file of the same molecules may state others.

    Args:
        sites: indices, at least one.
        indexed: the sites are named by index, so the places of the molecules in the system count.
    """
    owner = system.molecules
    held = np.flatnonzero(np.isin(owner, np.unique(owner[list(sites)])))
    part = system.select(held.tolist())
    about: list[object] = [part.labels, sorted(map(sorted, part.bonds.tolist()))]
    if indexed:
        about.append(held.tolist())
    return hashlib.sha256(json.dumps(about).encode()).hexdigest()[:12]


def check_made_for(
    made_for: str | None, system: System, sites: Sequence[int], indexed: bool, owner: str
) -> None:
    """Refuse a rule on a system whose molecules are not those it was made for; None: it does not
    say.

    Raises:
        ValueError: both fingerprints, and the ways out.
    """
    if made_for is None or not len(sites):
        return
    found = molecules_fingerprint(system, sites, indexed)
    if found == made_for:
        return
    also = (
        "its sites are indices (#7), which mean other atoms here"
        if indexed
        else "if its names mean the right sites here all the same, take made_for out of it"
    )
    raise ValueError(
        f"{owner}: expected the molecules it was made for (made_for {made_for}), found others "
        f"in {system!r} ({found}): "
        "propose mappings for this system with cgrec map to=FOLDER, and use the rules of that "
        f"folder; {also}"
    )
