"""`backmap`: all atoms of proteins from their C-alpha trace alone, no topology and no training."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import replace

import numpy as np
import torch
from numpy.typing import NDArray

from ..cell import minimum_image
from ..frames import Frames
from ..mapping import alpha_carbons
from ..potential import ForceField
from ..progress import Progress
from ..remarks import remark
from ..sources.molecule import force_field_of
from ..system import System
from .clearing import CLEARING, cleared
from .contacts import contacts
from .disulphides import disulphides, residue_labels, residue_site
from .minimise import minimise
from .possible import check_possible, relaxed_trace
from .residues import ResidueBackmapper, ResidueLibrary, ResidueTemplate
from .restored import ChainPart, Restored
from .sequence import atoms_of_chains
from .soundness import Soundness, soundness, unsound
from .traces import TraceChain, chains_of_trace

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


def backmap(
    frames: Frames,
    *,
    copies: int = 1,
    seed: int = 0,
    force_field: Sequence[str] = (),
    backbone: str = "template",
    gaps: bool = False,
    ends: Sequence[str] = (),
    bridges: Sequence[str] = (),
    rename: Sequence[str] = (),
    relax: bool = False,
) -> Restored:
    """All atoms, hydrogens too, of proteins whose C-alpha atoms `frames` has. These stay where they
    are, unless `relax` lets them move.

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
        ends: residues that are the last of their chain, where neither chain names nor numbers that
            go back tell: A:TYR10
        bridges: disulphide bonds, as pairs of labels: CYS3-CYS40,A:CYS4-B:CYS32; those of residues
            called CYX are found where the trace leaves no doubt
        rename: what residues are restored as: MSE:MET
        relax: first move C-alpha atoms, as little as is needed, where no protein has them so near,
            so far or at such an angle, as in a trace with noise

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
    last = [residue_site(frames.system, label) for label in ends]
    chains = chains_of_trace(frames, gaps, _renamed(rename), last)
    residues = [residue for chain in chains for residue in chain.residues]
    linked = disulphides(frames, residues, _pairs("bridges", bridges, "-", "CYS3-CYS40"))
    system = atoms_of_chains([chain.residues for chain in chains], linked)
    mapping = alpha_carbons(system)
    library = ResidueLibrary.shipped(mapping)
    pair = (library if backbone == "library" else ResidueTemplate.shipped(mapping), library)
    # before the work: a force field may not know a residue
    potential = force_field_of(system, force_field) if force_field else None
    given = replace(frames, system=mapping.coarse, forces=None, energies=None)
    if relax:
        trace = relaxed_trace(given, chains, library.split.units)
    else:
        trace = given
        check_possible(given, chains, library.split.units)
    parts = _parts(frames.system, chains)
    fine = _restored(trace, pair, copies, torch.Generator().manual_seed(seed))
    _check_geometry(fine, library, relax)
    sound, before, energies = _sound(fine, given, library), None, None
    if potential is not None:
        fine, before = _corrected(fine, library, potential), sound
        energies = potential.energy_and_forces(replace(fine, box=None))[0]
        sound = _sound(fine, given, library)
    _say(sound)
    source = np.repeat(np.arange(len(frames)), copies)
    return Restored(fine, sound, before, energies, tuple(parts), source)


def _corrected(fine: Frames, library: ResidueLibrary, potential: ForceField) -> Frames:
    """Minimised under a force field; in the open, as the force field is."""
    with Progress("force field", _STEPS) as bar:
        bare = replace(fine, box=None)
        return replace(
            minimise(bare, library.split, potential, _STEPS, done=bar.advance), box=fine.box
        )


def _check_geometry(fine: Frames, library: ResidueLibrary, relax: bool) -> None:
    """A remark on frames whose bonds and angles no molecule has.

    Raises:
        ValueError: they are most of all.
    """
    bad = np.flatnonzero(library.broken(fine))
    if not len(bad):
        return
    words = (
        f"{len(bad)} of {len(fine)} restored frames have a bond, angle or hand far from what "
        f"molecules have, frame {bad[0]} its {library.mender.worst(fine, int(bad[0]))}"
    )
    if 2 * len(bad) > len(fine):
        way = (
            "look at the C-alpha atoms near these"
            if relax
            else "relax=true moves C-alpha atoms, as little as that needs, to where a protein can "
            "have them"
        )
        raise ValueError(
            f"backmap: expected C-alpha atoms between which residues fit, found that {words}: {way}"
        )
    remark(f"backmap: {words}")


