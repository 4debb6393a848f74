"""Sources of level 0: made once, described, resumable, and honest about failures."""

from __future__ import annotations

import itertools
import json
from pathlib import Path

import numpy as np
import pytest

import cgrec
from cgrec import Frames, System
from cgrec.io import write
from cgrec.sources import CalculatorSource, FileSource, OpenMMSource, SamplingStopped
from cgrec.sources.base import Chunks, chunk_sizes

WATER = [(0.0, 0.0, 0.0), (0.0957, 0.0, 0.0), (-0.024, 0.0927, 0.0)]


@pytest.fixture
def frames() -> Frames:
    rng = np.random.default_rng(0)
    system = System(
        names=("O", "H", "H"),
        masses=[15.999, 1.008, 1.008],
        elements=("O", "H", "H"),
        bonds=[(0, 1), (0, 2)],
    )
    positions = np.array(WATER) + 0.002 * rng.normal(size=(10, 3, 3))
    return Frames(system, positions, 300.0, forces=rng.normal(size=(10, 3, 3)))


@pytest.fixture
def water(frames, tmp_path) -> Path:
    return write(frames[:1], tmp_path / "water.extxyz")


def same(a: Frames, b: Frames) -> None:
    for name in ("positions", "forces", "energies"):
        assert np.array_equal(getattr(a, name), getattr(b, name)), name
    assert a.system.fingerprint() == b.system.fingerprint()


# --- file
# -----------------------------------------------------------------------------------------------------


def test_file_source_saves_frames_and_says_what_they_are(frames, tmp_path):
    path = write(frames, tmp_path / "a.trr")
    source = FileSource(path=path, topology=frames.system, temperature=300)
    made = source.make(tmp_path / "level0", seed=1)
    np.testing.assert_allclose(made.forces, frames.forces, rtol=1e-5)
    said = json.loads((tmp_path / "level0" / "source.json").read_text())
    assert (
        said["source"] == "FileSource"
        and said["n_frames"] == 10
        and said["has"] == ["positions", "forces"]
    )
    assert said["files"][0]["path"] == str(path) and len(said["files"][0]["sha256"]) == 64
    assert sorted(p.name for p in (tmp_path / "level0").iterdir()) == [
        "digests.json",
        "frames",
        "recipe.json",
        "source.json",
    ]


def test_frames_that_exist_are_not_made_again(frames, tmp_path):
    source = FileSource(path=write(frames, tmp_path / "a.npz"))
    source.make(tmp_path / "level0", seed=1)
    before = (tmp_path / "level0" / "frames" / "positions.npy").stat().st_mtime_ns
    source.make(tmp_path / "level0", seed=1)
    assert (tmp_path / "level0" / "frames" / "positions.npy").stat().st_mtime_ns == before


def test_another_recipe_file_or_seed_is_refused(frames, tmp_path):
    path = write(frames, tmp_path / "a.npz")
    FileSource(path=path).make(tmp_path / "level0", seed=1)
    with pytest.raises(ValueError, match="was made with source.step=None and now it is 2"):
        FileSource(path=path, step=2).make(tmp_path / "level0", seed=1)
    with pytest.raises(ValueError, match="was made with source.seed=1 and now it is 2"):
        FileSource(path=path).make(tmp_path / "level0", seed=2)
    other = write(frames[:5], tmp_path / "b.npz")
    with pytest.raises(
        ValueError, match=r"was made with content of source.path=.* choose another run=FOLDER"
    ):
        FileSource(path=other).make(tmp_path / "level0", seed=1)


def test_several_files_are_replicas(frames, tmp_path):
    paths = [
        write(frames[part], tmp_path / name)
        for part, name in ((slice(5), "a.trr"), (slice(5, 10), "b.trr"))
    ]
    made = FileSource(path=paths, topology=frames.system, temperature=300).make(
        tmp_path / "level0", seed=0
    )
    assert made.replicas.tolist() == [0] * 5 + [1] * 5
    np.testing.assert_allclose(made.positions, frames.positions, atol=1e-6)


