"""What an amino acid of a PDB lacks, and that a file with it is refused before anything else."""

import warnings
from pathlib import Path

import numpy as np
import pytest

from cgrec.io import read
from cgrec.io.amino_acids import _SIDE_CHAINS, check_complete
from cgrec.setup.files import sample_of
from cgrec.sources.openmm_system import force_field_of_files, system_under

PEPTIDES = Path(__file__).parents[1] / "data" / "peptides"
CHIGNOLIN = (PEPTIDES / "chignolin.pdb").read_text().splitlines()


def changed(path, change):
    """Chignolin with its lines of atoms changed; None leaves one out."""
    lines = [change(line) if line.startswith("ATOM") else line for line in CHIGNOLIN]
    path.write_text("\n".join(line for line in lines if line is not None))
    return path


def without(path, number, *names):
    """Without some atoms of one residue."""
    gone = {(number, name) for name in names}
    return changed(path, lambda x: None if (int(x[22:26]), x[12:16].strip()) in gone else x)


@pytest.mark.parametrize(
    ("number", "names", "found"),
    [
        (2, ["CG"], "A:TYR2 without CG"),
        (9, ["CB", "CZ3"], "A:TRP9 without CB, CZ3"),
        (10, ["OXT"], "A:GLY10 without OXT or a bond to the next residue"),
        (5, ["N"], "A:GLU5 without N"),
    ],
)
def test_the_residue_and_what_it_lacks_are_named_with_the_way_out(tmp_path, number, names, found):
    path = without(tmp_path / "a.pdb", number, *names)
    with (
        warnings.catch_warnings(),
        pytest.raises(ValueError, match=rf"a\.pdb: .*found {found}.*PDBFixer.*caps \(ACE .*NME"),
    ):
        warnings.simplefilter("ignore")
        sample_of([path], None, 300.0, {})


def test_openmm_reads_such_a_file_and_the_error_is_the_same(tmp_path):
    app = pytest.importorskip("openmm.app")
    pdb = app.PDBFile(str(without(tmp_path / "a.pdb", 2, "CG", "CZ")))
    field = force_field_of_files("test", "amber14-all.xml")
    with pytest.raises(ValueError, match="a.pdb: .*found A:TYR2 without CG, CZ;"):
        system_under(field, pdb.topology, "a.pdb")


@pytest.mark.parametrize("name", ["ala2", "chignolin", "cln025", "ekrmsr", "yfnhit"])
def test_ends_caps_and_states_are_complete(name):
    check_complete(read(PEPTIDES / f"{name}.pdb", temperature=300).system, name)


def test_side_chains_are_those_of_amber():
    """Its force field in OpenMM is a list of them, too."""
    pytest.importorskip("openmm")
    known = force_field_of_files("test", "amber14-all.xml")._templates
    for name, side in _SIDE_CHAINS.items():
        atoms = known["HIE" if name == "HIS" else name].atoms
        heavy = {a.name for a in atoms if a.element.symbol != "H"}
        assert heavy == {"N", "CA", "C", "O", *side.split()}, name


def in_nm(line):
    """A line whose coordinates are nm."""
    x = np.array([float(line[30 + 8 * k : 38 + 8 * k]) for k in range(3)]) / 10
    return line[:30] + "".join(f"{value:8.3f}" for value in x) + line[54:]


@pytest.mark.parametrize(
    ("change", "found"),
    [
        (in_nm, "the length unit is probably wrong"),
        (lambda x: x[:30] + "     nan" + x[38:], "found NaN or infinity"),
    ],
)
def test_nothing_is_asked_of_coordinates_that_cannot_be(tmp_path, change, found):
    """All atoms are then molecules of their own, and a note about these is no help."""
    path = changed(tmp_path / "a.pdb", change)
    with warnings.catch_warnings(), pytest.raises(ValueError, match=found):
        warnings.simplefilter("error")
        read(path, temperature=300)
