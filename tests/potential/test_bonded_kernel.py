"""All bonded priors in one compiled pass give what each gives in torch."""

import shutil
from dataclasses import replace

import numpy as np
import pytest
import torch
from contracts import PotentialContract, random_frames

from cgrec import Frames, Potential, System
from cgrec.dynamics import Langevin
from cgrec.native import NoKernel
from cgrec.potential import (
    BranchPrior,
    DihedralPrior,
    DihedralSeries,
    FlatBottomPrior,
    HarmonicPrior,
    LinePrior,
    SitePairSplines,
    SumPotential,
    bonded_kernel,
)
from cgrec.potential.bonded_kernel import CompiledBonded
from cgrec.threads import use_threads

pytestmark = pytest.mark.skipif(
    not any(shutil.which(c) for c in ("g++", "c++", "clang++")), reason="no C++ compiler"
)

TYPES = ["A", "B", "C"]
#: The branched chain of `contracts.small_system`.
BONDS = [[0, 1], [1, 2], [2, 3], [3, 4], [2, 5]]
ANGLES = [[0, 1, 2], [1, 2, 3], [2, 3, 4], [1, 2, 5]]
PATHS = [[0, 1, 2, 3], [1, 2, 3, 4], [5, 2, 1, 0]]
KINDS = [
    "bonds",
    "angles",
    "lines",
    "bond walls",
    "angle walls",
    "branches",
    "dihedrals",
    "other order",
    "pair splines",
    "series",
    "joint series",
]


def priors():
    """One potential of each kind of term, with numbers of no physics."""
    rng = np.random.default_rng(3)
    own = {"types": TYPES, "n_sites": 6}

    def numbers(n, low, high):
        return rng.uniform(low, high, n).tolist()

    def spring(sites, low, high):
        n = len(sites)
        return {"sites": sites, "centre": numbers(n, low, high), "stiffness": numbers(n, 50, 900)}

    def wall(sites, low, high):
        n = len(sites)
        return {
            "sites": sites,
            "lower": numbers(n, low, high),
            "upper": numbers(n, high, high + 0.2),
            "below": numbers(n, 50, 900),
            "above": numbers(n, 50, 900),
        }

    def series(order):
        return {
            "sites": PATHS,
            "cosine": rng.normal(size=(3, order)).tolist(),
            "sine": rng.normal(size=(3, order)).tolist(),
        }

    return {
        "bonds": HarmonicPrior(**own, **spring(BONDS, 0.1, 0.2)),
        "angles": HarmonicPrior(**own, **spring(ANGLES, 1.5, 2.5)),
        "lines": LinePrior(**own, sites=ANGLES[:2], stiffness=[40.0, 70.0]),
        "pair splines": SitePairSplines(
            **own,
            sites=[[0, 4], [0, 3], [5, 4]],
            knots=[0.2, 0.3, 0.38, 0.5, 0.6],
            coefficients=rng.normal(scale=20, size=(3, 3)).tolist(),
        ),
        "series": DihedralSeries(
            **own, sites=PATHS[:1], orders=[[1], [-2], [8]], cosine=[2.0, 1, 3], sine=[1.0, 4, -2]
        ),
        "joint series": DihedralSeries(
            **own,
            sites=PATHS[:2],
            orders=[[0, 1], [1, -1], [-2, -3], [3, 0]],
            cosine=[2.0, 1.0, 3.0, 0.5],
            sine=[1.0, 4.0, -2.0, 1.5],
        ),
        "bond walls": FlatBottomPrior(**own, **wall(BONDS, 0.14, 0.17)),
        "angle walls": FlatBottomPrior(**own, **wall(ANGLES, -0.6, -0.4)),
        "branches": BranchPrior(**own, **spring([[2, 1, 3, 5]], -0.4, 0.4)),
        "dihedrals": DihedralPrior(**own, **series(3)),
        "other order": DihedralPrior(**own, **series(5)),
    }


def everything():
    return SumPotential(list(priors().values()))


def shaken(n, size=0.06, seed=0):
    """Frames in which bonds are long and short and angles come close to a line."""
    x = np.asarray(random_frames(1).positions)
    noise = np.random.default_rng(seed).normal(scale=size, size=(n, 6, 3))
    return replace(random_frames(1), positions=x + noise)


def straightened(bends):
    """Frames whose sites 0, 1, 2 are so many rad from a line."""
    frames = shaken(len(bends), 0.02, 1)
    x = np.array(frames.positions)
    u = x[:, 2] - x[:, 1]
    out = np.cross(u, [0.3, -0.5, 0.8])
    out *= (np.linalg.norm(u, axis=1) / np.linalg.norm(out, axis=1))[:, None]
    bends = np.asarray(bends)[:, None]
    x[:, 0] = x[:, 1] - u * np.cos(bends) + out * np.sin(bends)
    return replace(frames, positions=x)


