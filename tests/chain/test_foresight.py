"""Wrong labels are found before work starts; what a level cannot express is said, never dropped."""

import json
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from contracts import small_system

from cgrec import Chain, CollectiveVariable, Frames, System
from cgrec.chain.foresight import check_indices, check_variables, expressible, foresee
from cgrec.mapping import Backbone, HeavyAtoms, Pick, ResidueCentres, alpha_carbons
from cgrec.observables import flips_by_centre, stereocentres
from cgrec.remarks import Remark
from cgrec.site_labels import SiteError
from cgrec.sources import GaussianChainSource
from cgrec.sources.base import Source
from cgrec.variables import variables_from_config


def peptide(n: int = 3, hydrogens: bool = True) -> System:
    """n alanines in a row, chain A, numbered from 1; positions do not matter."""
    inner = ["N", "CA", "C", "O", "CB"] + (["HA", "HB1", "HB2", "HB3", "H"] if hydrogens else [])
    joined = [
        ("N", "CA"),
        ("CA", "C"),
        ("C", "O"),
        ("CA", "CB"),
        ("CA", "HA"),
        ("CB", "HB1"),
        ("CB", "HB2"),
    ]
    joined += [("CB", "HB3"), ("N", "H")]
    names, bonds = [], []
    for k in range(n):
        at = {name: len(inner) * k + i for i, name in enumerate(inner)}
        bonds += [(at[a], at[b]) for a, b in joined if a in at and b in at]
        bonds += [(at["N"], at["N"] - len(inner) + inner.index("C"))] if k else []
        names += inner
    mass = {"N": 14.007, "C": 12.011, "O": 15.999, "H": 1.008}
    return System(
        names=tuple(names),
        masses=[mass[m[0]] for m in names],
        elements=tuple(m[0] for m in names),
        bonds=bonds,
        residues=np.repeat(range(n), len(inner)),
        residue_names=("ALA",) * len(names),
        chain_ids=("A",) * len(names),
        residue_numbers=np.repeat(range(1, n + 1), len(inner)),
    )


def frames_of(system: System, n: int = 4, seed: int = 0) -> Frames:
    """The same random shape n times, slightly shaken: no volume changes its sign."""
    rng = np.random.default_rng(seed)
    shape = rng.normal(size=(1, system.n_sites, 3))
    positions = shape + 1e-6 * rng.normal(size=(n, system.n_sites, 3))
    return Frames(system, positions, 300.0, forces=np.zeros_like(positions))


def mirrored(frames: Frames) -> Frames:
    return replace(frames, positions=frames.positions * np.array([-1.0, 1.0, 1.0]))


class Recipe:
    """What `foresight` looks at in a LevelRecipe."""

    dynamics = None

    def __init__(self, mapping, variables=None, refine=None):
        self.mapping = mapping
        self.variables = variables_from_config(variables)
        self.refine = variables_from_config(refine)


def check(variables, levels, system=None):
    system = peptide() if system is None else system
    check_variables(variables_from_config(variables), levels, foresee(system, levels))


LEVELS = {
    "backbone": Recipe(Backbone()),
    "ca": Recipe(alpha_carbons),
    "centres": Recipe(ResidueCentres()),
}


@pytest.mark.parametrize(
    ("variables", "message"),
    [
        (
            {"ends": ["A:ALA1:CA", "A:ALA9:CA"]},
            r"variables.ends, at every level.*'A:ALA9:CA'.*near to it are",
        ),
        ({"ends": ["ALA1:CA", "ALA3:XX"]}, r"'ALA3:XX'.*found none"),
        (
            {"ends": ["ALA:CA", "ALA3:CA"]},
            r"variables.ends, level 0: site 'ALA:CA'.*found 3: ALA1:CA, ALA2:CA, ALA3:CA",
        ),
        ({"ends": ["CB9", "ALA3:CA"]}, r"'CB9'.*near to it are ALA"),
        (
            {"mixed": ["ALA1:CA", "ALA1:ALA"]},
            r"no level has all of its sites; at level 0 site 'ALA1:ALA'",
        ),
    ],
)
def test_a_wrong_label_is_an_error_before_work_starts(variables, message):
    with pytest.raises(SiteError, match=message):
        check(variables, LEVELS)


def test_labels_of_some_levels_are_enough():
    check(
        {"ends": ["ALA1:CA", "ALA3:CA"], "phi": ["A:ALA1:C", "A:ALA2:N", "A:ALA2:CA", "A:ALA2:C"]},
        LEVELS,
    )
    check({"centres": ["ALA1:ALA", "ALA3:ALA"]}, LEVELS)


