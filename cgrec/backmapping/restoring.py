"""`backmap`: all atoms of proteins from their C-alpha trace alone, no topology and no training."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace

import numpy as np
import torch
from numpy.typing import NDArray
from tqdm import tqdm

from ..cell import minimum_image
from ..frames import Frames
from ..mapping import alpha_carbons
from ..remarks import remark
from ..sources.molecule import force_field_of
from ..system import System
from .clearing import cleared
from .contacts import contacts
from .minimise import minimise
from .residues import ResidueBackmapper, ResidueLibrary, ResidueTemplate
from .sequence import atoms_of_chains
from .soundness import Soundness, soundness
from .traces import chains_of_trace

#: Where peptide groups come from: the seen one nearest to the mean of those alike, or draws.
BACKBONES = ("template", "library")
#: Draws of which the one with least overlap is kept, and answers at a time.
_DRAWS, _BATCH = 8, 64
#: Tries at frames that came out broken.
_TRIES = 3
#: Force calls under a force field.
_STEPS = 500
#: Share of residues with phi above zero that no fold of L amino acids has.
_MIRRORED = 0.3
#: Atoms of cysteines that may be a bridge are this near, nm (CA): 0.44 to 0.68 in known ones (M.
#: Petersen, P. Jonson, S. Petersen, Protein Eng. 12, 535 (1999)).
_BRIDGE = (0.40, 0.70)


@dataclass(frozen=True)
class Restored:
    """What `backmap` gives.

    Attributes:
        frames: all atoms, the copies of the first frame first.
        sound: what is wrong with them.
        before: the same before the force field; None without one.
        energies: (n_frames,) kJ/mol of the force field, or None.
    """

    frames: Frames
    sound: Soundness
    before: Soundness | None
    energies: NDArray[np.float64] | None

    def to_json(self) -> dict[str, object]:
        """Plain numbers and labels."""
        return {
            "atoms": self.frames.n_sites,
            "residues": len(np.unique(self.frames.system.residues)),
            "sound": self.sound.to_json(),
            "before_force_field": None if self.before is None else self.before.to_json(),
            "energies": None if self.energies is None else self.energies.tolist(),
        }


def backmap(
    frames: Frames,
    *,
    copies: int = 1,
    seed: int = 0,
    force_field: Sequence[str] = (),
    backbone: str = "template",
    gaps: bool = False,
    bridges: Sequence[str] = (),
    rename: Sequence[str] = (),
) -> Restored:
    """All atoms, hydrogens too, of proteins whose C-alpha atoms `frames` has. These stay where they
    are.

    Ends are charged, NH3+ and COO-; a cap (ACE, NME) has no C-alpha atom and is not restored.
    Histidine has its hydrogen at NE2 unless it is called HID or HIP. Molecules do not see their
    images in a box.

    Args:
        frames: a site CA for each residue, and no other.
        copies: different answers to each frame, which differ in side chains and peptide groups
        seed: of all draws
        force_field: OpenMM force-field files, such as amber14-all.xml,implicit/gbn2.xml, in which
            the energy is minimised at the end; without any, overlaps are taken out and bonds and
            angles kept to those that were seen
        backbone: template (each peptide group as the seen one nearest to the mean of those alike;
            copies differ in side chains) or library (drawn from those alike; copies differ in all)
        gaps: restore the parts of a chain that lacks residues one by one
        bridges: disulphide bonds, as pairs of labels: CYS3-CYS40,A:CYS4-B:CYS32
        rename: what residues are restored as: MSE:MET

    Raises:
        ValueError: another trace than `chains_of_trace` takes; options out of bounds; a force field
            that does not know a residue.
        ImportError: a force field without OpenMM.
    """
    if copies < 1:
        raise ValueError(f"backmap: expected copies= 1 or more, found {copies}")
    if backbone not in BACKBONES:
        raise ValueError(
            f"backmap: expected backbone= one of {', '.join(BACKBONES)}, found {backbone}"
        )
    system = _all_atoms(frames, gaps, bridges, rename)
    mapping = alpha_carbons(system)
    backmapper = ResidueLibrary.shipped(mapping)
    first = backmapper if backbone == "library" else ResidueTemplate.shipped(mapping)
    # before the work: a force field may not know a residue
    potential = force_field_of(system, force_field) if force_field else None
    trace = replace(frames, system=mapping.coarse, forces=None, energies=None)
    fine = _restored(trace, (first, backmapper), copies, torch.Generator().manual_seed(seed))
    restored = _sound(fine, trace, backmapper)
    if potential is None:
        _say(restored)
        return Restored(fine, restored, None, None)
    # in the open, as the force field is
    bare = replace(fine, box=None)
    corrected = minimise(bare, backmapper.split, potential, _STEPS)
    energies = potential.energy_and_forces(corrected)[0]
    fine = replace(corrected, box=fine.box)
    sound = _sound(fine, trace, backmapper)
    _say(sound)
    return Restored(fine, sound, restored, energies)


def _all_atoms(frames: Frames, gaps: bool, bridges: Sequence[str], rename: Sequence[str]) -> System:
    """Of the chains of a trace."""
    chains = chains_of_trace(frames, gaps, _pairs("rename", rename, ":", "MSE:MET"))
    linked = _bridges(frames.system, bridges)
    _check_cysteines(frames, linked)
    return atoms_of_chains([chain.residues for chain in chains], linked)


def _pairs(name: str, words: Sequence[str], between: str, example: str) -> dict[str, str]:
    found = {}
    for word in words:
        first, sign, second = word.partition(between)
        if not first or not second or not sign:
            raise ValueError(f"backmap: expected {name}= pairs such as {example}, found {word!r}")
        found[first] = second
    return found


def _bridges(system: System, bridges: Sequence[str]) -> list[tuple[int, int]]:
    """Sites of each pair of cysteines; a residue is one site."""
    found = []
    for pair in _pairs("bridges", bridges, "-", "CYS3-CYS40").items():
        sites = [system.site(f"{label}:CA") for label in pair]
        wrong = [label for label, k in zip(pair, sites) if not _is_cysteine(system, k)]
        if wrong:
            raise ValueError(f"backmap: expected bridges= between cysteines, found {wrong[0]}")
        found.append((min(sites), max(sites)))
    twice = [k for k in range(system.n_sites) if sum(k in pair for pair in found) > 1]
    if twice:
        raise ValueError(
            f"backmap: expected one bridge of a cysteine, found two of "
            f"{system.full_labels[twice[0]]}"
        )
    return found


def _is_cysteine(system: System, site: int) -> bool:
    return system.residue_names[site] in ("CYS", "CYX", "CYM", "CYS2", "CYSS")


def _check_cysteines(frames: Frames, linked: Sequence[tuple[int, int]]) -> None:
    """A remark on cysteines near enough for a bridge that nobody named."""
    system = frames.system
    free = [
        k
        for k in range(system.n_sites)
        if _is_cysteine(system, k) and not any(k in pair for pair in linked)
    ]
    x = np.asarray(frames.positions[:, free], float)
    apart = np.linalg.norm(x[:, :, None] - x[:, None], axis=-1)
    near = ((apart > _BRIDGE[0]) & (apart < _BRIDGE[1])).all(0)
    names = [label.removesuffix(":CA") for label in system.full_labels]
    pairs = [f"{names[free[i]]}-{names[free[j]]}" for i, j in np.argwhere(near).tolist() if i < j]
    if pairs:
        remark(
            f"backmap: cysteines near enough for a disulphide bond are restored without it: "
            f"bridges={','.join(pairs)} makes it"
        )


#: What draws a backbone, and what draws side chains.
Pair = tuple[ResidueBackmapper, ResidueBackmapper]


def _restored(trace: Frames, pair: Pair, copies: int, generator: torch.Generator) -> Frames:
    """`copies` of each frame, a few frames at a time."""
    step = max(1, _BATCH // (_DRAWS * copies))
    parts = [trace[k : k + step] for k in range(0, len(trace), step)]
    shown = tqdm(parts, desc="backmap", unit="part", disable=len(parts) < 2)
    found = [_without_faults(part, pair, copies, generator) for part in shown]
    order = np.repeat(np.arange(len(trace)), copies)
    positions = np.concatenate([part.positions for part in found])
    return replace(trace[order], system=found[0].system, positions=positions)


def _without_faults(trace: Frames, pair: Pair, copies: int, generator: torch.Generator) -> Frames:
    """Answers to a few frames; those with faults are drawn again, and taken where they have fewer."""
    repeated = trace[np.repeat(np.arange(len(trace)), copies)]
    fine = _drawn(repeated, pair, generator)
    faults = _faults(fine, pair[1])
    positions = np.array(fine.positions)
    for k in range(_TRIES):
        bad = np.flatnonzero(faults)
        if not len(bad):
            break
        # the last try leaves the template, where that is what does not fit
        again = _drawn(repeated[bad], pair if k < _TRIES - 1 else (pair[1], pair[1]), generator)
        fewer = _faults(again, pair[1]) < faults[bad]
        positions[bad[fewer]] = again.positions[fewer]
        fine = replace(fine, positions=positions)
        faults = _faults(fine, pair[1])
    return fine


def _drawn(trace: Frames, pair: Pair, generator: torch.Generator) -> Frames:
    """One answer to each frame: of a few draws the one with least overlap."""
    first, backmapper = pair
    fine = first(trace, _DRAWS, generator)
    if first is not backmapper:  # all of one frame are alike as yet: one stays so
        others = np.arange(len(fine)) % _DRAWS > 0
        fine = backmapper.redraw(fine, np.tile(others[:, None], trace.n_sites), generator)
    return cleared(fine, backmapper, generator, _DRAWS)


def _faults(fine: Frames, backmapper: ResidueBackmapper) -> NDArray[np.int64]:
    """(n_frames,) bonds that should not be, such as of a chain through a ring, and a thousand where
    the geometry is broken.
    """
    found = contacts(replace(fine, box=None))
    return found.spurious + found.missing + 1000 * backmapper.broken(fine)


def _sound(fine: Frames, trace: Frames, backmapper: ResidueBackmapper) -> Soundness:
    copies = len(fine) // len(trace)
    back = np.asarray(backmapper.mapping(replace(fine, box=None)).positions, float)
    off = back - np.repeat(np.asarray(trace.positions, float), copies, 0)
    boxes = trace.boxes()
    if boxes is not None:  # a chain cut by the box was made whole
        every = np.repeat(np.asarray(boxes, float), copies, 0)
        off = np.stack([minimum_image(o, box) for o, box in zip(off, every)])
    return soundness(replace(fine, box=None), backmapper.broken(fine), float(np.abs(off).max()))


def _say(sound: Soundness) -> None:
    if sound.left_handed > _MIRRORED:
        remark(
            f"backmap: {sound.left_handed:.0%} of the residues have phi above zero, where proteins "
            "of L amino acids have a few percent: is the trace a mirror image, or its model one "
            "that does not know left from right?"
        )
    if sound.wrong_hands:
        remark(f"backmap: wrong hand at {', '.join(sound.wrong_hands)}")
    if sound.cis:
        remark(f"backmap: cis peptide bonds before {', '.join(sound.cis)}")
