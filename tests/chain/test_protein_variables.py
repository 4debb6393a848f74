"""A climb of a chain of residues compared in RMSD, Q and TICA: an ideal chain with the residues of
CLN025, whose distributions are known at every level.
"""

import json
from dataclasses import replace
from types import SimpleNamespace

import numpy as np
import pytest
from variables_of_cln025 import PDB, native

import cgrec
from cgrec import Frames
from cgrec.chain.foresight import check_variables, expressible, foresee
from cgrec.cli import main
from cgrec.mapping import ResidueCentres, alpha_carbons
from cgrec.site_labels import SiteError
from cgrec.sources.gaussian_chain import chain_laplacian
from cgrec.units import thermal_energy
from cgrec.variables import RMSD, TICA, NativeContacts, PairDistances, named_variables

pytestmark = pytest.mark.slow  # its tests look at a climb that they make

BOND = 0.38
EXPERIMENT = """# @package _global_
defaults:
  - /source: file
  - /level@levels.ca: gaussian
  - /level@levels.two: gaussian
name: chain
bins: 12
control: false
go_on: true
variables:
  RMSD: {{_target_: cgrec.variables.RMSD, structure: {pdb}}}
  Q: {{_target_: cgrec.variables.NativeContacts, structure: {pdb}, between: CA}}
  slow:
    _target_: cgrec.variables.TICA.from_file
    file: {tica}
    features: {{_target_: cgrec.variables.PairDistances}}
  ends: [TYR1:CA, TYR10:CA]
basins:
  near: {{RMSD: [0, 0.5]}}
  far: {{RMSD: [0.55, 9]}}
levels:
  ca: {{mapping: {{_target_: cgrec.mapping.alpha_carbons, _partial_: true}}}}
  two: {{mapping: {{_target_: cgrec.mapping.ResidueCentres, per_site: 2}}}}
"""


def ideal_chain(n_frames=1200, replicas=12, seed=0) -> Frames:
    """An ideal chain of ten alpha carbons, exact and independent, with its forces."""
    system = replace(
        alpha_carbons(native().system).coarse, masses=np.full(10, 12.0), elements=("X",) * 10
    )
    rng = np.random.default_rng(seed)
    steps = rng.normal(scale=BOND / np.sqrt(3), size=(n_frames, 9, 3))
    x = np.concatenate([np.zeros((n_frames, 1, 3)), steps.cumsum(1)], 1)
    stiffness = 3 * thermal_energy(300.0) / BOND**2
    forces = -np.einsum("ij,fjx->fix", stiffness * chain_laplacian(10), x)
    labels = np.arange(n_frames) * replicas // n_frames
    return Frames(system, x, 300.0, forces=forces, replicas=labels)


@pytest.fixture(scope="module")
def climbed(tmp_path_factory):
    folder = tmp_path_factory.mktemp("protein")
    frames = ideal_chain()
    frames.save(folder / "frames")
    TICA.fit(frames, PairDistances(), lag=1).save(folder / "tica.npz")
    (folder / "experiment").mkdir()
    text = EXPERIMENT.format(pdb=PDB, tica=folder / "tica.npz")
    (folder / "experiment" / "chain.yaml").write_text(text)
    quick = [
        f"levels.{level}.{key}"
        for level in ("ca", "two")
        for key in (
            "training.steps=250",
            "training.average=0.9",
            "training.learning_rate=0.3",
            "dynamics.n_replicas=32",
            "dynamics.length=160",
        )
    ]
    words = [
        "climb",
        "experiment=chain",
        "--config-dir",
        str(folder),
        f"source.path={folder}/frames",
        "threads=1",
        f"run={folder}/out",
        *quick,
    ]
    main(words)
    return folder, words


def report(folder, level):
    return json.loads((folder / "out" / f"level{level}" / "report.json").read_text())


def test_every_level_is_compared_in_what_it_can_express(climbed):
    folder, _ = climbed
    ca, two = report(folder, 1), report(folder, 2)
    assert set(ca["variables"]) == {"RMSD", "Q", "slow", "ends"} and ca["not_expressible"] == {}
    assert ca["variables"]["ends"] == ["TYR1:CA", "TYR10:CA"]
    assert set(two["variables"]) == {"RMSD"}
    assert two["not_expressible"]["ends"] == "it has no site TYR1:CA or TYR10:CA"
    assert "5 sites, so that a site stands for several of them" in two["not_expressible"]["Q"]
    sets = {tuple(row["variables"]) for row in ca["ledger"] if row["against"] == "parent"}
    assert sets == {("RMSD",), ("Q",), ("ends",), ("slow 1", "slow 2"), ("pair distances",)}
    sets = {tuple(row["variables"]) for row in two["ledger"] if row["against"] == "level 0"}
    assert sets == {("RMSD",), ("pair distances",)}


