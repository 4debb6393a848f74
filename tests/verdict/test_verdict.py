"""Every rule of the verdict, by a report that breaks it alone; and the structures that the rules
are about.
"""

from __future__ import annotations

import json

import numpy as np
import pytest

from cgrec.frames import Frames
from cgrec.mapping import Backbone, HeavyAtoms, alpha_carbons
from cgrec.observables import compare_conformations, flips_by_centre, own_conformation
from cgrec.observables.backbone import backbone_torsions, cis_rows, peptide_bonds
from cgrec.system import System
from cgrec.units import shown
from cgrec.variables import default_variables, longest_chain
from cgrec.verdict import DO_NOT_USE, LOOK, RULES, TRUST, Verdict, judge, word_in
from cgrec.verdict.making import parent_samples


def row(
    against="parent",
    excess=0.001,
    error=0.001,
    variables=("ends",),
    n_eff=500.0,
    level="l2",
    n_eff_model=900.0,
):
    return {
        "level": level,
        "against": against,
        "variables": list(variables),
        "excess": excess,
        "error": error,
        "n_eff_reference": n_eff,
        "n_eff_model": n_eff_model,
    }


def report(**changes):
    """What report.json holds of a level that can be trusted, with `changes`."""
    good = {
        "name": "l2",
        "n_sites": 5,
        "n_frames": 10_000,
        "temperature": 300.0,
        "kinetic_temperature": [300.3, 0.4],
        "explained_fraction": 0.5,
        "replicas": {"started": 64, "lost": 0, "where": []},
        "training": {
            "explained_fraction": 0.5,
            "explained_fraction_error": 0.01,
            "training_explained_fraction": 0.52,
            "training_explained_fraction_error": 0.01,
            "n_training": 8000,
        },
        "ledger": [row(), row("level 0")],
        "liquid": [],
        "chirality_flips": {"ALA:CA": 0},
        "conformation": {"cis": [cis()], "torsions": [torsion()], "bonded": [term()]},
        # large but not certain, and certain but not large
        "drift": {
            "ends": {"shift": 0.6, "error": 0.2},
            "turn": {"shift": -0.2, "error": 0.01},
        },
    }
    return {**good, **changes}


def cis(model=(0.0, 0.0), reference=(0.0, 0.0), imino=False):
    return {
        "bond": "omega ASN2:N",
        "imino": imino,
        "model": list(model),
        "reference": list(reference),
    }


def torsion(excess=0.001, error=0.001):
    return {
        "torsion": "phi ASN2:CA",
        "excess": excess,
        "error": error,
        "floor": 0.001,
        "n_eff_reference": 500.0,
    }


def term(kind="bond", js=0.01, size=0.0005):
    return {
        "kind": kind,
        "label": "ASN:N-ASN:CA",
        "wasserstein": size,
        "wasserstein_floor": 0.0001,
        "unit": "nm",
        "js": js,
        "js_floor": 0.005,
        "js_error": 0.001,
    }


def shaped(**parts):
    return {"conformation": {**report()["conformation"], **parts}}


def fit(validation, training, n=8000, error=0.001):
    numbers = {
        "explained_fraction": validation,
        "training_explained_fraction": training,
        "n_training": n,
    }
    errors = {"explained_fraction_error": error, "training_explained_fraction_error": error}
    return {"explained_fraction": validation, "training": {**numbers, **errors}}


def radial(value, floor=0.01, error=0.005):
    what = {"level": "l2", "against": "parent", "what": "g(r)", "types": ["O", "O"]}
    return {"liquid": [{**what, "value": value, "floor": floor, "error": error}]}


def renewed(own=(1000.0, 9.0), parent=(1000.0, 9.0)):
    """Independent surroundings of ions, and how many each had in a run."""
    few = {"own": own, "parent": parent}
    water = {"W about W": {"independent": 1e4, "renewed": 20.0}}
    return {
        "surroundings": {
            whose: {**water, "CL about NA": {"independent": n, "renewed": each}}
            for whose, (n, each) in few.items()
        }
    }