def test_file_source_needs_forces_and_files(frames, tmp_path):
    with pytest.raises(ValueError, match="a.pdb: these Frames carry no forces"):
        FileSource(path=write(frames, tmp_path / "a.pdb"), temperature=300).make(
            tmp_path / "level0", seed=0
        )
    with pytest.raises(FileNotFoundError, match="expected a file, found none at .*c.trr"):
        FileSource(path=tmp_path / "c.trr").make(tmp_path / "level1", seed=0)
    with pytest.raises(TypeError, match="unit_of_length"):
        FileSource(path="a.npz", unit_of_length="nm")


# --- pieces
# ---------------------------------------------------------------------------------------------------


def test_pieces_end_at_the_same_places_wherever_a_run_stopped():
    assert list(chunk_sizes(0, 25, 10)) == [10, 10, 5]
    assert list(chunk_sizes(13, 25, 10)) == [7, 5]
    assert list(chunk_sizes(25, 25, 10)) == []
    with pytest.raises(ValueError, match="expected 26 at least, which are made already, found 25"):
        list(chunk_sizes(26, 25, 10))


def test_a_half_written_piece_is_no_piece(tmp_path):
    chunks = Chunks(tmp_path)
    chunks.append({"positions": [np.zeros((1, 3))]}, {"x": 1})
    (tmp_path / "partial_chunk_000001.npz").write_bytes(b"half")
    assert Chunks(tmp_path).n_frames == 1
    assert Chunks(tmp_path).state()["x"] == 1


# --- calculator
# -----------------------------------------------------------------------------------------------


class Spring:
    """Makes an ASE calculator of springs to the start, that fails at call number `fails_at` with
    `how`.
    """

    def __new__(cls, *, fails_at: int = -1, how: str = "raise"):
        from ase.calculators.calculator import Calculator, SCFError, all_changes

        class _Spring(Calculator):
            implemented_properties = ["energy", "forces"]
            calls, start = 0, None

            def calculate(self, atoms=None, properties=("energy",), system_changes=all_changes):
                super().calculate(atoms, properties, system_changes)
                self.calls += 1
                if self.start is None:
                    self.start = atoms.get_positions()
                if self.calls == fails_at and how == "raise":
                    raise SCFError("no convergence in 250 iterations")
                d = atoms.get_positions() - np.array(WATER) * 10
                scale = np.nan if self.calls == fails_at else 1.0
                self.results = {"energy": 5 * (d**2).sum() * scale, "forces": -10 * d * scale}

        return _Spring()


def spring_source(water: Path, **changes) -> CalculatorSource:
    settings = {
        "calculator": Spring(),
        "structure": water,
        "temperature": 300,
        "n_frames": 12,
        "stride": 2,
        "equilibration": 5,
        "frames_per_chunk": 5,
    }
    return CalculatorSource(**{**settings, **changes})


def test_calculator_source_keeps_energies_and_forces(water, tmp_path):
    made = spring_source(water).make(tmp_path / "level0", seed=1)
    assert made.positions.shape == (12, 3, 3) and made.temperature == 300 and made.box is None
    assert made.system.bonds.tolist() == [[0, 1], [0, 2]]
    k = 10 * 96.48533212331 * 100  # eV/angstrom^2 -> kJ/mol/nm^2
    d = made.positions - np.array(WATER)
    np.testing.assert_allclose(made.forces, -k * d, rtol=1e-6, atol=1e-6)
    np.testing.assert_allclose(made.energies, 0.5 * k * (d**2).sum((1, 2)), rtol=1e-6)
    assert not (tmp_path / "level0" / "sampling").exists()


