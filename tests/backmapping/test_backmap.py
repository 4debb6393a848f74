"""All atoms from a C-alpha trace alone: the trace comes from structures that the library never saw,
and OpenMM's templates say which atoms and bonds a residue has.
"""

import json
import warnings
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

import cgrec
from cgrec import Frames, System
from cgrec.backmapping.residues import shipped_residues
from cgrec.backmapping.sequence import SequenceResidue, atoms_of_chains
from cgrec.backmapping.soundness import soundness
from cgrec.cli import main
from cgrec.io import times_of, write
from cgrec.remarks import Remark

PEPTIDES = Path(cgrec.__file__).parent / "data" / "peptides"
TWENTY = [
    "ALA",
    "ARG",
    "ASN",
    "ASP",
    "CYS",
    "GLN",
    "GLU",
    "GLY",
    "HIS",
    "ILE",
    "LEU",
    "LYS",
    "MET",
    "PHE",
    "PRO",
    "SER",
    "THR",
    "TRP",
    "TYR",
    "VAL",
]
FIELD = ("amber14-all.xml", "implicit/gbn2.xml")


def trace(names, positions=None, numbers=None, chains=(), **more):
    """Frames of C-alpha atoms; by default on an alpha helix (0.15 nm and 100 degrees a residue)."""
    n = len(names)
    k = np.arange(n)
    turn = np.radians(100.0) * k
    helix = np.stack([0.23 * np.cos(turn), 0.23 * np.sin(turn), 0.15 * k], 1)
    system = System(
        names=("CA",) * n,
        masses=np.full(n, 12.011),
        elements=("C",) * n,
        residues=k,
        residue_names=tuple(names),
        residue_numbers=k + 1 if numbers is None else np.array(numbers),
        chain_ids=chains,
    )
    return Frames(system, (helix if positions is None else positions)[None], 300.0, **more)


def alphas(path):
    return cgrec.read(path, temperature=300.0, selection="name CA")


def rmsd_to(fine, path, names):
    """nm, without superposition, over atoms called `names`; all heavy ones by default."""
    true = cgrec.read(path, temperature=300.0)
    places = {
        (int(r), n): k
        for k, (r, n) in enumerate(zip(true.system.residue_numbers, true.system.names))
    }
    keys = [
        (k, places.get((int(r), n)))
        for k, (r, n) in enumerate(zip(fine.system.residue_numbers, fine.system.names))
        if n in names
    ]
    i, j = np.array([(k, other) for k, other in keys if other is not None]).T
    return np.sqrt(((fine.positions[0, i] - true.positions[0, j]) ** 2).sum(-1).mean())


def volumes(frames, residue, centre, three):
    """(n_frames, n) nm^3 spanned at `centre` of each residue called so, ordered as `three`."""
    s = frames.system
    at = {(int(r), n): k for k, (r, n) in enumerate(zip(s.residues, s.names))}
    mine = [r for (r, n), k in at.items() if n == centre and s.residue_names[k] in residue]
    x = np.asarray(frames.positions, float)
    arms = [np.stack([x[:, at[r, n]] - x[:, at[r, centre]] for r in mine], 1) for n in three]
    return (arms[0] * np.cross(arms[1], arms[2])).sum(-1)


@pytest.mark.slow
@pytest.mark.parametrize("backbone", ["template", "library"])
@pytest.mark.parametrize("name", ["cln025", "ala10_helix", "ala10_extended"])
def test_the_trace_of_a_peptide_is_filled_in(name, backbone):
    path = PEPTIDES / f"{name}.pdb"
    coarse = alphas(path)
    made = cgrec.backmap(coarse, backbone=backbone)
    sound = made.sound
    assert not sound.cis and not sound.wrong_hands and not sound.broken
    assert sound.missing == sound.spurious == 0 and sound.clashes <= 4
    place = [k for k, n in enumerate(made.frames.system.names) if n == "CA"]
    assert np.abs(made.frames.positions[:, place] - coarse.positions).max() < 1e-6
    far = rmsd_to(made.frames, path, ("N", "CA", "C", "O"))
    assert far < (0.06 if backbone == "template" else 0.1)


