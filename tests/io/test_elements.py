"""Which atoms a file holds: elements by residue, beads that are none, one of several places, no
massless sites.
"""

from pathlib import Path

import numpy as np
import pytest

import cgrec
from cgrec.io import load_topology
from cgrec.io.elements import (
    Doubt,
    classify,
    guess_element,
    guess_elements,
    mass_agrees,
)
from cgrec.io.pdb import one_location
from cgrec.io.stated import check_pdb
from cgrec.io.topology import read_species, read_topology
from cgrec.remarks import Remark

DATA = Path(__file__).parents[1] / "data"


def in_residue(names, residue="LIG", masses=None):
    names = names.split()
    return guess_elements(names, [residue] * len(names), [0] * len(names), masses)


def gro(path, *sites):
    """A GRO file of (residue number, residue, name, x, y, z) in nm."""
    lines = [
        f"{n:5d}{r:<5}{a:>5}{k + 1:5d}{x:8.3f}{y:8.3f}{z:8.3f}"
        for k, (n, r, a, x, y, z) in enumerate(sites)
    ]
    path.write_text("\n".join(["test", str(len(lines)), *lines, "   3.0 3.0 3.0"]) + "\n")
    return path


# ---- names to elements --------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("residue", "symbol"),
    [
        ("CA", "Ca"),
        ("CD", "Cd"),
        ("CO", "Co"),
        ("CU", "Cu"),
        ("NI", "Ni"),
        ("SR", "Sr"),
        ("PB", "Pb"),
        ("HG", "Hg"),
        ("CL", "Cl"),
        ("NA", "Na"),
        ("NA+", "Na"),
        ("CL-", "Cl"),
        ("CAL", "Ca"),
        ("SOD", "Na"),
        ("CLA", "Cl"),
        ("ZN2", "Zn"),
        ("K", "K"),
        ("FE2", "Fe"),
        ("BA", "Ba"),
        ("IOD", "I"),
        ("CA2+", "Ca"),
        ("MN", "Mn"),
        ("AU", "Au"),
    ],
)
def test_an_ion_is_alone_in_a_residue_of_its_name(residue, symbol):
    assert in_residue(residue, residue) == [symbol]


@pytest.mark.parametrize(
    ("names", "residue", "symbols"),
    [
        ("N CA C O CB CG CD OE1 NE2 HE21 1HG2 HG2 HA OXT", "GLN", "N C C O C C C O N H H H H O"),
        ("CA", "ALA", "C"),
        ("N CA CB SE CE HG", "MSE", "N C C Se C H"),
        ("N D DA CA", "GLY", "N H H C"),
        ("FE NA NB NC ND C1A CHA", "HEM", "Fe N N N N C C"),
        ("CAA CAL CAM OAB NAC HAA", "UNL", "C C C O N H"),
        ("C1 CL1 BR2 F3 I4 SI5 O6 H7", "LIG", "C Cl Br F I Si O H"),
        ("PA PB PG O1A O3' N9 C8", "ATP", "P P P O O N C"),
        ("P OP1 O5' C5' H5'' N9 H61", "DA", "P O O C H N H"),
        ("OW HW1 HW2 MW", "SOL", "O H H X"),
        ("O H1 H2 EPW", "WAT", "O H H X"),
        ("D1 D2 O", "DOD", "H H O"),
        ("C2 N2 CO", "B12", "C N Co"),
        ("Si O1 O2", "SIO", "Si O O"),
        ("CA CB CD CE HE N1", "XYZ", "C C C C H N"),
        ("N1 N2", "N2", "N N"),
    ],
)
def test_elements_follow_the_residue(names, residue, symbols):
    assert in_residue(names, residue) == symbols.split()


@pytest.mark.parametrize("name", ["CO", "NI", "CU", "HG", "SR", "NA", "OS", "IN", "CR"])
def test_what_could_be_two_elements_is_a_doubt_until_a_mass_decides(name):
    others, symbols = "C1 C2 O1 H1", (name[0], name.capitalize())
    assert in_residue(f"{others} {name}")[-1] == Doubt(symbols)
    from ase.data import atomic_masses, atomic_numbers

    for symbol in symbols:
        masses = [12.011, 12.011, 15.999, 1.008, atomic_masses[atomic_numbers[symbol]]]
        assert in_residue(f"{others} {name}", masses=masses)[-1] == symbol


