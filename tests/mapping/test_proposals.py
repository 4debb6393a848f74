"""Proposed mappings: what every method must obey, their scores, and the command."""

import numpy as np
import pytest
import yaml

import cgrec
from cgrec import Frames
from cgrec.cli import main
from cgrec.commands.map import Map
from cgrec.files import package_path
from cgrec.mapping.choose.proposals import METHODS, inner_fluctuation, propose_mappings, ranked


@pytest.fixture(scope="module")
def frames():
    """Alanine dipeptide as if it had been run: shipped structures shaken along bonds and groups."""
    starts = Frames.load(package_path("package:alanine_dipeptide_nnp") / "starts")
    rng = np.random.default_rng(0)
    x = np.asarray(starts.positions, float)[np.arange(400) % len(starts)] + rng.normal(
        scale=0.003, size=(400, 22, 3)
    )
    return Frames(
        starts.system, x, 300.0, forces=rng.normal(size=x.shape), energies=rng.normal(size=400)
    )


@pytest.mark.parametrize("method", METHODS)
@pytest.mark.parametrize("n_sites", [10, 5, 2])
def test_every_method_gives_whole_beads(frames, method, n_sites):
    for proposal in propose_mappings(frames.system, frames, method, n_sites):
        assert proposal.coarse.n_sites == n_sites
        assert sorted(i for bead in proposal.beads for i in bead) == list(range(22))
        assert (
            np.abs(proposal.force_weights @ proposal.position_weights.T - np.eye(n_sites)).max()
            < 1e-12
        )
        owner = {i: k for k, bead in enumerate(proposal.beads) for i in bead}
        for i, j in frames.system.bonds:
            if "H" in (frames.system.elements[i], frames.system.elements[j]):
                assert owner[i] == owner[j]  # hydrogens stay with their atoms
        for bead in proposal.beads:
            assert len(np.unique(frames.system.select(bead).molecules)) == 1  # connected
        again = yaml.safe_load(yaml.safe_dump(proposal.rule()))
        from hydra.utils import instantiate

        rebuilt = instantiate(again)(frames.system)
        assert np.array_equal(rebuilt.position_weights, proposal.position_weights)
        assert rebuilt.coarse.fingerprint() == proposal.coarse.fingerprint()


def test_all_methods_best_first(frames):
    found = propose_mappings(frames.system, frames, "all", 5, place="centre")
    assert len({p.method for p in found}) >= 3
    assert {"inner", "noise", "hidden", "kinetics"} <= set(found[0].scores)
    sums = [
        sum(
            sum(q.scores[s].value * sign < p.scores[s].value * sign for q in found)
            for s, sign in (("inner", 1), ("noise", 1), ("hidden", 1), ("kinetics", -1))
        )
        for p in found
    ]
    assert sums == sorted(sums)


def test_the_least_inner_fluctuation_wins_where_it_is_all_there_is(frames):
    bare = Frames(frames.system, frames.positions, 300.0, weights=np.linspace(0.5, 1.5, 400))
    found = propose_mappings(bare.system, bare, "all", 5)
    values = [p.scores["inner"].value for p in found]
    assert values == sorted(values) and "kinetics" not in found[0].scores


def test_inner_fluctuation_of_a_known_case():
    """Two pairs of atoms with one distance each, normal with 0.02 and 0.04 nm."""
    rng = np.random.default_rng(0)
    x = np.zeros((5000, 4, 3))
    x[:, 1, 0], x[:, 2, 1] = 0.15 + 0.02 * rng.normal(size=5000), 1.0
    x[:, 3] = x[:, 2] + np.array([1, 0, 0]) * (0.3 + 0.04 * rng.normal(size=5000))[:, None]
    system = cgrec.System(names=tuple("ABCD"), masses=np.ones(4), bonds=[(0, 1), (1, 2), (2, 3)])
    value, error = inner_fluctuation([[0, 1], [2, 3]], Frames(system, x, 300.0))
    exact = np.sqrt((0.02**2 + 0.04**2) / 2)
    assert value == pytest.approx(exact, abs=4 * error) and error < 0.02 * exact


def test_sites_on_atoms_of_what_people_draw_are_what_people_pick(frames):
    """The five beads of the network, each at the atom that ties it to the others: the backbone that
    everybody takes.
    """
    (proposal,) = propose_mappings(frames.system, frames, "learned", 5, place="atom")
    hand = cgrec.mapping.Pick(["ACE:C", "ALA:N", "ALA:CA", "ALA:C", "NME:N"])(frames.system)
    assert np.array_equal(proposal.position_weights, hand.position_weights)
    assert proposal.coarse.fingerprint() == hand.coarse.fingerprint()


