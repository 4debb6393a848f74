"""Solvent put back around frozen sites: exact conditionals, whole molecules, no drift unseen."""

from dataclasses import replace

import numpy as np
import pytest
import torch

from cgrec import Frames, System
from cgrec.backmapping.resolvate import OpenMMEngine, PotentialEngine, Resolvation
from cgrec.mapping import CentresOfMass, Drop, Pick
from cgrec.potential import PairStiffness
from cgrec.units import thermal_energy

WATER = np.array([[0, 0, 0], [0.081649, 0.057736, 0], [-0.081649, 0.057736, 0]])  # SPC/E, nm


def brine(n_water, side=1.3, temperature=300.0):
    """Two ions and waters on top of each other: who is there, and how a water looks."""
    names = ("NA", "CL") + ("O", "H1", "H2") * n_water
    bonds = [(2 + 3 * k, 2 + 3 * k + h) for k in range(n_water) for h in (1, 2)]
    system = System(
        names=names,
        elements=("Na", "Cl") + ("O", "H", "H") * n_water,
        types=("Na", "Cl") + ("O", "H", "H") * n_water,
        masses=np.array([22.99, 35.45] + [15.999, 1.008, 1.008] * n_water),
        bonds=bonds,
        residue_names=("NA", "CL") + ("HOH",) * (3 * n_water),
    )
    positions = np.concatenate([[[0.1, 0.2, 0.3], [0.7, 0.9, 0.5]], np.tile(WATER, (n_water, 1))])
    return Frames(system, positions[None], temperature, box=side * np.eye(3))


def ions_of(frames, n=1, shift=0.0):
    x = frames.positions[[0] * n, :2] + shift * np.arange(n)[:, None, None]
    return Frames(Drop(["HOH"])(frames.system).coarse, x, frames.temperature, box=frames.box)


class Scripted:
    """An engine that says `frame(k, n_sites)` at its k-th frame, 20 a stretch, around the start."""

    def __init__(self, energy=lambda k: 0.0, move=lambda k, x, kept: None):
        self.energy = energy
        self.move = move

    def begin(self, start, kept, seed):
        random, k = np.random.default_rng(seed), 0

        def run(length):
            nonlocal k
            x = np.repeat(start.positions, 20, axis=0)
            free = np.setdiff1d(np.arange(x.shape[1]), kept)
            x[:, free] += random.normal(scale=0.05, size=(20, len(free), 3))
            for row in x:
                self.move(k, row, kept)
                k += 1
            energies = random.normal(size=20) + [self.energy(k - 20 + i) for i in range(20)]
            return replace(start, positions=x, energies=energies)

        return run


def resolvation(engine, n_water=20, **options):
    frames = brine(n_water)
    return Resolvation(Drop(["HOH"])(frames.system), frames, engine, **options), ions_of(
        frames, 3, 0.05
    )


def test_the_round_trip_is_exact_and_molecules_stay_whole():
    frames = brine(20)
    tool, coarse = resolvation(Scripted())
    coarse = replace(coarse, weights=np.array([0.5, 1.0, 1.5]))
    fine = tool(coarse, n_draws=2, generator=1)
    assert fine.system is tool.mapping.fine and fine.positions.shape == (6, 62, 3)
    back = tool.mapping(fine)
    np.testing.assert_allclose(
        back.positions, np.repeat(coarse.positions, 2, axis=0), rtol=0, atol=1e-13
    )
    np.testing.assert_array_equal(back.box, frames.box)
    np.testing.assert_array_equal(fine.weights, [0.5, 0.5, 1.0, 1.0, 1.5, 1.5])
    assert len(tool.traces) == 3 and all(trace[-1].time >= 20 for trace in tool.traces)
    assert np.abs(fine.positions[0] - fine.positions[1]).max() > 0.01


@pytest.mark.parametrize("skew", [0.0, 0.5])
def test_molecules_are_put_on_free_places(skew):
    tool, coarse = resolvation(Scripted(), n_water=60)
    box = 1.5 * np.eye(3)
    box[2, 0] = skew
    x = tool.insert(replace(coarse[:1], box=box), np.random.default_rng(3)).positions[0]
    water = x[2:].reshape(-1, 3, 3)
    for i, j in ((0, 1), (0, 2), (1, 2)):
        expected = np.linalg.norm(WATER[i] - WATER[j])
        np.testing.assert_allclose(
            np.linalg.norm(water[:, i] - water[:, j], axis=-1), expected, rtol=1e-12
        )
    normals = np.cross(water[:, 1] - water[:, 0], water[:, 2] - water[:, 0])
    normals /= np.linalg.norm(normals, axis=1, keepdims=True)
    assert np.linalg.norm(normals.mean(0)) < 0.4  # chance: 0.13; all alike: 1
    images = np.stack(np.meshgrid(*[[-2, -1, 0, 1, 2]] * 3), -1).reshape(-1, 3) @ box
    centres = water.transpose(0, 2, 1) @ np.array([15.999, 1.008, 1.008]) / 18.015
    everything = np.concatenate([x[:2], centres])
    apart = np.linalg.norm(
        everything[:, None, None] - everything[None, :, None] + images, axis=-1
    ).min(-1)
    apart[:2, :2] = np.inf
    assert apart[~np.eye(len(apart), dtype=bool)].min() > 0.2


