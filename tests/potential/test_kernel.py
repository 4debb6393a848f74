"""The compiled kernel gives what the plain network gives."""

import shutil
import warnings
from contextlib import nullcontext

import numpy as np
import pytest
import torch
from contracts import PotentialContract, random_frames, to_double

from cgrec import Frames, Potential, System
from cgrec.potential import DensityNetwork, SumPotential, base, fit_priors
from cgrec.potential.kernel import CompiledDensityNetwork, NoKernel
from cgrec.potential.traced import TracedPotential
from cgrec.training import ForceMatching

TYPES = ["A", "B", "C"]

pytestmark = pytest.mark.skipif(
    not any(shutil.which(c) for c in ("g++", "c++", "clang++")), reason="no C++ compiler"
)


def network(**options):
    made = DensityNetwork(
        types=TYPES,
        cutoff=0.5,
        **{"channels": 8, "width": 8, "n_layers": 2, "energy_scale": 100.0, **options},
    )
    for layer in made.layers:
        layer.out.data *= 10
    return to_double(made)


def liquid(n=50, frames=2, seed=0, kinds="ABC"):
    rng = np.random.default_rng(seed)
    box = np.diag([1.3, 1.4, 1.5]) + np.array([[0, 0, 0], [0.2, 0, 0], [0.1, -0.2, 0]])
    system = System(names=tuple(kinds[k % len(kinds)] for k in range(n)), masses=np.ones(n))
    return Frames(system, rng.uniform(size=(frames, n, 3)) @ box, 300.0, box=box)


class TestCompiledNetwork(PotentialContract):
    @pytest.fixture
    def potential(self):
        return network().compiled()

    def test_saved_and_loaded(self, potential, frames, tmp_path):
        potential.save(tmp_path / "p.pt")
        loaded = Potential.load(tmp_path / "p.pt")
        assert isinstance(loaded, DensityNetwork)
        np.testing.assert_allclose(
            loaded.energy_and_forces(frames)[1],
            potential.energy_and_forces(frames)[1],
            rtol=1e-10,
            atol=1e-10,
        )


class TestSumWithACompiledNetwork(TestCompiledNetwork):
    @pytest.fixture
    def potential(self, frames):
        priors = fit_priors(frames, types=TYPES, cutoff=0.5)
        return (sum(priors[1:], priors[0]) + network()).compiled()

    def test_saved_and_loaded(self, potential, frames, tmp_path):
        potential.save(tmp_path / "p.pt")
        loaded = Potential.load(tmp_path / "p.pt")
        assert not any(part.own_forces for part in loaded.parts)
        np.testing.assert_allclose(
            loaded.energy_and_forces(frames)[1],
            potential.energy_and_forces(frames)[1],
            rtol=1e-10,
            atol=1e-8,
        )


SIZES = [
    {"n_layers": 1, "l_max": 1, "width": 16},
    {"n_layers": 2, "l_max": 2, "channels": 16, "width": 24},
    {"n_layers": 3, "l_max": 3, "n_radial": 5},
]


@pytest.mark.slow
@pytest.mark.parametrize("options", SIZES, ids=str)
@pytest.mark.parametrize(
    "frames",
    [
        random_frames(5),
        liquid(),
        liquid(150, 1),
        liquid(100, 1, kinds="BBBBBBBCA"),
        liquid(60, kinds="C"),
    ],
    ids=["open", "periodic", "many of each type", "few of some", "one type"],
)
def test_energy_force_descriptors_and_parameter_gradients(options, frames):
    plain = network(**options)
    compiled = plain.compiled()
    graph = plain.graph(frames)
    rng = torch.Generator().manual_seed(0)
    pull_energy = torch.randn(len(frames), generator=rng, dtype=torch.float64)
    pull_force = torch.randn(graph.positions.shape, generator=rng, dtype=torch.float64)
    results = []
    for potential in (plain, compiled):
        energy, force = potential(graph, differentiable=True)
        loss = (pull_energy * energy).sum() + (pull_force * force).sum()
        results.append(
            (
                energy,
                force,
                *torch.autograd.grad(loss, compiled.weights()),
                plain.descriptors(graph),
            )
        )
    for wanted, found in zip(*results):
        torch.testing.assert_close(
            found, wanted, rtol=1e-9, atol=1e-10 * float(wanted.detach().abs().max())
        )
    torch.testing.assert_close(
        compiled.descriptors(graph), plain.descriptors(graph), rtol=1e-9, atol=1e-10
    )


def test_single_precision_is_as_good_as_it_can_be():
    exact = network(channels=16, width=32)
    graph = exact.graph(liquid())
    single = DensityNetwork(**exact.config)
    single.load_state_dict({k: v.float() for k, v in exact.state_dict().items()})
    forces = [p(graph)[1].double() for p in (exact, single, single.compiled())]
    errors = [(f - forces[0]).square().mean().sqrt() for f in forces[1:]]
    assert errors[1] < 5 * errors[0]


