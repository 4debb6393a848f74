"""`cgrec init`: what it takes files for, and that what it writes is an experiment."""

import sys
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import yaml

import cgrec
from cgrec import Frames, System
from cgrec.cli import build, main
from cgrec.configuration import composed
from cgrec.observables import dielectric_constant
from cgrec.setup import experiment
from cgrec.setup.better import better
from cgrec.setup.cost import Cost
from cgrec.setup.files import sample_of
from cgrec.setup.kinds import kinds_of, solvent_of
from cgrec.setup.ladder import ladder_of, situation_of
from cgrec.setup.sizes import _angle_rate, permittivity_of, settle, timestep
from cgrec.setup.times import Times
from cgrec.sources import ForceFieldSource
from cgrec.view.proposal import proposal

DATA = Path(__file__).parents[1] / "data"
KT = 0.0083144626 * 300


def chains(n_molecules, names, elements, masses, residue="MOL", offset=0):
    """`n_molecules` linear molecules as keywords of System, and the number of sites."""
    n = len(names)
    bonds = [(m * n + i, m * n + i + 1) for m in range(n_molecules) for i in range(n - 1)]
    return {
        "names": tuple(names) * n_molecules,
        "elements": tuple(elements) * n_molecules,
        "masses": np.tile(masses, n_molecules),
        "bonds": np.array(bonds).reshape(-1, 2) + offset,
        "residues": np.repeat(np.arange(n_molecules), n),
        "residue_names": (residue,) * (n * n_molecules),
    }


def joined(*parts):
    """One System of several `chains`."""
    offset = residue = 0
    found = {key: [] for key in parts[0]}
    for part in parts:
        moved = {**part, "bonds": part["bonds"] + offset, "residues": part["residues"] + residue}
        for key, value in moved.items():
            found[key].append(value)
        offset += len(part["names"])
        residue += part["residues"].max() + 1
    return System(
        **{
            k: sum(v, ()) if isinstance(v[0], tuple) else np.concatenate(v)
            for k, v in found.items()
        }
    )


def water(n):
    part = chains(n, "OHH", "OHH", [15.999, 1.008, 1.008], "SOL")
    part["bonds"] = np.array([(3 * m, 3 * m + k) for m in range(n) for k in (1, 2)])
    return part


def ion(n, name, element, mass):
    return chains(n, [name], [element], [mass], name)


def polymer(n, length=16, residue="PE"):
    return chains(n, [f"C{i}" for i in range(length)], "C" * length, [14.0] * length, residue)


def in_a_box(system, edge=4.0, n_frames=40, seed=0):
    """Sites that jitter about places of their own, in a box, with forces of springs."""
    rng = np.random.default_rng(seed)
    n_molecules = system.molecules.max() + 1
    side = int(np.ceil(np.sqrt(n_molecules)))
    places = np.zeros((n_molecules, 3))
    places[:, 1] = np.arange(n_molecules) % side * edge / side
    places[:, 2] = np.arange(n_molecules) // side * edge / side
    centres = places[system.molecules]
    along = np.zeros((system.n_sites, 3))
    for sites in system.molecule_sites():
        along[sites, 0] = 0.15 * np.arange(len(sites))
    shift = rng.normal(0, 0.01, (n_frames, system.n_sites, 3))
    return Frames(
        system=system,
        positions=centres + along + shift,
        forces=-KT / 0.01**2 * shift,
        box=np.eye(3) * edge,
        temperature=300.0,
    )


def test_kinds_of_molecules_and_the_solvent():
    system = joined(water(40), ion(3, "NA", "Na", 22.99), ion(3, "CL", "Cl", 35.45))
    kinds = kinds_of(system)
    assert [(k.name, k.count, k.is_ion, k.is_water) for k in kinds] == [
        ("SOL", 40, False, True),
        ("NA", 3, True, False),
        ("CL", 3, True, False),
    ]
    assert [k.charge for k in kinds] == [None, 1.0, -1.0]
    assert solvent_of(kinds) is kinds[0]