@pytest.mark.slow
def test_calculator_source_has_the_temperature_asked_for(water, tmp_path):
    made = spring_source(
        water, n_frames=3000, stride=4, friction=20.0, timestep=0.001, frames_per_chunk=1000
    ).make(tmp_path / "l", seed=3)
    k = 10 * 96.48533212331 * 100
    variance = ((made.positions - np.array(WATER)) ** 2).mean()
    assert abs(variance * k / (8.31446261815324e-3 * 300) - 1) < 0.1


def test_a_resumed_calculator_run_equals_an_uninterrupted_one(water, tmp_path):
    whole = spring_source(water).make(tmp_path / "whole", seed=1)
    with pytest.raises(SamplingStopped, match="SCFError: no convergence.* 7 frames are kept"):
        # the calls are those of 5 equilibration steps, 7 frames of 2 steps and the fresh start of
        # each piece
        spring_source(water, calculator=Spring(fails_at=23)).make(tmp_path / "cut", seed=1)
    resumed = spring_source(water).make(tmp_path / "cut", seed=1)
    same(resumed, whole)
    assert not np.array_equal(
        spring_source(water).make(tmp_path / "other", seed=2).positions, whole.positions
    )


def test_a_run_cut_while_it_equilibrates_equals_an_uninterrupted_one(water, tmp_path, capsys):
    """110 steps in pieces of 50: the 70th call is in the second."""
    long = {"equilibration": 110}
    whole = spring_source(water, **long).make(tmp_path / "whole", seed=1)
    assert "_Spring, equilibration: 110 steps to do" in capsys.readouterr().err
    said = "no convergence.*, after 67 steps of the equilibration. 0 frames are kept in .*cut"
    with pytest.raises(SamplingStopped, match=said):
        spring_source(water, calculator=Spring(fails_at=70), **long).make(tmp_path / "cut", seed=1)
    assert len(list((tmp_path / "cut" / "sampling").glob("chunk_*.npz"))) == 1
    same(spring_source(water, **long).make(tmp_path / "cut", seed=1), whole)
    assert "_Spring, equilibration: 50 of 110 steps" in capsys.readouterr().err


def test_a_stopped_run_takes_another_number_of_frames(water, tmp_path):
    whole = spring_source(water).make(tmp_path / "whole", seed=1)
    with pytest.raises(SamplingStopped):
        spring_source(water, calculator=Spring(fails_at=23)).make(tmp_path / "cut", seed=1)
    shorter = spring_source(water, n_frames=7).make(tmp_path / "cut", seed=1)
    assert len(shorter) == 7
    np.testing.assert_array_equal(shorter.positions, whole.positions[:7])


def test_a_result_that_is_not_finite_stops_the_run(water, tmp_path):
    with pytest.raises(
        SamplingStopped, match=r"forces that are not finite. 5 frames are kept in .*sampling"
    ):
        spring_source(water, calculator=Spring(fails_at=18, how="nan")).make(
            tmp_path / "level0", seed=1
        )
    assert len(list((tmp_path / "level0" / "sampling").glob("chunk_*.npz"))) == 2


def test_a_resumed_xtb_run_equals_an_uninterrupted_one(water, tmp_path):
    pytest.importorskip("tblite")
    settings = {
        "calculator": "tblite.ase:TBLite",
        "calculator_arguments": {"method": "GFN2-xTB", "verbosity": 0},
        "structure": water,
        "temperature": 300,
        "stride": 2,
        "equilibration": 3,
        "frames_per_chunk": 3,
    }
    whole = CalculatorSource(n_frames=6, **settings).make(tmp_path / "whole", seed=1)
    half = CalculatorSource(n_frames=6, **settings)
    half.sample(tmp_path / "cut", seed=1)
    (tmp_path / "cut" / "chunk_000002.npz").unlink()
    resumed = half.sample(tmp_path / "cut", seed=1)
    same(resumed, whole)
    assert abs(whole.energies.mean() / 96.485 + 137.97) < 1  # eV, GFN2-xTB water