CASES = [
    (
        "forces",
        LOOK,
        {
            "temperature_of_forces": {
                "verdict": "off",
                "temperature": 300.0,
                "estimate": 320.3,
                "error": 0.7,
                "pairs": "bonds",
            }
        },
    ),
    ("parent_samples", LOOK, {"ledger": [row(n_eff=60.0)]}),
    ("parent_samples", DO_NOT_USE, {"ledger": [row(n_eff=25.0)]}),
    ("own_samples", LOOK, {"ledger": [row(n_eff_model=3.0)]}),
    ("parent_surroundings", LOOK, renewed(parent=(60.0, 9.0))),
    ("parent_surroundings", DO_NOT_USE, renewed(parent=(20.0, 9.0))),
    ("own_surroundings", LOOK, renewed(own=(20.0, 0.5))),
    ("still_moves", LOOK, {"drift": {"ends": {"shift": -0.56, "error": 0.11}}}),
    ("overfit", LOOK, fit(0.12, 0.18)),
    ("overfit", DO_NOT_USE, fit(0.10, 0.35)),
    ("explained", DO_NOT_USE, fit(-0.002, 0.1)),
    ("explained", DO_NOT_USE, fit(0.0, 0.0)),
    ("explained", LOOK, fit(0.002, 0.002, error=0.001)),
    ("replicas", LOOK, {"replicas": {"started": 256, "lost": 33}}),
    ("replicas", DO_NOT_USE, {"replicas": {"started": 32, "lost": 16}}),
    ("heat", LOOK, {"kinetic_temperature": [303.0, 0.4]}),
    ("heat", LOOK, {"kinetic_temperature": [292.5, 0.4]}),
    (
        "heat",
        DO_NOT_USE,
        {"kinetic_temperature": [350.0, 30.0], "n_sites": 20},
    ),  # a broken run's own error is no excuse
    # kJ/mol/nm: 50 meV/A
    ("network", LOOK, {"force_error": {"value": 48.2, "error": 1.0, "frames": 200}}),
    ("cis", LOOK, shaped(cis=[cis((0.005, 0.001))])),
    ("cis", DO_NOT_USE, shaped(cis=[cis(), cis((0.05, 0.01))])),
    ("cis", DO_NOT_USE, shaped(cis=[cis((0.1, 0.02), (0.9, 0.05))])),
    ("cis", LOOK, shaped(cis=[cis((0.5, 0.02), (0.5, 0.05))])),  # as its parent, but no chemist's
    ("cis", LOOK, shaped(cis=[cis((0.15, 0.02), (0.05, 0.02), imino=True)])),
    ("cis", DO_NOT_USE, shaped(cis=[cis((0.9, 0.02), (0.05, 0.02), imino=True)])),
    ("hands", LOOK, {"chirality_flips": {"ALA:CA": 0, "ASN2:CA": 1}}),
    ("hands", DO_NOT_USE, {"chirality_flips": {"ASN2:CA": 10_000}}),
    ("distribution", LOOK, {"ledger": [row(excess=0.02, error=0.005), row("level 0")]}),
    ("distribution", DO_NOT_USE, {"ledger": [row(excess=0.5, error=0.05), row("level 0")]}),
    ("handed_on", LOOK, {"ledger": [row(), row("level 0", 0.02, 0.005)]}),
    ("handed_on", DO_NOT_USE, {"ledger": [row(), row("level 0", 0.5, 0.05)]}),
    ("torsions", LOOK, shaped(torsions=[torsion(0.05, 0.01)])),
    ("torsions", DO_NOT_USE, shaped(torsions=[torsion(0.3, 0.01)])),
    ("bonded", LOOK, shaped(bonded=[term(js=0.1, size=0.004)])),
    ("bonded", DO_NOT_USE, shaped(bonded=[term(js=0.5, size=0.02)])),
    ("bonded", DO_NOT_USE, shaped(bonded=[term("angle", 0.5, 0.2)])),
    ("bonded", DO_NOT_USE, shaped(bonded=[term("dihedral", 0.5, 1.0)])),
    ("liquid", LOOK, radial(0.1)),
    ("liquid", DO_NOT_USE, radial(0.4)),
    ("no_row", LOOK, {"ledger": [], "liquid": []}),
]


@pytest.mark.parametrize(
    ("rule", "word", "changes"), CASES, ids=[f"{c[0]}-{c[1]}-{k}" for k, c in enumerate(CASES)]
)
def test_each_rule_speaks_alone(rule, word, changes):
    verdict = judge(report(**changes), below={"name": "l1"})
    assert [(r.rule, r.word) for r in verdict.reasons] == [(rule, word)]
    reason = verdict.reasons[0]
    assert verdict.word == word and reason.found and reason.expected and reason.do
    assert verdict.line().startswith(f"{word}: {reason.found[:20]}")
    assert Verdict.from_json(json.loads(json.dumps(verdict.to_json()))) == verdict


