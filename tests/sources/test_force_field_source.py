"""Level 0 from a force field: several starts, frames, resume, what is refused."""

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from cgrec.dynamics import Exchange, Langevin
from cgrec.potential import Potential
from cgrec.remarks import Remark
from cgrec.sources import ForceFieldSource
from cgrec.sources.molecule import relaxed

pytest.importorskip("openmm")
#: Runs of a tenth of a picosecond are no equilibrium sample, and level 0 says so.
pytestmark = pytest.mark.filterwarnings("ignore:level 0. forces along bonds")
PEPTIDES = Path(__file__).parents[1] / "data" / "peptides"
AMBER = ["amber14-all.xml", "implicit/obc2.xml"]


def engine(**options):
    short = {"n_replicas": 4, "length": 0.08, "save_every": 0.02, "equilibration": 0.02}
    return Langevin(**short | {"timestep": 0.002, "minimum_mass": 12} | options)


def source(*structures, **options):
    given = {"force_field": AMBER, "temperature": 300, "dynamics": engine()} | options
    return ForceFieldSource(structure=[PEPTIDES / f"{s}.pdb" for s in structures], **given)


def test_level_0_has_frames_and_the_energy_that_made_them(tmp_path):
    frames = source("ala2").make(tmp_path / "level0", seed=1)
    assert len(frames) == 16 and frames.temperature == 300
    potential = Potential.load(tmp_path / "level0" / "potential.pt")
    _, forces = potential.energy_and_forces(frames)
    np.testing.assert_allclose(forces, frames.forces, atol=0.5)
    assert frames.system.masses.min() < 1.1, "true masses: those of the run are the integrator's"


def test_replicas_share_the_starts_of_all_models(tmp_path):
    """Two files, one of which holds two models: three starts."""
    one = (PEPTIDES / "ala2.pdb").read_text().splitlines()
    atoms = [line for line in one if line.startswith(("ATOM", "HETATM"))]
    moved = [f"{a[:30]}{float(a[30:38]) + 5:8.3f}{a[38:]}" for a in atoms]
    lines = ["MODEL        1", *atoms, "ENDMDL", "MODEL        2", *moved, "ENDMDL", "END"]
    (tmp_path / "two.pdb").write_text("\n".join(lines) + "\n")
    made = ForceFieldSource(
        structure=[PEPTIDES / "ala2.pdb", tmp_path / "two.pdb"],
        force_field=AMBER,
        temperature=300,
        dynamics=engine(n_replicas=3),
        minimise=False,
    )
    _, starts = made.molecule
    assert len(starts) == 3
    np.testing.assert_allclose(
        starts.positions[2, :, 0] - starts.positions[1, :, 0], 0.5, atol=1e-6
    )
    made.make(tmp_path / "level0", seed=1)


def test_the_same_command_goes_on_and_another_is_refused(tmp_path):
    longer = source("ala2", dynamics=engine(length=0.16)).make(tmp_path / "at_once", seed=1)
    source("ala2").make(tmp_path / "level0", seed=1)
    again = source("ala2", dynamics=engine(length=0.16)).make(tmp_path / "level0", seed=1)
    np.testing.assert_array_equal(again.positions, longer.positions)
    with pytest.raises(ValueError, match="source.temperature"):
        source("ala2", temperature=310).make(tmp_path / "level0", seed=1)


def test_exchange_keeps_frames_of_all_temperatures(tmp_path):
    exchange = Exchange(highest=1.2, rungs=2, every=5, keep="all")
    frames = source("ala2", dynamics=engine(exchange=exchange)).make(tmp_path / "level0", seed=1)
    assert frames.weights is not None and len(frames) == 16
    assert set(np.load(tmp_path / "level0" / "frames" / "temperatures.npy").round()) == {300, 360}


def test_a_clash_is_taken_out(tmp_path):
    potential, start = source("ala2").molecule
    squeezed = start.positions.copy()
    squeezed[0, 0] = squeezed[0, 4] + 0.03
    before, _ = potential.energy_and_forces(replace(start, positions=squeezed))
    after, _ = potential.energy_and_forces(relaxed(potential, replace(start, positions=squeezed)))
    usual, _ = potential.energy_and_forces(start)
    assert before[0] > usual[0] + 1e3 and after[0] < usual[0] + 50


def test_wrong_structures_are_refused_before_work(tmp_path):
    with pytest.raises(ValueError, match=r"ala5\.pdb the molecule of .*ala2\.pdb"):
        source("ala2", "ala5").make(tmp_path / "level0", seed=1)
    with pytest.raises(FileNotFoundError, match=r"structure: .*did you mean .*ala2\.pdb"):
        source("ala22").make(tmp_path / "level0", seed=1)
    with pytest.raises(FileNotFoundError, match="cgrec ships no"):
        ForceFieldSource(
            structure="package:nobody.pdb", force_field=AMBER, temperature=300, dynamics=engine()
        )


@pytest.mark.parametrize(
    ("given", "said"),
    [
        ({"force_field": []}, "force_field: expected files of a force field, found none"),
        ({"temperature": -300}, "ForceFieldSource.temperature: expected more than 0"),
    ],
)
def test_what_no_source_can_be_made_of_is_refused(given, said):
    with pytest.raises(ValueError, match=said):
        source("ala2", **given)


def test_a_temperature_that_looks_like_celsius_is_remarked_on():
    with pytest.warns(Remark, match="27 K was given; .*degrees Celsius, give 300.15"):
        source("ala2", temperature=27)


def test_without_a_structure_it_is_refused():
    with pytest.raises(ValueError, match="structure: expected a PDB file, or several, found none"):
        source()


def test_one_force_field_file_may_be_text():
    assert source("ala2", force_field="amber14-all.xml").force_field == ("amber14-all.xml",)


def test_a_force_field_that_is_not_there_is_named_with_its_key():
    with pytest.raises(ValueError, match="^source.force_field: .*found 'nosuch.xml'.*give e.g."):
        source("ala2", force_field=["amber14-all.xml", "nosuch.xml"]).system()


def test_a_structure_without_hydrogens_is_told_what_to_do(tmp_path):
    lines = (PEPTIDES / "ala5.pdb").read_text().splitlines()
    kept = [line for line in lines if line.startswith("ATOM") and line[12:16].strip() == "CA"]
    (tmp_path / "ca.pdb").write_text("\n".join([*kept, "END"]) + "\n")
    with pytest.raises(ValueError, match="with all their heavy atoms, found .*cgrec backmap .*ca.pdb"):
        ForceFieldSource(
            structure=tmp_path / "ca.pdb", force_field=AMBER, temperature=300, dynamics=engine()
        ).system()