@pytest.mark.slow
def test_a_protein_that_openmm_ships(tmp_path):
    """Villin headpiece, 35 residues with HIE, beside its water."""
    data = pytest.importorskip("openmm.app", exc_type=ImportError).__file__
    path = Path(data).parent / "data" / "test.pdb"
    lines = [line for line in path.read_text().splitlines() if " CA " in line[:17]]
    (tmp_path / "ca.pdb").write_text("\n".join([*lines, "END\n"]))
    made = cgrec.backmap(cgrec.read(tmp_path / "ca.pdb", temperature=300.0))
    assert not made.sound.cis and not made.sound.wrong_hands and not made.sound.broken
    assert made.sound.left_handed < 0.1
    protein = [
        line
        for line in path.read_text().splitlines()
        if line[17:20] not in ("HOH", "Cl ", " Cl", "CL ")
    ]
    (tmp_path / "protein.pdb").write_text("\n".join(protein))
    assert rmsd_to(made.frames, tmp_path / "protein.pdb", ("N", "CA", "C", "O")) < 0.06


@pytest.fixture(scope="module")
def twenty():
    return cgrec.backmap(trace(TWENTY))


@pytest.mark.slow
def test_all_twenty_amino_acids_have_the_atoms_of_amber(twenty):
    """A force field matches residues by their graphs, so a wrong bond or hydrogen is refused."""
    pytest.importorskip("openmm")
    from cgrec.sources.molecule import force_field_of

    force_field_of(twenty.frames.system, FIELD[:1])
    for name in TWENTY:  # at both ends, too
        chain = [SequenceResidue(name, k, "A") for k in range(3)]
        force_field_of(atoms_of_chains([chain]), FIELD[:1])


@pytest.mark.parametrize(
    ("name", "there", "lacking"),
    [
        ("HIS", {"HE2"}, {"HD1"}),
        ("HSD", {"HD1"}, {"HE2"}),
        ("HIE", {"HE2"}, {"HD1"}),
        ("HSP", {"HD1", "HE2"}, set()),
        ("ASP", set(), {"HD2"}),
        ("ASH", {"HD2"}, set()),
        ("GLH", {"HE2"}, set()),
        ("LYN", {"HZ2"}, {"HZ3"}),
        ("LYSH", {"HZ3"}, set()),
    ],
)
def test_the_name_of_a_residue_tells_its_hydrogens(name, there, lacking):
    system = atoms_of_chains([[SequenceResidue(n, k) for k, n in enumerate(("ALA", name, "ALA"))]])
    names = {n for n, r in zip(system.names, system.residues) if r == 1}
    assert there <= names and not lacking & names


def test_hands_are_those_of_l_amino_acids(twenty):
    """By the rules of Cahn, Ingold and Prelog: N > C > CB at CA is S, OG1 > CA > CG2 at CB of
    threonine R, CA > CG1 > CG2 of isoleucine S; S is counterclockwise seen against the hydrogen.
    """
    chiral = [name for name in TWENTY if name != "GLY"]
    assert (volumes(twenty.frames, chiral, "CA", ("N", "C", "CB")) > 0).all()
    assert (volumes(twenty.frames, ["THR"], "CB", ("OG1", "CA", "CG2")) < 0).all()
    assert (volumes(twenty.frames, ["ILE"], "CB", ("CA", "CG1", "CG2")) > 0).all()
    # pro-R is CG1 of valine and CD1 of leucine: CA > CG1 > CG2 and CB > CD1 > CD2 are clockwise
    assert (volumes(twenty.frames, ["VAL"], "CB", ("CA", "CG1", "CG2")) < 0).all()
    assert (volumes(twenty.frames, ["LEU"], "CG", ("CB", "CD1", "CD2")) < 0).all()
    assert not twenty.sound.wrong_hands