def test_every_rule_is_tried():
    assert {rule for rule, _, _ in CASES} | {"parent"} == set(RULES)


@pytest.mark.parametrize(
    "changes",
    [
        {},
        {"force_error": {"value": 19.1, "error": 0.3, "frames": 200}},
        {"force_error": {"value": 41.0, "error": 3.0, "frames": 20}},  # above, but not certainly
        {"ledger": [row(n_eff=100.0)]},
        {"replicas": {"started": 100, "lost": 5}},
        {"kinetic_temperature": [301.9, 0.4]},  # 4.75 standard errors
        {"kinetic_temperature": [300.5, 0.01]},  # 50, but a time step's own
        {"ledger": [row(excess=0.02, error=0.01)]},  # not certain
        # the control's, not its own
        {"ledger": [row(), row(excess=0.5, error=0.01, level="l2 (direct)")]},
        shaped(bonded=[term(js=0.6, size=0.0005)]),  # a rigid bond: no overlap, no difference
        shaped(cis=[cis((0.08, 0.01), (0.05, 0.01), imino=True)]),
        radial(0.03),
        renewed(own=(40.0, 0.1), parent=(120.0, 0.2)),
        fit(0.5, 0.55),
    ],
)
def test_what_is_within_its_bounds_is_trusted(changes):
    assert judge(report(**changes), below={"name": "l1"}) == Verdict()
    assert judge(report(**changes), below={"name": "l1"}).word == TRUST


@pytest.mark.parametrize(
    ("kelvin", "way"), [(291.0, "dynamics.equilibration"), (309.0, "shorten the time step")]
)
def test_a_cold_run_is_equilibrated_longer_and_a_hot_one_steps_shorter(kelvin, way):
    """From a minimum half of the heat goes into potential energy first, at any time step."""
    (reason,) = judge(report(kinetic_temperature=[kelvin, 0.4])).reasons
    assert reason.rule == "heat" and way in reason.do


def test_agreement_with_a_wrong_parent_is_said():
    verdict = judge(report(ledger=[row(), row("level 0", 0.5, 0.05)]), below={"name": "l1"})
    assert "it agrees with its parent, but not with level 0" in verdict.line()
    # the rows of l1 may be of other variables
    assert "Mend l1 first: it is off in ends already" in verdict.line()
    both = judge(report(ledger=[row(excess=0.5), row("level 0", 0.5, 0.05)]), below={"name": "l1"})
    assert "agrees with its parent" not in " ".join(r.found for r in both.reasons)


def test_a_level_on_a_level_that_is_not_to_be_used_is_not_either():
    below = {
        "name": "l1",
        "verdict": judge(report(replicas={"started": 4, "lost": 4}), {}).to_json(),
    }
    (reason,) = judge(report(), below).reasons
    assert (reason.rule, reason.word) == ("parent", DO_NOT_USE) and "l1" in reason.found


def test_few_frames_of_level_0_are_a_look_there_and_a_stop_above():
    about = {"name": "level 0", "n_eff": {"ends": 12.0, "turn": 40.0}, "ledger": []}
    (reason,) = judge(about).reasons
    assert (reason.rule, reason.word) == ("parent_samples", LOOK)
    assert "12 independent frames in ends" in reason.found


@pytest.mark.parametrize(
    ("own", "words"),
    [
        ((20.0, 0.5), "had 20 independent surroundings in all (CL about NA)"),
        ((99.7, 9.0), "had 99.7 independent surroundings in all (CL about NA)"),
        ((150.0, 1.5), "changed their neighbours 1.5 times in a run (CL about NA)"),
    ],
)
def test_a_short_run_of_a_liquid_is_a_look_at_level_0(own, words):
    (reason,) = judge({"name": "level 0", **renewed(own)}).reasons
    assert (reason.rule, reason.word) == ("parent_surroundings", LOOK) and words in reason.found


def test_the_gravest_reason_comes_first():
    changes = {"chirality_flips": {"ALA:CA": 1}, "replicas": {"started": 32, "lost": 16}}
    verdict = judge(report(**changes), {})
    assert [r.word for r in verdict.reasons] == [DO_NOT_USE, LOOK]
    assert "conditioned on survival" in verdict.line() and "1 more reason" in verdict.line()


