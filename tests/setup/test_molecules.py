"""`cgrec init` of one molecule that is no peptide: its energy is to be learned."""

from pathlib import Path

import numpy as np
import pytest
import yaml

import cgrec
from cgrec.cli import build, main
from cgrec.configuration import composed
from cgrec.setup.molecules import coordinates_of, turns_of_atoms
from cgrec.sources import QuantumSource
from cgrec.view.proposal import proposal

Chem = pytest.importorskip("rdkit.Chem")


def written(tmp_path, smiles, name="m.smi"):
    (tmp_path / name).write_text(f"{smiles} its name\n")
    return tmp_path / name


def read(tmp_path, smiles):
    coordinates_of(written(tmp_path, smiles), tmp_path / "m.pdb")
    return cgrec.read(tmp_path / "m.pdb", temperature=300)


@pytest.mark.parametrize(
    ("smiles", "turning"),
    [
        ("CCCC", ["CC"]),
        ("CCCCO", ["CC", "CC"]),
        ("C1CCCCC1", []),
        ("CC(=O)NC", []),  # an amide: a turn would make it cis
        ("CC(=O)NCC", ["CN"]),
        ("C1CCCCC1CC(=O)O", ["CC", "CC"]),
        ("O", []),
    ],
)
def test_bonds_turn_where_the_molecule_stays_the_same(tmp_path, smiles, turning):
    """As chemists draw them: single, in no ring, no amide, and with something to move at both ends."""
    system = read(tmp_path, smiles).system
    found = [[int(label[1:]) for label in sites] for sites in turns_of_atoms(system).values()]
    elements = sorted("".join(sorted(system.elements[i] for i in sites[1:3])) for sites in found)
    assert elements == turning


def test_a_smiles_becomes_an_experiment_that_begins_with_quantum_chemistry(tmp_path):
    said = cgrec.init(written(tmp_path, "C[NH2+]CC(C)C"), to=tmp_path / "mine.yaml", timing=False)
    assert "learned from GFN2-xTB" in said and "charge +1" in said
    chain = build(composed([str(tmp_path / "mine.yaml")]))
    assert isinstance(chain.source, QuantumSource) and chain.source.potential is None
    assert chain.source.labeller.arguments["charge"] == 1
    assert chain.source.labeller.arguments["method"] == "GFN2-xTB"
    assert chain.source.dynamics.bias is None and chain.source.dynamics.exchange is not None
    assert len(chain.source.scatter) == 2
    drawn = proposal(tmp_path / "mine.yaml")
    assert len(drawn["atoms"]["labels"]) == 20
    assert [level["n_sites"] for level in drawn["levels"]] == [6, 4]


def test_coordinates_of_a_file_stay_as_they_are(tmp_path):
    """Those of an SDF, whose hydrogens are there; a flat drawing is built."""
    from rdkit.Chem import rdDistGeom

    molecule = Chem.AddHs(Chem.MolFromSmiles("CCO"))
    rdDistGeom.EmbedMolecule(molecule, randomSeed=7)
    (tmp_path / "a.sdf").write_text(Chem.MolToMolBlock(molecule) + "$$$$\n")
    assert coordinates_of(tmp_path / "a.sdf", tmp_path / "a.pdb") == 0
    frames = cgrec.read(tmp_path / "a.pdb", temperature=300)
    given = molecule.GetConformer().GetPositions() / 10
    np.testing.assert_allclose(frames.positions[0], given, atol=1e-4)
    flat = Chem.MolFromSmiles("CCO")
    from rdkit.Chem import rdDepictor

    rdDepictor.Compute2DCoords(flat)
    (tmp_path / "b.mol").write_text(Chem.MolToMolBlock(flat))
    coordinates_of(tmp_path / "b.mol", tmp_path / "b.pdb")
    built = cgrec.read(tmp_path / "b.pdb", temperature=300)
    assert built.n_sites == 9 and np.ptp(built.positions[0], axis=0).min() > 0.1


