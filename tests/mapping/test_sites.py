"""Rules that know residues, selections and mixed resolution, on small proteins built here."""

import warnings
from dataclasses import replace

import numpy as np
import pytest
from samples import MASS

from cgrec import Frames, System
from cgrec.io import select_sites
from cgrec.mapping import (
    Backbone,
    BackboneAndSideChain,
    CentresOfMass,
    Drop,
    HeavyAtoms,
    Mapping,
    MoleculeCentres,
    Pick,
    Protected,
    ResidueCentres,
    ResidueTable,
    alpha_carbons,
)
from cgrec.remarks import Remark

#: Atoms of side chains, each bonded to the one named.
SIDE = {
    "GLY": {"HA1": "CA", "HA2": "CA"},
    "ALA": {"HA": "CA", "CB": "CA", "HB1": "CB", "HB2": "CB", "HB3": "CB"},
    "SER": {"HA": "CA", "CB": "CA", "HB1": "CB", "HB2": "CB", "OG": "CB", "HG": "OG"},
}
BACKBONE = {"H": "N", "CA": "N", "C": "CA", "O": "C"}
TABLE = {name: {"BB": ["N", "CA", "C", "O", "OXT"]} for name in SIDE} | {"HOH": {}}
TABLE["ALA"] = {**TABLE["ALA"], "SC": ["CB"]}
TABLE["SER"] = {**TABLE["SER"], "SC": ["CB", "OG"]}


def protein(*sequence: str, waters: int = 0) -> System:
    names, owners, bonds, end = [], [], [], 0
    for k, residue in enumerate(sequence):
        atoms = (
            {"N": ""} | BACKBONE | SIDE[residue] | ({"OXT": "C"} if k + 1 == len(sequence) else {})
        )
        first, at = len(names), dict(zip(atoms, range(len(names), len(names) + len(atoms))))
        bonds += [(at[a], at[b]) for a, b in atoms.items() if b]
        if k:
            bonds.append((end, first))
        end = at["C"]
        names += atoms
        owners += [(k, residue)] * len(atoms)
    for k in range(waters):
        bonds += [(len(names), len(names) + 1), (len(names), len(names) + 2)]
        names += ["O", "H1", "H2"]
        owners += [(len(sequence) + k, "HOH")] * 3
    elements = tuple(name[0] for name in names)
    return System(
        names=tuple(names),
        masses=[MASS[e] for e in elements],
        types=elements,
        elements=elements,
        bonds=bonds,
        charges=np.linspace(-1, 1, len(names)),
        residues=[k for k, _ in owners],
        residue_names=tuple(r for _, r in owners),
    )


def members(mapping: Mapping) -> list[set[str]]:
    return [
        {mapping.fine.labels[i] for i in np.flatnonzero(row)} for row in mapping.position_weights
    ]


def assert_sound(mapping: Mapping) -> None:
    """B M^T = I, centres of mass, and all mass and charge where all atoms are in beads."""
    error = mapping.force_weights @ mapping.position_weights.T - np.eye(mapping.coarse.n_sites)
    assert np.abs(error).max() < 1e-12
    for row, mass in zip(mapping.position_weights, mapping.coarse.masses):
        own = np.flatnonzero(row)
        if len(own) > 1:
            np.testing.assert_allclose(
                row[own], mapping.fine.masses[own] / mapping.fine.masses[own].sum()
            )
            assert mass == pytest.approx(mapping.fine.masses[own].sum())


# --- residues -------------------------------------------------------------------------------------


def test_kept_backbones_leave_water_alone():
    system = protein("GLY", "SER", "ALA", waters=2)
    assert Backbone()(system).coarse.names == ("N", "CA", "C", "O") * 3
    assert Backbone(["CA", "CB"])(system).coarse.labels == (
        "GLY:CA",
        "SER:CA",
        "SER:CB",
        "ALA:CA",
        "ALA:CB",
    )
    branched = Backbone(["N", "CA", "C", "CB", "O"])(system).coarse
    at = {label: k for k, label in enumerate(branched.labels)}
    assert [at["SER:CA"], at["SER:CB"]] in np.sort(branched.bonds).tolist()
    alphas = alpha_carbons(system).coarse
    assert alphas.labels == ("GLY:CA", "SER:CA", "ALA:CA") and alphas.bonds.tolist() == [
        [0, 1],
        [1, 2],
    ]
    assert alphas.masses.tolist() == pytest.approx([MASS["C"] + n * MASS["H"] for n in (2, 1, 1)])


def test_calcium_is_no_alpha_carbon():
    system = System(names=("CA", "CA"), elements=("C", "Ca"), masses=[12, 40], residues=[0, 1])
    assert (
        members(alpha_carbons(system)) == [{"MOL:CA"}] and alpha_carbons(system).coarse.n_sites == 1
    )


