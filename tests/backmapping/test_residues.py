"""Proteins from their C-alpha trace. Reference chains are built here from bonds, angles and
dihedrals; a trace that was seen has one exact answer.
"""

import os
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch
from scipy.spatial.transform import Rotation

from cgrec import Frames, System, geometry
from cgrec.backmapping import (
    Backmapper,
    LibraryBackmapper,
    ResidueLibrary,
    ResidueTemplate,
    TemplateBackmapper,
    alpha_carbons,
)
from cgrec.io import read
from cgrec.io.amino_acids import canonical
from cgrec.mapping import BackboneAndSideChain, CentresOfMass, ResidueCentres
from cgrec.remarks import Remark

SHARED = Path(os.environ.get("CGREC_DATA", Path(__file__).parents[3] / "shared" / "data"))
PROTEINS = SHARED / "protein_structures" / "experimental"
HELIX, STRAND, LEFT = (-57.0, -47.0), (-120.0, 130.0), (57.0, 47.0)
METHODS = [ResidueTemplate, ResidueLibrary]
#: Names of the side chains of the built residues.
SIDE = {"GLY": [], "ALA": ["CB"], "SER": ["CB", "OG"]}


def placed(a, b, c, r, angle, dihedral):
    """The point at r nm from c with the angle at c and the dihedral about b-c, degrees."""
    angle, dihedral = np.radians([angle, dihedral])
    e1 = (c - b) / np.linalg.norm(c - b)
    normal = np.cross(b - a, e1)
    normal /= np.linalg.norm(normal)
    across = np.cross(normal, e1)
    return c + r * (
        -np.cos(angle) * e1
        + np.sin(angle) * (np.cos(dihedral) * across + np.sin(dihedral) * normal)
    )


def chain(sequence, turns, rotamer=60.0, cis=()):
    """Frames of one chain with the geometry of Engh and Huber; turns: (phi, psi) of all residues,
    degrees; cis: residues after such a bond.
    """
    phi, psi = turns
    names, residues, bonds, x, at = [], [], [], [], {}

    def add(k, name, place, to):
        at[k, name] = len(x)
        names.append(name), residues.append(k), x.append(place)
        bonds.extend([(at[to], len(x) - 1)] if to else [])

    bend = np.radians(111.2)
    start = [
        np.zeros(3),
        np.array([0.1458, 0, 0]),
        np.array([0.1458 - 0.1525 * np.cos(bend), 0.1525 * np.sin(bend), 0]),
    ]
    for k, residue in enumerate(sequence):
        if k:
            back = [x[at[k - 1, n]] for n in ("N", "CA", "C")]
            n = placed(*back, 0.1329, 116.2, psi)
            ca = placed(*back[1:], n, 0.1458, 121.7, 0 if k in cis else 180)
            start = [n, ca, placed(back[2], n, ca, 0.1525, 111.2, phi)]
        add(k, "N", start[0], (k - 1, "C") if k else None)
        add(k, "CA", start[1], (k, "N"))
        add(k, "C", start[2], (k, "CA"))
        add(k, "O", placed(*start, 0.1231, 120.8, psi + 180), (k, "C"))
        if "CB" in SIDE[residue]:
            add(k, "CB", placed(start[0], start[2], start[1], 0.153, 110.1, 122.6), (k, "CA"))
        if "OG" in SIDE[residue]:
            place = placed(start[0], start[1], x[at[k, "CB"]], 0.1417, 110.8, rotamer)
            add(k, "OG", place, (k, "CB"))
    last = len(sequence) - 1
    add(last, "OXT", placed(x[at[last, "N"]], *start[1:], 0.1231, 118, psi), (last, "C"))
    masses = {"C": 12.011, "N": 14.007, "O": 15.999}
    system = System(
        names=tuple(names),
        masses=[masses[n[0]] for n in names],
        elements=tuple(n[0] for n in names),
        bonds=bonds,
        residues=np.array(residues),
        residue_names=tuple(sequence[k] for k in residues),
    )
    return Frames(system, np.array(x)[None], 300.0)


def word(letters):
    return [{"G": "GLY", "A": "ALA", "S": "SER"}[c] for c in letters]


def hands(frames):
    """(n_frames, n) sign of the volume of N, C, CB at CA: +1 for L."""
    index = {(r, n): k for k, (r, n) in enumerate(zip(frames.system.residues, frames.system.names))}
    quads = np.array([[index[r, n] for n in ("CA", "N", "C", "CB")] for r, n in index if n == "CB"])
    ca, n, c, cb = (frames.positions[:, k] for k in quads.T)
    return np.sign((np.cross(n - ca, c - ca) * (cb - ca)).sum(-1))