def test_a_calculator_that_cannot_be_made_is_named(water, tmp_path):
    with pytest.raises(
        ValueError, match="'no_such_package:Thing' cannot be imported.*expected 'module:callable'"
    ):
        spring_source(water, calculator="no_such_package:Thing").make(tmp_path / "level0", seed=1)
    with pytest.raises(ValueError, match="n_frames: expected 1 or more, found 0"):
        spring_source(water, n_frames=0)


# --- openmm
# ---------------------------------------------------------------------------------------------------


@pytest.fixture
def water_box(tmp_path) -> Path:
    """A PDB of 27 waters in a box of 2 nm."""
    app = pytest.importorskip("openmm.app")
    import openmm

    topology = app.Topology()
    chain, positions = topology.addChain(), []
    o, h = app.Element.getBySymbol("O"), app.Element.getBySymbol("H")
    for place in np.stack(np.meshgrid(*[np.arange(3) * 0.65 + 0.1] * 3), -1).reshape(-1, 3):
        residue = topology.addResidue("HOH", chain)
        a, b, c = (topology.addAtom(n, e, residue) for n, e in (("O", o), ("H1", h), ("H2", h)))
        topology.addBond(a, b)
        topology.addBond(a, c)
        positions += [place + w for w in WATER]
    topology.setPeriodicBoxVectors(np.eye(3) * 2.0 * openmm.unit.nanometer)
    with (tmp_path / "box.pdb").open("w") as file:
        app.PDBFile.writeFile(topology, np.array(positions) * openmm.unit.nanometer, file)
    return tmp_path / "box.pdb"


def openmm_source(structure: Path, **changes) -> OpenMMSource:
    settings = {
        "structure": structure,
        "force_field": ["amber14/tip3p.xml"],
        "temperature": 300,
        "n_frames": 6,
        "stride": 5,
        "equilibration": 10,
        "platform": "Reference",
        "frames_per_chunk": 3,
        "nonbonded": "cutoff_periodic",
    }
    return OpenMMSource(**{**settings, **changes})


def test_openmm_source_knows_its_constraints(water_box, tmp_path):
    made = openmm_source(water_box).make(tmp_path / "level0", seed=1)
    assert made.positions.shape == (6, 81, 3) and made.energies.shape == (6,)
    np.testing.assert_allclose(made.box, 2 * np.eye(3))
    assert len(made.system.bonds) == 54 and len(made.system.constraints) == 81
    i, j = made.system.constraints.T
    lengths = np.linalg.norm(made.positions[:, i] - made.positions[:, j], axis=-1)
    assert (lengths.std(0) < 1e-5).all()
    assert made.system.residue_names[0] == "HOH" and abs(made.system.charges.sum()) < 1e-9
    assert (
        json.loads((tmp_path / "level0" / "source.json").read_text())["versions"]["openmm"]
        != "not installed"
    )


def test_openmm_forces_are_the_gradient_of_its_energies(water_box, tmp_path):
    """Plain forces: no force of a constraint in them, so they are minus the slope of the energy
    along a move of one atom.
    """
    app = pytest.importorskip("openmm.app")
    import openmm

    made = openmm_source(water_box, n_frames=1).make(tmp_path / "level0", seed=1)
    pdb = app.PDBFile(str(water_box))
    system = app.ForceField("amber14/tip3p.xml").createSystem(
        pdb.topology, nonbondedMethod=app.CutoffPeriodic, nonbondedCutoff=0.9
    )
    context = openmm.Context(
        system, openmm.VerletIntegrator(0.001), openmm.Platform.getPlatformByName("Reference")
    )
    energies = []
    for step in (-1e-4, 1e-4):
        moved = made.positions[0].astype(float)
        moved[0] += [step, 0, 0]
        context.setPositions(moved)
        energies.append(context.getState(energy=True).getPotentialEnergy()._value)
    slope = (energies[1] - energies[0]) / 2e-4
    assert abs(made.forces[0, 0, 0] + slope) < 1e-3 * np.abs(made.forces).max()


