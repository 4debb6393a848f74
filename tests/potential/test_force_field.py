"""`ForceField` against OpenMM's Reference platform, as a potential like any other, and in runs."""

from dataclasses import replace
from functools import cache
from pathlib import Path

import numpy as np
import pytest
import torch
from contracts import PotentialContract, random_frames, small_system

from cgrec import ForceField, Frames, Potential, System, sources
from cgrec.dynamics import BiasPlan, Exchange, Langevin
from cgrec.native import NoKernel
from cgrec.potential import SumPotential
from cgrec.potential.force_field import kernel as kernels
from cgrec.potential.force_field.kernel import CompiledForceField
from cgrec.threads import use_threads

openmm = pytest.importorskip("openmm")
app = pytest.importorskip("openmm.app")

PEPTIDES = Path(__file__).parents[1] / "data" / "peptides"
NAMES = ["ala2", "ala5", "chignolin", "ekrmsr", "yfnhit", "cln025"]
MODELS = {
    "vacuum": ["amber14-all.xml"],
    "obc2": ["amber14-all.xml", "implicit/obc2.xml"],
    "gbn2": ["amber14-all.xml", "implicit/gbn2.xml"],
    "maps and gbn2": ["amber19-all.xml", "implicit/gbn2.xml"],
    "native obc2": ["amber99sb.xml", "amber99_obc.xml"],
}
#: Largest difference of forces, as a share of their root mean square; found were 1e-7 at 300 K.
SAME_FORCES = 1e-5
#: kJ/mol: energies of thousands of kJ/mol come from pairs in single precision.
SAME_ENERGY = 0.01


def peptide(name):
    """PDB file, read by OpenMM."""
    return app.PDBFile(str(PEPTIDES / f"{name}.pdb"))


@cache
def molecule(name, model, minimise=True):
    """(potential, frame) of a peptide, which no test changes: what OpenMM reads takes its time."""
    path = PEPTIDES / f"{name}.pdb"
    return sources.molecule(path, MODELS[model], minimise=minimise)


def created(name="ala2", model="vacuum", **options):
    """OpenMM's System of a peptide."""
    settings = {"nonbondedMethod": app.NoCutoff, "constraints": None, "rigidWater": False}
    return files_of(model).createSystem(peptide(name).topology, **{**settings, **options})


@cache
def files_of(model):
    """OpenMM's force field."""
    return app.ForceField(*MODELS[model])


def shaken(frames, n, size=0.005, seed=0):
    """`n` frames about the first, some thousand K hot."""
    noise = np.random.default_rng(seed).normal(scale=size, size=(n, frames.n_sites, 3))
    return replace(frames, positions=np.asarray(frames.positions[:1]) + noise)


def reference(plain, positions):
    """Energies and forces of OpenMM's Reference platform."""
    platform = openmm.Platform.getPlatformByName("Reference")
    context = openmm.Context(plain, openmm.VerletIntegrator(0.001), platform)
    energies, forces = [], []
    for x in np.asarray(positions, float):
        context.setPositions(x)
        state = context.getState(energy=True, forces=True)
        energies.append(state.getPotentialEnergy()._value)
        forces.append(state.getForces(asNumpy=True)._value)
    return np.array(energies), np.array(forces)


def evaluated(potential, frames):
    """As numpy, without `compiled` being chosen by the number of frames."""
    energy, force = potential(potential.graph(frames))
    return energy.numpy(), force.numpy().reshape(len(frames), -1, 3)


def share(found, wanted):
    """Root mean square difference, relative to that of `wanted`."""
    return np.sqrt(((found - wanted) ** 2).mean() / (wanted**2).mean())


# --- against OpenMM ---------------------------------------------------------------------------------


@pytest.mark.parametrize("model", MODELS)
@pytest.mark.parametrize("name", NAMES)
def test_energy_and_forces_are_openmms(name, model):
    potential, start = molecule(name, model, minimise=False)
    frames = shaken(start, 2)
    energy, force = reference(created(name, model), frames.positions)
    plain = evaluated(potential, frames)
    np.testing.assert_allclose(plain[0], energy, atol=1e-4)
    assert share(plain[1], force) < 1e-8
    fast = evaluated(potential.compiled(), frames)
    np.testing.assert_allclose(fast[0], energy, atol=SAME_ENERGY)
    assert share(fast[1], force) < SAME_FORCES


