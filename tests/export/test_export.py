"""Potentials in other people's engines give what they give here."""

import numpy as np
import pytest
from contracts import random_frames, to_double

from cgrec import Frames, System
from cgrec.export.ase import PotentialCalculator, atoms_of
from cgrec.potential import DensityNetwork, fit_priors
from cgrec.units import energy_factor, force_factor

TYPES = ["A", "B", "C"]


def potential(frames):
    network = DensityNetwork(types=TYPES, cutoff=0.5, channels=4, width=8, energy_scale=100.0)
    priors = fit_priors(frames, types=TYPES, cutoff=0.5)
    return sum(priors[1:], priors[0]) + to_double(network)


def liquid(n=40, seed=0):
    rng = np.random.default_rng(seed)
    box = np.diag([1.3, 1.4, 1.5]) + np.array([[0, 0, 0], [0.2, 0, 0], [0.1, -0.2, 0]])
    system = System(names=tuple("ABC"[k % 3] for k in range(n)), masses=np.full(n, 18.0))
    return Frames(system, rng.uniform(size=(2, n, 3)) @ box, 300.0, box=box)


@pytest.mark.parametrize("frames", [random_frames(3), liquid()], ids=["open", "periodic"])
def test_ase_calculator_energy_forces_and_their_consistency(frames):
    made = potential(frames)
    energies, forces = made.energy_and_forces(frames)
    atoms = atoms_of(frames)
    atoms.calc = PotentialCalculator(made, frames.system)
    for k in range(2):  # the second configuration meets the neighbours of the first
        atoms.positions[:] = frames.positions[k] * 10
        assert atoms.get_potential_energy() * energy_factor("eV") == pytest.approx(
            energies[k], rel=1e-9
        )
        np.testing.assert_allclose(
            atoms.get_forces() * force_factor("eV/angstrom"), forces[k], rtol=1e-6, atol=1e-6
        )


def test_ase_stress_is_the_slope_of_the_energy_by_the_strain():
    frames = liquid()
    atoms = atoms_of(frames)
    atoms.calc = PotentialCalculator(potential(frames), frames.system)
    stress, cell, step = atoms.get_stress(voigt=False), atoms.cell.array.copy(), 1e-5
    for a, b in ((0, 0), (1, 1), (2, 2), (1, 2), (0, 2), (0, 1)):
        energies = []
        for sign in (step, -step):
            strain = np.eye(3)
            strain[a, b] += sign / 2
            strain[b, a] += sign / 2
            atoms.set_cell(cell @ strain, scale_atoms=True)
            energies.append(atoms.get_potential_energy())
        slope = (energies[0] - energies[1]) / (2 * step) / atoms.get_volume()
        assert stress[a, b] == pytest.approx(slope, rel=1e-4, abs=1e-6 * np.abs(stress).max())
    atoms.pbc = False
    with pytest.raises(ValueError, match="expected atoms in a box"):
        atoms.get_stress()


def test_atoms_periodic_in_two_directions_are_refused():
    frames = liquid()
    atoms = atoms_of(frames)
    atoms.pbc = [True, True, False]
    atoms.calc = PotentialCalculator(potential(frames), frames.system)
    with pytest.raises(ValueError, match="all directions or none"):
        atoms.get_forces()


def test_another_number_of_atoms_is_refused():
    frames = random_frames(1)
    atoms = atoms_of(frames)[:4]
    atoms.calc = PotentialCalculator(potential(frames), frames.system)
    with pytest.raises(ValueError, match=r"expected positions \(6, 3\)"):
        atoms.get_forces()


@pytest.mark.parametrize("frames", [random_frames(2), liquid()], ids=["open", "periodic"])
def test_openmm_force(frames):
    openmm = pytest.importorskip("openmm")
    if not hasattr(openmm, "PythonForce"):
        pytest.skip("this OpenMM has no PythonForce")
    from cgrec.export.openmm import openmm_system

    made = potential(frames)
    energies, forces = made.energy_and_forces(frames)
    reference = openmm.Platform.getPlatformByName("Reference")
    context = openmm.Context(
        openmm_system(made, frames.system, frames.box), openmm.VerletIntegrator(0.001), reference
    )
    for k in range(2):
        context.setPositions(frames.positions[k])
        state = context.getState(getEnergy=True, getForces=True)
        assert state.getPotentialEnergy()._value == pytest.approx(energies[k], rel=1e-6)
        found = state.getForces(asNumpy=True)._value
        np.testing.assert_allclose(found, forces[k], rtol=1e-5, atol=1e-5 * np.abs(forces).max())