@pytest.fixture(scope="module")
def seen():
    return [chain(word("GASAGSAASGGA"), turns) for turns in (HELIX, STRAND)]


@pytest.mark.parametrize("method", METHODS)
@pytest.mark.parametrize("turns", [HELIX, STRAND])
def test_another_sequence_on_a_trace_like_those_seen_is_restored_exactly(seen, method, turns):
    answer = chain(word("SAGGASSGAGASAAGS"), turns)
    mapping = alpha_carbons(answer.system)
    fine = method.fit(seen, mapping, nearest=1)(mapping(answer))
    assert (hands(answer) == 1).all()
    assert np.abs(fine.positions - answer.positions).max() < 1e-9


@pytest.mark.parametrize("method", METHODS)
def test_sites_stay_hands_are_left_handed_and_all_turns_with_the_trace(seen, method):
    rng = np.random.default_rng(0)
    answer = chain(word("ASGASAAGSA"), LEFT)  # a fold never seen, and jittered
    mapping = alpha_carbons(answer.system)
    coarse = mapping(answer)
    trace = coarse.positions + rng.normal(scale=0.02, size=(20, *coarse.positions.shape[1:]))
    backmapper = method.fit(seen, mapping)
    turn = Rotation.random(random_state=1).as_matrix()
    fine, turned = (backmapper(Frames(coarse.system, x, 300.0)) for x in (trace, trace @ turn))
    assert np.abs(mapping(fine).positions - trace).max() < 1e-13
    assert (hands(fine) == 1).all()
    assert np.abs(fine.positions @ turn - turned.positions).max() < 1e-9


def test_the_hand_of_the_trace_is_seen():
    """A left-handed trace is filled in by what was seen on one, not by its mirror image."""
    letters, answer = "GASAGSAASGGA", chain(word("SAGGASSGAGAS"), LEFT)
    mapping = alpha_carbons(answer.system)
    both = [chain(word(letters), turns) for turns in (HELIX, LEFT)]
    fine = ResidueTemplate.fit(both, mapping, nearest=1)(mapping(answer))
    assert np.abs(fine.positions - answer.positions).max() < 1e-9


def test_peptide_groups_are_whole(seen):
    """The bond between residues is that of one seen group wherever both atoms come from it."""
    answer = chain(word("ASGASAAGSA"), (-80.0, 60.0))
    mapping = alpha_carbons(answer.system)
    drawn, _ = ResidueLibrary.fit(seen, mapping).propose(
        mapping(answer)[[0] * 20], torch.Generator().manual_seed(0)
    )
    # before what is strained between pieces is mended
    fine = replace(answer, positions=drawn.numpy())
    bonds = answer.system.bonds
    between = answer.system.residues[bonds[:, 0]] != answer.system.residues[bonds[:, 1]]
    i, j = bonds[between].T
    lengths = np.linalg.norm(fine.positions[:, i] - fine.positions[:, j], axis=-1)
    assert len(i) == 9 and np.abs(lengths - 0.1329).max() < 1e-9


def test_alike_surroundings_are_drawn_alike_often():
    letters = word("GAASAAG")
    both = [chain(letters, HELIX, rotamer) for rotamer in (60.0, -60.0)]
    mapping = alpha_carbons(both[0].system)
    fine = ResidueLibrary.fit(both, mapping, nearest=2)(mapping(both[0]), n_draws=1000)
    oxygen = both[0].system.names.index("OG")
    first = np.abs(fine.positions[:, oxygen] - both[0].positions[:, oxygen]).max(1) < 1e-9
    other = np.abs(fine.positions[:, oxygen] - both[1].positions[:, oxygen]).max(1) < 1e-9
    assert (first | other).all()
    assert first.mean() == pytest.approx(0.5, abs=4 * 0.5 / np.sqrt(1000))