def _pairs(name: str, words: Sequence[str], between: str, example: str) -> list[tuple[str, str]]:
    found = []
    for word in words:
        first, sign, second = word.partition(between)
        if not first or not second or not sign:
            raise ValueError(f"backmap: expected {name}= pairs such as {example}, found {word!r}")
        found.append((first, second))
    return found


def _renamed(rename: Sequence[str]) -> dict[str, str]:
    pairs = _pairs("rename", rename, ":", "MSE:MET")
    names = [first for first, _ in pairs]
    twice = [name for name in names if names.count(name) > 1]
    if twice:
        raise ValueError(
            f"backmap: expected rename= with each residue once, found {twice[0]} twice"
        )
    return dict(pairs)


def _parts(system: System, chains: Sequence[TraceChain]) -> list[ChainPart]:
    """Which residues of the file became which chain; a remark where letters are new."""
    labels = residue_labels(system)
    parts = [ChainPart(c.letter, labels[c.sites[0]], labels[c.sites[-1]]) for c in chains]
    given = system.chain_ids or ("",) * system.n_sites
    if any(chain.letter != given[chain.sites[0]] for chain in chains):
        remark(
            "backmap: each chain, and each part of one, has a letter of its own in the result: "
            + ", ".join(f"{part.begin} to {part.end} is {part.letter}" for part in parts)
        )
    return parts


#: What draws a backbone, and what draws side chains.
Pair = tuple[ResidueBackmapper, ResidueBackmapper]


def _restored(trace: Frames, pair: Pair, copies: int, generator: torch.Generator) -> Frames:
    """`copies` of each frame, a few frames at a time."""
    step = max(1, _BATCH // (_DRAWS * copies))
    parts = [trace[k : k + step] for k in range(0, len(trace), step)]
    with Progress("backmap", len(parts) * CLEARING) as bar:
        found = [_without_faults(part, pair, copies, generator, bar) for part in parts]
    order = np.repeat(np.arange(len(trace)), copies)
    positions = np.concatenate([part.positions for part in found])
    return replace(trace[order], system=found[0].system, positions=positions)


def _without_faults(
    trace: Frames, pair: Pair, copies: int, generator: torch.Generator, bar: Progress
) -> Frames:
    """Answers to a few frames; those with faults are drawn again, and taken where they have fewer."""
    repeated = trace[np.repeat(np.arange(len(trace)), copies)]
    fine = _drawn(repeated, pair, generator, bar.advance)
    faults = _faults(fine, pair[1])
    positions = np.array(fine.positions)
    for k in range(_TRIES):
        bad = np.flatnonzero(faults)
        if not len(bad):
            break
        bar.grow(CLEARING)
        # the last try leaves the template, where that is what does not fit
        chosen = pair if k < _TRIES - 1 else (pair[1], pair[1])
        again = _drawn(repeated[bad], chosen, generator, bar.advance)
        fewer = _faults(again, pair[1]) < faults[bad]
        positions[bad[fewer]] = again.positions[fewer]
        fine = replace(fine, positions=positions)
        faults = _faults(fine, pair[1])
    return fine


def _drawn(
    trace: Frames, pair: Pair, generator: torch.Generator, done: Callable[[], object]
) -> Frames:
    """One answer to each frame: of a few draws the one with least overlap."""
    first, backmapper = pair
    repeated = trace[np.repeat(np.arange(len(trace)), _DRAWS)]
    atoms, _ = first.propose(repeated, generator, density=False)
    fine = replace(repeated, system=first.mapping.fine, positions=atoms.numpy())
    # what stays broken is looked at when overlaps are gone
    fine, _ = first.mender.mended(fine)
    if first is not backmapper:  # all of one frame are alike as yet: one stays so
        others = np.arange(len(fine)) % _DRAWS > 0
        fine = backmapper.redraw(fine, np.tile(others[:, None], trace.n_sites), generator)
    return cleared(fine, backmapper, generator, _DRAWS, done)


def _faults(fine: Frames, backmapper: ResidueBackmapper) -> NDArray[np.int64]:
    """(n_frames,) bonds that should not be, rings with a bond through them, bonds to hydrogen out of
    range, and a thousand where the geometry is broken.
    """
    bare = replace(fine, box=None)
    found = contacts(bare)
    return found.spurious + found.missing + unsound(bare) + 1000 * backmapper.broken(fine)


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