def test_labels_of_one_level_must_be_of_that_level():
    levels = {
        "ca": Recipe(alpha_carbons, {"ends": ["ALA1:CA", "ALA3:CA"]}),
        "two": Recipe(ResidueCentres(2)),
    }
    check({}, levels)
    levels["two"] = Recipe(ResidueCentres(2), {"ends": ["ALA1:CA", "ALA3:CA"]})
    with pytest.raises(
        SiteError, match=r"levels.two.variables.ends: site 'ALA1:CA'.*near to it are"
    ):
        check({}, levels)
    levels["two"] = Recipe(
        ResidueCentres(2), {"ends": ["#0", "#1"]}, refine={"turn": ["#0", "#1", "#2", "#3"]}
    )
    with pytest.raises(SiteError, match=r"levels.two.refine.turn.*index below 2, found 2"):
        check({}, levels)


def test_a_mapping_that_cannot_be_is_found_before_the_levels_below_are_made():
    levels = {"ca": Recipe(alpha_carbons), "pick": Recipe(Pick(["ALA1:CB"]))}
    with pytest.raises(SiteError, match=r"levels.pick.mapping: site 'ALA1:CB'.*ALA1:CA"):
        foresee(peptide(), levels)
    with pytest.raises(ValueError, match=r"levels.again.mapping: .*CA"):
        foresee(peptide(), {"r": Recipe(ResidueCentres()), "again": Recipe(alpha_carbons)})


def test_levels_that_need_frames_are_not_foreseen_and_refuse_nothing():
    needs = Recipe(alpha_carbons)
    needs.mapping = type("Rule", (), {"needs_frames": True})()
    levels = {"learned": needs, "above": Recipe(alpha_carbons)}
    assert foresee(peptide(), levels)[1:] == [None, None]
    check({"x": ["ALA1:BEAD", "ALA2:BEAD"]}, levels)
    made = foresee(peptide(), {"learned": needs}, [small_system()])[1]
    assert made is not None and made.n_sites == small_system().n_sites


def test_an_index_is_refused_where_it_would_mean_other_sites_at_other_levels():
    for label in ("#7", "ALA:CA (#7)"):
        with pytest.raises(
            ValueError, match=r"variables.ends: .*every level.*levels.<name>.variables.ends"
        ):
            check_indices([CollectiveVariable("ends", (label, "ALA1:CA"))])
    check_indices([CollectiveVariable("ends", ("ALA3:CA", "ALA1:CA"))])


def test_expressible_says_why_not():
    variables = variables_from_config(
        {"ends": ["ALA1:CA", "ALA3:CA"], "phi": ["ALA1:C", "ALA2:N", "ALA2:CA", "ALA2:C"]}
    )
    own, why = expressible(variables, alpha_carbons(peptide()).coarse)
    assert [v.name for v in own] == ["ends"] and list(why) == ["phi"]
    assert why["phi"] == "it has no site ALA1:C or ALA2:N or ALA2:C"


class Given(Source):
    def __init__(self, frames, early=True):
        self.frames = frames
        self.early = early
        self.asked = 0

    def system(self):
        return self.frames.system if self.early else None

    def sample(self, folder: Path, seed: int) -> Frames:
        self.asked += 1
        return self.frames

    def recipe(self):
        return {}


def test_a_typing_mistake_costs_no_sampling_and_blocks_nothing(tmp_path):
    frames = frames_of(peptide())
    source = Given(frames)
    with pytest.raises(SiteError, match="ALA9:CA"):
        Chain(
            tmp_path / "a", source, {}, variables={"ends": ["ALA1:CA", "ALA9:CA"]}, recipe={"v": 1}
        ).climb()
    assert source.asked == 0 and not (tmp_path / "a").exists()
    source = Given(
        frames, early=False
    )  # known only when level 0 is there: kept, and the corrected command goes on
    with pytest.raises(SiteError, match="ALA9:CA"):
        Chain(
            tmp_path / "b", source, {}, variables={"ends": ["ALA1:CA", "ALA9:CA"]}, recipe={"v": 1}
        ).climb()
    Chain(
        tmp_path / "b", source, {}, variables={"ends": ["ALA1:CA", "ALA3:CA"]}, recipe={"v": 2}
    ).climb()
    assert source.asked == 1
    report = json.loads((tmp_path / "b" / "level0" / "report.json").read_text())
    assert (
        report["variables"] == {"ends": ["ALA1:CA", "ALA3:CA"]} and report["not_expressible"] == {}
    )
    assert (
        report["chirality_flips"] == {"ALA1:CA": 0, "ALA2:CA": 0, "ALA3:CA": 0}
        or "ALA2:CA" in report["chirality_flips"]
    )