@pytest.mark.parametrize(
    ("names", "residue"),
    [
        ("W", "W"),
        ("BB SC1 SC2", "TYR"),
        ("NC3 PO4 GL1 GL2 C1A C2A", "DPPC"),
        ("C1 C2 C3", "HD"),
        ("SOL", "SOL"),
        ("ROH R1 R2 C1", "CHOL"),
        ("P4", "P4"),
        ("EO EO", "PEO"),
        ("WF", "WF"),
        ("POL", "POL"),
        ("D1A GL0", "LIP"),
    ],
)
def test_beads_are_no_elements(names, residue):
    assert set(in_residue(names, residue)) == {"X"}


@pytest.mark.parametrize(
    "names",
    [
        "P5 Nda Na C1",
        "P4 P4",
        "C1 N4a BB",
        "W",
        "Cm",
        "Qd Q0 SC1",
        "C1 C2 P1",
        "BB BB",
        "SC1",
        "SP1 SP1",
        "TC5 SN3a",
        "A B",
    ],
)
def test_bead_names_of_a_list_are_no_elements(names):
    assert set(guess_elements(names.split())) == {"X"}


@pytest.mark.parametrize("name", ["W", "P4", "C1", "Cm", "N4a", "SOL", "Na", "CA"])
def test_a_mass_of_a_bead_makes_a_bead(name):
    assert guess_element(name, 72.0) == "X" and guess_element(name, 36.0) == "X"


@pytest.mark.parametrize(
    ("mass", "element"),
    [
        (14.027, "C"),
        (15.035, "C"),
        (16.043, "C"),
        (14.007, "N"),
        (14.01, "N"),
        (15.9994, "O"),
        (16.0, "O"),
        (1.0, "H"),
        (12.0, "C"),
        (35.453, "Cl"),
        (22.99, "Na"),
        (18.015, "X"),
        (72.0, "X"),
    ],
)
def test_without_a_name_the_mass_decides(mass, element):
    assert guess_element("", mass) == element


def test_rare_elements_need_their_mass():
    assert guess_element("W", 183.84) == "W" and guess_element("W") == "X"
    assert guess_element("U", 238.03) == "U" and guess_element("U") == "X"


@pytest.mark.parametrize(
    ("element", "mass", "agrees"),
    [
        ("H", 3.024, True),
        ("H", 4.0, True),
        ("C", 5.96, True),
        ("C", 3.03, True),
        ("C", 15.035, True),
        ("O", 9.95, True),
        ("O", 18.015, False),
        ("C", 36.0, False),
        ("N", 72.0, False),
        ("Na", 22.99, True),
        ("Na", 14.007, False),
        ("H", 12.0, False),
        ("Cl", 36.97, True),
        ("Fe", 72.0, False),
    ],
)
def test_masses_of_moved_and_joined_hydrogens_agree(element, mass, agrees):
    assert mass_agrees(element, mass) is agrees


# ---- files --------------------------------------------------------------------------------------


def test_heme_has_nitrogens_and_one_remark_lists_the_guesses():
    with pytest.warns(
        Remark, match=r"HEM:FE is Fe, HEM:NA is N, HEM:NB is N, HEM:ND is N\. Where"
    ) as seen:
        system = cgrec.read(DATA / "heme.gro", temperature=300).system
    assert system.elements[:5] == ("Fe", "N", "N", "N", "N") and set(system.elements[5:]) == {"C"}
    assert len([w for w in seen if "guessed" in str(w.message)]) == 1
    bonded = {tuple(system.names[i] for i in pair) for pair in system.bonds.tolist()}
    assert {("NA", "C1A"), ("NB", "C4B")} <= bonded


def test_calcium_and_alpha_carbon_in_one_file(tmp_path):
    path = gro(
        tmp_path / "m.gro",
        (1, "GLY", "N", 0.0, 0, 0),
        (1, "GLY", "CA", 0.147, 0, 0),
        (1, "GLY", "C", 0.2, 0.142, 0),
        (2, "CA", "CA", 1.0, 1, 1),
        (3, "NA", "NA", 2, 2, 2),
        (4, "CL", "CL", 2.5, 1, 1),
        (5, "CO", "CO", 1, 2, 1),
    )
    system = cgrec.read(path, temperature=300).system
    assert system.elements == ("N", "C", "C", "Ca", "Na", "Cl", "Co")
    assert system.masses[3] == pytest.approx(40.078) and len(system.bonds) == 2