@pytest.mark.parametrize(
    "per_site, names",
    [
        (1, ("GLY", "SER", "ALA", "GLY", "SER", "HOH", "HOH")),
        (2, ("GLY-SER", "ALA-GLY", "SER", "HOH", "HOH")),
    ],
)
def test_residue_centres(per_site, names):
    system = protein("GLY", "SER", "ALA", "GLY", "SER", waters=2)
    mapping = ResidueCentres(per_site)(system)
    assert_sound(mapping)
    assert mapping.coarse.names == mapping.coarse.types == names
    n = len(names) - 2
    assert mapping.coarse.bonds.tolist() == [[k, k + 1] for k in range(n - 1)]
    assert mapping.coarse.masses.sum() == pytest.approx(system.masses.sum())
    owner = np.where(system.residues < 5, system.residues // per_site, system.residues - 5 + n)
    np.testing.assert_array_equal(mapping.position_weights != 0, owner == np.arange(n + 2)[:, None])


def test_backbone_and_side_chain():
    system = protein("GLY", "SER", "ALA", waters=1)
    mapping = BackboneAndSideChain()(system)
    assert_sound(mapping)
    assert mapping.coarse.labels == ("GLY:BB", "SER:BB", "SER:SC", "ALA:BB", "ALA:SC", "HOH:HOH")
    assert mapping.coarse.bonds.tolist() == [[0, 1], [1, 2], [1, 3], [3, 4]]
    assert members(mapping)[0] == {f"GLY:{n}" for n in ["N", "H", "CA", "HA1", "HA2", "C", "O"]}
    assert members(mapping)[2] == {f"SER:{n}" for n in ["CB", "HB1", "HB2", "OG", "HG"]}
    assert mapping.coarse.masses.sum() == pytest.approx(system.masses.sum())
    assert mapping.coarse.charges.sum() == pytest.approx(system.charges.sum())


def test_table_of_residues_is_backbone_and_side_chain():
    system = protein("GLY", "SER", "ALA", waters=1)
    table, rule = ResidueTable(TABLE)(system), BackboneAndSideChain()(system)
    np.testing.assert_array_equal(table.position_weights, rule.position_weights[:-1])
    assert table.coarse.labels == rule.coarse.labels[:-1]


def test_table_may_name_hydrogens_and_drop_atoms():
    mapping = ResidueTable({"ALA": {"A": ["N", "CA", "C"], "B": ["HB1"]}}, drop=["CB", "O", "OXT"])(
        protein("ALA")
    )
    assert members(mapping) == [{f"ALA:{n}" for n in ["N", "H", "CA", "HA", "C"]}, {"ALA:HB1"}]


@pytest.mark.parametrize(
    "beads, what",
    [
        ({"SER": {"A": ["N"]}}, r"residues among SER, found ALA \(ALA:N, #0\)"),
        (
            {"ALA": {"A": ["N", "CA", "C", "O", "OXT", "CBB"]}},
            r"in drop, found ALA:CB \(#6\), ALA:HB1",
        ),
        (
            {"ALA": {"A": ["N", "CA", "C", "O", "OXT", "CB"], "B": ["XX"]}},
            r"ALA:B: expected one of XX, found ALA:N",
        ),
        (
            {"ALA": {"A": ["N", "O"], "B": ["CA", "C", "CB", "OXT"]}},
            r"bead 'A'.*2 pieces: ALA:N \(#0\), ALA:H",
        ),
        (
            {"ALA": {"A": ["N", "CA", "C", "O", "OXT", "CB"], "B": ["CB"]}},
            r"ALA:CB \(#6\) more than once in 'A', 'B'",
        ),
    ],
)
def test_tables_that_do_not_fit(beads, what):
    with pytest.raises(ValueError, match=what):
        ResidueTable(beads)(protein("ALA"))


def test_refusals():
    system = protein("ALA", "ALA")
    with pytest.raises(ValueError, match="found no CG among ALA:N"):
        Backbone(["CA", "CG"])(system)
    with pytest.raises(ValueError, match="list of atom names, found 'CA'"):
        Backbone("CA")(system)
    with pytest.raises(ValueError, match="ResidueCentres.per_site: expected 1 or more, found 0"):
        ResidueCentres(0)(system)
    broken = System(
        names=system.names, masses=system.masses, elements=system.elements, residues=system.residues
    )
    with pytest.raises(ValueError, match=r"bead 'MOL'.*pieces: MOL:N \(#0\); MOL:H"):
        ResidueCentres()(broken)
    with pytest.raises(ValueError, match=r"hydrogen MOL:H \(#1\)"):
        BackboneAndSideChain()(broken)


# --- selections -----------------------------------------------------------------------------------


def test_selections_take_the_place_of_labels():
    system = protein("GLY", "SER", waters=1)
    chosen = Pick(lambda s: select_sites(s, "protein and element N O"))(system).coarse
    assert chosen.labels == ("GLY:N", "GLY:O", "SER:N", "SER:O", "SER:OG", "SER:OXT")
    beads = CentresOfMass(
        {
            "side": lambda s: select_sites(s, "name CB OG"),
            "water": lambda s: select_sites(s, "resname HOH"),
        }
    )(system)
    assert members(beads) == [{"SER:CB", "SER:OG"}, {"HOH:O", "HOH:H1", "HOH:H2"}]


# --- mixed resolution -----------------------------------------------------------------------------


def test_protected_atoms_leave_their_bead_and_split_the_rest():
    system = protein("ALA", "SER")
    mapping = Protected(ResidueCentres(), ["ALA:CA", "ALA:HA"])(system)
    assert_sound(mapping)
    assert members(mapping) == [
        {"ALA:N", "ALA:H"},
        {"ALA:CA"},
        {"ALA:C", "ALA:O"},
        {"ALA:HA"},
        {"ALA:CB", "ALA:HB1", "ALA:HB2", "ALA:HB3"},
        {label for label in system.labels if label.startswith("SER")},
    ]
    assert mapping.coarse.types == ("ALA-CA-HA.1", "C", "ALA-CA-HA.2", "H", "ALA-CA-HA.3", "SER")
    assert mapping.coarse.masses.sum() == pytest.approx(system.masses.sum())
    one = Protected(ResidueCentres(), ["SER:HG"])(system)
    assert one.coarse.types == ("ALA", "SER-HG", "H") and one.coarse.bonds.tolist() == [
        [0, 1],
        [1, 2],
    ]


def test_all_or_nothing_protected():
    system = protein("ALA", "SER")
    everything = Protected(MoleculeCentres(), lambda s: range(s.n_sites))(system)
    np.testing.assert_array_equal(everything.position_weights, np.eye(system.n_sites))
    ordered = replace(system, bonds=sorted(sorted(bond) for bond in system.bonds.tolist()))
    assert everything.coarse.to_dict() == ordered.to_dict()
    for rule in (
        MoleculeCentres(),
        HeavyAtoms(),
        ResidueCentres(2),
        Drop(["SER"]),
        BackboneAndSideChain(),
    ):
        same = Protected(rule, [])(system)
        order = np.argsort([np.flatnonzero(row)[0] for row in rule(system).position_weights])
        assert same.coarse.to_dict() == rule(system).coarse.select(order).to_dict()


@pytest.mark.parametrize("seed", range(10))
def test_protection_keeps_mass_and_charge(seed):
    rng = np.random.default_rng(seed)
    system = protein(*rng.choice(list(SIDE), 4), waters=2)
    sites = rng.choice(system.n_sites, 5, replace=False).tolist()
    for rule in (HeavyAtoms(), ResidueCentres(2), BackboneAndSideChain(), MoleculeCentres()):
        mapping = Protected(rule, lambda s: sites)(system)
        assert mapping.coarse.masses.sum() == pytest.approx(system.masses.sum())
        assert mapping.coarse.charges.sum() == pytest.approx(system.charges.sum(), abs=1e-12)
        picked = {int(np.argmax(row)) for row in mapping.position_weights if np.max(row) == 1}
        assert {*sites} <= picked
        frames = Frames(system, rng.normal(size=(3, system.n_sites, 3)), 300.0)
        where = [int(np.flatnonzero(mapping.position_weights[:, i])[0]) for i in sites]
        np.testing.assert_array_equal(
            mapping(frames).positions[:, where], frames.positions[:, sites]
        )


def test_a_site_in_two_beads_is_said():
    system = System(names=tuple("ABCD"), masses=np.ones(4), bonds=[(0, 1), (1, 2), (2, 3)])
    with pytest.warns(Remark, match=r"B is in the beads 'P' and 'Q': each of them has it"):
        mapping = CentresOfMass({"P": ["A", "B"], "Q": ["B", "C"]})(system)
    assert np.abs(mapping.force_weights @ mapping.position_weights.T - np.eye(2)).max() < 1e-12
    with pytest.warns(Remark, match=r"and 1 other sites are in several beads"):
        CentresOfMass({"P": ["A", "B", "C"], "Q": ["B", "C", "D"]})(system)
    with pytest.warns(Remark), pytest.raises(ValueError, match=r"B M\^T = I"):
        CentresOfMass({"P": ["A", "B"], "Q": ["B", "A"]})(system)
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        CentresOfMass({"P": ["A", "B"], "Q": ["C", "D"]})(system)