@pytest.fixture
def cpu_threads():
    """A function that sets how many threads OpenMM's CPU platform takes."""
    cpu = pytest.importorskip("openmm").Platform.getPlatformByName("CPU")
    before = cpu.getPropertyDefaultValue("Threads")
    yield lambda n: cpu.setPropertyDefaultValue("Threads", str(n))
    cpu.setPropertyDefaultValue("Threads", before)


@pytest.mark.parametrize("platform", ["Reference", "CPU"])
def test_a_resumed_openmm_run_equals_an_uninterrupted_one(
    water_box, tmp_path, platform, cpu_threads
):
    cpu_threads(1)
    source = openmm_source(water_box, platform=platform)
    whole = source.make(tmp_path / "whole", seed=1)
    source.sample(tmp_path / "cut", seed=1)
    (tmp_path / "cut" / "chunk_000002.npz").unlink()
    same(source.sample(tmp_path / "cut", seed=1), whole)


def test_openmm_goes_on_with_its_equilibration(water_box, tmp_path, monkeypatch, cpu_threads):
    from cgrec.sources import openmm as module

    cpu_threads(1)
    source = openmm_source(water_box, platform="CPU", equilibration=110)
    whole = source.make(tmp_path / "whole", seed=1)
    steps, calls = module._Run.steps, itertools.count(1)

    def killed(run, n, chunks):
        if next(calls) == 13:  # of 5 steps, in pieces of 50
            raise KeyboardInterrupt
        steps(run, n, chunks)

    monkeypatch.setattr(module._Run, "steps", killed)
    with pytest.raises(KeyboardInterrupt):
        source.make(tmp_path / "cut", seed=1)
    assert len(list((tmp_path / "cut" / "sampling").glob("chunk_*.npz"))) == 1
    same(source.make(tmp_path / "cut", seed=1), whole)
    assert next(calls) - 14 == 12 + 6  # 60 of its steps, and the frames


def test_threads_of_openmm_that_cannot_repeat_a_run_are_said(water_box, tmp_path, cpu_threads):
    cpu_threads(2)
    with pytest.warns(UserWarning, match="no fixed order on several threads.*OPENMM_CPU_THREADS=1"):
        openmm_source(water_box, platform="CPU").sample(tmp_path / "two", seed=1)


def test_openmm_source_keeps_the_sites_asked_for(water_box, tmp_path):
    made = openmm_source(
        water_box, n_frames=2, selection="element O", constraints="none", rigid_water=False
    ).make(tmp_path / "l", seed=1)
    assert made.n_sites == 27 and len(made.system.constraints) == 0


def test_openmm_source_refuses_bad_choices(tmp_path, water):
    with pytest.raises(
        ValueError, match="nonbonded: expected one of pme, no_cutoff.*found 'ewald'"
    ):
        openmm_source(water, nonbonded="ewald")
    for given, said in {
        ("temperature", -1): "OpenMMSource.temperature: expected more than 0, found -1",
        ("timestep", 2): "OpenMMSource.timestep: .*if these are fs, give 0.002",
        ("cutoff", 9): "OpenMMSource.cutoff: .*if these are angstroms, give 0.9",
    }.items():
        with pytest.raises(ValueError, match=said):
            openmm_source(water, **dict([given]))


# --- configs
# --------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("name", ["file", "openmm", "calculator"])
def test_configs_name_arguments_that_exist(name):
    import inspect
    from importlib import import_module

    from omegaconf import OmegaConf

    config = OmegaConf.load(Path(__file__).parents[2] / "conf" / "source" / f"{name}.yaml")
    module, _, cls = config["_target_"].rpartition(".")
    known = inspect.signature(getattr(import_module(module), cls)).parameters
    assert set(config) - {"_target_"} <= set(known)
    assert any(OmegaConf.is_missing(config, key) for key in config)