@pytest.mark.parametrize("dtype", [torch.float32, torch.float64], ids=str)
@pytest.mark.parametrize(
    "frames", [random_frames(200), liquid(1000, 1), random_frames(1)], ids=["many", "one", "small"]
)
def test_threads_and_repeats_change_no_bit(frames, dtype):
    compiled = network(n_layers=2).to(dtype).compiled()
    graph = compiled.graph(frames)
    rng = torch.Generator().manual_seed(0)
    pull = torch.randn(graph.positions.shape, generator=rng, dtype=torch.float64)
    before = torch.get_num_threads()
    answers = []
    try:
        for threads in (1, 2, 2, 3, 8, 20):
            torch.set_num_threads(threads)
            energy, force = compiled(graph, differentiable=True)
            loss = energy.sum() + (pull * force).sum()
            answers.append([energy, force, *torch.autograd.grad(loss, compiled.weights())])
    finally:
        torch.set_num_threads(before)
    for answer in answers[1:]:
        for found, wanted in zip(answer, answers[0], strict=True):
            assert torch.equal(found, wanted)


def test_a_huge_activation_stays_finite():
    plain = network()
    plain.layers[0].bias.data -= 1e4
    for dtype in (torch.float32, torch.float64):
        assert plain.to(dtype).compiled()(plain.graph(liquid()))[1].isfinite().all()


def test_changed_parameters_are_seen():
    plain, frames = network(), liquid()
    compiled = plain.compiled()
    before = compiled.energy_and_forces(frames)[1]
    with torch.no_grad():
        plain.layers[0].out *= 2
    assert np.abs(compiled.energy_and_forces(frames)[1] - before).max() > 1e-3
    np.testing.assert_allclose(
        compiled.energy_and_forces(frames)[1], plain.energy_and_forces(frames)[1], atol=1e-8
    )


def test_training_takes_the_same_steps():
    frames = random_frames(40)
    frames = Frames(
        frames.system, frames.positions, 300.0, forces=network(seed=5).energy_and_forces(frames)[1]
    )
    losses = []
    for fast in (False, True):
        fit = ForceMatching(
            steps=20, batch_size=8, validate_every=10, precision="float64", compile=fast
        )
        losses.append(fit(network(seed=1), frames)[1].validation_loss)
    assert losses[1] == pytest.approx(losses[0], rel=1e-3)  # round-off, after 20 steps of SOAP


def test_without_a_compiler_it_runs_plain_with_one_warning(monkeypatch):
    monkeypatch.setattr(shutil, "which", lambda name: None)
    monkeypatch.delenv("CXX", raising=False)
    plain = network(width=40)  # a size nothing else here has compiled
    with pytest.warns(UserWarning, match="no C[+][+] compiler found: install"):
        assert plain.compiled() is plain


@pytest.mark.parametrize("compiler", [True, False])
def test_energy_and_forces_take_the_kernel_where_it_pays(compiler, monkeypatch):
    plain, frames = network(width=8 if compiler else 48), liquid(n=50, frames=5)
    energy, forces = plain(plain.graph(frames))
    sizes, pays_from = [], []
    whole = DensityNetwork.graph
    monkeypatch.setattr(DensityNetwork, "graph", lambda *a: sizes.append(len(a[1])) or whole(*a))
    if compiler:
        monkeypatch.setattr(DensityNetwork, "forward", lambda *_: pytest.fail("not by the kernel"))
    for pairs in (5 * 50 * 50 - 1, 5 * 50 * 50):
        monkeypatch.setattr(base, "PAIRS_THAT_PAY", pairs + 3 * base.PAIRS_OF_A_CALL)
        pays_from.append(base.kernel_pays(5, 50, 3))
    assert pays_from == [True, False]
    monkeypatch.setattr(base, "PAIRS_THAT_PAY", 0)
    monkeypatch.setattr(base, "PORTION", 120)
    if not compiler:
        monkeypatch.setattr(shutil, "which", lambda name: None)
        monkeypatch.delenv("CXX", raising=False)
    with (
        nullcontext() if compiler else pytest.warns(UserWarning, match="no C[+][+] compiler found")
    ):
        found, found_forces = plain.energy_and_forces(frames)
    assert sizes == [2, 2, 1]
    np.testing.assert_allclose(found, energy, rtol=1e-10)
    np.testing.assert_allclose(
        found_forces.reshape(-1, 3), forces, atol=1e-9 * float(forces.abs().max())
    )


def test_sizes_it_cannot_have_are_named():
    with pytest.raises(NoKernel, match="found 4 and 8"):
        CompiledDensityNetwork(network(channels=4))
    with pytest.warns(UserWarning, match="multiples of 8"):
        total = (network(channels=4) + network(channels=4)).compiled()
    assert isinstance(total, SumPotential) and not any(p.own_forces for p in total.parts)


@pytest.mark.slow
def test_traced_graph_with_spare_columns_gives_the_same():
    plain = network(channels=4, n_layers=1)
    traced = TracedPotential(plain)
    warnings.filterwarnings("error", message="compiling the potential failed")
    # another number of neighbours, the same compiled graph
    for frames in (liquid(), liquid(seed=1)):
        energy, force = plain(plain.graph(frames))
        other, same = traced(plain.graph(frames))
        torch.testing.assert_close(other, energy, rtol=1e-9, atol=1e-9)
        torch.testing.assert_close(same, force, rtol=1e-7, atol=1e-7)
    assert len(traced.functions) == 1