@pytest.mark.parametrize("value", [None, "text", 3, [], {}, [1, "a"], True, float("nan")])
def test_numbers_that_are_none_silence_their_rule(value):
    for key in report():
        if key != "name":
            judge(report(**{key: value}), {"name": "l1"})
    for key in row():
        judge(report(ledger=[{**row(), key: value}]), {"name": "l1"})
    for key in term():
        judge(report(**shaped(bonded=[{**term(), key: value}])), {"name": "l1"})
    for key in cis():
        judge(report(**shaped(cis=[{**cis(), key: value}])), {"name": "l1"})
    for key in report()["training"]:
        judge(report(training={**report()["training"], key: value}), {"name": "l1"})


@pytest.mark.parametrize(
    "data", [None, {}, {"reasons": "no"}, {"word": "trust", "reasons": [{"rule": "x"}]}]
)
def test_what_is_no_verdict_is_refused(data):
    with pytest.raises(ValueError, match="verdict: expected"):
        Verdict.from_json(data)


# ---- structures
# ------------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def dipeptide():
    """All atoms of alanine dipeptide, 100 frames that ship."""
    from cgrec.files import package_path

    return Frames.load(package_path("package:alanine_dipeptide_nnp/starts"))[:100]


def test_the_backbone_is_found_at_every_level_that_has_it(dipeptide):
    for frames in (dipeptide, HeavyAtoms()(dipeptide.system)(dipeptide)):
        labels = frames.system.labels
        named = {t.name: tuple(labels[s] for s in t.sites) for t in peptide_bonds(frames.system)}
        assert named == {
            "omega ALA:N": ("ACE:CH3", "ACE:C", "ALA:N", "ALA:CA"),
            "omega NME:N": ("ALA:CA", "ALA:C", "NME:N", "NME:C"),
        }
        phi, psi = backbone_torsions(frames.system)
        assert tuple(labels[s] for s in phi.sites) == ("ACE:C", "ALA:N", "ALA:CA", "ALA:C")
        assert tuple(labels[s] for s in psi.sites) == ("ALA:N", "ALA:CA", "ALA:C", "NME:N")
    beads = Backbone(["N", "CA", "C"])(dipeptide.system)(dipeptide)
    assert [t.name for t in backbone_torsions(beads.system)] == ["phi ALA:CA", "psi ALA:CA"]
    # the acetyl's CH3 is no site
    assert [t.name for t in peptide_bonds(beads.system)] == ["omega NME:N"]


def test_without_names_the_amide_is_known_by_its_oxygen(dipeptide):
    s = dipeptide.system
    plain = System(names=s.elements, masses=s.masses, elements=s.elements, bonds=s.bonds)
    assert [t.sites for t in peptide_bonds(plain)] == [t.sites for t in peptide_bonds(s)]


def turned(frames, bond, angle):
    """Frames with everything behind the peptide bond turned about it."""
    x = np.array(frames.positions, float)
    before, carbon, nitrogen, after = bond.sites
    moved = frames.system.beyond(carbon, nitrogen)
    axis = x[:, nitrogen] - x[:, carbon]
    axis /= np.linalg.norm(axis, axis=1, keepdims=True)
    arm = x[:, moved] - x[:, [nitrogen]]
    along = (arm * axis[:, None]).sum(-1, keepdims=True) * axis[:, None]
    across = np.cross(axis[:, None], arm)
    x[:, moved] = x[:, [nitrogen]] + along + np.cos(angle) * (arm - along) + np.sin(angle) * across
    return Frames(frames.system, x, frames.temperature)


def test_a_peptide_bond_turned_to_cis_is_seen_with_its_number(dipeptide):
    first, second = peptide_bonds(dipeptide.system)
    assert not cis_rows(dipeptide, [first, second]).any()
    some = turned(dipeptide[:7], first, np.pi)
    mixed = Frames(
        dipeptide.system, np.concatenate([some.positions, dipeptide.positions[7:]]), 300.0
    )
    assert cis_rows(mixed, [first, second]).sum(0).tolist() == [7, 0]
    verdict = judge(report(conformation=compare_conformations(mixed, dipeptide)), {"name": "l1"})
    assert "7 % of the frames have omega ALA:N cis" in verdict.line()
    assert judge({"conformation": own_conformation(mixed)}).reasons[0].rule == "cis"