def test_a_doubtful_name_is_asked_for_and_both_ways_out_work(tmp_path):
    path = gro(
        tmp_path / "d.gro",
        *[(1, "LIG", n, 0.15 * k, 0, 0) for k, n in enumerate(["C1", "CO", "N1", "O1"])],
    )
    with pytest.raises(
        ValueError,
        match=r"LIG:CO \(C or Co\); give elements=\{'LIG:CO': 'C'\}.*masses=\{'CO': amu\}",
    ):
        cgrec.read(path, temperature=300)
    for key in ("LIG:CO", "CO"):
        found = cgrec.read(path, temperature=300, elements={key: "Co"}).system
        assert found.elements == ("C", "Co", "N", "O") and found.masses[1] == pytest.approx(
            58.933, rel=1e-4
        )
    assert cgrec.read(path, temperature=300, masses={"CO": 58.933}).system.elements[1] == "Co"
    assert cgrec.read(path, temperature=300, masses={"CO": 12.011}).system.elements[1] == "C"


def test_elements_given_must_be_of_sites_and_symbols(tmp_path):
    path = gro(tmp_path / "d.gro", (1, "LIG", "C1", 0, 0, 0), (1, "LIG", "O1", 0.12, 0, 0))
    with pytest.raises(ValueError, match=r"elements: no site is called 'C2'; there are C1, O1"):
        cgrec.read(path, temperature=300, elements={"C2": "C"})
    with pytest.raises(ValueError, match=r"elements\['C1'\]: expected the symbol of an element"):
        cgrec.read(path, temperature=300, elements={"C1": "Carbon"})


def test_martini_water_asks_for_its_mass_and_gets_no_bonds(tmp_path):
    path = gro(tmp_path / "w.gro", *[(k, "W", "W", 0.2 * k, 0, 0) for k in range(1, 6)])
    with pytest.raises(ValueError, match=r"site 0 \(W\) has no mass"):
        cgrec.read(path, temperature=300)
    system = cgrec.read(path, temperature=300, masses={"W": 72.0}).system
    assert set(system.elements) == {"X"} and not len(system.bonds) and set(system.types) == {"W"}


def test_the_element_column_of_a_pdb_wins(tmp_path):
    path = tmp_path / "c.pdb"
    line = "HETATM{:>5} {:<4} LIG A   1    {:8.3f}{:8.3f}{:8.3f}  1.00  0.00          {:>2}\n"
    sites = [
        ("CO", 0.0, "CO"),
        ("NA", 5.0, "N"),
        ("HG", 9.0, "H"),
        ("D1", 9.9, "D"),
        ("CA", 15.0, "CA"),
    ]
    path.write_text(
        "".join(line.format(k + 1, name, x, 0, 0, e) for k, (name, x, e) in enumerate(sites))
    )
    system = load_topology(path)[0]
    assert system.elements == ("Co", "N", "H", "H", "Ca")
    assert system.masses[3] == pytest.approx(2.014) and system.masses[2] == pytest.approx(1.008)


PSF_HEAD = "PSF EXT\n\n         1 !NTITLE\n* masses\n\n{:>10} !NATOM\n"


def psf(path, atoms, bonds):
    """A PSF of (residue, name, type, mass) and bonds counted from 1."""
    lines = [
        f"{k + 1:>10} A        1        {r:<8} {n:<8} {t:<6} {0.0:>12.6f} {m:>12.4f} {0:>11}\n"
        for k, (r, n, t, m) in enumerate(atoms)
    ]
    pairs = "".join(f"{i:>10}{j:>10}" for i, j in bonds)
    path.write_text(
        PSF_HEAD.format(len(atoms))
        + "".join(lines)
        + f"\n{len(bonds):>10} !NBOND: bonds\n{pairs}\n\n"
    )
    return path


def test_united_atoms_keep_their_types_and_masses(tmp_path):
    atoms = [
        ("BUT", "C1", "CH3", 15.035),
        ("BUT", "C2", "CH2", 14.027),
        ("BUT", "C3", "CH2", 14.027),
        ("BUT", "O4", "OA", 15.999),
    ]
    system = load_topology(psf(tmp_path / "u.psf", atoms, [(1, 2), (2, 3), (3, 4)]))[0]
    assert system.elements == ("C", "C", "C", "O") and system.types == ("CH3", "CH2", "CH2", "O")
    assert system.masses.tolist() == [15.035, 14.027, 14.027, 15.999]


def test_repartitioned_masses_of_a_topology_break_nothing(tmp_path):
    atoms = [
        ("MOL", "CA", "CT", 5.963),
        *[("MOL", f"HA{k}", "HC", 3.024) for k in (1, 2, 3)],
        ("MOL", "OH", "OH", 13.983),
        ("MOL", "HO", "HO", 3.024),
    ]
    path = psf(tmp_path / "h.psf", atoms, [(1, 2), (1, 3), (1, 4), (1, 5), (5, 6)])
    with pytest.warns(Remark, match=r"up to 3.02 amu.*true masses"):
        system = load_topology(path)[0]
    assert system.elements == ("C", "H", "H", "H", "O", "H") and system.types == system.elements
    np.testing.assert_allclose(system.masses, [12.011, 1.008, 1.008, 1.008, 15.999, 1.008])