def test_odds_fall_off_with_the_distance_of_surroundings(monkeypatch):
    """The weights handed to the draw of a side chain: softmax of -d^2 / 2 width^2, from distances
    worked out here.
    """
    width, handed = 0.05, []
    both = [chain(word("GAAAG"), turns) for turns in (HELIX, (-65.0, -40.0))]
    target = chain(word("GAAAG"), (-60.0, -44.0))
    mapping = alpha_carbons(target.system)
    library = ResidueLibrary.fit(both, mapping, nearest=6, width=width)

    def first_of(parts, likely, generator):
        handed.append((parts.shape[2], likely))
        return likely.argmax(1)

    monkeypatch.setattr(library, "_choice", first_of)
    fine = library(mapping(target))
    told = [likely[0].numpy() for atoms, likely in handed if atoms == 1 and likely.shape[1] == 6][
        -3:
    ]
    assert len(told) == 3

    def around(frames, k):
        index = {
            (r, n): i for i, (r, n) in enumerate(zip(frames.system.residues, frames.system.names))
        }
        at = lambda k, n: frames.positions[0, index[k, n]] if 0 <= k < 5 else None  # noqa: E731
        origin, e1, w = at(k, "CA"), at(k, "N") - at(k, "CA"), at(k, "C") - at(k, "CA")
        e1 = e1 / np.linalg.norm(e1)
        e2 = w - (w @ e1) * e1
        e2 /= np.linalg.norm(e2)
        axes = np.stack([e1, e2, np.cross(e1, e2)], 1)
        points = [
            (at(k, "O"), 1),
            (at(k - 1, "C"), 1),
            (at(k - 2, "CA"), 0.3),
            (at(k - 1, "CA"), 1),
            (at(k + 1, "CA"), 1),
            (at(k + 2, "CA"), 1),
            (at(k + 3, "CA"), 0.3),
        ]
        return [None if p is None else w * (p - origin) @ axes for p, w in points]

    for k, likely in zip((1, 2, 3), told):
        here = around(fine, k)
        squares = []
        for frames in both:
            for j in (1, 2, 3):
                there = around(frames, j)
                squares.append(
                    sum(
                        ((a - (0 if b is None else b)) ** 2).sum()
                        for a, b in zip(here, there)
                        if a is not None
                    )
                )
        weights = np.exp(-(np.array(squares) - min(squares)) / (2 * width**2))
        assert np.allclose(np.sort(likely), np.sort(weights / weights.sum()), atol=1e-9)


def test_several_chains_cut_by_the_box(seen):
    one = chain(word("ASGASA"), HELIX)
    n, s = one.system.n_sites, one.system
    two = System(
        names=s.names * 2,
        masses=np.tile(s.masses, 2),
        elements=s.elements * 2,
        residue_names=s.residue_names * 2,
        bonds=np.concatenate([s.bonds, s.bonds + n]),
        residues=np.concatenate([s.residues, s.residues + 6]),
    )
    x = np.concatenate(
        [one.positions, one.positions @ Rotation.random(random_state=2).as_matrix() + 1], 1
    )
    mapping, box = alpha_carbons(two), 2.5 * np.eye(3)
    coarse = mapping(Frames(two, x, 300.0, box=box))
    cut = replace(coarse, positions=np.mod(coarse.positions - 0.6, 2.5))
    fine = ResidueTemplate.fit(seen, mapping, nearest=1)(cut)
    steps = np.linalg.norm(np.diff(cut.positions.reshape(2, 6, 3), axis=1), axis=-1)
    assert (steps.max(1) > 2).all()  # both are cut
    left = fine.positions + 0.6 - x
    assert np.abs(left - 2.5 * np.round(left / 2.5)).max() < 1e-9


def test_redraw_changes_the_side_chains_asked_for_and_nothing_else():
    letters = word("GSASASG")
    both = [chain(letters, HELIX, rotamer) for rotamer in (60.0, -60.0, 180.0)]
    mapping = alpha_carbons(both[0].system)
    backmapper = ResidueLibrary.fit(both, mapping)
    fine = backmapper(mapping(both[0]), n_draws=30)
    which = np.zeros((30, 7), bool)
    which[::2, 3] = True
    moved = np.abs(backmapper.redraw(fine, which).positions - fine.positions).max(2) > 1e-9
    oxygen = [
        k for k, n in enumerate(fine.system.names) if n == "OG" and fine.system.residues[k] == 3
    ]
    assert 2 <= moved[::2, oxygen].sum() < 15  # a new draw may be the old one
    moved[::2, oxygen] = False
    assert not moved.any()


def test_saved_and_loaded_it_serves_another_protein(seen, tmp_path):
    first, second = (chain(word(w), HELIX) for w in ("GASA", "SSGAAA"))
    fitted = ResidueLibrary.fit(seen, alpha_carbons(first.system))
    fitted.save(tmp_path / "residues.pt")
    mapping = alpha_carbons(second.system)
    loaded = Backmapper.load(tmp_path / "residues.pt", mapping)
    assert isinstance(loaded, ResidueLibrary)
    drawn = [b(mapping(second), n_draws=3).positions for b in (fitted.of(mapping), loaded)]
    assert np.array_equal(*drawn)