def evaluated(potential, frames):
    """As tensors, without `compiled` being chosen by the number of frames."""
    return potential(potential.graph(frames))


def assert_same(found, wanted, within=1e-10):
    """Relative to the largest number, or to 1 kJ/mol (per nm) where all are smaller."""
    for one, other in zip(found, wanted, strict=True):
        size = max(1.0, float(other.abs().max()))
        torch.testing.assert_close(one, other, rtol=0.0, atol=within * size)


class TestCompiledBonded(PotentialContract):
    @pytest.fixture
    def potential(self):
        (made,) = everything().compiled().parts
        assert isinstance(made, CompiledBonded)
        return made

    def test_saved_and_loaded(self, potential, frames, tmp_path):
        potential.save(tmp_path / "p.pt")
        loaded = Potential.load(tmp_path / "p.pt")
        assert [type(p) for p in loaded.parts] == [type(p) for p in everything().parts]
        wanted, found = potential.energy_and_forces(frames), loaded.energy_and_forces(frames)
        np.testing.assert_allclose(found[1], wanted[1], rtol=1e-10, atol=1e-8)


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("frames", [shaken(200), shaken(1)], ids=["many", "one"])
def test_each_kind_alone(kind, frames):
    plain = priors()[kind]
    compiled = plain.compiled()
    assert isinstance(compiled, CompiledBonded)
    wanted = evaluated(plain, frames)
    assert float(wanted[1].abs().max()) > 1
    assert_same(evaluated(compiled, frames), wanted)


def test_all_kinds_together():
    frames = shaken(203)
    assert_same(evaluated(everything().compiled(), frames), evaluated(everything(), frames))


def test_angles_near_a_line():
    frames = straightened([0.4, 0.31, 0.3, 0.29, 0.1, 0.01, 1e-3, 1e-4])
    assert_same(evaluated(everything().compiled(), frames), evaluated(everything(), frames))


def test_a_line_itself_stays_finite():
    x = np.zeros((1, 6, 3))
    x[0, :, 0] = 0.15 * np.arange(6)
    frames = replace(random_frames(1), positions=x)
    for kind in ("angles", "lines", "bond walls", "angle walls", "dihedrals"):
        found = evaluated(priors()[kind].compiled(), frames)
        assert all(t.isfinite().all() for t in found)
        assert_same(found, evaluated(priors()[kind], frames))


@pytest.mark.parametrize("bend", [1.0, 0.25, 0.1, 0.01])
def test_forces_are_finite_differences(bend):
    frames, compiled = straightened([bend]), everything().compiled()
    force = evaluated(compiled, frames)[1]
    step = 1e-7
    moves = step * np.eye(18).reshape(18, 6, 3)
    x = np.asarray(frames.positions)
    up, down = (
        evaluated(compiled, replace(frames, positions=x + sign * moves))[0] for sign in (1, -1)
    )
    slope = -((up - down) / (2 * step)).reshape(6, 3)
    torch.testing.assert_close(force, slope, rtol=1e-5, atol=1e-4)


@pytest.mark.parametrize("copies", [2, 5])
def test_copies_of_the_system(copies):
    one = random_frames(1).system
    bonds = np.concatenate([np.asarray(one.bonds) + k * 6 for k in range(copies)])
    system = System(
        names=one.names * copies,
        types=one.types * copies,
        masses=np.tile(one.masses, copies),
        bonds=bonds,
    )
    x = np.concatenate([shaken(7, seed=k).positions for k in range(copies)], 1)
    frames = Frames(system, x, 300.0)
    found = evaluated(everything().compiled(), frames)
    assert_same(found, evaluated(everything(), frames))
    alone = [evaluated(everything().compiled(), shaken(7, seed=k)) for k in range(copies)]
    for k, (_, forces) in enumerate(alone):
        own = found[1].view(7, copies, 6, 3)[:, k]
        assert torch.equal(own, forces.view(7, 6, 3))


def test_another_number_of_sites_is_refused():
    compiled = everything().compiled()
    graph = priors()["bonds"].graph(shaken(1))
    graph.positions = graph.positions[:5]
    with pytest.raises(ValueError, match="6 sites"):
        compiled(graph)