def test_deuterium_is_not_taken_for_moved_mass(tmp_path):
    atoms = [
        ("MOL", "C1", "CT", 12.011),
        *[("MOL", f"H{k}", "HC", 2.014) for k in (1, 2, 3)],
        ("MOL", "O1", "OH", 15.999),
    ]
    system = load_topology(psf(tmp_path / "d.psf", atoms, [(1, 2), (1, 3), (1, 4), (1, 5)]))[0]
    assert system.masses[1] == pytest.approx(2.014) and system.elements[1] == "H"


# ---- several places -----------------------------------------------------------------------------


def test_one_place_of_several_is_kept_with_a_remark():
    with pytest.warns(
        Remark, match=r"1 residues have atoms at several places.*\(A\), and 4 sites are left out"
    ):
        frames = cgrec.read(DATA / "two_places.pdb", temperature=300)
    system = frames.system
    assert system.n_sites == 22 and len(set(system.labels)) == 22 and len(system.bonds) == 21
    np.testing.assert_allclose(
        frames.positions[0, system.site("ALA:CB")], [0.0239, -0.1729, -0.0927], atol=1e-5
    )


def test_one_letter_everywhere_is_no_choice(tmp_path, recwarn):
    path = tmp_path / "b.pdb"
    lines = [
        line
        for line in (DATA / "two_places.pdb").read_text().splitlines(True)
        if line[16:17] != "A"
    ]
    path.write_text("".join(lines))
    assert cgrec.read(path, temperature=300).n_sites == 22
    assert not [w for w in recwarn if "several places" in str(w.message)]


@pytest.mark.parametrize(
    ("rows", "kept"),
    [
        ("A 0.4 CB ALA, B 0.6 CB ALA", [1]),  # the most occupied
        ("A 0.5 CB ALA, B 0.5 CB ALA", [0]),  # equal: A
        ("B 0.5 CB ALA, A 0.5 CB ALA", [1]),  # whatever their order
        ("- 1.0 CA ALA, B 0.3 CB ALA", [0, 1]),  # B is the only one
        # an atom the chosen place does not have
        ("A 0.6 CB ALA, B 0.4 CB ALA, B 0.4 CG ALA", [0, 2]),
        # two residues at one place
        ("A 0.6 N SER, B 0.4 N THR, A 0.6 OG SER, B 0.4 OG1 THR", [0, 2]),
        ("A 0.3 N SER, B 0.7 N THR, A 0.3 OG SER, B 0.7 OG1 THR", [1, 3]),
        # one letter for the residue
        ("A 0.6 CB ALA, B 0.4 CB ALA, A 0.1 CG ALA, B 0.9 CG ALA", [1, 3]),
        ("1 0.5 O HOH, 2 0.5 O HOH", [0]),
        (
            "- 1.0 C1 LIG, - 1.0 C1 LIG, A 0.5 C2 LIG, B 0.5 C2 LIG",
            [0, 1, 2],
        ),  # equal names without letters stay
    ],
)
def test_the_place_is_one_for_a_residue(rows, kept):
    letters, shares, names, residues = zip(*[row.split() for row in rows.split(", ")])
    letters = ["" if letter == "-" else letter for letter in letters]
    found = one_location(
        letters, [float(s) for s in shares], names, residues, ["place"] * len(names)
    )
    assert found.tolist() == kept


def test_two_residues_at_one_place_are_one_residue(tmp_path):
    path, line = (
        tmp_path / "micro.pdb",
        "ATOM  {:>5}  {:<3}{}{} A{:>4}    {:8.3f}{:8.3f}{:8.3f}{:6.2f}  0.00          {:>2}\n",
    )
    rows = [
        ("N", "A", "SER", 22, 0.0, 0.7, "N"),
        ("N", "B", "THR", 22, 0.1, 0.3, "N"),
        ("CA", "A", "SER", 22, 1.46, 0.7, "C"),
        ("CA", "B", "THR", 22, 1.56, 0.3, "C"),
        ("N", " ", "GLY", 23, 5.0, 1.0, "N"),
    ]
    path.write_text(
        "".join(
            line.format(k, n, a, r, i, x, 0, 0, o, e)
            for k, (n, a, r, i, x, o, e) in enumerate(rows, 1)
        )
    )
    system = load_topology(path)[0]
    assert system.full_labels == (
        "A:SER22:N",
        "A:SER22:CA",
        "A:GLY23:N",
    ) and system.residues.tolist() == [
        0,
        0,
        1,
    ]