def test_a_box_that_is_too_small_is_refused():
    tool, coarse = resolvation(Scripted(), n_water=60)
    with pytest.raises(
        ValueError, match=r"room for 60 molecules 0.200 nm .* box of 0.343 nm\^3 \(0.005717"
    ):
        tool(replace(coarse, box=0.7 * np.eye(3)))
    with pytest.raises(ValueError, match="no box"):
        tool(replace(coarse, box=None))


def test_the_draws_follow_the_exact_conditional():
    """Springs from every solvent particle to both kept sites: a Gaussian about their middle,
    variance kT / 2k.
    """
    n, k, temperature = 6, 400.0, 300.0
    system = System(
        names=("A", "B") + ("S",) * n,
        masses=np.full(n + 2, 18.0),
        residue_names=("K",) * 2 + ("S",) * n,
    )
    pairs = np.array(np.triu_indices(n + 2, 1)).T
    potential = PairStiffness(types=("A", "B", "S"), n_sites=n + 2)
    potential.stiffness.data = torch.tensor(
        [k if i < 2 <= j else 0.0 for i, j in pairs], dtype=torch.float64
    )
    x = np.array([[[0.2, 0.0, 0.0], [0.6, 0.2, 0.0]], [[1.2, 0.4, 0.0], [1.0, 0.3, 0.5]]])
    mapping = Drop(["S"])(system)
    coarse = Frames(mapping.coarse, x, temperature, box=3.0 * np.eye(3))
    template = Frames(system, np.zeros((1, n + 2, 3)), temperature)
    engine = PotentialEngine(potential, timestep=0.01, friction=8.0, save_every=0.2, compile=False)
    fine = Resolvation(mapping, template, engine, least=40.0)(coarse, n_draws=50, generator=2)
    deviation = fine.positions[:, 2:] - np.repeat(x.mean(1), 50, axis=0)[:, None]
    samples = deviation.reshape(20, -1)  # blocks of 5 draws, 1 to 2 ps
    for power, exact in ((1, 0.0), (2, thermal_energy(temperature) / (2 * k))):
        blocks = (samples**power).mean(1)
        assert abs(blocks.mean() - exact) < 4 * blocks.std(ddof=1) / np.sqrt(len(blocks))
    assert (samples**2).mean() == pytest.approx(thermal_energy(temperature) / (2 * k), rel=0.2)
    np.testing.assert_array_equal(mapping(fine).positions, np.repeat(x, 50, axis=0))


def outward(until):
    """Solvent that sits 0.3 nm off in x before frame `until`."""

    def move(k, x, kept):
        if k < until:
            x[np.setdiff1d(np.arange(len(x)), kept), 0] += 0.3

    return move


def test_a_drifting_energy_or_structure_is_seen():
    tool, coarse = resolvation(Scripted())
    steady = tool(coarse[:1], generator=0) and tool.traces[0]
    assert len(steady) == 1 and steady[0].time == 20
    falling, _ = resolvation(Scripted(energy=lambda k: 300 * np.exp(-k / 15)))
    falling(coarse[:1], generator=0)
    assert falling.traces[0][-1].stationary and falling.traces[0][-1].time > 20
    first = falling.traces[0][0]
    assert not first.stationary and first.energy_difference < -2 * first.energy_error
    assert first.rdf_difference < first.rdf_floor + 2 * first.rdf_error
    shifted, _ = resolvation(Scripted(move=outward(40)))
    shifted(coarse[:1], generator=0)
    first = shifted.traces[0][0]
    assert not first.stationary and first.rdf_difference > first.rdf_floor + 2 * first.rdf_error
    assert abs(first.energy_difference) < 3 * first.energy_error


def test_what_never_becomes_stationary_is_said():
    tool, coarse = resolvation(Scripted(energy=lambda k: -10.0 * k), most=30.0)
    with pytest.warns(
        UserWarning, match=r"not stationary .* 30 ps: energy -\d+\.\d+ .* difference -\d+"
    ):
        tool(coarse[:1], generator=0)
    assert [check.time for check in tool.traces[0]] == [20, 25, 30]