def test_refusals(seen):
    first = seen[0]
    mapping = alpha_carbons(first.system)
    renamed = replace(
        first.system,
        residue_names=tuple("CYS" if r == "SER" else r for r in first.system.residue_names),
    )
    with pytest.raises(
        ValueError, match=r"found CYS \(residue 2\): fit it to proteins that hold one"
    ):
        ResidueLibrary.fit(seen, alpha_carbons(renamed))
    most = range(first.system.n_sites - 1)  # OXT is the last
    bare = Frames(first.system.select(most), first.positions[:, most], 300.0)
    with pytest.raises(ValueError, match=r"expected ALA with atoms OXT"):
        ResidueLibrary.fit(bare, mapping)
    with pytest.raises(ValueError, match=r"chain of three residues"):
        ResidueLibrary.fit(seen, alpha_carbons(chain(word("GA"), HELIX).system))
    whole = CentresOfMass({"all": [f"#{k}" for k in range(first.system.n_sites)]})(first.system)
    with pytest.raises(ValueError, match=r"the CA atom of one residue"):
        ResidueLibrary.fit(seen, whole)
    with pytest.raises(ValueError, match=r"atoms called CA"):
        alpha_carbons(System(names=("O",), masses=[16.0]))
    with pytest.raises(ValueError, match=r"found \['depth'\]"):
        ResidueLibrary.fit(seen, mapping, depth=3)


def heavy(name):
    """Standard residues of one experimental structure, without hydrogens."""
    if not (PROTEINS / f"{name}.pdb").exists():
        pytest.skip(f"{PROTEINS / name}.pdb is not here")
    return read(PROTEINS / f"{name}.pdb", temperature=300.0, selection="not (element H or name H*)")


def test_trp_cage_from_other_proteins():
    """Backbone within 0.06 nm, every residue L; 1VII, BBA and the WW domain never saw its fold."""
    answer = heavy("trpcage_2jof")[:1]
    mapping = alpha_carbons(answer.system)
    others = [heavy(n) for n in ("1vii_3frames", "bba_1fme", "wwdomain_1pin", "1uao")]
    fine = ResidueTemplate.fit(others, mapping)(mapping(answer))
    backbone = np.isin(answer.system.names, ["N", "CA", "C", "O"])
    apart = (fine.positions - answer.positions)[:, backbone]
    assert np.sqrt((apart**2).sum(-1).mean()) < 0.06
    assert (hands(fine) == hands(answer)).all()


def omegas(frames):
    """(n_frames, n_peptide_bonds) |CA-C-N-CA|, degrees."""
    system = frames.system
    index = {(int(r), n): k for k, (r, n) in enumerate(zip(system.residues, system.names))}
    last = int(system.residues.max())
    quads = [
        [index[k, "CA"], index[k, "C"], index[k + 1, "N"], index[k + 1, "CA"]] for k in range(last)
    ]
    return np.abs(
        np.degrees(geometry.dihedral(np.asarray(frames.positions, float), np.array(quads)))
    )


@pytest.mark.parametrize("method", METHODS)
@pytest.mark.parametrize("turn", [HELIX, STRAND])
def test_the_trace_says_which_peptide_bond_is_cis(method, turn):
    frames = chain(word("AGASAGA"), turn, cis=(3,))
    mapping = alpha_carbons(frames.system)
    backmapper = method.shipped(mapping)
    restored = backmapper(mapping(frames), n_draws=20)
    found = omegas(restored)
    assert (found[:, 2] < 40).all(), "the two C-alpha atoms 0.29 nm apart mean cis"
    assert (np.delete(found, 2, axis=1) > 140).all()
    assert not backmapper.broken(restored).any()
    assert np.abs(mapping(restored).positions - mapping(frames).positions).max() < 1e-12


def test_a_trace_with_cis_where_none_was_seen_is_said():
    trans, cis = chain(word("AGASAGA"), STRAND), chain(word("AGASAGA"), STRAND, cis=(3,))
    mapping = alpha_carbons(cis.system)
    backmapper = ResidueLibrary.fit(trans, mapping)
    said = pytest.warns(
        Remark, match="the trace has cis peptide bonds .* use ResidueLibrary.shipped"
    )
    with said:
        fine = backmapper(mapping(cis))
    # a sine does not tell cis from trans, so that the sites can turn it
    assert not backmapper.broken(fine).any()
    found = omegas(fine)
    assert found[0, 2] < 40 and (np.delete(found, 2, axis=1) > 140).all()