# ---- massless sites -----------------------------------------------------------------------------


def tip4p(path, force_on_m=0.0, spread=True, n_frames=4, seed=0):
    """Two TIP4P waters as GRO and TRR, forces that add up to zero when all of them belong to atoms
    (`spread`).
    """
    import MDAnalysis

    rng = np.random.default_rng(seed)
    shape = np.array([[0, 0, 0], [0.9572, 0, 0], [-0.24, 0.9266, 0], [0.12, 0.09, 0]])  # angstrom
    start = np.concatenate([shape + 5, shape + [12, 9, 10]])
    sites = [
        (m + 1, "SOL", n, *(start[4 * m + k] / 10))
        for m in (0, 1)
        for k, n in enumerate(["OW", "HW1", "HW2", "MW"])
    ]
    topology = gro(path / "w.gro", *sites)
    universe = MDAnalysis.Universe.empty(8, trajectory=True, forces=True)
    with MDAnalysis.Writer(str(path / "w.trr"), 8) as writer:
        for _ in range(n_frames):
            universe.atoms.positions = start + 0.03 * rng.normal(size=(8, 3))
            forces = 50 * rng.normal(size=(8, 3))
            massless = np.array([3, 7])
            forces[massless] = force_on_m * rng.normal(size=(2, 3))
            counted = np.setdiff1d(range(8), massless) if spread else np.arange(8)
            forces[0] -= forces[counted].sum(0)
            universe.atoms.forces = forces
            universe.trajectory.ts.has_forces, universe.dimensions = True, [30, 30, 30, 90, 90, 90]
            writer.write(universe.atoms)
    return topology, path / "w.trr"


def read_water(files, **options):
    topology, trajectory = files
    return cgrec.read(trajectory, topology, temperature=300, check_units=False, **options)


@pytest.mark.parametrize(
    ("options", "n_sites"),
    [
        ({}, 6),
        ({"masses": {"MW": 0}}, 6),
        ({"selection": "not name MW"}, 6),
        ({"selection": "name OW"}, 2),
        ({"selection": "resid 2"}, 3),
        ({"masses": {"MW": 0, "HW1": 2.014}}, 6),
        ({"species": ["O", "H", "H", "M"] * 2}, 6),
    ],
)
def test_massless_sites_are_left_out_with_a_remark(tmp_path, options, n_sites):
    files = tip4p(tmp_path)
    with pytest.warns(Remark, match=r"2 massless sites \(MW\) are left out"):
        frames = read_water(files, **options)
    assert frames.n_sites == n_sites and "MW" not in frames.system.names
    assert frames.forces.shape == frames.positions.shape
    if "HW1" in (options.get("masses") or {}):
        assert frames.system.masses[1] == pytest.approx(2.014)


def test_forces_left_on_massless_sites_are_refused(tmp_path):
    with pytest.raises(ValueError, match=r"massless site \d carries a force.*spread"):
        read_water(tip4p(tmp_path, force_on_m=50.0, spread=False))


def test_copies_of_forces_that_were_passed_on_are_no_harm(tmp_path):
    frames = read_water(tip4p(tmp_path, force_on_m=50.0, spread=True))
    np.testing.assert_allclose(frames.forces.sum(1), 0, atol=1e-1)


def test_a_trajectory_written_without_its_massless_sites_fits_the_topology(tmp_path):
    topology, trajectory = tip4p(tmp_path)
    atoms = read_water((topology, trajectory))
    np.savez(
        tmp_path / "atoms.npz",
        positions=atoms.positions,
        forces=atoms.forces,
        box=atoms.box,
        length_unit="nm",
        energy_unit="kJ/mol",
    )
    again = cgrec.read(tmp_path / "atoms.npz", topology, temperature=300, check_units=False)
    np.testing.assert_array_equal(again.positions, atoms.positions)


def test_massless_sites_of_an_archive(tmp_path):
    topology, trajectory = tip4p(tmp_path)
    positions = np.random.default_rng(0).normal(size=(3, 8, 3))
    names = np.array(["OW", "HW1", "HW2", "MW"] * 2)
    path = tmp_path / "own.npz"
    np.savez(
        path,
        positions=positions,
        forces=np.zeros_like(positions),
        species=names,
        length_unit="nm",
        energy_unit="kJ/mol",
    )
    frames = cgrec.read(path, temperature=300, check_units=False)
    np.testing.assert_allclose(frames.positions, positions[:, [0, 1, 2, 4, 5, 6]])
    masses = np.array([15.999, 1.008, 1.008, 0.0] * 2)
    np.savez(
        tmp_path / "m.npz", positions=positions, species=names, masses=masses, length_unit="nm"
    )
    assert cgrec.read(tmp_path / "m.npz", temperature=300, check_units=False).n_sites == 6