def test_a_moved_site_is_an_error():
    tool, coarse = resolvation(Scripted(move=lambda k, x, kept: x.__setitem__((kept[0], 0), 0.0)))
    with pytest.raises(RuntimeError, match="Scripted moved a kept site by 0.1 nm"):
        tool(coarse)


def test_an_interrupted_call_goes_on(tmp_path):
    tool, coarse = resolvation(Scripted(), folder=tmp_path / "out")
    whole = resolvation(Scripted())[0](coarse, generator=4)
    tool(coarse[:2], generator=4)
    tool.engine = Counting()
    again = tool(coarse, generator=4)
    np.testing.assert_array_equal(again.positions, whole.positions)
    assert tool.engine.begun == 1 and len(tool.traces) == 3
    with pytest.raises(ValueError, match="expected 2 draws of this coarse frame, found 1"):
        tool(coarse, n_draws=2)


class Counting(Scripted):
    begun = 0

    def begin(self, *arguments):
        self.begun += 1
        return super().begin(*arguments)


def test_what_cannot_be_put_back_is_refused():
    frames = brine(3)
    with pytest.raises(ValueError, match="3 molecules of which only a part is kept"):
        Resolvation(Pick(["NA", "CL", "#2", "#5", "#8"])(frames.system), frames, Scripted())
    with pytest.raises(ValueError, match="coarse site NA:pair made of several"):
        Resolvation(CentresOfMass({"pair": ["NA", "CL"]})(frames.system), frames, Scripted())
    other = Frames(frames.system.select([0, 1]), frames.positions[:, :2], 300.0)
    with pytest.raises(ValueError, match="expected a molecule O H1 H2 of residue HOH"):
        Resolvation(Drop(["HOH"])(frames.system), other, Scripted())
    with pytest.raises(ValueError, match="stretch <= least <= most ps, found 5.0, 20.0, 10.0"):
        resolvation(Scripted(), most=10.0)
    tool, coarse = resolvation(Scripted())
    with pytest.raises(ValueError, match="other names or order"):
        tool(replace(coarse, system=coarse.system.select([1, 0])))


def test_openmm_solvates_ions():
    """Rigid water under the force field's own energy, ions where they were and water where cations
    want it.
    """
    openmm = pytest.importorskip("openmm")
    from openmm import app
    from openmm.unit import kilojoule_per_mole, nanometer

    frames = brine(65)
    mapping, coarse = Drop(["HOH"])(frames.system), ions_of(frames)
    energies = []

    class Watched(OpenMMEngine):
        def begin(self, *arguments):
            run = super().begin(*arguments)
            return lambda length: energies.append(run(length)) or energies[-1]

    engine = Watched(
        force_field=["amber14/spce.xml"],
        cutoff=0.6,
        save_every=0.05,
        timestep=0.004,
        hydrogen_mass=2.0,
        platform="CPU",
    )
    tool = Resolvation(mapping, frames, engine, stretch=2.0, least=4.0, most=20.0)
    fine = tool(coarse, generator=1)
    np.testing.assert_array_equal(mapping(fine).positions, coarse.positions)
    water = fine.positions[0, 2:].reshape(-1, 3, 3)
    np.testing.assert_allclose(np.linalg.norm(water[:, 1:] - water[:, :1], axis=-1), 0.1, atol=1e-5)
    apart = water[:, 0] - coarse.positions[0, 0]
    apart = np.linalg.norm(apart - 1.3 * np.round(apart / 1.3), axis=-1)
    assert apart.min() > 0.2 and 4 <= (apart < 0.32).sum() <= 7  # Na+ binds 5 to 6 waters

    pdb = app.Topology()  # the same box by OpenMM's own means, free ions
    chain = pdb.addChain()
    for name in ("NA", "CL"):
        pdb.addAtom(
            name, app.element.Element.getBySymbol(name.capitalize()), pdb.addResidue(name, chain)
        )
    for _ in range(65):
        residue = pdb.addResidue("HOH", chain)
        o, *hs = (
            pdb.addAtom(n, app.element.Element.getBySymbol(n[0]), residue)
            for n in ("O", "H1", "H2")
        )
        for h in hs:
            pdb.addBond(o, h)
    pdb.setPeriodicBoxVectors(1.3 * np.eye(3) * nanometer)
    system = app.ForceField("amber14/spce.xml").createSystem(
        pdb, nonbondedMethod=app.PME, nonbondedCutoff=0.6
    )
    context = openmm.Context(
        system, openmm.VerletIntegrator(0.001), openmm.Platform.getPlatformByName("Reference")
    )
    context.setPositions(energies[-1].positions[-1])
    expected = context.getState(energy=True).getPotentialEnergy().value_in_unit(kilojoule_per_mole)
    assert energies[-1].energies[-1] == pytest.approx(expected, rel=1e-4)
