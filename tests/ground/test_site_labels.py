"""Labels of sites that stay the same through files, mappings, selections and exports."""

import json
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from contracts import random_frames, small_system

import cgrec
from cgrec import Frames, System
from cgrec.io import load_topology, select_sites, write
from cgrec.mapping import (
    Backbone,
    BackboneAndSideChain,
    CentresOfMass,
    Mapping,
    Pick,
    Protected,
    ResidueCentres,
    alpha_carbons,
)
from cgrec.site_labels import SiteError

DATA = Path(__file__).parents[1] / "data"
INSERTIONS = DATA / "insertion_codes.pdb"


@pytest.fixture(scope="module")
def two_chains() -> Frames:
    """Chain A with GLY 27, 27A, 27B, 28; chain B with GLY 27, 28; atoms N CA C O."""
    return cgrec.read(INSERTIONS, temperature=300)


def pdb_line(serial, name, residue, chain, number, x, code=" ", element=""):
    return (
        f"ATOM  {serial:>5} {name:<4} {residue:<3} {chain}{number:>4}{code}   "
        f"{x:8.3f}{0:8.3f}{0:8.3f}  1.00  0.00"
        f"          {element:>2}\n"
    )


def test_every_form_of_a_label_finds_its_site(two_chains):
    system = two_chains.system
    assert system.full_labels[5] == "A:GLY27A:CA" and system.labels[5] == "GLY:CA"
    for label, site in {
        "A:GLY27A:CA": 5,
        "GLY27A:CA": 5,
        "B:GLY28:CA": 21,
        "A:GLY27:CA": 1,
        "#5": 5,
    }.items():
        assert system.site(label) == site
    assert system.unique_labels[5] == "GLY27A:CA" and system.unique_labels[1] == "A:GLY27:CA"
    assert [system.site(label) for label in system.unique_labels] == list(range(system.n_sites))


@pytest.mark.parametrize(
    ("label", "candidates", "message"),
    [
        (
            "GLY27:CA",
            ("A:GLY27:CA", "B:GLY27:CA"),
            "found 2: A:GLY27:CA, B:GLY27:CA; write one of these",
        ),
        ("CA", None, "found 6: A:GLY27:CA, GLY27A:CA"),
        ("GLY27A:CB", (), "found none.*near to it are.*GLY27A:CA"),
        ("gly27a:ca", (), "near to it are GLY27A:CA"),
        ("nothing", (), "there are A:GLY27:N, .* and 12 more"),
        ("#24", (), "index below 24, found 24"),
    ],
)
def test_a_label_that_means_no_site_or_several_is_refused_with_names(
    two_chains, label, candidates, message
):
    with pytest.raises(SiteError, match=message) as error:
        two_chains.system.site(label)
    assert isinstance(error.value, KeyError) and not str(error.value).startswith("'")
    if candidates is not None:
        assert error.value.candidates == candidates


def test_labels_without_numbers_are_those_of_before():
    system = System(names=("C", "C", "N"), masses=[1, 1, 1], residue_names=("ACE", "ALA", "ALA"))
    assert system.unique_labels == ("ACE:C", "ALA:C", "ALA:N")
    twins = System(names=("O", "O"), masses=[16, 16], residue_names=("HOH", "HOH"))
    assert twins.unique_labels == ("HOH:O (#0)", "HOH:O (#1)")


def test_a_system_that_states_nothing_is_written_and_hashed_as_before():
    system = small_system()
    assert not {"chain_ids", "residue_numbers", "insertion_codes"} & set(system.to_dict())
    silent = replace(
        system, chain_ids=("",) * system.n_sites, insertion_codes=("",) * system.n_sites
    )
    assert silent.fingerprint() == system.fingerprint()
    # of commit 0cfd905, before the fields existed
    assert System(names=("A", "B"), masses=[1.0, 2.0]).fingerprint() == "86bade56acfc"