def test_protected_atoms_stay_sites(frames):
    for method in ("essential_dynamics", "local_variation"):
        for proposal in propose_mappings(frames.system, frames, method, 7, protected=["ALA:CA"]):
            (bead,) = [b for b in proposal.beads if 8 in b]
            assert {i for i in bead if frames.system.elements[i] != "H"} == {8}


def test_refusals(frames):
    with pytest.raises(ValueError, match=r"among essential_dynamics"):
        propose_mappings(frames.system, frames, "taste", 5)
    with pytest.raises(ValueError, match=r"1 to 22 sites"):
        propose_mappings(frames.system, frames, n_sites=23)
    with pytest.raises(ValueError, match=r"expected frames, found none"):
        propose_mappings(frames.system, None, "essential_dynamics", 5)
    with pytest.raises(KeyError, match=r"ALA:XX"):
        propose_mappings(frames.system, frames, n_sites=5, protected=["ALA:XX"])
    with pytest.raises(ValueError, match=r"either system=FILE or run=FOLDER"):
        Map()
    assert ranked([]) == []
    cut = frames.positions[:60].copy()
    cut[30, 8] += [3.0, 0, 0]
    with pytest.raises(ValueError, match=r"bonds across the box, first ALA:N \(#6\) to ALA:CA"):
        propose_mappings(
            frames.system, Frames(frames.system, cut, 300.0, box=3 * np.eye(3)), n_sites=5
        )


def test_map_by_command_and_climb_with_its_rule(frames, tmp_path, capsys):
    frames.save(tmp_path / "frames")
    main(
        [
            "map",
            f"system={tmp_path / 'frames'}",
            "n_sites=5,2",
            "place=centre",
            f"to={tmp_path / 'maps'}",
        ]
    )
    text = capsys.readouterr().out
    assert "local_variation" in text and "kinetics: share of slow motion" in text
    assert {"request.json", "table.txt", "pareto.png", "beads.png", "mapping"} == {
        p.name for p in (tmp_path / "maps").iterdir()
    }
    chosen = yaml.safe_load((tmp_path / "maps" / "mapping" / "chosen.yaml").read_text())
    assert len(chosen["beads"]) == 5
    main(
        [
            "climb",
            "--cfg",
            "job",
            "--config-dir",
            str(tmp_path / "maps"),
            "+mapping@levels.l1.mapping=chosen",
        ]
    )
    assert "cgrec.mapping.Parts" in capsys.readouterr().out
    with pytest.raises(SystemExit, match=r"expected choose="):
        main(["map", f"system={tmp_path / 'frames'}", f"to={tmp_path / 'more'}", "choose=taste"])


def test_a_level_takes_a_rule_that_looks_at_frames(frames):
    from cgrec.level import mapping_of
    from cgrec.mapping import EssentialDynamics, HeavyAtoms

    assert mapping_of(EssentialDynamics(n_sites=5), frames).coarse.n_sites == 5
    assert mapping_of(HeavyAtoms(), frames).coarse.n_sites == 10


def _chain_of(names, bonds):
    """A molecule of carbons whose only difference is who is bonded to whom; 60 frames of it shaken."""
    n = len(names)
    system = cgrec.System(names=names, masses=np.full(n, 12.0), elements=("C",) * n, bonds=bonds)
    x = np.zeros((60, n, 3))
    x[:, :, 0] = 0.15 * np.arange(n)
    return Frames(system, x + np.random.default_rng(1).normal(scale=0.005, size=x.shape), 300.0)


LINE = [(k, k + 1) for k in range(5)]
TREE = [(0, 1), (0, 2), (0, 3), (3, 4), (4, 5)]
NAMED, NAMELESS = tuple(f"C{k}" for k in range(6)), ("C",) * 6


@pytest.mark.parametrize("place", ["centre", "atom"])
@pytest.mark.parametrize("names", [NAMED, NAMELESS])
def test_a_rule_of_one_molecule_is_refused_by_another(names, place):
    """The names C0 C1 ... and the indices of one molecule exist in every other."""
    from hydra.utils import instantiate

    line = _chain_of(names, LINE)
    (proposal,) = propose_mappings(line.system, None, "local_variation", 2, place=place)
    rule = proposal.rule()
    flat = str(rule.get("sites", rule.get("beads")))
    assert ("#" in flat) == (names is NAMELESS)
    again = instantiate(rule)(line.system)
    assert again.coarse.fingerprint() == proposal.coarse.fingerprint()
    with pytest.raises(ValueError, match=r"expected the molecules it was made for.*cgrec map to="):
        instantiate(rule)(_chain_of(names, TREE).system)
    with pytest.raises((ValueError, KeyError)):
        instantiate(rule)(_chain_of(tuple("CNOCNO"), LINE).system)