@pytest.mark.parametrize("names", ["O H1 H2 EPW", "O H1 H2 LP1", "OW HW1 HW2 MW", "O H1 H2 M"])
def test_massless_sites_of_a_list_of_names(names):
    found = read_species(names.split() * 2, 8, where="here")
    assert (
        found.kept.tolist() == [0, 1, 2, 4, 5, 6] and found.system.elements == ("O", "H", "H") * 2
    )
    given = read_species(names.split() * 2, 8, masses={names.split()[-1]: 0.0}, where="here")
    assert given.kept.tolist() == found.kept.tolist()


def test_sites_without_mass_in_a_force_field_topology(tmp_path):
    atoms = [
        ("TIP4", "OH2", "OT", 15.999),
        ("TIP4", "OM", "LP", 0.0),
        ("TIP4", "H1", "HT", 1.008),
        ("TIP4", "H2", "HT", 1.008),
    ]
    found = read_topology(psf(tmp_path / "l.psf", atoms, [(1, 3), (1, 4), (1, 2), (3, 4)]))
    assert found.kept.tolist() == [0, 2, 3] and found.massless.tolist() == [1]
    assert found.system.bonds.tolist() == [
        [0, 1],
        [0, 2],
    ] and found.system.constraints.tolist() == [[1, 2]]


def test_a_bead_called_m_is_no_massless_site():
    system = read_species(["M", "W"], 2, masses={"M": 72.0, "W": 72.0}, where="here").system
    assert system.names == ("M", "W")
    with pytest.raises(ValueError, match=r"site 0 \(M\) has no mass"):
        read_species(["M", "W"], 2, where="here")


def test_classify_says_when_it_does_not_know():
    from cgrec.io.elements import Atom

    assert classify(Atom("CO", "LIG", frozenset({"C1"}))) == Doubt(("C", "Co"))
    assert guess_element("CO", residue="LIG", others=["C1"]) == "X"


def prmtop(path, names, masses, numbers, residues, bonds, chains=None):
    """An Amber topology of `residues` {name: first atom from 1} and bonds counted from 0."""
    n, h = len(names), [b for b in bonds if 1 in (numbers[b[0]], numbers[b[1]])]
    other = [b for b in bonds if b not in h]
    pointers = [n, 1, len(h), len(other), *[0] * 7, len(residues), len(other), *[0] * 18]

    def section(flag, form, values, per_line, width):
        cells = [str(v).ljust(width) if form[2] == "a" else str(v).rjust(width) for v in values]
        rows = ["".join(cells[k : k + per_line]) for k in range(0, len(cells), per_line)] or [""]
        return f"%FLAG {flag}\n%FORMAT{form}\n" + "\n".join(rows) + "\n"

    real, whole = "(5E16.8)", "(10I8)"
    three = [3 * i if k < 2 else i for a, b in h for k, i in enumerate((a, b, 1))]
    rest = [3 * i if k < 2 else i for a, b in other for k, i in enumerate((a, b, 1))]
    parts = [
        section("TITLE", "(20a4)", ["test"], 20, 4),
        section("POINTERS", whole, pointers, 10, 8),
        section("ATOM_NAME", "(20a4)", names, 20, 4),
        section("CHARGE", real, [f"{0:.8E}"] * n, 5, 16),
        section("ATOMIC_NUMBER", whole, numbers, 10, 8),
        section("MASS", real, [f"{m:.8E}" for m in masses], 5, 16),
        section("ATOM_TYPE_INDEX", whole, [1] * n, 10, 8),
        section("RESIDUE_LABEL", "(20a4)", list(residues), 20, 4),
        section("RESIDUE_POINTER", whole, list(residues.values()), 10, 8),
        section("BONDS_INC_HYDROGEN", whole, three, 10, 8),
        section("BONDS_WITHOUT_HYDROGEN", whole, rest, 10, 8),
        *(
            section(f"{kind}_{w}_HYDROGEN", whole, [], 10, 8)
            for kind in ("ANGLES", "DIHEDRALS")
            for w in ("INC", "WITHOUT")
        ),
        section("AMBER_ATOM_TYPE", "(20a4)", ["X"] * n, 20, 4),
    ]
    path.write_text(
        "%VERSION  VERSION_STAMP = V0001.000  DATE = 01/01/26  00:00:00\n" + "".join(parts)
    )
    return path