@pytest.mark.parametrize("model", ["vacuum", "obc2", "gbn2"])
def test_pairs_alone_are_openmms(model):
    """Bonds carry most of the forces: without them, what is left is as good."""
    plain = created("cln025", model)
    for k in reversed(range(plain.getNumForces())):
        if type(plain.getForce(k)).__name__.startswith(("Harmonic", "Periodic")):
            plain.removeForce(k)
    _, start = molecule("cln025", "vacuum", minimise=False)
    frames = shaken(start, 2)
    potential = ForceField(plain, start.system)
    energy, force = reference(plain, frames.positions)
    found = evaluated(potential.compiled(), frames)
    np.testing.assert_allclose(found[0], energy, atol=SAME_ENERGY)
    assert share(found[1], force) < SAME_FORCES


def test_far_and_clashing_atoms_are_openmms():
    """A chain pulled long and one pressed together: series and integrals of the Born radii."""
    potential, start = molecule("ala5", "gbn2")
    for stretch in (3.0, 0.75):
        frames = shaken(replace(start, positions=stretch * np.asarray(start.positions)), 3)
        energy, force = reference(created("ala5", "gbn2"), frames.positions)
        found = evaluated(potential.compiled(), frames)
        np.testing.assert_allclose(found[0], energy, rtol=1e-6)
        assert share(found[1], force) < SAME_FORCES


def test_any_phase_and_multiplicity_is_openmms():
    plain, system, x = openmm.System(), small_system(), random_frames(4).positions
    force = openmm.PeriodicTorsionForce()
    for order in range(1, 7):
        force.addTorsion(0, 1, 2, 3, order, 0.3 * order, 2.0 + order)
        force.addTorsion(4, 3, 2, 1, order, -0.7, 1.0)
    for mass in system.masses:
        plain.addParticle(mass)
    plain.addForce(force)
    frames = Frames(system, x, 300.0)
    energy, wanted = reference(plain, x)
    for potential in (ForceField(plain, system), ForceField(plain, system).compiled()):
        found = evaluated(potential, frames)
        np.testing.assert_allclose(found[0], energy, atol=1e-9)
        np.testing.assert_allclose(found[1], wanted, atol=1e-7)


# --- a potential like any other ---------------------------------------------------------------------


def six_atoms(solvent):
    """An OpenMM System of every term for the six sites of the contract."""
    system, plain = small_system(), openmm.System()
    charges = [0.3, -0.5, 0.4, -0.4, 0.5, -0.3]
    for mass in system.masses:
        plain.addParticle(mass)
    bonds = openmm.HarmonicBondForce()
    for i, j in system.bonds.tolist():
        bonds.addBond(i, j, 0.15, 2e4)
    angles = openmm.HarmonicAngleForce()
    for i, j, k in system.bonded_paths(3):
        angles.addAngle(i, j, k, 2.0, 300.0)
    torsions = openmm.PeriodicTorsionForce()
    for path in system.bonded_paths(4):
        torsions.addTorsion(*path, 3, 0.5, 4.0)
    pairs = openmm.NonbondedForce()
    for charge in charges:
        pairs.addParticle(charge, 0.2, 0.4)
    pairs.createExceptionsFromBonds([tuple(b) for b in system.bonds.tolist()], 0.8, 0.5)
    forces = [bonds, angles, torsions, pairs, openmm.CMMotionRemover()]
    if solvent == "maps":
        maps = openmm.CMAPTorsionForce()
        maps.addMap(8, np.random.default_rng(0).normal(scale=5.0, size=64).tolist())
        maps.addTorsion(0, 0, 1, 2, 3, 1, 2, 3, 4)
        maps.addTorsion(0, 1, 2, 3, 4, 5, 2, 1, 0)
        forces.append(maps)
    if solvent == "obc2":
        born = openmm.GBSAOBCForce()
        for charge in charges:
            born.addParticle(charge, 0.15, 0.8)
        forces.append(born)
    if solvent == "gbn2":
        from openmm.app.internal.customgbforces import GBSAGBn2Force

        born = GBSAGBn2Force(SA="ACE")
        for charge, radius in zip(charges, [0.17, 0.12, 0.15, 0.155, 0.18, 0.13]):
            born.addParticle([charge, radius, 1.0, 0.9, 0.8, 4.8])
        born.finalize()
        forces.append(born)
    for force in forces:
        plain.addForce(force)
    return plain, system