def test_every_seen_isoleucine_and_threonine_has_the_right_hand():
    for name, three, sign in (("ILE", ("CA", "CG1", "CG2"), 1), ("THR", ("OG1", "CA", "CG2"), -1)):
        some = shipped_residues()[name]
        point = {n: some["points"][:, k].numpy() for k, n in enumerate(some["names"])}
        arms = np.stack([point[n] - point["CB"] for n in three], 1)
        assert (sign * np.linalg.det(arms) > 0).all()


def test_a_mirror_image_has_wrong_hands(twenty):
    """`soundness` finds them: a mirror turns every centre."""
    mirrored = replace(twenty.frames, positions=twenty.frames.positions * [-1.0, 1.0, 1.0])
    found = soundness(mirrored, np.zeros(1, bool), 0.0).wrong_hands
    assert len(found) == 21  # all but glycine, threonine and isoleucine twice


@pytest.mark.slow
def test_cis_peptide_bonds_are_counted():
    made = cgrec.backmap(trace(["ALA"] * 8))
    system, x = made.frames.system, np.array(made.frames.positions)
    at = {(int(r), n): k for k, (r, n) in enumerate(zip(system.residues, system.names))}
    moved = [k for k in range(system.n_sites) if system.residues[k] > 3 or k == at[3, "O"]]
    b, c = x[0, at[3, "C"]], x[0, at[4, "N"]]
    axis = (c - b) / np.linalg.norm(c - b)
    # half a turn about the peptide bond
    beyond = [k for k in moved if k != at[3, "O"]]
    x[0, beyond] = b + 2 * ((x[0, beyond] - b) @ axis)[:, None] * axis - (x[0, beyond] - b)
    found = soundness(replace(made.frames, positions=x), np.zeros(1, bool), 0.0)
    assert found.cis == {"ALA5:CA": 1} and not found.cis_proline


@pytest.mark.slow
def test_a_trace_that_is_a_mirror_image_is_named():
    coarse = alphas(PEPTIDES / "ala10_helix.pdb")
    with pytest.warns(Remark, match="is the trace a mirror image"):
        made = cgrec.backmap(replace(coarse, positions=coarse.positions * [-1.0, 1.0, 1.0]))
    assert not made.sound.wrong_hands  # residues stay L


@pytest.mark.slow
def test_draws_follow_the_seed_and_copies_the_frame():
    one = alphas(PEPTIDES / "cln025.pdb")
    both = replace(one, positions=np.concatenate([one.positions, one.positions + 1.0]))
    first, again, other = (cgrec.backmap(both, copies=2, seed=s) for s in (0, 0, 1))
    assert np.array_equal(first.frames.positions, again.frames.positions)
    assert not np.array_equal(first.frames.positions, other.frames.positions)
    place = [k for k, n in enumerate(first.frames.system.names) if n == "CA"]
    wanted = np.repeat(both.positions, 2, 0)
    assert np.abs(first.frames.positions[:, place] - wanted).max() < 1e-6
    assert np.abs(first.frames.positions[0] - first.frames.positions[1]).max() > 0.01


@pytest.mark.slow
def test_a_force_field_lowers_the_energy_and_leaves_the_trace():
    pytest.importorskip("openmm")
    from cgrec.sources.molecule import force_field_of

    coarse = alphas(PEPTIDES / "cln025.pdb")
    plain, made = cgrec.backmap(coarse), cgrec.backmap(coarse, force_field=FIELD)
    potential = force_field_of(plain.frames.system, FIELD)
    assert made.energies[0] < potential.energy_and_forces(plain.frames)[0][0] - 100
    assert made.before == plain.sound
    assert made.sound.clashes <= plain.sound.clashes and made.sound.moved < 1e-6
    assert not made.sound.wrong_hands and not made.sound.cis


@pytest.mark.slow
def test_chains_end_where_names_change_and_numbers_go_back():
    far = trace(["ALA"] * 6).positions[0] + np.repeat([[0.0], [5.0]], 3, 0)
    for given in ({"chains": ("A",) * 3 + ("B",) * 3}, {"numbers": [1, 2, 3] * 2}):
        made = cgrec.backmap(trace(["ALA"] * 6, far, **given))
        assert made.frames.system.names.count("OXT") == 2
        assert made.frames.system.molecules.max() == 1


