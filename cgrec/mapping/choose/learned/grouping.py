"""Connected beads whose pairs have together high log-odds of sharing one."""

from __future__ import annotations

from collections.abc import Sequence

from ....bonds import distances

#: Log-odds of sharing a bead for atoms farther apart: people do not make such beads.
FAR = -5.0
#: Borders are moved between beads that have together so many heavy atoms at most; the cost grows
#: with the third power.
LARGEST_PAIR = 64
#: Gains below this are none.
TIE = 1e-9
Partition = list[list[int]]
#: Of each atom, the log-odds with others.
Worth = list[dict[int, float]]


def group(
    near: list[list[int]], log_odds: dict[tuple[int, int], float], n_sites: int | None = None
) -> Partition:
    """Connected beads whose pairs have together high log-odds: the best merges, then moves while
    they gain.

    Moves are of one atom to the bead beside its own, and of the border between two beads to another
    bond. Two beads of a small molecule without rings are the best of all; more are the best that
    moves find.

    Args:
        near: neighbours of each atom of one molecule.
        log_odds: of sharing a bead, for pairs i < j; other pairs have FAR.
        n_sites: how many beads; None: as many as the log-odds favour.

    Returns:
        Atoms of each bead.
    """
    worth: Worth = [{} for _ in near]
    for (i, j), value in log_odds.items():
        worth[i][j] = worth[j][i] = value - FAR
    beads = _merged(near, worth, n_sites)
    while True:
        beads = _moved(near, worth, beads, n_sites is None)
        shifted = _shifted(near, worth, beads)
        if shifted == beads:
            return beads
        beads = shifted


def _merged(near: list[list[int]], worth: Worth, n_sites: int | None) -> Partition:
    """Bonded beads merged, best gain first, down to `n_sites` or while it gains."""
    beads = {i: [i] for i in range(len(near))}
    known = [dict(row) for row in worth]
    touch = [set(around) for around in near]
    gain = lambda a, b: known[a].get(b, 0.0) + FAR * len(beads[a]) * len(beads[b])  # noqa: E731
    while len(beads) > (n_sites or 1):
        best, a, b = max((gain(a, b), -a, -b) for a in beads for b in touch[a] if a < b)
        if n_sites is None and best <= 0:
            break
        a, b = -a, -b
        beads[a] += beads.pop(b)
        touch[a] = (touch[a] | touch[b]) - {a, b}
        for c in touch[b] - {a}:
            touch[c] = (touch[c] - {b}) | {a}
        for c, value in known[b].items():
            known[c].pop(b, None)
            if c != a:
                known[a][c] = known[c][a] = known[a].get(c, 0.0) + value
    return list(beads.values())


def _moved(near: list[list[int]], worth: Worth, beads: Partition, free: bool) -> Partition:
    """Single atoms moved to a bead they are bonded to, or, where the number is `free`, alone, while
    that gains.
    """
    home = {i: k for k, bead in enumerate(beads) for i in bead}
    members = {k: set(bead) for k, bead in enumerate(beads)}
    moved = True
    while moved:
        moved = False
        for i in range(len(near)):
            own = home[i]
            if (len(members[own]) == 1 and not free) or not _connected(near, members[own] - {i}):
                continue
            others = {home[j] for j in near[i]} - {own}
            value = {k: FAR * len(members[k]) for k in others} | {
                own: FAR * (len(members[own]) - 1)
            }
            if free:
                value[max(members) + 1] = 0.0
            for j, w in worth[i].items():
                if home[j] in value:
                    value[home[j]] += w
            best = max(value, key=lambda k: (value[k], k == own, -k))
            if value[best] > value[own] + TIE:
                members[own].remove(i)
                members.setdefault(best, set()).add(i)
                home[i], moved = best, True
                if not members[own]:
                    del members[own]
    return sorted(sorted(bead) for bead in members.values())


def _shifted(near: list[list[int]], worth: Worth, beads: Partition) -> Partition:
    """The border between two beads moved to another bond of theirs, each side taking the atoms
    nearest to it.
    """
    beads = list(beads)
    home = {i: k for k, bead in enumerate(beads) for i in bead}
    for i, around in enumerate(near):
        for j in around:
            a, b = home[i], home[j]
            if a == b or i > j:
                continue
            both = sorted(beads[a] + beads[b])
            if len(both) > LARGEST_PAIR:
                continue
            halves = _halves(near, both)
            best = max(halves, key=lambda sides: _worth_within(worth, sides))
            if _worth_within(worth, best) > _worth_within(worth, (beads[a], beads[b])) + TIE:
                beads[a], beads[b] = best
                home |= dict.fromkeys(best[0], a) | dict.fromkeys(best[1], b)
    return sorted(beads)


def _halves(near: list[list[int]], atoms: list[int]) -> list[tuple[list[int], list[int]]]:
    """For each bond among `atoms`, those nearer to its one end and those nearer to its other."""
    inside = set(atoms)
    part = [
        [j for j in around if j in inside] if i in inside else [] for i, around in enumerate(near)
    ]
    away = {i: distances(part, i, len(atoms)) for i in atoms}
    return [
        (
            [k for k in atoms if away[i][k] <= away[j][k]],
            [k for k in atoms if away[i][k] > away[j][k]],
        )
        for i in atoms
        for j in part[i]
    ]


def _worth_within(worth: Worth, beads: Sequence[list[int]]) -> float:
    total = 0.0
    for bead in beads:
        inside = set(bead)
        total += sum(w for i in bead for j, w in worth[i].items() if j in inside) / 2
        total += FAR * len(bead) * (len(bead) - 1) / 2
    return total


def _connected(near: list[list[int]], atoms: set[int]) -> bool:
    if not atoms:
        return True
    found = {min(atoms)}
    queue = list(found)
    while queue:
        new = (set(near[queue.pop()]) & atoms) - found
        found |= new
        queue += new
    return found == atoms