def test_a_rule_by_names_goes_on_in_another_box(frames):
    """With water around it, or under other residue numbers, a molecule is what it was; by index it
    would be shifted.
    """
    from hydra.utils import instantiate

    alone = frames.system
    water = cgrec.System(
        names=("O", "H1", "H2", *alone.names),
        masses=np.array([16.0, 1, 1, *alone.masses]),
        elements=("O", "H", "H", *alone.elements),
        residue_names=("HOH",) * 3 + alone.residue_names,
        residues=np.array([0, 0, 0, *(alone.residues + 1)]),
        bonds=[(0, 1), (0, 2), *(alone.bonds + 3).tolist()],
    )
    (proposal,) = propose_mappings(alone, None, "local_variation", 5, place="atom")
    rule = proposal.rule()
    assert "#" not in str(rule["sites"])
    assert instantiate(rule)(water).coarse.labels == proposal.coarse.labels
    indexed = {**rule, "sites": [f"#{alone.site(s)}" for s in rule["sites"]]}
    with pytest.raises(ValueError, match=r"indices"):
        instantiate(indexed)(water)


def test_map_overwrites_nothing(frames, tmp_path, capsys):
    """A second map in a folder goes on for the same frames and options only, whatever differs."""
    frames.save(tmp_path / "frames")
    _chain_of(NAMED, LINE).save(tmp_path / "other")
    frames[:200].save(tmp_path / "shorter")
    same = ["place=centre", "method=local_variation", f"to={tmp_path / 'maps'}"]
    first = ["map", f"system={tmp_path / 'frames'}", "n_sites=5,2", *same]
    main(first)
    before = {p: p.read_bytes() for p in (tmp_path / "maps").rglob("*") if p.is_file()}
    for other in (
        ["map", f"system={tmp_path / 'other'}", "n_sites=5,2", *same],
        ["map", f"system={tmp_path / 'shorter'}", "n_sites=5,2", *same],
        ["map", f"system={tmp_path / 'frames'}", "n_sites=5", *same],
        [*first, "lag=5"],
        [*first, "protected=ALA:CA"],
    ):
        with pytest.raises(SystemExit, match=r"would be overwritten; give another to="):
            main(other)
        assert before == {p: p.read_bytes() for p in (tmp_path / "maps").rglob("*") if p.is_file()}
    main([*first, "choose=local_variation"])
    (tmp_path / "maps" / "request.json").unlink()
    with pytest.raises(SystemExit, match=r"nobody knows what it is of"):
        main(first)


def test_a_refused_map_leaves_nothing_in_the_way(frames, tmp_path):
    frames.save(tmp_path / "frames")
    command = [
        "map",
        f"system={tmp_path / 'frames'}",
        "n_sites=5",
        "method=local_variation",
        f"to={tmp_path / 'maps'}",
    ]
    with pytest.raises(SystemExit, match=r"expected choose="):
        main([*command, "choose=taste"])
    main(
        [
            "map",
            f"system={tmp_path / 'frames'}",
            "n_sites=2",
            "method=local_variation",
            f"to={tmp_path / 'maps'}",
        ]
    )


def test_experiments_and_maps_from_two_folders(frames, tmp_path, capsys):
    frames.save(tmp_path / "frames")
    main(["map", f"system={tmp_path / 'frames'}", "method=learned", f"to={tmp_path / 'maps'}"])
    for name, sites in (("first", 12), ("second", 20)):
        (tmp_path / name / "experiment").mkdir(parents=True)
        text = (
            "# @package _global_\ndefaults: [gaussian_chain, _self_]\n"
            f"name: mine\nsource: {{n_sites: {sites}}}\n"
        )
        (tmp_path / name / "experiment" / "mine.yaml").write_text(text)
    folders = [
        f"--config-dir={tmp_path / 'first'}",
        "--config-dir",
        str(tmp_path / "second"),
        "--config-dir",
        str(tmp_path / "maps"),
    ]
    capsys.readouterr()
    main(
        ["climb", *folders, "--cfg", "job", "experiment=mine", "+mapping@levels.l1.mapping=chosen"]
    )
    shown = yaml.safe_load(capsys.readouterr().out)
    assert shown["source"]["n_sites"] == 12 and "made_for" in shown["levels"]["l1"]["mapping"]
    main(
        [
            "climb",
            *folders[1:],
            "--cfg",
            "job",
            "experiment=mine",
            "+mapping@levels.l1.mapping=chosen",
        ]
    )
    assert yaml.safe_load(capsys.readouterr().out)["source"]["n_sites"] == 20