def test_the_shipped_library_holds_every_amino_acid_and_its_states():
    frames = chain(word("AGA"), STRAND)
    models = ResidueLibrary.shipped(alpha_carbons(frames.system)).models
    twenty = "ALA ARG ASN ASP CYS GLN GLU GLY HIS ILE LEU LYS MET PHE PRO SER THR TRP TYR VAL"
    assert set(models) == set(twenty.split())
    states = {
        "HIS": ("HD1", "HE2"),
        "ASP": ("HD2",),
        "GLU": ("HE2",),
        "LYS": ("HZ1",),
        "CYS": ("HG",),
    }
    for name, hydrogens in states.items():
        points = models[name]["points"][:, [models[name]["names"].index(h) for h in hydrogens]]
        there = ~points.isnan().any(-1)
        assert there.any(0).all()
        assert name in ("LYS",) or (~there).any(0).all(), f"{name} is also seen without {hydrogens}"
    ends = {n for m in models.values() for n in m["names"]}
    assert {"OXT", "H", "H2", "H3"} <= ends


def test_names_of_states_in_force_fields_are_one_amino_acid():
    for name, known in {
        "HIE": "HIS",
        "HSD": "HIS",
        "CYX": "CYS",
        "NALA": "ALA",
        "CHID": "HIS",
        "ASH": "ASP",
        "TRP": "TRP",
    }.items():
        assert canonical(name) == known


def test_two_cysteines_with_a_bond_meet():
    protein = load_disulphide()
    mapping = alpha_carbons(protein.system)
    backmapper = ResidueLibrary.shipped(mapping)
    restored = backmapper(mapping(protein), n_draws=30)
    i, j = (k for k, name in enumerate(protein.system.names) if name == "SG")
    lengths = np.linalg.norm(restored.positions[:, i] - restored.positions[:, j], axis=-1)
    assert ((lengths > 0.17) & (lengths < 0.236)).all()  # 0.203 nm, and what mending may leave
    assert not backmapper.broken(restored).any()


def load_disulphide():
    """Cys-Ala-Ala-Cys of a bridged peptide: one frame of a simulation that no library holds."""
    return read(Path(__file__).parents[1] / "data" / "disulphide.pdb", temperature=300)


def peptide_lengths(frames):
    """(n_frames, n_peptide_bonds) nm."""
    bonds = frames.system.bonds
    i, j = bonds[frames.system.residues[bonds[:, 0]] != frames.system.residues[bonds[:, 1]]].T
    return np.linalg.norm(frames.positions[:, i] - frames.positions[:, j], axis=-1)


@pytest.mark.parametrize(
    "rule", [ResidueCentres(), BackboneAndSideChain()], ids=["residues", "backbone and side chain"]
)
@pytest.mark.parametrize("method", [TemplateBackmapper, LibraryBackmapper])
def test_beads_of_residues_give_whole_peptide_bonds(rule, method):
    """Turned by 20 degrees about its backbone bonds, a chain has residues whose atoms, drawn one by
    one, do not meet.
    """
    rng = np.random.default_rng(3)
    turns = [(-120 + 20 * rng.normal(), 130 + 20 * rng.normal()) for _ in range(60)]
    frames = Frames.concatenate([chain(word("ASGASA"), turn) for turn in turns])
    mapping = rule(frames.system)
    backmapper = method.fit(frames[:50], mapping)
    coarse = mapping(frames[50:])
    drawn, _ = backmapper.propose(coarse, torch.Generator().manual_seed(0), density=False)
    assert (
        np.abs(peptide_lengths(replace(frames[50:], positions=drawn.numpy())) - 0.1329).max() > 0.03
    )
    restored = backmapper(coarse)
    assert np.abs(peptide_lengths(restored) - 0.1329).max() < 0.021
    whole = ~backmapper.broken(restored)
    assert whole.sum() >= 8
    assert (omegas(restored)[whole] > 130).all()
    assert np.abs(mapping(restored).positions - coarse.positions).max() < 1e-12


def test_sites_that_no_molecule_fits_are_refused():
    frames = Frames.concatenate([chain(word("ASGASA"), (-120 + k, 130 - k)) for k in range(20)])
    mapping = ResidueCentres()(frames.system)
    backmapper = TemplateBackmapper.fit(frames, mapping)
    coarse = mapping(frames)
    torn = replace(coarse, positions=2 * coarse.positions)
    with pytest.raises(
        ValueError,
        match="20 of 20 restored frames are broken, the first by its bond .* nm where .* were seen",
    ):
        backmapper(torn)