def test_the_hand_of_every_centre_is_counted_where_residue_names_repeat():
    atoms = frames_of(peptide(4))
    inner = {"ALA2:CA": 4, "ALA3:CA": 4}  # the first has no third heavy neighbour besides N, C, CB
    assert {c[0] for c in stereocentres(atoms.system)} >= set(inner)
    mapping = HeavyAtoms()(atoms.system)
    found = flips_by_centre(mirrored(mapping(atoms)), atoms[:1], mapping.kept_sites())
    assert found == {f"ALA{k}:CA": 4 for k in (1, 2, 3, 4)}
    assert set(flips_by_centre(mapping(atoms), atoms[:1], mapping.kept_sites()).values()) == {0}


def test_one_wrong_centre_is_named():
    atoms = frames_of(peptide(4))
    positions = np.array(atoms.positions)
    at = [atoms.system.site(f"ALA3:{n}") for n in ("CA", "N", "C", "CB")]
    normal = np.cross(
        positions[:, at[2]] - positions[:, at[1]], positions[:, at[3]] - positions[:, at[1]]
    )
    normal /= np.linalg.norm(normal, axis=-1, keepdims=True)
    height = ((positions[:, at[0]] - positions[:, at[1]]) * normal).sum(-1, keepdims=True)
    positions[1, at[0]] -= 2 * height[1] * normal[1]
    found = flips_by_centre(replace(atoms, positions=positions), atoms[:1])
    assert found == {"ALA1:CA": 0, "ALA2:CA": 0, "ALA3:CA": 1, "ALA4:CA": 0}


def test_centres_are_found_where_nobody_states_residue_numbers():
    system = replace(peptide(3), residue_numbers=None, chain_ids=())
    atoms = frames_of(system)
    mapping = HeavyAtoms()(system)
    found = flips_by_centre(mirrored(mapping(atoms)), atoms[:1], mapping.kept_sites())
    assert list(found.values()) == [4, 4, 4] and all("ALA:CA (#" in name for name in found)
    assert [system.site(name) for name in found] == [1, 11, 21]


def test_centres_without_their_hydrogens_are_known_by_name():
    atoms = frames_of(peptide(4, hydrogens=False))
    assert set(flips_by_centre(mirrored(atoms), atoms[:1]).values()) == {4}
    assert [c[0] for c in stereocentres(atoms.system)] == [f"ALA{k}:CA" for k in (1, 2, 3, 4)]


def test_centres_that_a_mapping_averages_are_left_out():
    atoms = frames_of(peptide(4))
    mapping = ResidueCentres()(atoms.system)
    assert flips_by_centre(mapping(atoms), atoms[:1], mapping.kept_sites()) == {}


CHIGNOLIN = (
    Path(__file__).parents[3] / "shared/data/protein_structures/experimental/chignolin_cln025.pdb"
)


@pytest.mark.skipif(not CHIGNOLIN.exists(), reason="needs the shared structures")
def test_all_eleven_centres_of_a_mirrored_chignolin_are_counted():
    import cgrec

    frames = cgrec.read(CHIGNOLIN, temperature=300)
    expected = {
        f"{r}:CA" for r in ("TYR1", "TYR2", "ASP", "PRO", "GLU", "THR6", "THR8", "TRP", "TYR10")
    }
    found = flips_by_centre(mirrored(frames), frames)
    assert found == dict.fromkeys(expected | {"THR6:CB", "THR8:CB"}, 1)


def test_a_basin_of_no_variable_is_remarked(tmp_path):
    """It was left out without a word."""
    chain = Chain(
        tmp_path / "run", GaussianChainSource(n_frames=20), {}, basins={"a": {"phi": [0, 1]}}
    )
    with pytest.warns(Remark, match="basins.a is left out: no level is compared in phi"):
        chain.climb()
    said = json.loads((tmp_path / "run" / "level0" / "remarks.json").read_text())
    assert any("basins.a" in sentence for sentence in said)


def test_a_wrong_label_of_a_chain_is_refused_before_its_frames_are_made(tmp_path):
    variables = {"ends": ["B0", "B99"]}
    chain = Chain(tmp_path / "run", GaussianChainSource(n_frames=20), {}, variables=variables)
    with pytest.raises(SiteError, match="B99"):
        chain.climb()
    assert not (tmp_path / "run" / "level0" / "frames").exists()