def test_the_fields_survive_json_select_and_the_disk(two_chains, tmp_path):
    system = two_chains.system
    again = System(**json.loads(json.dumps(system.to_dict())))
    assert again.fingerprint() == system.fingerprint() and again.full_labels == system.full_labels
    assert system.select([21, 5]).full_labels == ("B:GLY28:CA", "A:GLY27A:CA")
    two_chains.save(tmp_path / "frames")
    assert Frames.load(tmp_path / "frames").system.full_labels == system.full_labels
    assert system.fingerprint() != replace(system, insertion_codes=()).fingerprint()


def test_a_field_of_the_wrong_length_is_refused():
    with pytest.raises(
        ValueError, match=r"System.chain_ids: expected 2 entries, one a site, found 1"
    ):
        System(names=("A", "B"), masses=[1, 1], chain_ids=("A",))


@pytest.mark.parametrize(
    ("rule", "expected"),
    [
        (
            alpha_carbons,
            ("A:GLY27:CA", "A:GLY27A:CA", "A:GLY27B:CA", "A:GLY28:CA", "B:GLY27:CA", "B:GLY28:CA"),
        ),
        (ResidueCentres(2), ("A:GLY27:GLY-GLY", "A:GLY27B:GLY-GLY", "B:GLY27:GLY-GLY")),
        (
            BackboneAndSideChain(),
            ("A:GLY27:BB", "A:GLY27A:BB", "A:GLY27B:BB", "A:GLY28:BB", "B:GLY27:BB", "B:GLY28:BB"),
        ),
        (Pick(["B:GLY28:CA", "GLY27A:CA"]), ("B:GLY28:CA", "A:GLY27A:CA")),
        (CentresOfMass({"end": ["B:GLY28:CA", "B:GLY28:C"]}), ("B:GLY28:end",)),
        (
            Protected(Pick(["GLY27A:CA", "B:GLY27:CA"]), ["GLY27B:CA"]),
            ("A:GLY27A:CA", "A:GLY27B:CA", "B:GLY27:CA"),
        ),
    ],
)
def test_mapping_rules_keep_labels(two_chains, rule, expected, tmp_path):
    mapping = rule(two_chains.system)
    assert mapping.coarse.full_labels == expected
    mapping.save(tmp_path / "mapping.npz")
    assert Mapping.load(tmp_path / "mapping.npz").coarse.full_labels == expected


def test_labels_stay_over_several_levels(two_chains):
    first = Backbone()(two_chains.system)
    second = alpha_carbons(first.coarse)
    third = ResidueCentres()(second.coarse)
    assert second.coarse.site("A:GLY27B:CA") == 2 and third.coarse.full_labels[2] == "A:GLY27B:GLY"


@pytest.mark.parametrize(
    ("selection", "sites"),
    [
        ("chainID B", range(16, 24)),
        ("segid B", range(16, 24)),
        ("resid 27A", range(4, 8)),
        ("icode A", range(4, 8)),
        ("chainID A and resid 28", range(12, 16)),
    ],
)
def test_chains_numbers_and_insertion_codes_can_be_selected(two_chains, selection, sites):
    assert select_sites(two_chains.system, selection) == list(sites)


def test_an_exported_pdb_keeps_them(two_chains, tmp_path):
    found = cgrec.read(write(two_chains, tmp_path / "again.pdb"), temperature=300).system
    assert found.full_labels == two_chains.system.full_labels
    beads = alpha_carbons(two_chains.system)(two_chains)
    lines = [
        line
        for line in write(beads, tmp_path / "ca.pdb").read_text().splitlines()
        if line[:4] == "ATOM"
    ]
    assert [line[21:27] for line in lines] == [
        "A  27 ",
        "A  27A",
        "A  27B",
        "A  28 ",
        "B  27 ",
        "B  28 ",
    ]


def test_hybrid_36_numbers_are_read(tmp_path):
    path = tmp_path / "many.pdb"
    numbers = ["9998", "9999", "A000", "A001", "A002", "a000"]
    path.write_text(
        "".join(
            pdb_line(k + 1, "O", "HOH", "W", n, 3.0 * k, element="O") for k, n in enumerate(numbers)
        )
    )
    system = load_topology(path)[0]
    assert system.residue_numbers.tolist() == [9998, 9999, 10000, 10001, 10002, 10000 + 26 * 36**3]
    assert system.residues.tolist() == list(range(6))  # MDAnalysis alone joins the last four
    assert system.site("W:HOH10001:O") == 3 and select_sites(system, "resid 10000:10002") == [
        2,
        3,
        4,
    ]