def trace(distances):
    """Alpha carbons in a zigzag, neighbours so far apart, nm, one frame a row."""
    x = np.zeros((len(distances), len(distances[0]) + 1, 3))
    for k in range(len(distances[0])):
        step = np.array([0.6, 0.8 if k % 2 else -0.8, 0.0])
        x[:, k + 1] = x[:, k] + np.array(distances)[:, k, None] * step
    n = x.shape[1]
    names = ("ALA", "PRO", *["GLY"] * n)[:n]
    system = System(
        names=("CA",) * n,
        masses=[12.0] * n,
        elements=("C",) * n,
        residues=np.arange(n),
        residue_names=names,
        bonds=[(k, k + 1) for k in range(n - 1)],
    )
    return Frames(system, x, 300.0)


def test_alpha_carbons_alone_tell_cis_by_their_distance():
    frames = trace([[0.38, 0.38, 0.38], [0.29, 0.38, 0.29], [0.38, 0.38, 0.295]])
    bonds = peptide_bonds(frames.system)
    assert [b.imino for b in bonds] == [True, False, False]
    assert cis_rows(frames, bonds).tolist() == [[0, 0, 0], [1, 0, 1], [0, 0, 1]]


def test_a_real_trace_has_no_cis_bond(dipeptide):
    found = alpha_carbons(dipeptide.system)(dipeptide)
    assert found.n_sites == 1 and peptide_bonds(found.system) == []


def test_a_mirror_image_is_not_to_be_used(dipeptide):
    mirrored = Frames(dipeptide.system, dipeptide.positions * [1, 1, -1], 300.0)
    count = flips_by_centre(mirrored, dipeptide[:1])
    assert count == {"ALA:CA": 100} and flips_by_centre(dipeptide, dipeptide[:1]) == {"ALA:CA": 0}
    (reason,) = judge({"name": "l1", "chirality_flips": count, "n_frames": 100}, {}).reasons
    assert (reason.rule, reason.word) == ("hands", DO_NOT_USE)


def test_variables_where_nobody_gave_any(dipeptide):
    assert [len(v.sites) for v in default_variables(dipeptide.system)] == [2, 4]
    ends, turn = default_variables(HeavyAtoms()(dipeptide.system).coarse)
    assert {"ACE:CH3", "NME:C"} >= {
        s for s in ends.sites if s.endswith("CH3") or s.startswith("NME")
    }
    assert len(longest_chain(dipeptide.system)) == 7
    three = System(names=("A", "B", "C"), masses=[1] * 3, bonds=[(0, 1), (1, 2)])
    assert [v.sites for v in default_variables(three)] == [
        ("MOL:A", "MOL:C"),
        ("MOL:A", "MOL:B", "MOL:C"),
    ]
    loose = System(names=("Na", "Cl"), masses=[23, 35])
    assert [v.sites for v in default_variables(loose)] == [("MOL:Na", "MOL:Cl")]
    assert default_variables(System(names=("A",), masses=[1])) == ()
    alphas = trace([[0.38] * 4]).system
    ends, turn = default_variables(alphas)
    assert [int(i) for i in ends.indices(alphas)[0]] == [0, 4] and len(turn.sites) == 4
    alike = System(names=("B",) * 4, masses=[1] * 4, bonds=[(0, 1), (1, 2), (2, 3)])
    for v in default_variables(alike):
        v.indices(alike)


@pytest.mark.parametrize(
    ("value", "digits", "text"),
    [
        (12.4, 1, "10"),
        (182.0, 2, "180"),
        (0.0123, 2, "0.012"),
        (99.96, 3, "100"),
        (0.0, 2, "0"),
        (1.5e-7, 2, "1.5e-07"),
        (float("nan"), 2, "nan"),
        (-293.2, 2, "-290"),
    ],
)
def test_numbers_in_sentences_have_no_needless_exponent(value, digits, text):
    assert shown(value, digits) == text


def test_a_short_sample_of_level_0_says_what_becomes_of_the_levels_above():
    """It is what it is: a level made from it is not to be used."""
    base = {"name": "level 0", "below": None, "n_eff": {"ends": 11.0}}
    found = parent_samples(base)
    assert found.word == LOOK
    assert found.expected == "100 or more; levels made from fewer than 30 are not to be used"


def test_a_report_of_an_older_version_calls_the_value_word():
    new, old = {"value": "look", "reasons": []}, {"word": "look", "reasons": []}
    assert word_in({"verdict": new}) == word_in({"verdict": old}) == "look"
    assert word_in({}) == word_in({"verdict": None}) == ""
    assert set(Verdict().to_json()) == {"value", "reasons"}