class TestForceField(PotentialContract):
    @pytest.fixture(params=["vacuum", "maps", "obc2", "gbn2"])
    def potential(self, request):
        return ForceField(*six_atoms(request.param))

    def test_it_is_an_energy(self, potential):
        """It holds at any temperature, and knows no density."""
        assert potential.temperature is None and potential.density is None


@pytest.mark.parametrize("solvent", ["vacuum", "maps", "obc2", "gbn2"])
def test_six_atoms_are_openmms(solvent):
    plain, system = six_atoms(solvent)
    frames = random_frames(20)
    energy, force = reference(plain, frames.positions)
    potential = ForceField(plain, system)
    for form in (potential, potential.compiled()):
        found = evaluated(form, frames)
        np.testing.assert_allclose(found[0], energy, atol=1e-3)
        assert share(found[1], force) < SAME_FORCES


@pytest.fixture(scope="module")
def solvated():
    return molecule("ala5", "gbn2")


def test_a_frame_is_the_same_bits_in_any_company(solvated):
    """Frames are lanes of a vector: neither its neighbours nor its lane show in what comes out."""
    potential, start = solvated
    fast, frames = potential.compiled(), shaken(start, 37)
    energy, force = evaluated(fast, frames)
    for k in (0, 7, 15, 16, 36):
        alone = evaluated(fast, frames[k : k + 1])
        assert alone[0][0] == energy[k]
        np.testing.assert_array_equal(alone[1][0], force[k])
    wild = frames.positions.copy()
    wild[1::2] *= 1.7  # others far from or near to each other, where terms have other forms
    np.testing.assert_array_equal(
        evaluated(fast, replace(frames, positions=wild))[1][::2], force[::2]
    )


def test_threads_change_no_bit(solvated):
    potential, start = solvated
    fast, frames = potential.compiled(), shaken(start, 50)
    found = []
    for n in (1, 2, 3):
        with use_threads(n):
            found.append(evaluated(fast, frames))
    for energy, force in found[1:]:
        np.testing.assert_array_equal(energy, found[0][0])
        np.testing.assert_array_equal(force, found[0][1])


def test_saved_and_loaded_it_compiles_to_the_same_bits(solvated, tmp_path):
    potential, start = solvated
    potential.compiled().save(tmp_path / "ff.pt")  # written as the plain one
    again = Potential.load(tmp_path / "ff.pt")
    assert type(again) is ForceField
    frames = shaken(start, 3)
    np.testing.assert_array_equal(
        evaluated(again.compiled(), frames)[1], evaluated(potential.compiled(), frames)[1]
    )


def test_a_file_with_other_sites_is_refused(solvated, tmp_path):
    """The kernel reads where they point to."""
    state = solvated[0].to_state()
    state["state"] = {k: v.clone() for k, v in state["state"].items()}
    state["state"]["angle_sites"][0, 1] = 10**6
    torch.save(state, tmp_path / "ff.pt")
    with pytest.raises(ValueError, match="angle_sites: expected 0 to 61, found 1000000"):
        evaluated(Potential.load(tmp_path / "ff.pt").compiled(), solvated[1])


