"""Splines of Variables: forces, linearity, what lies beyond their range, files, refusals."""

from dataclasses import dataclass

import numpy as np
import pytest
import torch

from cgrec import Frames, Potential, System
from cgrec.export import write_lammps
from cgrec.potential import VariableSplines
from cgrec.potential.variable_splines import why_not
from cgrec.variables import (
    RMSD,
    CollectiveVariable,
    NativeContacts,
    PairDistances,
    RadiusOfGyration,
)

N = 10
CHAIN = System(
    names=("CA",) * N,
    types=("X",) * N,
    masses=np.arange(10.0, 10.0 + N),
    bonds=[(k, k + 1) for k in range(N - 1)],
    residue_names=("ALA",) * N,
    residues=range(N),
)


def hairpin():
    """Two strands half a nanometre apart."""
    x = np.zeros((1, N, 3))
    x[0, :, 0] = 0.33 * np.concatenate([np.arange(5), np.arange(5)[::-1]])
    x[0, 5:, 1] = 0.5
    x[0, :, 2] = 0.05 * (np.arange(N) % 2)
    return Frames(CHAIN, x, 300.0)


def shaken(n, seed=0):
    x = hairpin().positions + np.random.default_rng(seed).normal(0, 0.12, (n, N, 3))
    return Frames(CHAIN, x, 300.0)


VARIABLES = (
    NativeContacts(structure=hairpin(), between="CA", beta=15.0),
    RadiusOfGyration(),
    RMSD(structure=hairpin()),
    CollectiveVariable("ends", ("#0", f"#{N - 1}")),
    CollectiveVariable("bend", ("#0", "#4", "#9")),
)
RANGES = np.array([[0.1, 0.95], [0.4, 0.7], [0.05, 0.4], [0.3, 1.0], [0.1, 1.5]])


def splines(seed=1):
    coefficients = np.random.default_rng(seed).normal(0, 5, (len(VARIABLES), 6))
    return VariableSplines.of(["X"], CHAIN, VARIABLES, RANGES, coefficients)


def test_forces_are_the_slope_of_the_energy():
    potential, frames, h = splines(), shaken(10), 1e-5
    _, forces = potential.energy_and_forces(frames)
    assert np.abs(forces).max() > 1
    for site, axis in ((0, 0), (3, 1), (9, 2)):
        moved = []
        for sign in (1, -1):
            x = np.array(frames.positions)
            x[:, site, axis] += sign * h
            moved.append(potential.energy_and_forces(Frames(CHAIN, x, 300.0))[0])
        slope = (moved[0] - moved[1]) / (2 * h)
        np.testing.assert_allclose(forces[:, site, axis], -slope, atol=1e-3)


def test_each_variable_alone_has_a_force():
    for k, variable in enumerate(VARIABLES):
        heights = np.linspace(0, 10, 6)[None]
        alone = VariableSplines.of(["X"], CHAIN, [variable], RANGES[k : k + 1], heights)
        forces = alone.energy_and_forces(shaken(10))[1]
        assert np.abs(forces).max() > 1, variable.name
        np.testing.assert_allclose(forces.sum(1), 0, atol=1e-9)


def test_the_energy_is_linear_in_its_coefficients():
    potential, frames = splines(), shaken(50)
    expected = potential.design(frames) @ potential.coefficients.flatten().numpy()
    np.testing.assert_allclose(potential.energy_and_forces(frames)[0], expected, atol=1e-10)


@pytest.mark.parametrize("distance", [0.1, 0.299, 1.01, 2.0])
def test_beyond_its_range_there_is_no_force_and_no_step(distance):
    ends = VARIABLES[3]
    heights = np.array([[3.0, -1.0, 2.0, 5.0]])
    potential = VariableSplines.of(["X"], CHAIN, [ends], RANGES[3:4], heights)
    x = np.repeat(hairpin().positions, 2, 0)
    x[:, N - 1] = x[:, 0]
    x[:, N - 1, 1] += [distance, 0.3 if distance < 0.5 else 1.0]
    energy, forces = potential.energy_and_forces(Frames(CHAIN, x, 300.0))
    assert np.abs(forces[0]).max() == 0
    assert energy[0] == pytest.approx(energy[1], abs=1e-9)
    assert energy[0] == pytest.approx(3.0 if distance < 0.5 else 5.0)