def test_one_frame_has_the_same_bits_in_any_company():
    compiled = everything().compiled()
    frames = shaken(128)
    energies, forces = evaluated(compiled, frames)
    forces = forces.view(128, 6, 3)
    for k in (0, 1, 7, 8, 100, 127):
        energy, force = evaluated(compiled, frames[k : k + 1])
        assert torch.equal(energy[0], energies[k])
        assert torch.equal(force, forces[k])
    turned = evaluated(compiled, frames[::-1])
    assert torch.equal(turned[0].flip(0), energies)
    assert torch.equal(turned[1].view(128, 6, 3).flip(0), forces)


def test_threads_change_no_bit():
    compiled, frames = everything().compiled(), shaken(203)
    answers = []
    for threads in (1, 2, 3, 8):
        with use_threads(threads):
            answers.append(evaluated(compiled, frames))
    for energy, force in answers[1:]:
        assert torch.equal(energy, answers[0][0])
        assert torch.equal(force, answers[0][1])


def test_no_frames_and_no_terms():
    """A prior of a file may have lost all its terms."""
    empty = HarmonicPrior(types=TYPES, n_sites=6, sites=[[0, 1]], centre=[0.1], stiffness=[1.0])
    empty.sites = empty.sites[:0]
    empty.centre = empty.centre[:0]
    empty.stiffness = empty.stiffness[:0]
    energy, force = evaluated(empty.compiled(), shaken(3))
    assert torch.equal(energy, torch.zeros(3, dtype=torch.float64))
    assert torch.equal(force, torch.zeros(18, 3, dtype=torch.float64))


# --- which parts of a sum ---------------------------------------------------------------------------


class StifferPrior(HarmonicPrior):
    """Somebody else's class: it inherits, and has another energy."""

    def energy(self, graph):
        return 3 * super().energy(graph)


def test_only_what_the_kernel_knows_is_merged():
    all_priors = priors()
    config = all_priors["bonds"].config
    parts = [all_priors["bonds"], StifferPrior(**config), all_priors["dihedrals"]]
    compiled = SumPotential(parts).compiled()
    assert [type(p) for p in compiled.parts] == [CompiledBonded, StifferPrior]
    frames = shaken(20)
    assert_same(evaluated(compiled, frames), evaluated(SumPotential(parts), frames))


def test_priors_of_two_systems_are_kept_apart():
    pair = HarmonicPrior(types=TYPES, n_sites=2, sites=[[0, 1]], centre=[0.2], stiffness=[300.0])
    potential = everything() + pair
    compiled = potential.compiled()
    assert [type(p) for p in compiled.parts] == [CompiledBonded] * 2
    graph = priors()["bonds"].graph(shaken(20))
    assert_same(compiled(graph), potential(graph))


def test_changed_numbers_are_seen():
    plain = priors()["bonds"]
    compiled = plain.compiled()
    frames = shaken(4)
    before = evaluated(compiled, frames)
    plain.stiffness *= 2
    after = evaluated(compiled, frames)
    assert_same(after, [2 * x for x in before])


def test_site_numbers_of_a_bad_file_are_refused():
    plain = priors()["bonds"]
    plain.sites[0, 0] = 6
    with pytest.raises(ValueError, match="HarmonicPrior: expected site numbers 0 to 5, found 6"):
        evaluated(plain.compiled(), shaken(2))


def test_without_a_compiler_they_run_in_torch(monkeypatch):
    def none():
        raise NoKernel("no C++ compiler found")

    monkeypatch.setattr(bonded_kernel, "library", none)
    plain = priors()["bonds"]
    assert plain.compiled() is plain
    compiled = everything().compiled()
    assert [type(p) for p in compiled.parts] == [type(p) for p in everything().parts]
    assert_same(evaluated(compiled, shaken(3)), evaluated(everything(), shaken(3)), 1e-14)


# --- in runs ----------------------------------------------------------------------------------------


def test_a_run_with_and_without_it_agrees(tmp_path):
    sample = random_frames(300, seed=3)
    parts = [HarmonicPrior.fit(sample, TYPES, n) for n in (2, 3)]
    parts += [DihedralPrior.fit(sample, TYPES), BranchPrior.fit(sample, TYPES)]
    run = {
        "n_replicas": 12,
        "length": 0.2,
        "save_every": 0.02,
        "equilibration": 0.0,
        "timestep": 0.001,
        "friction": 5.0,
    }
    made = [
        Langevin(**run, compile=fast)(SumPotential(parts), sample[:12], tmp_path / name, seed=4)[0]
        for name, fast in (("fast", True), ("plain", False))
    ]
    np.testing.assert_allclose(made[0].positions, made[1].positions, atol=1e-6)
    size = np.abs(made[1].forces).max()
    np.testing.assert_allclose(made[0].forces, made[1].forces, atol=1e-5 * size)