@pytest.mark.parametrize(
    "parts, word, dropped",
    [
        ([polymer(12)], "liquid", []),
        ([water(30)], "liquid", []),
        ([water(30), ion(3, "NA", "Na", 23.0), ion(3, "CL", "Cl", 35.0)], "ions", []),
        ([polymer(1), water(40)], "molecule", ["SOL"]),
        ([polymer(1), water(40), ion(2, "NA", "Na", 23.0)], "molecule", ["SOL", "NA"]),
        ([polymer(10), water(40)], "liquid", []),
        ([polymer(3), water(240)], "liquid", ["SOL"]),
        ([polymer(10, 6), polymer(10, 7, "HEP")], "liquid", []),
        (
            [polymer(1, 12), chains(60, ["C1", "C2"], "CC", [15.0, 15.0], "ETH")],
            "molecule",
            ["ETH"],
        ),
    ],
    ids=[
        "melt",
        "water",
        "salt",
        "solvent",
        "with ions",
        "crowded in water",
        "few in water",
        "mixture",
        "in ethane",
    ],
)
def test_what_a_system_is_taken_for(parts, word, dropped):
    situation = situation_of(joined(*parts))
    assert (situation.word, situation.dropped) == (word, dropped)


@pytest.mark.parametrize(
    "parts, sites",
    [
        ([polymer(12)], [48, 24]),
        ([polymer(12, 6)], [24, 12]),
        ([water(30)], [30]),
        ([water(30), ion(4, "NA", "Na", 23.0), ion(4, "CL", "Cl", 35.0)], [38, 8]),
        ([polymer(10, 6), polymer(10, 7, "HEP")], [40, 20]),
        ([polymer(10), water(40)], [80, 60]),
        ([polymer(1, 6)], [3]),
        ([polymer(1, 4)], [4]),
    ],
    ids=["melt", "hexane", "water", "salt", "mixture", "crowded in water", "six", "four"],
)
def test_levels_are_nested_and_have_fewer_sites(parts, sites):
    frames = in_a_box(joined(*parts))
    rungs = ladder_of(frames, situation_of(frames.system))
    assert [rung.frames.n_sites for rung in rungs] == sites


def test_what_no_rule_makes_fewer_is_fitted_as_it_is():
    frames = in_a_box(joined(ion(20, "AR", "Ar", 39.9)))
    (rung,) = ladder_of(frames, situation_of(frames.system))
    assert rung.rule["_target_"] == "cgrec.mapping.Mapping.identity"
    assert rung.frames.n_sites == 20


@pytest.mark.parametrize("edge, screened", [(4.0, True), (1.0, False)], ids=["dilute", "melt"])
def test_charges_of_ions_are_screened_where_something_lies_between_them(edge, screened):
    frames = in_a_box(joined(ion(20, "NA", "Na", 23.0), ion(20, "CL", "Cl", 35.5)), edge)
    situation = situation_of(frames.system)
    (rung,) = ladder_of(frames, situation)
    settle(rung, situation)
    assert ("coulomb" in rung.settings["priors"]) == screened
    if screened:
        assert rung.settings["priors"]["coulomb"]["charges"] == {"NA": 1, "CL": -1}


def test_time_step_is_an_eighth_of_the_period_of_the_stiffest_bond():
    # two sites of 16 amu whose distance has the variance of a spring of period 0.042 ps
    reduced, period = 8.0, 0.042
    stiffness = reduced * (2 * np.pi / period) ** 2
    rng = np.random.default_rng(1)
    x = np.zeros((4000, 2, 3))
    x[:, 1, 0] = 0.2 + rng.normal(0, np.sqrt(KT / stiffness), 4000)
    system = System(names=("A", "B"), masses=np.array([16.0, 16.0]), bonds=np.array([[0, 1]]))
    frames = Frames(system=system, positions=x, forces=np.zeros_like(x), temperature=300.0)
    assert timestep(frames) == 0.005