def test_the_row_of_pair_distances_is_small_for_a_level_that_is_exact(climbed):
    folder, _ = climbed
    for level in (1, 2):
        (row,) = [
            r
            for r in report(folder, level)["ledger"]
            if r["variables"] == ["pair distances"] and r["against"] == "parent"
        ]
        assert row["floor"] > 0 and row["excess"] < 0.02
        found = report(folder, level)["pair_distances"][0]
        assert found["js"] == row["js"] and found["n_pairs"] == {1: 28, 2: 3}[level]
        assert len(found["worst"]) in (3, 5)


def test_states_have_the_free_energy_of_their_populations(climbed):
    folder, _ = climbed
    states = report(folder, 1)["states"]
    exact = RMSD(structure=PDB)(ideal_chain(20_000, seed=5))
    near, far = (exact < 0.5).mean(), (exact >= 0.55).mean()
    for key in ("own", "parent"):
        basin = states[key]["basins"]["far"]
        error = basin["free_energy_error"]
        assert 0 < error < 1
        assert abs(basin["free_energy"] - np.log(near / far)) < 4 * error
    assert states["own"]["transitions"]["variable"] == "RMSD"
    assert states["own"]["transitions"]["up"] > 0
    row = next(r for r in report(folder, 1)["ledger"] if r["variables"] == ["RMSD"])
    assert set(row["basins"]) == {"near", "far"}
    assert set(report(folder, 1)["hand"]) == {"own", "parent"}


@pytest.mark.slow
def test_the_same_command_finds_nothing_to_do_and_another_structure_is_another_ledger(climbed):
    folder, words = climbed
    before = (folder / "out" / "level1" / "report.json").stat().st_mtime_ns
    main(words)
    assert (folder / "out" / "level1" / "report.json").stat().st_mtime_ns == before
    compared = report(folder, 1)["compared_by"]["variables"]
    assert compared["RMSD"]["class"].endswith("RMSD")
    assert compared["RMSD"]["structure"].startswith("sha256:")


def test_the_report_draws_them(climbed):
    folder, _ = climbed
    page = (folder / "out" / "report.html").read_text()
    assert 'alt="contact maps of every level"' in page and "<h2>The chain</h2>" in page
    assert 'alt="free energy over slow 1, slow 2"' in page
    assert "free energy along RMSD, Q, slow, ends" in page
    run = cgrec.report.read.read_run(folder / "out")
    drawn = {
        tuple(v.name for v in variables): [level.number for level, _ in ensembles]
        for variables, ensembles in run.comparisons
    }
    # level 2 has its own structure, to which the finer levels are mapped
    assert drawn == {("RMSD", "Q", "slow", "ends"): [0, 1], ("RMSD",): [0, 1, 2]}


def recipes():
    return {
        "ca": SimpleNamespace(mapping=alpha_carbons, variables=(), refine=(), dynamics=None),
        "two": SimpleNamespace(mapping=ResidueCentres(2), variables=(), refine=(), dynamics=None),
    }


def test_what_no_level_can_express_is_refused_before_work():
    systems = foresee(native().system, recipes())
    check_variables((RMSD(structure=PDB), NativeContacts(structure=PDB)), recipes(), systems)
    other = replace(
        alpha_carbons(native().system)(native()),
        system=replace(
            alpha_carbons(native().system).coarse, residue_names=("ALA",) * 10, chain_ids=()
        ),
    )
    with pytest.raises(ValueError, match="variables.RMSD: no level can express it; at level 0"):
        check_variables((RMSD(structure=other),), recipes(), systems)
    with pytest.raises(SiteError, match="variables.RMSD, at every level: .*TYR1:CX"):
        odd = SimpleNamespace(
            name="RMSD", sites=("TYR1:CX",), defined_on=lambda system: False, of=None
        )
        check_variables((odd,), recipes(), systems)
    with pytest.raises(ValueError, match="variables.distances: expected .* few numbers, found 28"):
        check_variables((PairDistances(),), recipes(), systems)
    wrong = recipes()
    wrong["two"].variables = (NativeContacts(structure=PDB),)
    with pytest.raises(ValueError, match="levels.two.variables.Q: .*several residues"):
        check_variables((), wrong, systems)


def test_a_variable_moves_up_where_the_mapping_is_known():
    two = ResidueCentres(2)(native().system)
    variables = (RMSD(structure=PDB), NativeContacts(structure=PDB))
    assert expressible(variables, two.coarse)[0] == ()
    own, why = expressible(variables, two.coarse, two)
    assert [v.name for v in own] == ["RMSD"] and list(why) == ["Q"]
    assert own[0](two(native()))[0] < 1e-9


def test_variables_are_called_by_their_keys():
    found = named_variables({"dev": RMSD(structure=PDB), "ends": ["A", "B"]})
    assert [v.name for v in found] == ["dev", "ends"]
    with pytest.raises(ValueError, match="variables.x: expected labels .* found 3"):
        named_variables({"x": 3})