def test_repartitioned_masses_stay_in_the_integrator(tmp_path):
    pytest.importorskip("openmm")
    structure = Path(cgrec.__file__).parent / "data" / "alanine_dipeptide.pdb"
    plain = {
        "structure": structure,
        "force_field": ["amber14-all.xml"],
        "temperature": 300.0,
        "n_frames": 2,
        "stride": 1,
        "equilibration": 0,
        "nonbonded": "no_cutoff",
        "platform": "Reference",
    }
    true = OpenMMSource(**plain).make(tmp_path / "true", 0).system
    source = OpenMMSource(**plain, hydrogen_mass=4.0)
    moved = source.make(tmp_path / "moved", 0).system
    np.testing.assert_array_equal(moved.masses, true.masses)
    assert max(m for m, e in zip(moved.masses, moved.elements) if e == "H") < 1.1
    simulated = source._prepare(0).simulation.system
    assert (
        max(simulated.getParticleMass(k)._value for k, e in enumerate(moved.elements) if e == "H")
        == 4.0
    )
    early = source.system()
    assert early.full_labels == moved.full_labels and early.bonds.tolist() == moved.bonds.tolist()


def peptide_source(**changes) -> OpenMMSource:
    """OpenMMSource of alanine dipeptide, two frames."""
    pytest.importorskip("openmm")
    settings = {
        "structure": Path(cgrec.__file__).parent / "data" / "alanine_dipeptide.pdb",
        "force_field": ["amber14-all.xml", "implicit/obc2.xml"],
        "temperature": 300.0,
        "n_frames": 2,
        "stride": 1,
        "equilibration": 0,
        "platform": "Reference",
    }
    return OpenMMSource(**{**settings, **changes})


@pytest.mark.parametrize("solvent", ["implicit/obc2.xml", "implicit/gbn2.xml", "amber99_obc.xml"])
def test_implicit_solvent_with_a_cutoff_beyond_the_molecule_is_that_without(solvent):
    """The cutoff has its unit: energies are shifted by it, forces are the same."""
    plain = "amber99sb.xml" if solvent == "amber99_obc.xml" else "amber14-all.xml"
    made = {
        nonbonded: peptide_source(
            force_field=[plain, solvent], nonbonded=nonbonded, cutoff=3.0, minimise=False
        )._prepare(0)
        for nonbonded in ("no_cutoff", "cutoff_open")
    }
    forces = {
        nonbonded: run.simulation.context.getState(forces=True).getForces(asNumpy=True)._value
        for nonbonded, run in made.items()
    }
    assert np.abs(forces["no_cutoff"]).max() > 100
    np.testing.assert_allclose(forces["cutoff_open"], forces["no_cutoff"], rtol=1e-6, atol=1e-6)


def boxed(folder: Path) -> Path:
    """Alanine dipeptide with a CRYST1 record."""
    text = (Path(cgrec.__file__).parent / "data" / "alanine_dipeptide.pdb").read_text()
    lines = [line for line in text.splitlines() if not line.startswith("CRYST1")]
    box = "CRYST1   40.000   40.000   40.000  90.00  90.00  90.00 P 1           1"
    path = folder / "boxed.pdb"
    path.write_text("\n".join([box, *lines]) + "\n")
    return path


@pytest.mark.parametrize("solvent", ["implicit/obc2.xml", "implicit/gbn2.xml", "amber99_obc.xml"])
def test_implicit_solvent_with_pme_is_refused(solvent, tmp_path):
    plain = "amber99sb.xml" if solvent == "amber99_obc.xml" else "amber14-all.xml"
    source = peptide_source(structure=boxed(tmp_path), force_field=[plain, solvent])
    with pytest.raises(
        ValueError, match=r"implicit solvent.*found nonbonded=pme: choose nonbonded=no_cutoff"
    ):
        source.make(tmp_path / "level0", 0)
    open_one = peptide_source(
        structure=boxed(tmp_path), force_field=[plain, solvent], nonbonded="no_cutoff"
    )
    assert open_one.make(tmp_path / "open", 0).box is None