@pytest.mark.parametrize("ends, step", [(True, 0.012), (False, 0.02)])
def test_time_step_bears_the_wall_where_a_bond_ends(ends, step):
    """Halves of a chain: as wide a sample whose long side ends at once has a steep wall there."""
    rng = np.random.default_rng(1)
    width, n = 0.02, 20_000
    shift = -rng.exponential(width, n) if ends else rng.normal(0, width, n)
    x = np.zeros((n, 2, 3))
    x[:, 1, 0] = 0.4 + shift
    system = System(names=("A", "B"), masses=np.array([43.0, 43.0]), bonds=np.array([[0, 1]]))
    frames = Frames(system=system, positions=x, forces=np.zeros_like(x), temperature=300.0)
    assert timestep(frames) == step


def test_time_step_of_an_angle_is_that_of_its_bending():
    # a light site that swings about a heavy one: G = 1 / (m r^2), stiffness kT / variance
    mass, length, period = 12.0, 0.15, 0.05
    variance = KT / (mass * length**2 * (2 * np.pi / period) ** 2)
    angle = np.pi / 2 + np.random.default_rng(3).normal(0, np.sqrt(variance), 4000)
    x = np.zeros((4000, 3, 3))
    x[:, 0, 0] = length
    x[:, 2, 0], x[:, 2, 1] = length * np.cos(angle), length * np.sin(angle)
    system = System(
        names=("A", "B", "C"),
        masses=np.array([1e6, 1e6, mass]),
        bonds=np.array([[0, 1], [1, 2]]),
    )
    frames = Frames(system=system, positions=x, forces=np.zeros_like(x), temperature=300.0)
    assert _angle_rate(frames) * KT == pytest.approx((2 * np.pi / period) ** 2, rel=0.05)


def test_ions_are_a_level_of_ions_screened_by_their_own_solvent():
    system = joined(water(30), ion(4, "NA", "Na", 23.0), ion(4, "CL", "Cl", 35.0))
    frames = in_a_box(system)
    situation = situation_of(system)
    beside, alone = ladder_of(frames, situation)
    for rung in (beside, alone):
        settle(rung, situation, 71.0)
        assert rung.settings["priors"]["coulomb"]["permittivity"] == 71.0
    assert (beside.group, alone.group) == ("network", "ions")
    assert beside.settings["priors"]["coulomb"]["charges"] == {"SOL": 0, "NA": 1, "CL": -1}
    assert alone.settings["priors"]["coulomb"]["charges"] == {"NA": 1, "CL": -1}


def test_permittivity_is_measured_where_charges_of_the_solvent_are_known():
    system = joined(water(30), ion(1, "NA", "Na", 23.0), ion(1, "CL", "Cl", 35.0))
    assert permittivity_of(in_a_box(system), situation_of(system))[0] == 78.4
    charges = np.concatenate([np.tile([-0.8, 0.4, 0.4], 30), [1.0, -1.0]])
    frames = in_a_box(replace(system, charges=charges), n_frames=2000)
    value, said = permittivity_of(frames, situation_of(frames.system))
    assert value == pytest.approx(dielectric_constant(frames).value, rel=0.01) and "SOL" in said


def test_reach_ends_within_half_the_box():
    frames = in_a_box(joined(polymer(12)), edge=1.6)
    situation = situation_of(frames.system)
    for rung in ladder_of(frames, situation):
        settle(rung, situation)
        assert rung.settings["potential"]["cutoff"] + rung.settings["dynamics"]["skin"] <= 0.8


@pytest.mark.parametrize("step, said", [(0.01, True), (0.5, False)])
def test_a_liquid_that_has_not_mixed_is_said(step, said):
    """Molecules walk at random, 39 steps: of 0.01 nm an axis they lead sqrt(3 x 39) times 0.01 nm
    away, of 0.5 nm anywhere: neighbours lie 4 / 12^(1/3) = 1.7 nm apart, 1.6 is seen at most.
    """
    frames = in_a_box(joined(polymer(12)))
    steps = np.random.default_rng(1).normal(0, step, (len(frames), 12, 3))
    walk = steps.cumsum(0)[:, frames.system.molecules]
    frames = replace(frames, positions=frames.positions + walk)
    situation = situation_of(frames.system)
    rungs = ladder_of(frames, situation)
    for rung in rungs:
        settle(rung, situation)
    found = [s for s in better(frames, situation, rungs) if "neighbour every 1.6 nm" in s]
    assert len(found) == said
    if said:
        assert "moved 0.1" in found[0]