@pytest.mark.parametrize(
    ("smiles", "why"),
    [
        ("C[CH2]", r"even number of electrons, found 17 at charge \+0; correct charge="),
        ("CC.O", "found parts that no bond joins"),
        ("xx", "found 1 lines, of which number 1 cannot be read"),
        ("[H][H]", "one of them heavier than hydrogen, found 2 of H"),
        ("[He]", "found 1 of He"),
        ("C[U]C", "from H to Rn, .* found U"),
        ("", "found 0 lines"),
        ("SMILES name\nCC", "found 2 lines, of which number 1 cannot"),
        ("C" * 25, "at most 60 atoms, .* found one of 77"),
    ],
)
def test_what_cannot_be_learned_is_refused_and_leaves_nothing(tmp_path, smiles, why):
    path = tmp_path / "m.smi"
    path.write_text(smiles)
    with pytest.raises(ValueError, match=why):
        cgrec.init(path, to=tmp_path / "mine.yaml", timing=False)
    assert [p.name for p in tmp_path.iterdir()] == ["m.smi"]


def test_words_that_are_no_files_are_refused_before_work(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    with pytest.raises(
        FileNotFoundError, match="CCO: expected a file.*SMILES, write it into a file"
    ):
        cgrec.init("CCO")
    written(tmp_path, "CCO")
    with pytest.raises(ValueError, match="ends in .yaml, found mine; give to=mine.yaml"):
        cgrec.init("m.smi", to="mine")
    with pytest.raises(FileNotFoundError, match="expected the folder there, found none"):
        cgrec.init("m.smi", to="there/mine.yaml")
    with pytest.raises(ValueError, match="temperature: expected more than 0"):
        cgrec.init("m.smi", temperature=0)
    assert [p.name for p in tmp_path.iterdir()] == ["m.smi"]


def test_a_charge_that_is_given_counts_and_nothing_is_overwritten(tmp_path):
    coordinates_of(written(tmp_path, "CC(=O)[O-]"), tmp_path / "acetate.pdb")
    with pytest.raises(ValueError, match="even number of electrons"):
        cgrec.init(tmp_path / "acetate.pdb", to=tmp_path / "a.yaml", timing=False)
    cgrec.init(tmp_path / "acetate.pdb", to=tmp_path / "a.yaml", timing=False, charge=-1)
    source = yaml.safe_load((tmp_path / "a.yaml").read_text())["source"]
    assert source["labeller"] == {"arguments": {"charge": -1}}
    with pytest.raises(ValueError, match=r"charge: expected -1, as .*m.smi says .* found \+1"):
        cgrec.init(tmp_path / "m.smi", to=tmp_path / "c.yaml", timing=False, charge=1)
    Path(tmp_path / "b_3d.pdb").write_text("mine")
    with pytest.raises(FileExistsError, match="b_3d.pdb: expected no file there"):
        cgrec.init(tmp_path / "m.smi", to=tmp_path / "b.yaml", timing=False)
    assert (tmp_path / "b_3d.pdb").read_text() == "mine"


@pytest.mark.slow
def test_a_smiles_is_climbed_from_quantum_chemistry_to_beads(tmp_path, monkeypatch):
    """A minute: everything as init writes it, but short."""
    monkeypatch.chdir(tmp_path)
    cgrec.init(written(tmp_path, "CCCO"), to="propanol.yaml", timing=False)
    runs = ["n_replicas=8", "length=0.4", "save_every=0.02", "equilibration=0.1"]
    main(
        [
            *("climb", "propanol.yaml", "threads=1", "go_on=true", "bins=8"),
            *("source.first_runs=2", "source.first_frames=20", "source.rounds=1"),
            *("source.labels=16", "source.members=2", "source.check_labels=4"),
            *("source.training.steps=100", "source.final_training.steps=300"),
            *("source.exploration.n_replicas=8", "source.exploration.length=0.1"),
            *(f"source.dynamics.{word}" for word in runs),
            "levels.l1.training.steps=100",
            "levels.l1.strays=null",
            *(f"levels.l1.dynamics.{word}" for word in runs),
        ]
    )
    chain = cgrec.load("runs/propanol")
    assert [level.system.n_sites for level in chain.levels] == [12, 4]
    hot = chain.levels[0].frames
    assert set(np.round(hot.temperatures)) == {300, 351, 410, 480}  # four rungs up to 1.6
    assert chain.levels[0].potential.temperature is None
    assert chain.levels[1].potential.temperature == 300