def test_a_file_gives_it_back(tmp_path):
    potential, frames = splines(), shaken(5)
    potential.save(tmp_path / "p.pt")
    again = Potential.load(tmp_path / "p.pt")
    for one, two in zip(potential.energy_and_forces(frames), again.energy_and_forces(frames)):
        np.testing.assert_array_equal(one, two)


def test_two_copies_have_the_energy_of_both():
    potential, one, two = splines(), shaken(4, 1), shaken(4, 2)
    twice = System(
        names=CHAIN.names * 2,
        types=CHAIN.types * 2,
        masses=np.tile(CHAIN.masses, 2),
        bonds=[*CHAIN.bonds.tolist(), *(CHAIN.bonds + N).tolist()],
    )
    both = Frames(twice, np.hstack([one.positions, two.positions + 3.0]), 300.0)
    parts = [potential.energy_and_forces(f)[0] for f in (one, two)]
    np.testing.assert_allclose(potential.energy_and_forces(both)[0], sum(parts))


def test_another_chain_is_refused():
    other = System(names=CHAIN.names, types=CHAIN.types, masses=CHAIN.masses, bonds=[(0, 1)])
    with pytest.raises(ValueError, match="VariableSplines"):
        splines().energy_and_forces(Frames(other, shaken(2).positions, 300.0))


@dataclass(frozen=True)
class Own:
    """Somebody else's variable, which takes tensors."""

    name: str = "own"
    sites: tuple = ()
    periodic: bool = False
    unit: str = "nm"

    def defined_on(self, system):
        return True

    def values(self, positions, system):
        return positions[..., 0, 0]

    def of(self, frames):
        return frames.positions[:, 0, 0]

    __call__ = of


@pytest.mark.parametrize(
    ("variable", "why"),
    [
        (PairDistances(), "one number of a frame, found PairDistances"),
        (CollectiveVariable("turn", ("#0", "#1", "#2", "#3")), "turn: expected a number on a line"),
        (CollectiveVariable("far", ("#0", "#12")), "far cannot be computed at this level"),
        (Own(), "own: expected a variable of cgrec, which a file"),
    ],
)
def test_a_variable_that_cannot_pull_is_refused(variable, why):
    assert why in why_not(variable, CHAIN)
    with pytest.raises(ValueError, match="VariableSplines"):
        VariableSplines.of(["X"], CHAIN, [variable], RANGES[:1], np.zeros((1, 6)))


@pytest.mark.parametrize(
    ("ranges", "heights", "why"),
    [
        ([[0.5, 0.5]], np.zeros((1, 6)), "rising pairs"),
        ([[0.1, 0.5]], np.zeros((2, 6)), "a row of coefficients for each of 1 variables"),
    ],
)
def test_wrong_numbers_are_refused(ranges, heights, why):
    with pytest.raises(ValueError, match=why):
        VariableSplines.of(["X"], CHAIN, [VARIABLES[1]], np.array(ranges), heights)


def test_lammps_is_refused_by_name(tmp_path):
    with pytest.raises(ValueError, match="LAMMPS export: .*VariableSplines.*distil"):
        write_lammps(splines(), hairpin(), tmp_path / "out")


def test_tensors_take_gradients_in_single_precision():
    potential = splines()
    graph = potential.graph(shaken(3))
    graph.positions = graph.positions.float()
    energy, forces = potential(graph)
    assert energy.dtype == torch.float64
    double = potential.energy_and_forces(shaken(3))[1].reshape(-1, 3)
    np.testing.assert_allclose(forces.numpy(), double, atol=1e-2)
