"""The ladder: which sites each level keeps, for what kind of system it is.

| system | first level | second level |
|---|---|---|
| protein of 8 residues or more | alpha carbons | centres of two residues each |
| peptide of 3 residues or more | a site for each residue, caps too | a site for each two residues |
| one other molecule | heavy atoms | groups of them |
| ions in a solvent | ions, and a site for each molecule of it | ions: the solvent is integrated out |
| ions whose solvent is gone | the same | - |
| sites that are coarse already | the same | - |
| liquid, mixture, melt, bilayer | groups of few atoms | groups twice as large, or molecules |

Solvent around few molecules is left out when the frames are read: forces on what is left are those
it felt in the solvent, so their mean is that of the potential of mean force. Where the others are a
fifth of the mass or more, as in a bilayer or a mixture with water, it is kept, a site a molecule: it
holds them in place, and without it a bilayer of Martini DLPC fell apart in every replica.
"""

from __future__ import annotations

import math
from dataclasses import dataclass, field

from ..files import Json
from ..frames import Frames
from ..mapping import Mapping, constraint_aware
from ..system import System
from .kinds import Kind, kinds_of, solvent_of

#: Residues from which they are the sites of a chain, and from which two of them make a site that
#: leaves one. All heavy atoms of a tetrapeptide were tried: 18 % cis peptide bonds after minutes.
SHORT_CHAIN, LONG_CHAIN = 3, 8
#: Heavy atoms in a bead, as in Martini; of sites that are beads already, two.
IN_A_BEAD, OF_BEADS = 4, 2
#: Heavy atoms up to which a molecule is one site at once, and up to which it is one at the second
#: level.
SMALL, MEDIUM = 2, 9
#: Heavy atoms of one molecule up to which each is a site of the first level.
ATOMS_EACH = 30
#: Sites that a molecule keeps where it can, and heavy atoms from which pairs of them leave it a bend.
LEAST, BENT = 4, 5
#: Share of the mass from which many molecules are a phase of their own, whose solvent is kept.
CROWDED = 0.2


@dataclass(eq=False)
class Rung:
    """A level to be made.

    Attributes:
        name: l1, l2, ...
        rule: what stands under `mapping` in the YAML.
        why: what its sites are, for a comment.
        mapping: from the level below.
        frames: mapped.
        settings: other keys of the level.
        minutes: forecast of the fit and of the run.
        group: of the shipped level that the settings change.
    """

    name: str
    rule: Json
    why: str
    mapping: Mapping
    frames: Frames
    settings: Json = field(default_factory=dict)
    minutes: float = math.nan
    group: str = "network"


@dataclass(frozen=True, eq=False)
class Situation:
    """What kind of system it is.

    Attributes:
        kinds: of molecules, as they are in the file.
        solvent: the kind that surrounds the others; None without.
        solutes: the others.
        word: "protein", "peptide", "molecule", "ions", "liquid".
    """

    kinds: list[Kind]
    solvent: Kind | None
    solutes: list[Kind]
    word: str

    @property
    def dense(self) -> bool:
        """Whether there are many molecules, whose distances count."""
        return self.word in ("liquid", "ions")

    @property
    def largest(self) -> Kind:
        """The solute with most heavy atoms."""
        return max(self.solutes, key=lambda kind: kind.n_heavy)

    @property
    def dropped(self) -> list[str]:
        """Residues that are left out when the frames are read: a solvent around molecules, and the
        ions in it.
        """
        if self.solvent is None or self.word == "ions":
            return []
        ions = [k for k in self.solutes if k.is_ion]
        return [name for kind in (self.solvent, *ions) for name in kind.residues]


def situation_of(system: System) -> Situation:
    """What kind of system it is."""
    kinds = kinds_of(system)
    solvent = solvent_of(kinds)
    solutes = [k for k in kinds if k is not solvent]
    molecules = [k for k in solutes if not k.is_ion]
    if not molecules:
        return Situation(kinds, solvent, solutes, "ions")
    single = sum(k.count for k in molecules) == 1
    if not single and _share_of_mass(system, molecules) >= CROWDED:
        return Situation(kinds, None, kinds, "liquid")
    alphas = max(k.n_residues for k in molecules)
    if single and alphas >= SHORT_CHAIN:
        return Situation(kinds, solvent, solutes, "protein" if alphas >= LONG_CHAIN else "peptide")
    return Situation(kinds, solvent, solutes, "molecule" if single else "liquid")