@pytest.fixture
def melt(tmp_path, monkeypatch):
    """Files of a melt in a folder: npz with forces, and a PDB."""
    monkeypatch.chdir(tmp_path)
    frames = in_a_box(joined(polymer(12)))
    frames[:1].save("first")
    frames[:1].write("melt.pdb")
    np.savez(
        "melt.npz",
        positions=frames.positions,
        forces=frames.forces,
        box=frames.box,
        length_unit="nm",
        force_unit="kJ/mol/nm",
    )
    return tmp_path


WAY = ["check_units=false", "timing=false", "temperature=300"]


def test_what_is_written_is_an_experiment(melt, capsys):
    main(["init", "melt.npz", "melt.pdb", *WAY])
    said = capsys.readouterr().out
    assert "12 PE (16 atoms)" in said and "cgrec climb mine.yaml" in said
    assert Path("mine.png").read_bytes().startswith(b"\x89PNG")
    chain = build(composed(["mine.yaml"]))
    assert list(chain.recipes) == ["l1", "l2"] and chain.folder == Path("runs/mine")
    written = yaml.safe_load(Path("mine.yaml").read_text())
    assert written["source"]["temperature"] == 300


def test_a_yaml_that_is_there_is_not_lost(melt):
    Path("mine.yaml").write_text("name: precious\n")
    with pytest.raises(SystemExit, match="mine.yaml: expected a file that is not there yet"):
        main(["init", "melt.npz", "melt.pdb", *WAY])
    assert Path("mine.yaml").read_text() == "name: precious\n"


@pytest.mark.parametrize(
    "words, said",
    [
        ([], "expected files, found none"),
        (["melt.npz", "melt.pdb", "temprature=300"], "temprature; did you mean temperature"),
        (["melt.npz", "melt.pdb", "goal=best", *WAY], "goal: expected one of quick, good"),
        (["melt.npz", "melt.pdb", "box=open", *WAY], "expected a box around 12 molecules"),
        (["melt.pdb"], "melt.pdb: expected a trajectory with forces"),
        (["none.trr"], "none.trr"),
        (["."], "folder without frames"),
        (["melt.npz", "melt.pdb", "first.pdb", *WAY], "first.pdb"),
        (["melt.npz", "melt.pdb", "timing=false", "temperature=-3"], "temperature"),
    ],
)
def test_faults_are_one_line(melt, words, said):
    with pytest.raises(SystemExit, match=f"^cgrec: .*{said}"):
        main(["init", *words])
    assert not Path("mine.yaml").exists()


def test_a_fault_while_timing_leaves_no_file(melt, monkeypatch):
    def broken(*arguments):
        raise ValueError("no timing today")

    monkeypatch.setattr(experiment, "cost", broken)
    with pytest.raises(ValueError, match="no timing today"):
        cgrec.init(["melt.npz", "melt.pdb"], temperature=300, check_units=False)
    assert not Path("mine.yaml").exists()


def test_sizes_are_brought_within_the_goal(melt, monkeypatch):
    monkeypatch.setattr(
        experiment, "cost", lambda name, recipe, frames: Cost(10.0, 2.5, 0.5, 0.001)
    )
    said = cgrec.init(["melt.npz", "melt.pdb"], temperature=300, check_units=False)
    level = yaml.safe_load(Path("mine.yaml").read_text())["levels"]["l1"]
    # 2 levels of 10 min and four runs of 2.5: 40 min, of which a quarter is the least
    assert level["training"]["steps"] == 800 and level["dynamics"]["timestep"] == 0.001
    assert "about 5.5 min" in said  # with what counting pairs takes


def test_positions_alone_are_no_data(melt):
    arrays = dict(np.load("melt.npz"))
    del arrays["forces"]
    np.savez("still.npz", **arrays)
    with pytest.raises(ValueError, match="expected forces beside the positions.*nstfout"):
        cgrec.init(["still.npz", "melt.pdb"], temperature=300)