@pytest.mark.slow
def test_a_box_that_cuts_the_chain():
    whole = alphas(PEPTIDES / "cln025.pdb")
    edge = 2.0 * np.eye(3)
    x = np.mod(whole.positions - whole.positions[0, 4], 2.0)
    assert np.linalg.norm(np.diff(x[0], axis=0), axis=1).max() > 1
    made = cgrec.backmap(replace(whole, positions=x, box=edge))
    assert made.sound.moved < 1e-6 and not made.sound.broken and made.sound.missing == 0


@pytest.mark.slow
def test_missing_residues_are_refused_and_restored_in_parts():
    names, numbers = ["ALA"] * 9, [1, 2, 3, 4, 6, 7, 8, 9, 10]
    x = trace(["ALA"] * 10).positions[0][np.array(numbers) - 1]
    gap = trace(names, x, numbers)
    with pytest.raises(ValueError, match=r"ALA4 and ALA6: 1 residues are missing.*gaps=true"):
        cgrec.backmap(gap)
    made = cgrec.backmap(gap, gaps=True)
    assert made.frames.system.names.count("OXT") == 2
    # numbers that jump where the atoms are neighbours are no gap
    assert cgrec.backmap(trace(["ALA"] * 4, numbers=[1, 2, 7, 8])).sound.missing == 0


@pytest.mark.slow
def test_each_part_of_a_chain_is_read_apart_by_other_programs(tmp_path):
    """A gap, and chains that share a letter: OpenMM bonds what follows in one chain, however far,
    unless a TER or another letter stands between.
    """
    app = pytest.importorskip("openmm.app", exc_type=ImportError)
    names, numbers = ["ALA"] * 9, [1, 2, 3, 4, 6, 7, 8, 9, 10]
    x = trace(["ALA"] * 10).positions[0][np.array(numbers) - 1]
    gap = trace(names, x, numbers, ("A",) * 9)
    again = trace(["ALA"] * 6, trace(["ALA"] * 6).positions[0] + np.repeat([[0.0], [3.0]], 3, 0))
    for k, (frames, more) in enumerate([(gap, {"gaps": True}), (again, {"ends": ["ALA3"]})]):
        with pytest.warns(Remark, match="a letter of its own in the result: .* is B"):
            made = cgrec.backmap(frames, **more)
        path = write(made.frames, tmp_path / f"{k}.pdb")
        lines = path.read_text().splitlines()
        assert sum(line.startswith("TER") for line in lines) == 2
        assert not any(line.startswith("CRYST1") for line in lines)
        pdb = app.PDBFile(str(path))
        assert pdb.topology.getPeriodicBoxVectors() is None
        assert [c.id for c in pdb.topology.chains()] == ["A", "B"]
        app.ForceField(FIELD[0]).createSystem(pdb.topology)
        parts = made.to_json()["chains"]
        assert [(p["letter"], p["begin"], p["end"]) for p in parts] == (
            [("A", "A:ALA1", "A:ALA4"), ("B", "A:ALA6", "A:ALA10")]
            if k == 0
            else [("A", "ALA1", "ALA3"), ("B", "ALA4", "ALA6")]
        )