def _share_of_mass(system: System, kinds: list[Kind]) -> float:
    """Of all molecules of these kinds."""
    mass = sum(kind.count * system.masses[kind.sites].sum() for kind in kinds)
    return float(mass / system.masses.sum())


def ladder_of(frames: Frames, situation: Situation) -> list[Rung]:
    """Levels from fine to coarse, each mapped from the one below."""
    rungs: list[Rung] = []
    below = frames
    for rule, why in _rules(frames.system, situation):
        mapping = _made(rule, below.system)
        if not 2 <= mapping.coarse.n_sites < below.n_sites:
            continue
        below = _mapped(mapping, below)
        rungs.append(Rung(f"l{len(rungs) + 1}", rule, why, mapping, below))
    if not rungs:  # coarse already, and their forces may be as noisy as those of beads are
        rule = _rule("Mapping.identity", _partial_=True)
        mapping = _made(rule, frames.system)
        rungs.append(Rung("l1", rule, "the sites as they are", mapping, mapping(frames)))
    return rungs


def _mapped(mapping: Mapping, frames: Frames) -> Frames:
    """With forces by a map that rigid distances allow; the level itself takes the least noisy one."""
    return (mapping if frames.forces is None else constraint_aware(mapping))(frames)


def _made(rule: Json, system: System) -> Mapping:
    """The rule of a YAML, applied."""
    from ..configuration.targets import located

    arguments = {k: v for k, v in rule.items() if not k.startswith("_")}
    made = located(rule["_target_"])
    found = made if rule.get("_partial_") else made(**arguments)
    mapping: Mapping = found(system)  # type: ignore[operator]
    return mapping


def _rules(system: System, situation: Situation) -> list[tuple[Json, str]]:
    """Rules of the levels, each with what its sites are."""
    if situation.word == "protein":
        return [
            (_rule("alpha_carbons", _partial_=True), "alpha carbons"),
            (_rule("ResidueCentres", per_site=2), "a site for each two residues"),
        ]
    if situation.word == "peptide":
        return [
            (_rule("ResidueCentres"), "a site for each residue, caps too"),
            (_rule("ResidueCentres", per_site=2), "a site for each two residues"),
        ]
    if situation.word == "ions" and situation.solvent is None:
        return []
    if situation.word == "ions":
        assert situation.solvent is not None
        residues = list(situation.solvent.residues)
        name = ", ".join(residues)
        return [
            (_rule("MoleculeCentres"), f"ions, and a site for each {name}"),
            (_rule("Drop", residues=residues), f"ions; {name} is integrated out"),
        ]
    size = _heavy(situation)
    return _molecule_rules(size) if situation.word == "molecule" else _liquid_rules(system, size)


def _heavy(situation: Situation) -> int:
    return situation.largest.n_heavy


def _molecule_rules(n_heavy: int) -> list[tuple[Json, str]]:
    """Of one molecule: heavy atoms, then groups of them that leave it a shape."""
    first = (_rule("HeavyAtoms"), "heavy atoms")
    if n_heavy > ATOMS_EACH:
        size = max(2, min(IN_A_BEAD, n_heavy // (2 * LEAST)))
        return [(_groups(size), _beads(size)), (_groups(2), "groups of two of these")]
    size = max(2, min(IN_A_BEAD, n_heavy // LEAST))
    return [first, (_groups(size), _beads(size))] if n_heavy >= BENT else [first]


def _liquid_rules(system: System, n_heavy: int) -> list[tuple[Json, str]]:
    """Of many molecules, by the size of the largest."""
    centres = (_rule("MoleculeCentres"), "a site for each molecule")
    if n_heavy <= SMALL:
        return [centres]
    unit = OF_BEADS if set(system.elements) == {"X"} else IN_A_BEAD
    if n_heavy <= MEDIUM:
        size = math.ceil(n_heavy / max(2, round(n_heavy / unit)))
        return [(_groups(size), _beads(size)), centres]
    return [(_groups(unit), _beads(unit)), (_groups(2), "groups of two of these")]


def _rule(name: str, **arguments: object) -> Json:
    return {"_target_": f"cgrec.mapping.{name}", **arguments}


def _groups(size: int) -> Json:
    return _rule("HeavyAtomGroups", size=size)


def _beads(size: int) -> str:
    return f"beads of {size} bonded heavy atoms"