@pytest.mark.filterwarnings("ignore")
def test_a_temperature_nobody_states_is_that_of_the_forces(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    rng = np.random.default_rng(2)
    n, k = 30_000, 50000.0
    shift = rng.normal(0, np.sqrt(0.0083144626 * 350 / k), (n, 1))
    x = np.zeros((n, 2, 3))
    x[:, 1, :1] = 0.15 + shift
    forces = np.zeros_like(x)
    forces[:, 1, :1], forces[:, 0, :1] = -k * shift, k * shift
    np.savez(
        "a.npz",
        positions=x,
        forces=forces,
        species=np.array(["C", "C"]),
        length_unit="nm",
        force_unit="kJ/mol/nm",
    )
    sample = sample_of(["a.npz"], None, None, {})
    assert sample.frames.temperature == pytest.approx(350, rel=0.03)
    assert "by the forces" in sample.notes[0]

    np.savez("few.npz", **{**dict(np.load("a.npz")), "positions": x[:900], "forces": forces[:900]})
    with pytest.raises(ValueError, match="the forces do not say; give temperature=K"):
        sample_of(["few.npz"], None, None, {})

    known = sample_of(["a.npz"], None, 300.0, {})
    assert known.frames.temperature == 300 and "the temperature given is 300 K" in known.notes[0]


def test_rigid_bonds_are_no_hindrance():
    """Hydrogens at a fixed distance: a heavy atom alone may not carry their force."""
    system = joined(chains(1, "CHCHCHCHCH", "CHCHCHCHCH", [12.0, 1.0] * 5))
    rigid = replace(system, constraints=np.array([(0, 1), (4, 5)]))
    frames = in_a_box(rigid)
    fine, coarse = ladder_of(frames, situation_of(rigid))
    assert (fine.frames.n_sites, coarse.frames.n_sites) == (5, 3)
    both = frames.forces[:, 0] + frames.forces[:, 1]
    np.testing.assert_allclose(fine.frames.forces[:, 0], both)


def test_a_structure_is_run_in_a_force_field(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    helix = Path(cgrec.__file__).parent / "data/peptides/ala10_helix.pdb"
    made = Cost(fit=3.0, run=2.0, pairs=0.0, timestep=0.004)
    names = ("l1", "l2", "l3", "l4", "l5")
    known = Times(11.0, dict.fromkeys(names, made), dict.fromkeys(names, 1))
    monkeypatch.setattr(experiment, "times_of", lambda chain, said: known)
    said = cgrec.init(helix, temperature=400, to="helix.yaml")
    assert "Cost: about" in said and "level 0 11 min" in said and "about 5.0 min" in said
    assert any(line.startswith("Cost: about") for line in proposal(Path("helix.yaml"))["said"])
    assert "10 sites, alpha carbons" in said
    chain = build(composed(["helix.yaml"]))
    assert type(chain.source).__name__ == "ForceFieldSource"
    engine = chain.source.dynamics
    assert len(engine.exchange.factors) == 8 and engine.n_replicas % 8 == 0  # 109 atoms


def shortened(n, path):
    """The helix of ten alanines, cut after `n` of them and capped."""
    helix = Path(cgrec.__file__).parent / "data/peptides/ala10_helix.pdb"
    cap = {"N": "N", "H": "H", "CA": "C", "HA": "H1", "CB": "H2", "C": "H3"}
    lines, carbon = [], None
    for line in helix.read_text().splitlines():
        if not line.startswith(("ATOM", "HETATM")):
            continue
        name, residue = line[12:16].strip(), int(line[22:26])
        if residue <= n + 1:
            lines.append(line)
        elif residue == n + 2 and name in cap:
            place = np.array(line[30:54].split(), float)
            if name == "CA":
                carbon = place
            elif name in ("CB", "C"):  # carbons become hydrogens, 1.09 angstrom away
                place = carbon + 1.09 * (place - carbon) / np.linalg.norm(place - carbon)
            name = cap[name]
            at = "".join(f"{x:8.3f}" for x in place)
            lines.append(
                f"HETATM{line[6:12]} {name:<3} NME{line[20:30]}{at}{line[54:76]} {name[0]}"
            )
    path.write_text("\n".join(lines) + "\nEND\n")
    return path


@pytest.mark.slow
@pytest.mark.parametrize(
    "n, sites, step", [(1, 10, 0.002), (2, 15, 0.002), (3, 5, 0.008), (5, 7, 0.008)]
)
def test_what_is_proposed_for_a_peptide_passes_its_check(tmp_path, monkeypatch, n, sites, step):
    monkeypatch.chdir(tmp_path)
    said = cgrec.init(
        shortened(n, tmp_path / "peptide.pdb"), temperature=300, to="mine.yaml", timing=False
    )
    assert f"l1: {sites} sites" in said
    cgrec.check("mine.yaml")
    chain = build(composed(["mine.yaml"]))
    assert chain.recipes["l1"].dynamics.timestep == step
    refined = {name: bool(recipe.all_corrections) for name, recipe in chain.recipes.items()}
    assert refined == {"l1": n > 2, "l2": n in (2, 5)}  # of 1 and 3 no dihedral is left


def test_molecules_beside_the_one_to_run_are_listed(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    peptide = (Path(cgrec.__file__).parent / "data/alanine_dipeptide.pdb").read_text()
    atoms = [line for line in peptide.splitlines(True) if line.startswith(("ATOM", "HETATM"))]
    water = [
        f"HETATM{90 + k:>5}  {n:<3} HOH W   7    {x:8.3f}{50:8.3f}{50:8.3f}  1.00  0.00           {n[0]}\n"
        for k, (n, x) in enumerate((("O", 50), ("H1", 50.9), ("H2", 49.1)))
    ]
    Path("two.pdb").write_text("".join([*atoms, *water]))
    with pytest.raises(
        ValueError,
        match=r"found 2 that no bond joins: one of 22 atoms \(.*ACE1 to .*NME3\), one of 3 atoms "
        r"\(W:HOH7\); take out",
    ):
        cgrec.init("two.pdb", to="x.yaml")


def test_of_several_models_it_is_said_that_all_are_run(tmp_path):
    text = (DATA / "peptides" / "ala2.pdb").read_text()
    model = [line for line in text.splitlines(True) if line.startswith(("ATOM", "HETATM"))]
    both = "".join(f"MODEL        {k}\n{''.join(model)}ENDMDL\n" for k in (1, 2))
    (tmp_path / "two.pdb").write_text(both)
    sample = sample_of([tmp_path / "two.pdb"], None, 300.0, {})
    assert [note.partition(" in ")[0] for note in sample.notes] == ["2 models"]
    assert "begin in all of them" in sample.notes[0]
    source = ForceFieldSource(
        **{**sample.settings, "force_field": "amber14-all.xml", "dynamics": None}
    )
    assert len(source.molecule[1]) == 2


@pytest.mark.parametrize("timing", [True, False])
def test_a_structure_that_the_force_field_does_not_know_is_refused(tmp_path, timing, monkeypatch):
    monkeypatch.chdir(tmp_path)
    text = shortened(3, tmp_path / "peptide.pdb").read_text()
    (tmp_path / "peptide.pdb").write_text(text.replace("ALA", "UNK"))
    with pytest.raises(ValueError, match="[Nn]o template"):
        cgrec.init(tmp_path / "peptide.pdb", temperature=300, to="mine.yaml", timing=timing)
    assert not (tmp_path / "mine.yaml").exists()


@pytest.mark.parametrize("package", ["openmm", "pymbar"])
def test_a_structure_without_openmm_is_refused_with_the_way_out(tmp_path, monkeypatch, package):
    helix = Path(cgrec.__file__).parent / "data/peptides/ala10_helix.pdb"
    monkeypatch.setitem(sys.modules, package, None)
    with pytest.raises(ImportError, match=r"pip install 'cgrec\[openmm\]'"):
        cgrec.init(helix, temperature=400, to=tmp_path / "helix.yaml")
    assert not any(tmp_path.iterdir())