def test_the_command_honours_ter_and_refuses_endings_first(tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    one = trace(["ALA"] * 6, trace(["ALA"] * 6).positions[0] + np.repeat([[0.0], [3.0]], 3, 0))
    write(one, "plain.pdb")
    lines = Path("plain.pdb").read_text().splitlines()
    third = next(k for k, line in enumerate(lines) if line.startswith("ATOM      3"))
    Path("ca.pdb").write_text("\n".join([*lines[: third + 1], "TER", *lines[third + 1 :]]))
    with pytest.raises(
        SystemExit,
        match=r"at most 0.5 nm apart, found .* nm between A:ALA3 and A:ALA4.*ends=A:ALA3",
    ):
        main(["backmap", "plain.pdb"])
    with pytest.warns(Remark, match="is B"):
        main(["backmap", "ca.pdb"])
    assert "in 6 residues" in capsys.readouterr().out
    assert len(json.loads(Path("ca_atoms.json").read_text())["chains"]) == 2
    for to in ("h.foo", "h"):
        with pytest.raises(SystemExit, match=r"to=h.*expected one of .*h.pdb would be"):
            main(["backmap", "missing.pdb", f"to={to}"])


@pytest.mark.slow
def test_names_of_cysteines_in_a_bridge_are_believed():
    x = np.array([[0.38 * k, 0.0, 0.1 * (k % 2)] for k in range(5)])
    other = x * [1, 1, -1] + [0.0, 0.55, 0.0]
    names = ["ALA", "GLY", "CYX", "GLY", "ALA"]
    place = np.concatenate([x, other])
    chains = ("A",) * 5 + ("B",) * 5
    two = trace(names * 2, place, [*range(1, 6)] * 2, chains)
    with pytest.warns(Remark, match="disulphide bonds A:CYX3-B:CYX3: the names"):
        made = cgrec.backmap(two)
    assert made.to_json()["bridges"] == ["A:CYS3:SG-B:CYS3:SG"]
    far = np.concatenate([x, other + [0.0, 0.4, 0.0]])
    apart = trace(names * 2, far, [*range(1, 6)] * 2, chains)
    with pytest.raises(ValueError, match=r"bridges=A:CYX3-B:CYX3\), or .*rename=CYX:CYS"):
        cgrec.backmap(apart)
    free = cgrec.backmap(apart, rename=["CYX:CYS"])
    assert free.frames.system.names.count("HG") == 2 and not free.to_json()["bridges"]
    thiolate = trace(["ALA", "CYM", "ALA"])
    assert "HG" not in cgrec.backmap(thiolate).frames.system.names


def test_a_trace_with_noise_is_refused_by_name_and_relaxed():
    coarse = alphas(PEPTIDES / "ala10_helix.pdb")
    x = np.array(coarse.positions)
    x[:, 5:] += 0.08 * (x[:, 5:6] - x[:, 4:5]) / 0.38
    with pytest.raises(ValueError, match=r"ALA6 and A:ALA7 0.46.* nm: no residue.*relax=true"):
        cgrec.backmap(replace(coarse, positions=x))
    made = cgrec.backmap(replace(coarse, positions=x), relax=True)
    assert not made.sound.broken and not made.sound.cis
    assert 0.01 < made.sound.moved < 0.05  # half of what is too much at either end, or less


@pytest.mark.slow
def test_a_cis_peptide_bond_of_any_residue_is_restored_whole():
    """Two C-alpha atoms 0.29 nm apart: cis, and no broken bond beside it."""
    coarse = alphas(PEPTIDES / "cln025.pdb")
    x = np.array(coarse.positions)
    step = x[0, 2] - x[0, 1]
    x[0, 2:] += step * (0.29 / np.linalg.norm(step) - 1)
    with pytest.warns(Remark, match="cis peptide bonds before"):
        made = cgrec.backmap(replace(coarse, positions=x))
    assert not made.sound.broken and list(made.sound.cis.values()) == [1]


def test_a_bond_through_a_ring_and_a_short_hydrogen_are_counted(twenty):
    fine = twenty.frames
    system, x = fine.system, np.array(fine.positions)
    assert not twenty.sound.pierced and not twenty.sound.hydrogens
    at = {(system.residue_names[k], n): k for k, n in enumerate(system.names)}
    ring = [at["PHE", n] for n in ("CG", "CD1", "CE1", "CZ", "CE2", "CD2")]
    centre = x[0, ring].mean(0)
    normal = np.cross(x[0, ring[0]] - centre, x[0, ring[1]] - centre)
    normal *= 0.07 / np.linalg.norm(normal)
    x[0, at["MET", "SD"]], x[0, at["MET", "CE"]] = centre + normal, centre - normal
    x[0, at["ALA", "HA"]] = x[0, at["ALA", "CA"]] + 0.75 * (
        x[0, at["ALA", "HA"]] - x[0, at["ALA", "CA"]]
    )
    found = soundness(replace(fine, positions=x), np.zeros(1, bool), 0.0)
    (pierced,) = found.pierced
    assert pierced.startswith("bond of MET:") and "through the ring of PHE:" in pierced
    assert "ALA:HA" in found.hydrogens  # and those of the methyl that was moved
    assert all(label.startswith(("ALA", "MET")) for label in found.hydrogens)
    assert found.worst_clashes[0].overlap >= 0.04
    assert any("MET" in "".join(c.atoms) for c in found.worst_clashes)
    assert "1 rings pierced" in found.sentence()


@pytest.mark.slow
def test_disulphide_bonds():
    x = np.array([[0.38 * k, 0.0, 0.1 * (k % 2)] for k in range(5)])
    other = x * [1, 1, -1] + [0.0, 0.55, 0.0]
    names = ["ALA", "GLY", "CYS", "GLY", "ALA"]
    two = trace(names * 2, np.concatenate([x, other]), [*range(1, 6)] * 2, ("A",) * 5 + ("B",) * 5)
    with pytest.warns(Remark, match="bridges=A:CYS3-B:CYS3 makes it"):
        cgrec.backmap(two)
    made = cgrec.backmap(two, bridges=["A:CYS3-B:CYS3"])
    system = made.frames.system
    sulphurs = [k for k, n in enumerate(system.names) if n == "SG"]
    assert sulphurs in system.bonds.tolist() and "HG" not in system.names
    apart = np.linalg.norm(np.diff(made.frames.positions[0, sulphurs], axis=0))
    assert apart == pytest.approx(0.205, abs=0.03)
    with pytest.raises(ValueError, match=r"bridges= between cysteines, found A:ALA1"):
        cgrec.backmap(two, bridges=["A:ALA1-B:CYS3"])


def test_what_is_no_trace_is_refused():
    whole = cgrec.read(PEPTIDES / "cln025.pdb", temperature=300.0)
    with pytest.raises(ValueError, match=r"found A:TYR1:N.*selection='name CA'"):
        cgrec.backmap(whole)
    two = trace(["ALA"] * 4)
    twice = replace(two.system, residues=np.array([0, 0, 1, 2]))
    with pytest.raises(ValueError, match="expected one C-alpha atom a residue, found 2"):
        cgrec.backmap(replace(two, system=twice))
    with pytest.raises(ValueError, match=r"found MSE \(MSE2:CA\): rename=MSE:MET"):
        cgrec.backmap(trace(["ALA", "MSE", "ALA"]))
    as_met = cgrec.backmap(trace(["ALA", "MSE", "ALA"]), rename=["MSE:MET"])
    assert "SD" in as_met.frames.system.names
    with pytest.raises(ValueError, match=r"found DAL \(DAL2:CA\): leave them out"):
        cgrec.backmap(trace(["ALA", "DAL", "ALA"]))
    with pytest.raises(ValueError, match="three residues or more in a chain, found ALA1 GLY2"):
        cgrec.backmap(trace(["ALA", "GLY"]))
    with pytest.raises(ValueError, match="look at the unit of length"):
        cgrec.backmap(trace(["ALA"] * 4, two.positions[0] / 10))
    with pytest.raises(ValueError, match=r"found 3.83 nm for most.*length_unit=angstrom"):
        cgrec.backmap(trace(["ALA"] * 4, two.positions[0] * 10), gaps=True)
    ion = replace(two.system, elements=("C", "C", "C", "Ca"), residue_names=("ALA",) * 3 + ("CA",))
    with pytest.raises(ValueError, match="selection='name CA and not resname CA'"):
        cgrec.backmap(replace(two, system=ion))
    same = two.positions[0][[0, 1, 1, 2]]
    with pytest.raises(ValueError, match="ALA2 and ALA3: look for an atom or a residue"):
        cgrec.backmap(trace(["ALA"] * 4, same))
    beads = replace(two.system, names=("BB",) * 4, elements=("X",) * 4)
    with pytest.raises(ValueError, match="if these beads lie on them, call them CA"):
        cgrec.backmap(replace(two, system=beads))
    for wrong, said in (
        ({"copies": 0}, "copies= 1 or more"),
        ({"backbone": "flow"}, "one of template, library"),
        ({"rename": ["MSE"]}, "pairs such as MSE:MET"),
        ({"rename": ["MSE:MET"]}, "expected residues of the file, ALA, found MSE"),
    ):
        with pytest.raises(ValueError, match=said):
            cgrec.backmap(two, **wrong)


@pytest.mark.slow
def test_the_command_writes_beside_the_file_and_over_nothing(tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    write(alphas(PEPTIDES / "cln025.pdb"), "ca.pdb")
    with warnings.catch_warnings():
        warnings.simplefilter("error", Remark)  # nothing to be said of a sound trace
        main(["backmap", "ca.pdb"])
    said = capsys.readouterr().out
    assert "ca_atoms.pdb: 1 frames of 166 atoms in 10 residues" in said
    assert "0 cis peptide bonds" in said and "0 wrong hands" in said
    about = json.loads(Path("ca_atoms.json").read_text())
    assert about["atoms"] == 166 and about["sound"]["moved"] < 1e-6
    again = cgrec.read("ca_atoms.pdb", temperature=300.0)
    own = cgrec.backmap(cgrec.read("ca.pdb", temperature=300.0))
    assert np.abs(again.positions - own.frames.positions).max() < 1e-4
    with pytest.raises(SystemExit, match=r"found ca_atoms.pdb: give another name"):
        main(["backmap", "file=ca.pdb"])


@pytest.mark.slow
def test_the_command_takes_a_trajectory(tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    one = alphas(PEPTIDES / "cln025.pdb")
    write(one, "ca.pdb")
    two = np.concatenate([one.positions, one.positions[:, :, ::-1] * [1.0, 1.0, -1.0]])
    write(replace(one, positions=two), "ca.xtc", np.array([5.0, 15.0]))
    main(["backmap", "ca.xtc", "topology=ca.pdb", "to=out/atoms.xtc", "copies=2"])
    made = cgrec.read("out/atoms.xtc", "out/atoms.pdb", temperature=300.0)
    assert len(made) == 4 and made.n_sites == 166
    assert times_of("out/atoms.xtc").tolist() == [5.0, 5.0, 15.0, 15.0]
    about = json.loads(Path("out/atoms.json").read_text())
    assert about["source_frames"] == [0, 0, 1, 1] and about["times"] == [5.0, 5.0, 15.0, 15.0]
    with pytest.raises(SystemExit, match="did you mean topology=?"):
        main(["backmap", "ca.xtc", "topologie=ca.pdb"])


def test_the_command_takes_a_unit_of_length(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    one = alphas(PEPTIDES / "cln025.pdb")
    write(replace(one, positions=one.positions / 10), "nm.pdb")
    with pytest.raises(SystemExit, match=r"length_unit=nm"):
        main(["backmap", "nm.pdb"])
    main(["backmap", "nm.pdb", "length_unit=nm"])
    assert json.loads(Path("nm_atoms.json").read_text())["sound"]["moved"] < 1e-6


def test_a_force_field_that_is_not_there_is_named_with_those_that_are():
    pytest.importorskip("openmm")
    with pytest.raises(ValueError, match=r"force_field: .*found 'amber14'.*amber14-all.xml"):
        cgrec.backmap(trace(["ALA"] * 4), force_field=["amber14"])


def test_files_without_places_are_named(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    write(trace(["ALA"] * 4), "ca.pdb")
    lines = Path("ca.pdb").read_text().splitlines()
    second = next(k for k, line in enumerate(lines) if line.startswith("ATOM      2"))
    lines[second] = lines[second][:30] + "     nan" * 3 + lines[second][54:]
    Path("nan.pdb").write_text("\n".join(lines))
    with pytest.raises(SystemExit, match=r"NaN or infinity.*ALA2:CA"):
        main(["backmap", "nan.pdb"])
    Path("empty.pdb").write_text("END\n")
    with pytest.raises(SystemExit, match="expected ATOM or HETATM lines, found none"):
        main(["backmap", "empty.pdb"])