def test_amber_topology_with_repartitioned_masses_and_extra_points(tmp_path):
    names = ["CH3", "HH31", "HH32", "HH33", "O", "H1", "H2", "EPW"]
    masses = [5.962, 3.024, 3.024, 3.024, 16.0, 1.008, 1.008, 0.0]
    bonds = [(0, 1), (0, 2), (0, 3), (4, 5), (4, 6), (5, 6), (4, 7)]
    path = prmtop(
        tmp_path / "w.prmtop", names, masses, [6, 1, 1, 1, 8, 1, 1, 0], {"ACE": 1, "WAT": 5}, bonds
    )
    found = read_topology(path)
    system = found.system
    assert found.massless.tolist() == [7] and system.elements == ("C", "H", "H", "H", "O", "H", "H")
    np.testing.assert_allclose(
        system.masses, [12.011, 1.008, 1.008, 1.008, 16.0, 1.008, 1.008], atol=1e-3
    )
    assert system.full_labels[4] == "WAT2:O" and system.bonds.tolist() == [
        [0, 1],
        [0, 2],
        [0, 3],
        [4, 5],
        [4, 6],
    ]
    assert system.constraints.tolist() == [[5, 6]]


# ---- bare names that atoms and beads share
# --------------------------------------------------------


def chain(path, apart, names, n_frames=6, unit="nm", box=None):
    """An .npz of a chain of sites `apart` nm apart, one name a site."""
    rng = np.random.default_rng(5)
    turns = np.cumsum([[1.0, 0.6 * (-1) ** k, 0] for k in range(len(names))], axis=0)
    x = apart * turns / np.linalg.norm(turns[1] - turns[0]) + 0.002 * rng.standard_normal(
        (n_frames, len(names), 3)
    )
    arrays = {} if box is None else {"box": np.array(box)}
    if box is not None:
        x = (x + 0.7) % box  # cut across it
    scale = {"nm": 1.0, "angstrom": 10.0}[unit]
    np.savez(path, positions=x * scale, species=np.array(names), length_unit=unit, **arrays)
    return path


@pytest.mark.parametrize(
    ("names", "symbols", "unit", "box"),
    [
        ("C1 C2 C3 C4 C5", "CCCCC", "nm", None),
        ("C1 C2 C3 C4 C5", "CCCCC", "angstrom", None),
        ("C1 C2 C3 C4 C5 C6", "CCCCCC", "nm", 1.2),
        ("P1 P2 P3", "PPP", "nm", None),
    ],
)
def test_names_of_atoms_or_beads_are_told_by_distances(names, symbols, unit, box, tmp_path):
    names = names.split()
    apart = 0.22 if symbols == "PPP" else 0.15
    path = chain(tmp_path / "a.npz", apart, names, unit=unit, box=box)
    with pytest.warns(
        Remark, match=f"could be those of beads are taken as atoms.*{names[0]} is {symbols[0]}"
    ):
        frames = cgrec.read(path, temperature=300)
    assert "".join(frames.system.elements) == symbols
    assert len(frames.system.bonds) == len(names) - 1
    for distance in (0.27, 0.35, 0.47):
        beads = chain(tmp_path / "b.npz", distance, names, unit=unit)
        with pytest.raises(ValueError, match="no mass and its name is no element"):
            cgrec.read(beads, temperature=300)


def test_names_by_distances_where_a_caller_gives_them(tmp_path):
    rng = np.random.default_rng(2)
    x = np.arange(4)[:, None] * [0.15, 0, 0] + 0.002 * rng.standard_normal((6, 4, 3))
    np.save(tmp_path / "a.npy", x)
    np.save(tmp_path / "b.npy", x * 3)
    options = {"temperature": 300, "species": ["C1", "C2", "C3", "C4"], "length_unit": "nm"}
    with pytest.warns(Remark, match="taken as atoms"):
        assert cgrec.read(tmp_path / "a.npy", **options).system.elements == ("C",) * 4
    with pytest.raises(ValueError, match="give masses="):
        cgrec.read(tmp_path / "b.npy", **options)
    beads = cgrec.read(tmp_path / "b.npy", **options, masses={n: 72.0 for n in options["species"]})
    assert beads.system.elements == ("X",) * 4


def test_collapsed_beads_are_no_atoms(tmp_path):
    path = chain(tmp_path / "a.npz", 0.06, ["C1", "C2", "C3"])
    with pytest.raises(ValueError, match="no mass and its name is no element"):
        cgrec.read(path, temperature=300)


