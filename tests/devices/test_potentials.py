"""Every potential gives the CPU's energies and forces on another device."""

import copy

import numpy as np
import pytest
import torch
from contracts import random_frames
from samples import periodic_frames, splines

from cgrec import Frames, Potential
from cgrec.potential import (
    Angles,
    Bonds,
    Branches,
    Committee,
    Coulomb,
    DensityNetwork,
    Dihedrals,
    DihedralSeries,
    MetadynamicsBias,
    PairStiffness,
    Repulsion,
    ScreenedCoulomb,
    SitePairSplines,
    SumPotential,
    VariableSplines,
    VolumeTerm,
)
from cgrec.potential.priors import fitted
from cgrec.variables import CollectiveVariable, RadiusOfGyration

TYPES = ["A", "B", "C"]
CHARGES = {"A": 1.0, "B": -0.25, "C": -0.75}


def network(seed=0, **options):
    made = DensityNetwork(
        types=TYPES, cutoff=0.5, **{"channels": 4, "width": 8, "seed": seed, **options}
    )
    return made.double()


def prior(one):
    first, *rest = fitted([one], random_frames(200, seed=3), TYPES)
    return sum(rest, first)


def variable_splines():
    variables = (RadiusOfGyration(), CollectiveVariable("ends", ("#0", "#4")))
    ranges = np.array([[0.1, 0.3], [0.2, 0.8]])
    coefficients = np.random.default_rng(1).normal(0, 5, (2, 6))
    return VariableSplines.of(TYPES, random_frames().system, variables, ranges, coefficients)


def bias():
    frames = random_frames()
    made = MetadynamicsBias(
        types=TYPES, variables={"phi": ["#0", "#1", "#2", "#3"]}, temperature=300.0
    ).bind(frames.system)
    made.deposit(made.coordinates(made.graph(frames)))
    return made


OPEN = {
    "network": network,
    "two layers": lambda: network(n_layers=2, l_max=3),
    "PairStiffness": lambda: PairStiffness(types=TYPES, n_sites=6).double(),
    "UF3": splines,
    "UF3 of pairs": lambda: splines(three_cutoff=0.0),
    "bonds": lambda: prior(Bonds()),
    "angles": lambda: prior(Angles()),
    "branches": lambda: prior(Branches()),
    "dihedrals": lambda: prior(Dihedrals()),
    "repulsion": lambda: prior(Repulsion(cutoff=0.6)),
    "Coulomb": lambda: prior(Coulomb(charges=CHARGES, permittivity=20.0)),
    "screened": lambda: ScreenedCoulomb(types=TYPES, charges=[1, -0.25, -0.75], permittivity=78.3),
    "site pairs": lambda: SitePairSplines(
        types=TYPES,
        n_sites=6,
        sites=[[0, 3], [1, 4]],
        knots=[0.1, 0.3, 0.5, 0.7, 0.9],
        coefficients=[[1.0, 2.0, -1.0], [0.5, 1.0, 2.0]],
    ),
    "variables": variable_splines,
    "dihedral series": lambda: DihedralSeries(
        types=TYPES,
        n_sites=6,
        sites=[[0, 1, 2, 3]],
        orders=[[1], [2]],
        cosine=[1.0, 2.0],
        sine=[3.0, 1.0],
    ),
    "bias": bias,
    "sum": lambda: prior(Bonds()) + network() + splines(),
    "committee": lambda: Committee([network(0), network(1)]),
}
PERIODIC = {
    "network": network,
    "UF3": splines,
    "UF3 of pairs": lambda: splines(three_cutoff=0.0),
    "repulsion": lambda: prior_of_box(Repulsion(cutoff=0.5)),
    "Coulomb": lambda: prior_of_box(Coulomb(charges=CHARGES, permittivity=20.0)),
    "volume": lambda: VolumeTerm(types=TYPES, volume=0.05, coefficients=[-14.0, 20.0]),
    "sum": lambda: network() + splines(),
}


def prior_of_box(one):
    first, *rest = fitted([one], periodic_frames(40), TYPES)
    return sum(rest, first)


def same(potential, frames, device):
    """Two calls with other numbers of pairs give what the CPU gives, and stay on the device."""
    there = copy.deepcopy(potential).to(device)
    for one in frames:
        energy, forces = potential(potential.graph(one))
        found = there(there.graph(one))
        assert found[0].device == found[1].device == device
        scale = float(forces.abs().max()) or 1.0
        torch.testing.assert_close(found[0].cpu(), energy, rtol=1e-5, atol=1e-5)
        torch.testing.assert_close(found[1].cpu(), forces, rtol=1e-5, atol=1e-5 * scale)


@pytest.mark.parametrize("name", OPEN)
def test_open_systems(name, device):
    wide = random_frames(3, seed=1)
    stretched = Frames(wide.system, 2.0 * np.asarray(wide.positions), 300.0)
    same(OPEN[name](), [wide, stretched, wide], device)


@pytest.mark.parametrize("name", PERIODIC)
def test_boxes(name, device):
    frames = periodic_frames(3)
    moved = np.random.default_rng(3).normal(scale=0.05, size=np.shape(frames.positions))
    other = Frames(frames.system, frames.positions + moved, 300.0, box=frames.box)
    same(PERIODIC[name](), [frames, other, frames], device)


@pytest.mark.parametrize("name", OPEN)
def test_compiled(name, device):
    """What a run on a GPU calls: traced for one number of pairs, and called with others."""
    wide = random_frames(3, seed=1)
    stretched = Frames(wide.system, 2.0 * np.asarray(wide.positions), 300.0)
    potential = OPEN[name]()
    fast = copy.deepcopy(potential).to(device).compiled()
    for one in (wide, stretched):
        energy, forces = potential(potential.graph(one))
        found = fast(fast.graph(one))
        scale = float(forces.abs().max()) or 1.0
        torch.testing.assert_close(found[0].cpu(), energy, rtol=1e-5, atol=1e-5)
        torch.testing.assert_close(found[1].cpu(), forces, rtol=1e-5, atol=1e-5 * scale)


@pytest.mark.parametrize("name", ["network", "UF3", "sum", "committee", "bonds"])
def test_files_do_not_know_the_device(name, device, tmp_path):
    potential, frames = OPEN[name](), random_frames(3, seed=1)
    copy.deepcopy(potential).to(device).save(tmp_path / "p.pt")
    wanted = potential.energy_and_forces(frames)
    for where in ("cpu", device):
        found = Potential.load(tmp_path / "p.pt", where)
        assert found.device == torch.device(where)
        for one, two in zip(found.energy_and_forces(frames), wanted, strict=True):
            np.testing.assert_allclose(one, two, rtol=1e-5, atol=1e-5)


def test_virials(device):
    frames, potential = periodic_frames(2), SumPotential([network(), splines()])
    wanted = potential.energy_forces_virial(frames)
    found = copy.deepcopy(potential).to(device).energy_forces_virial(frames)
    for one, two in zip(found, wanted, strict=True):
        np.testing.assert_allclose(one, two, rtol=1e-5, atol=1e-4)