@pytest.mark.parametrize(
    "config",
    [
        {"bond_graph": {}},
        {"bond_graph": {"types": 3}},
        {"counts": {"bonds": 10**9}},
        {"counts": [1, 2]},
        {"born": {"strength": 1.0}},
        {"born": {"strength": float("nan")}},
        {"born": 3.0},
    ],
)
def test_a_file_with_another_configuration_is_refused(solvated, config):
    state = solvated[0].to_state()
    with pytest.raises(ValueError, match="ForceField"):
        Potential.from_state({**state, "config": {**state["config"], **config}})


def test_a_sum_with_it_is_the_sum(solvated):
    potential, start = solvated
    both = potential + potential
    assert isinstance(both, SumPotential)
    frames = shaken(start, 3)
    np.testing.assert_allclose(
        evaluated(both.compiled(), frames)[1], 2 * evaluated(potential.compiled(), frames)[1]
    )


def test_without_a_compiler_it_runs_in_torch(solvated, monkeypatch):
    def none():
        raise NoKernel("no C++ compiler found")

    monkeypatch.setattr(kernels, "kernel_library", none)
    with pytest.warns(UserWarning, match="no C.. compiler found; the force field runs uncompiled"):
        assert solvated[0].compiled() is solvated[0]


# --- in runs ----------------------------------------------------------------------------------------


def test_energy_is_conserved(solvated):
    """Velocity Verlet at 0.5 fs from 300 K, of the kernel, 1 ps."""
    potential, start = solvated
    fast, masses = potential.compiled(), start.system.masses[None, :, None]
    x = np.asarray(start.positions, float)
    v = np.random.default_rng(0).normal(size=x.shape) * np.sqrt(8.314e-3 * 300 / masses)
    step, totals = 0.0005, []
    energy, force = evaluated(fast, start)
    for _ in range(2000):
        v += 0.5 * step * force / masses
        x = x + step * v
        energy, force = evaluated(fast, replace(start, positions=x))
        v += 0.5 * step * force / masses
        totals.append(float(energy[0] + 0.5 * (masses * v**2).sum()))
    kinetic = 0.5 * (masses * v**2).sum()
    assert 30 < kinetic < 400  # it moves
    drift = np.polyfit(np.arange(2000) * step, totals, 1)[0]
    assert abs(drift) < 0.3 and np.std(totals) < 0.4  # kJ/mol/ps of 62 atoms; kJ/mol


def langevin(**options):
    settings = {
        "n_replicas": 4,
        "length": 0.2,
        "save_every": 0.04,
        "equilibration": 0.0,
        "timestep": 0.004,
        "minimum_mass": 12.0,
        "checkpoint_every": 2,
        "keep_energies": True,
        "compile": True,
    }
    return Langevin(**{**settings, **options})


def test_replicas_exchange_and_leave_frames(solvated, tmp_path):
    potential, start = solvated
    frames, report = langevin(exchange=Exchange(factors=[1.0, 1.05], every=5))(
        potential, start, tmp_path / "run", seed=3
    )
    assert len(frames) == 10 and not report.lost and 0 <= report.exchange_acceptance <= 1
    energy, force = evaluated(potential, replace(frames, energies=None, forces=None))
    np.testing.assert_allclose(frames.energies, energy, atol=0.05)
    assert share(frames.forces, force) < 1e-4  # frames are kept in single precision


def test_a_longer_run_goes_on_with_the_same_bits(solvated, tmp_path):
    potential, start = solvated
    langevin(length=0.08)(potential, start, tmp_path / "on", seed=3)
    on, _ = langevin()(potential, start, tmp_path / "on", seed=3)
    whole, _ = langevin()(potential, start, tmp_path / "whole", seed=3)
    np.testing.assert_array_equal(on.positions, whole.positions)


def test_a_bias_pushes_it(solvated, tmp_path):
    potential, start = solvated
    psi = {"psi": ["ALA2:N", "ALA2:CA", "ALA2:C", "ALA3:N"]}
    frames, _ = langevin(bias=BiasPlan(variables=psi, growth=0.08, every=5))(
        potential, start, tmp_path / "run", seed=3
    )
    assert frames.weights is not None and len(frames) == 20


# --- refused ----------------------------------------------------------------------------------------


def with_force(force):
    plain = created()
    plain.addForce(force)
    return plain