# ---- elements that a file states ----------------------------------------------------------------


def alanine(path, residue="ALA", **stated):
    """A PDB of four heavy atoms and a hydrogen, with these texts in columns 77 and 78."""
    sites = {"N": "N", "CA": "C", "HA": "H", "C": "C", "O": "O", **stated}
    at = {"N": (0, 0), "CA": (1.46, 0), "HA": (1.9, 1.0), "C": (2.0, -1.4), "O": (3.2, -1.6)}
    lines = [
        f"ATOM  {k + 1:>5}  {name:<3} {residue:<3} A   2    "
        f"{at.get(name, (9.0 * k, 9))[0]:8.3f}{at.get(name, (9.0, 9))[1]:8.3f}{0:8.3f}"
        f"  1.00  0.00          {element:>2}\n"
        for k, (name, element) in enumerate(sites.items())
    ]
    path.write_text("".join(lines))
    return path


@pytest.mark.parametrize(
    ("stated", "said"),
    [
        ({"CA": "Xx"}, "A:ALA2:CA: expected the symbol of an element, by its name C, found 'Xx'"),
        ({"CA": "CA"}, "A:ALA2:CA: expected the element C, as its name says in ALA, found Ca"),
        ({"CA": "N"}, "A:ALA2:CA: expected the element C, .* found N; write C .columns 77 and 78"),
        ({"HA": "HG"}, "A:ALA2:HA: expected the element H, .* found Hg"),
        ({"O": "c"}, "A:ALA2:O: expected the element O, .* found C"),
        ({"OXT": "Q"}, "A:ALA2:OXT: expected the symbol of an element"),
    ],
)
def test_an_element_that_its_name_contradicts_is_refused(tmp_path, stated, said):
    with pytest.raises(ValueError, match=said):
        load_topology(alanine(tmp_path / "a.pdb", **stated))
    with pytest.raises(ValueError, match=said):
        check_pdb(tmp_path / "a.pdb")


@pytest.mark.parametrize(
    "stated",
    [
        {},
        {name: "" for name in ("N", "CA", "HA", "C", "O")},
        {"N": "n", "CA": "c", "HA": "h", "C": "c", "O": "o"},
        {"HA": "D"},
        {"CA": ""},
        {"CA": "X"},
        {"CA": "12", "O": "1-"},
    ],
)
def test_elements_that_are_blank_in_small_letters_or_deuterium_are_fine(tmp_path, stated, recwarn):
    path = alanine(tmp_path / "a.pdb", **stated)
    assert load_topology(path)[0].elements == ("N", "C", "H", "C", "O")
    check_pdb(path)
    assert not recwarn.list


def test_sites_without_mass_and_beads_may_state_anything(tmp_path):
    water = {"N": "", "CA": "", "HA": "", "C": "", "O": "O", "H1": "H", "H2": "H"}
    for name, element in (("M", "M"), ("MW", ""), ("EPW", "EP"), ("EP", "XX")):
        path = alanine(tmp_path / f"{name}.pdb", "HOH", **water, **{name: element})
        text = [
            x for x in path.read_text().splitlines(True) if x[12:16].split()[0] not in "N CA HA C"
        ]
        path.write_text("".join(text))
        check_pdb(path)
        with pytest.warns(Remark, match="1 massless sites"):
            assert load_topology(path)[0].elements == ("O", "H", "H")
    beads = tmp_path / "beads.pdb"
    alanine(beads, "ALA", N="", CA="", HA="", C="", O="", BB="B", SC1="BB")
    beads.write_text(
        "".join(x for x in beads.read_text().splitlines(True) if "BB" in x or "SC1" in x)
    )
    check_pdb(beads)


def test_where_names_are_free_the_element_wins_with_a_remark(tmp_path):
    path = alanine(tmp_path / "l.pdb", "LIG", CA="CA")
    with pytest.warns(Remark, match="A:LIG2:CA is Ca, by its name C"):
        assert "Ca" in load_topology(path)[0].elements


def test_the_structures_that_ship_state_what_names_say(recwarn):
    found = sorted((Path(cgrec.__file__).parent / "data").rglob("*.pdb"))
    assert len(found) > 3
    for path in found:
        check_pdb(path)
    assert not recwarn.list


def test_a_source_refuses_a_wrong_element_before_openmm_does(tmp_path):
    pytest.importorskip("openmm")
    from cgrec.sources.molecule import molecule

    with pytest.raises(ValueError, match="A:ALA2:CA: expected the element C"):
        molecule(alanine(tmp_path / "a.pdb", CA="N"), ["amber14-all.xml", "implicit/gbn2.xml"])