def test_hybrid_36_serials_and_starred_numbers(tmp_path):
    path = tmp_path / "starred.pdb"
    path.write_text(
        "".join(
            pdb_line(s, "O", "HOH", "W", n, x, element="O")
            for s, n, x in [("A0000", "****", 0), ("A0001", "****", 3), ("*****", "1", 6)]
        )
    )
    system = load_topology(path)[0]
    assert system.n_sites == 3 and system.residue_numbers is None and system.chain_ids == ("W",) * 3


PSF = """PSF EXT

         1 !NTITLE
* two segments

         4 !NATOM
         1 PROA     5        ALA      CA       CT1        0.070000       12.0110           0
         2 PROA     6        TYR      CA       CT1        0.070000       12.0110           0
         3 PROB     5        ALA      CA       CT1        0.070000       12.0110           0
         4 PROB     6        TYR      CA       CT1        0.070000       12.0110           0

         2 !NBOND: bonds
         1         2         3         4
"""


def test_segments_of_a_psf_are_chains(tmp_path):
    path = tmp_path / "two.psf"
    path.write_text(PSF)
    system = load_topology(path)[0]
    assert system.full_labels == ("PROA:ALA5:CA", "PROA:TYR6:CA", "PROB:ALA5:CA", "PROB:TYR6:CA")
    assert select_sites(system, "segid PROB and resid 6") == [3]


def test_an_exported_pdb_keeps_segments(tmp_path):
    path = tmp_path / "two.psf"
    path.write_text(PSF)
    system = load_topology(path)[0]
    frames = Frames(system, np.arange(12.0).reshape(1, 4, 3), 300.0)
    again = cgrec.read(
        write(frames, tmp_path / "two.pdb"), temperature=300, check_units=False
    ).system
    assert again.full_labels == system.full_labels


def test_numbers_of_a_gro_and_openmm_are_kept(tmp_path):
    path = tmp_path / "one.gro"
    path.write_text(
        "two\n2\n   52ALA     CA    1   0.100   0.100   0.100\n   53ALA     CA    2   0.500   "
        "0.100   0.100\n   2 2 2\n"
    )
    assert load_topology(path)[0].full_labels == ("ALA52:CA", "ALA53:CA")


def test_openmm_source_keeps_chains_and_numbers(tmp_path):
    pytest.importorskip("openmm")
    from cgrec.sources import OpenMMSource

    source = OpenMMSource(
        structure=Path(cgrec.__file__).parent / "data" / "alanine_dipeptide.pdb",
        force_field=["amber14-all.xml"],
        temperature=300,
        n_frames=1,
        stride=1,
        equilibration=0,
        nonbonded="no_cutoff",
        platform="Reference",
    )
    system = source.make(tmp_path, 0).system
    assert system.site("ALA2:CA") == system.site("ALA:CA") and system.chain_ids[0] == "A"
    assert (
        system.residue_numbers.tolist() == sorted(system.residue_numbers.tolist())
        and system.residue_numbers[0] == 1
    )


def test_the_representation_is_short():
    frames = random_frames(50)
    assert len(repr(frames.system)) < 200 and len(repr(frames)) < 400
    assert repr(frames).startswith("Frames(50 frames at 300 K; positions (50, 6, 3)")


def test_a_mapping_of_before_the_fields_still_fits(two_chains):
    new = two_chains.system
    old = replace(new, chain_ids=(), residue_numbers=None, insertion_codes=())
    assert new.agrees_with(old) and old.agrees_with(new)
    assert not new.agrees_with(replace(new, residue_numbers=new.residue_numbers + 1))
    assert not new.agrees_with(replace(old, masses=old.masses + 1))
    assert alpha_carbons(old)(two_chains).n_sites == 6
    with pytest.raises(ValueError, match="they differ in residue_numbers"):
        alpha_carbons(replace(new, residue_numbers=new.residue_numbers + 1))(two_chains)