def with_virtual_site():
    plain = created()
    plain.addParticle(0.0)
    plain.setVirtualSite(plain.getNumParticles() - 1, openmm.TwoParticleAverageSite(0, 1, 0.5, 0.5))
    return plain


def with_offsets():
    plain = created()
    force = next(f for f in plain.getForces() if isinstance(f, openmm.NonbondedForce))
    force.addGlobalParameter("scale", 0.0)
    force.addParticleParameterOffset("scale", 0, 1.0, 0.0, 0.0)
    return plain


def two_solvents():
    plain = created(model="obc2")
    force = openmm.GBSAOBCForce()
    for _ in range(plain.getNumParticles()):
        force.addParticle(0.0, 0.15, 0.8)
    plain.addForce(force)
    return plain


def with_custom_solvent(change):
    """GBn2 of openmm.app, after `change`."""
    plain = created(model="gbn2")
    change(next(f for f in plain.getForces() if isinstance(f, openmm.CustomGBForce)))
    return plain


def other_radius(force):
    name, expression, kind = force.getComputedValueParameters(1)
    force.setComputedValueParameters(1, name, expression.replace("tanh", "sinh"), kind)


def other_integral(force):
    name, expression, kind = force.getComputedValueParameters(0)
    force.setComputedValueParameters(0, name, expression.replace("0.25", "0.26"), kind)


def other_energy(force):
    expression, kind = force.getEnergyTermParameters(1)
    force.setEnergyTermParameters(1, expression.replace("^6", "^4"), kind)


REFUSED = {
    "constraints": (
        lambda: created(constraints=app.HBonds),
        r"no constraints, found 17: .*constraints=None, rigidWater=False",
    ),
    "heavy hydrogens": (
        lambda: created(hydrogenMass=4.0),
        r"ACE:.* amu, found .*repartitioned.*no hydrogenMass.*minimum_mass=12",
    ),
    "a cutoff": (
        lambda: created(nonbondedMethod=app.CutoffNonPeriodic),
        "without a cutoff, found one; make it by .*NoCutoff",
    ),
    "a virtual site": (with_virtual_site, "expected atoms, found 1 virtual sites"),
    "offsets": (with_offsets, "charges that are numbers, found 1 that depend"),
    "a barostat": (
        lambda: with_force(openmm.MonteCarloBarostat(1.0, 300.0)),
        "found MonteCarloBarostat|found a box",
    ),
    "an unknown force": (
        lambda: with_force(openmm.CustomBondForce("r")),
        "expected forces among .*found CustomBondForce: take a force field without it",
    ),
    "a second Coulomb term": (
        lambda: with_force(openmm.NonbondedForce()),
        "one NonbondedForce, found two",
    ),
    "a second solvent": (
        two_solvents,
        "one implicit solvent, found two",
    ),
    "salt": (
        lambda: created(model="gbn2", implicitSolventKappa=1.0),
        r"without salt \(kappa 0\), found the energy",
    ),
    "another Born radius": (lambda: with_custom_solvent(other_radius), "found B = .*sinh"),
    "another integral": (lambda: with_custom_solvent(other_integral), "found I = .*0.26"),
    "another surface": (lambda: with_custom_solvent(other_energy), r"found the energy .*\^4"),
}


@pytest.mark.parametrize("what", REFUSED)
def test_what_it_cannot_compute_is_refused(what):
    made, sentence = REFUSED[what]
    _, start = molecule("ala2", "vacuum")
    system = start.system
    with pytest.raises(ValueError, match=f"(?s)ForceField: .*{sentence}"):
        ForceField(made(), system)


@pytest.mark.parametrize("file", ["hct", "obc1", "gbn"])
def test_other_models_of_openmm_are_right_or_refused(file):
    files = ["amber14-all.xml", f"implicit/{file}.xml"]
    if file == "hct":
        with pytest.raises(ValueError, match="ForceField: .*obc2.xml.*found B = "):
            sources.molecule(PEPTIDES / "ala2.pdb", files)
        return
    potential, start = sources.molecule(PEPTIDES / "ala2.pdb", files)
    plain = app.ForceField(*files).createSystem(peptide("ala2").topology)
    frames = shaken(start, 2)
    energy, force = reference(plain, frames.positions)
    found = evaluated(potential.compiled(), frames)
    np.testing.assert_allclose(found[0], energy, atol=SAME_ENERGY)
    assert share(found[1], force) < SAME_FORCES


def test_atoms_of_another_system_are_refused(solvated):
    _, small = molecule("ala2", "vacuum")
    with pytest.raises(ValueError, match="expected the System of the 62 particles.*32 sites"):
        ForceField(created("ala5"), small.system)
    with pytest.raises(ValueError, match="ForceField was made for 62 atoms, this System has 32"):
        solvated[0].energy_and_forces(small)
    with pytest.raises(ValueError, match="ForceField: expected an OpenMM System and"):
        ForceField(created("ala5"))
    other = solvated[1].system.select([1, 0, *range(2, 62)])
    with pytest.raises(ValueError, match="bring both into one order"):
        ForceField(created("ala5"), other)


def test_atoms_in_an_order_that_masses_do_not_tell_are_refused():
    """CA and C of a residue change places: as heavy as each other, bonded to others."""
    plain, system = created("ala5"), molecule("ala5", "vacuum")[1].system
    names = [system.unique_labels.index(f"ALA3:{name}") for name in ("CA", "C")]
    order = np.arange(system.n_sites)
    order[names] = order[names[::-1]]
    other = system.select(order.tolist())
    assert np.allclose(other.masses, system.masses)
    with pytest.raises(ValueError, match=r"ForceField: .*bond.* (ALA:CA|ALA:C) .*another order"):
        ForceField(plain, other)
    ForceField(plain, replace(system, bonds=np.zeros((0, 2), int)))  # nothing to compare


def test_a_term_across_an_angle_is_no_foreign_bond():
    """Urey and Bradley's: between two atoms bonded to a third."""
    system = molecule("ala2", "vacuum")[1].system
    plain = created()
    (force,) = [f for f in plain.getForces() if isinstance(f, openmm.HarmonicBondForce)]
    i, j = system.bonds[0].tolist()
    k = next(int(b if a == j else a) for a, b in system.bonds if j in (a, b) and i not in (a, b))
    force.addBond(i, k, 0.25, 1000.0)
    ForceField(plain, system)
    force.addBond(0, system.n_sites - 1, 0.25, 1000.0)
    with pytest.raises(ValueError, match="no bond term between .*sites 0 and 31"):
        ForceField(plain, system)


def test_two_molecules_are_not_two_copies(solvated):
    """Copies would not feel each other."""
    system = solvated[1].system
    n = system.n_sites
    double = System(
        names=system.names * 2,
        masses=np.tile(system.masses, 2),
        types=system.types * 2,
        bonds=np.concatenate([system.bonds, system.bonds + n]),
    )
    with pytest.raises(ValueError, match="made for 62 atoms, this System has 124"):
        solvated[0].species(double)


def test_a_strained_structure_is_relaxed(tmp_path):
    """Hydrogens of a PDB file may stand anywhere; a run at 4 fs would not forgive it."""
    _, start = molecule("ala2", "obc2", minimise=False)
    topology = peptide("ala2").topology
    noise = np.random.default_rng(0).normal(scale=0.02, size=start.positions[0].shape)
    with (tmp_path / "strained.pdb").open("w") as file:
        app.PDBFile.writeFile(topology, (start.positions[0] + noise) * openmm.unit.nanometer, file)
    _, strained = sources.molecule(tmp_path / "strained.pdb", MODELS["obc2"], minimise=False)
    potential, relaxed = sources.molecule(tmp_path / "strained.pdb", MODELS["obc2"])
    before, after = (potential.energy_and_forces(f) for f in (strained, relaxed))
    assert after[0][0] < before[0][0] - 100 and np.abs(after[1]).max() < 20


def test_it_is_compiled_for_many_calls(solvated):
    assert type(solvated[0].compiled()) is CompiledForceField
