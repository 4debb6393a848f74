"""Backmapping: whatever is drawn maps back, the coordinates are exact, densities are those of the
draws.
"""

import itertools

import numpy as np
import pytest
import torch
from samples import waters
from scipy.spatial.transform import Rotation

from cgrec import Frames, System
from cgrec.backmapping import (
    Backmapper,
    FlowBackmapper,
    LibraryBackmapper,
    Split,
    TemplateBackmapper,
    metropolis,
    minimise,
    null_space_langevin,
    redraw,
)
from cgrec.backmapping import (
    flow as flow_module,
)
from cgrec.backmapping.coordinates import (
    InternalCoordinates,
    coordinates_of,
    relabelled,
    terminal_groups,
)
from cgrec.backmapping.flow import Velocity
from cgrec.backmapping.scaled import Scaled
from cgrec.backmapping.split import units_of
from cgrec.files import package_path
from cgrec.mapping import CentresOfMass, Drop, HeavyAtoms, Mapping, MoleculeCentres, Pick

METHODS = [TemplateBackmapper, LibraryBackmapper, FlowBackmapper]
QUICK = {FlowBackmapper: {"steps": 20, "width": 16, "batch_size": 32}}


@pytest.fixture(scope="module")
def peptide():
    """Alanine dipeptide: 300 frames around shipped structures."""
    starts = Frames.load(package_path("package:alanine_dipeptide_nnp") / "starts")
    picked = np.random.default_rng(0).choice(len(starts), 300)
    x = np.asarray(starts.positions, float)[picked]
    return Frames(starts.system, x, 300.0)


def random_system(rng, n):
    """A random tree of atoms, in two molecules if it is large."""
    bonds = [(int(rng.integers(max(0, k - 3), k)), k) for k in range(1, n) if k != n // 2 or n < 8]
    return System(names=tuple(f"A{k}" for k in range(n)), masses=rng.uniform(1, 16, n), bonds=bonds)


def random_mapping(rng, system, kind):
    """Disjoint beads, picks, or beads that share atoms, in random numbers with random weights."""
    n = system.n_sites
    molecules = [np.flatnonzero(system.molecules == m) for m in np.unique(system.molecules)]
    rows = []
    for atoms in molecules:
        k = int(rng.integers(1, len(atoms) // 2 + 1))
        beads = np.array_split(rng.permutation(atoms), k)
        for bead in beads:
            row = np.zeros(n)
            if kind == "picks":
                row[bead[0]] = 1
            else:
                row[bead] = rng.uniform(0.2, 1, len(bead))
            if kind == "overlapping" and k > 1:
                row[rng.choice(np.setdiff1d(atoms, bead))] = rng.uniform(0.1, 0.5)
            rows.append(row / row.sum())
    sites = len(rows)
    coarse = System(names=tuple(f"B{k}" for k in range(sites)), masses=np.ones(sites))
    return Mapping(fine=system, coarse=coarse, position_weights=np.array(rows))


def random_case(seed, kind, box):
    rng = np.random.default_rng(seed)
    system = random_system(rng, int(rng.integers(4, 14)))
    mapping = random_mapping(rng, system, kind)
    x = rng.normal(scale=0.3, size=(40, system.n_sites, 3))
    x += rng.normal(scale=0.02, size=(1, system.n_sites, 3))
    return mapping, Frames(system, x, 300.0, box=10.0 * np.eye(3) if box else None)


CASES = [
    (kind, box, seed)
    for kind, box, seed in itertools.product(
        ["disjoint", "picks", "overlapping"], [False, True], range(6)
    )
]


@pytest.mark.parametrize(("kind", "box", "seed"), CASES)
def test_split_is_the_exact_inverse(kind, box, seed):
    mapping, frames = random_case(seed, kind, box)
    split, x = Split(mapping), torch.tensor(frames.positions)
    X, u = (
        torch.tensor(mapping(frames).positions),
        torch.randn(len(frames), split.n_free, 3).double(),
    )
    assert torch.allclose(split.atoms(X, split.free(x)), x, atol=1e-13)
    assert torch.allclose(split.sites(split.atoms(X, u)), X, atol=1e-13)
    assert torch.allclose(split.free(split.atoms(X, u)), u, atol=1e-11)
    kinetic = (0.5 * torch.tensor(mapping.fine.masses)[:, None] * split.atoms(0 * X, u) ** 2).sum(
        (1, 2)
    )
    assert torch.allclose(kinetic, 0.5 * (u**2).sum((1, 2)))
    shift = torch.tensor([0.3, -2.0, 1.0])
    assert torch.allclose(split.atoms(X + shift, u), split.atoms(X, u) + shift, atol=1e-12)


@pytest.mark.parametrize("method", METHODS, ids=lambda m: m.__name__)
@pytest.mark.parametrize(("kind", "box", "seed"), CASES[::2])
def test_round_trip(method, kind, box, seed):
    mapping, frames = random_case(seed, kind, box)
    backmapper = method.fit(frames, mapping, **QUICK.get(method, {}))
    coarse = mapping(frames)
    fine = backmapper(coarse, n_draws=3)
    assert len(fine) == 3 * len(frames)
    assert np.abs(mapping(fine).positions - np.repeat(coarse.positions, 3, 0)).max() < 1e-13


@pytest.mark.parametrize("method", METHODS, ids=lambda m: m.__name__)
def test_round_trip_where_the_box_cuts_molecules(method, peptide):
    mapping, box = HeavyAtoms()(peptide.system), 3.0 * np.eye(3)
    backmapper = method.fit(peptide, mapping, **QUICK.get(method, {}))
    coarse = mapping(peptide)
    wrapped = Frames(coarse.system, np.mod(coarse.positions + 0.2, 3.0), 300.0, box=box)
    assert np.ptp(wrapped.positions, axis=1).max() > 2.5  # it does cut them
    fine = backmapper(wrapped)
    i, j = fine.system.bonds.T
    assert np.linalg.norm(fine.positions[:, i] - fine.positions[:, j], axis=-1).max() < 0.25
    left = mapping(fine).positions - wrapped.positions
    assert np.abs(left - 3.0 * np.round(left / 3.0)).max() < 1e-13


def five_beads(system):
    labels = ["ACE:C", "ALA:N", "ALA:CA", "ALA:C", "NME:N"]
    return Pick(labels)(system)


def blobs(system):
    beads = {
        "a": ["#0", "#1", "#2", "#3", "#4", "#5"],
        "b": ["#6", "#7"],
        "c": [f"#{k}" for k in range(8, 14)],
        "d": [f"#{k}" for k in range(14, 22)],
    }
    return CentresOfMass(beads)(system)


@pytest.mark.parametrize("rule", [HeavyAtoms(), five_beads, blobs])
def test_internal_coordinates_and_their_volume(peptide, rule):
    mapping = rule(peptide.system)
    (unit,) = units_of(mapping)
    x, X = torch.tensor(peptide.positions[:4]), torch.tensor(mapping(peptide[:4]).positions)
    coordinates = coordinates_of(unit, X, x)
    assert isinstance(coordinates, InternalCoordinates)
    z, volume = coordinates.internal(X, x)
    again, same = coordinates.cartesian(X, z)
    assert torch.allclose(again, x, atol=1e-12)
    assert torch.allclose(volume, same)
    pivots = coordinates.pivots
    others = torch.tensor([i for i in range(22) if i not in pivots])
    for frame in range(len(x)):

        def relative(z, frame=frame):
            atoms = coordinates.cartesian(X[frame], z)[0]
            return (atoms - atoms[pivots][coordinates.owner])[others].flatten()

        jacobian = torch.autograd.functional.jacobian(relative, z[frame])
        assert torch.linalg.slogdet(jacobian)[1] == pytest.approx(float(volume[frame]), abs=1e-8)


def test_coordinates_turn_with_the_molecule_and_see_its_hand(peptide):
    mapping = HeavyAtoms()(peptide.system)
    (unit,) = units_of(mapping)
    x = torch.tensor(peptide.positions[:50])
    scaled = Scaled.fit(unit, torch.tensor(unit.weights) @ x, x)
    turn = torch.tensor(Rotation.random(random_state=3).as_matrix())
    y, _ = scaled.internal(torch.tensor(unit.weights) @ x, x)
    turned, _ = scaled.internal(torch.tensor(unit.weights) @ x @ turn, x @ turn)
    assert torch.allclose(y, turned, atol=1e-8)
    mirrored, _ = scaled.internal(-torch.tensor(unit.weights) @ x, -x)
    assert (y - mirrored).abs().max() > 1


def test_a_turn_of_a_methyl_group_makes_no_difference(peptide):
    mapping = HeavyAtoms()(peptide.system)
    (unit,) = units_of(mapping)
    assert terminal_groups(unit) == [[1, 2, 3], [11, 12, 13], [19, 20, 21]]
    x = torch.tensor(peptide.positions[:50])
    scaled = Scaled.fit(unit, torch.tensor(unit.weights) @ x, x)
    assert scaled.circles.sum() == 3
    again = relabelled(unit, x, torch.Generator().manual_seed(0))
    assert not torch.equal(again, x)
    assert torch.equal(torch.sort(again[:, 1:4, 0], 1)[0], torch.sort(x[:, 1:4, 0], 1)[0])
    angles = [
        scaled.internal(torch.tensor(unit.weights) @ y, y)[0][:, scaled.circles] for y in (x, again)
    ]
    # the others of a methyl group stand 120 degrees apart, but not exactly: three times the angle
    # is nearly the same
    assert torch.cos(angles[0] - angles[1]).min() > 0.2
    triangle = torch.linalg.cross(again[:, 12] - again[:, 11], again[:, 13] - again[:, 11])
    before = torch.linalg.cross(x[:, 12] - x[:, 11], x[:, 13] - x[:, 11])
    assert ((triangle * before).sum(-1) > 0).all()  # turned, not mirrored


def test_template_is_the_mean_geometry_and_keeps_the_hand(peptide):
    mapping = five_beads(peptide.system)
    fine = TemplateBackmapper.fit(peptide, mapping)(mapping(peptide))
    i, j = peptide.system.bonds.T
    lengths = np.linalg.norm(peptide.positions[:, i] - peptide.positions[:, j], axis=-1)
    restored = np.linalg.norm(fine.positions[:, i] - fine.positions[:, j], axis=-1)
    assert np.abs(restored.mean(0) - lengths.mean(0)).max() < 0.004
    from cgrec.observables import chirality_flips, stereocentres

    for centre in stereocentres(peptide.system):
        assert chirality_flips(fine, centre, peptide[:1]) == 0


def test_library_finds_the_frame_itself(peptide):
    distinct = peptide[np.unique(peptide.positions.sum((1, 2)), return_index=True)[1]]
    mapping = five_beads(peptide.system)
    backmapper = LibraryBackmapper.fit(distinct, mapping, nearest=1)
    fine = backmapper(mapping(distinct))
    heavy = [k for k, e in enumerate(peptide.system.elements) if e != "H"]
    assert np.abs(fine.positions - distinct.positions)[:, heavy].max() < 1e-10
    many = LibraryBackmapper.fit(distinct, mapping, nearest=5)(mapping(distinct[:1]), n_draws=50)
    assert len(np.unique(many.positions[:, 5].round(9), axis=0)) == 5


@pytest.mark.parametrize("circles", [[False] * 5, [True, False, False, True]])
def test_divergence_of_the_velocity(circles):
    torch.manual_seed(0)
    velocity = Velocity(circles, 3, width=12).double()
    torch.nn.init.normal_(velocity.last.weight)
    y, c, t = (
        torch.randn(4, len(circles)).double(),
        torch.randn(4, 3).double(),
        torch.rand(4).double(),
    )
    told = velocity.sites(c)
    _, divergence = velocity(y, t, told, divergence=True)
    for k in range(4):
        one = lambda x, k=k: velocity(x[None], t[k : k + 1], told[k : k + 1])[0][0]  # noqa: E731
        jacobian = torch.autograd.functional.jacobian(one, y[k])
        assert float(divergence[k].detach()) == pytest.approx(
            float(torch.trace(jacobian)), abs=1e-10
        )


@pytest.fixture(scope="module")
def flow(peptide):
    mapping = HeavyAtoms()(peptide.system)
    return FlowBackmapper.fit(peptide, mapping, steps=200, width=32, batch_size=64)


def test_density_of_a_draw_is_that_found_again(flow, peptide):
    flow.steps = 30
    fine, density = flow.draw(flow.mapping(peptide[:20]), n_draws=2)
    assert np.abs(flow.log_prob(fine) - density).max() < 2e-3


def test_saved_and_loaded_it_is_the_same(flow, peptide, tmp_path):
    flow.save(tmp_path / "backmapper.pt")
    loaded = Backmapper.load(tmp_path / "backmapper.pt", flow.mapping)
    coarse = flow.mapping(peptide[:5])
    loaded.steps = flow.steps
    assert np.array_equal(loaded(coarse).positions, flow(coarse).positions)
    (tmp_path / "backmapper.pt").write_bytes((tmp_path / "backmapper.pt").read_bytes()[:500])
    with pytest.raises(ValueError, match=r"not a readable backmapper"):
        Backmapper.load(tmp_path / "backmapper.pt", flow.mapping)


def test_a_fit_that_was_killed_goes_on_as_if_it_had_not_been(peptide, tmp_path, monkeypatch):
    mapping, options = (
        HeavyAtoms()(peptide.system),
        {"width": 16, "steps": 40, "validate_every": 10},
    )
    whole = FlowBackmapper.fit(peptide[:100], mapping, **options)
    kept = flow_module._Training.checkpoint

    def killed(self):
        kept(self)
        if self.step == 20:
            raise KeyboardInterrupt

    monkeypatch.setattr(flow_module._Training, "checkpoint", killed)
    with pytest.raises(KeyboardInterrupt):
        FlowBackmapper.fit(peptide[:100], mapping, folder=tmp_path, **options)
    monkeypatch.setattr(flow_module._Training, "checkpoint", kept)
    resumed = FlowBackmapper.fit(peptide[:100], mapping, folder=tmp_path, **options)
    coarse = mapping(peptide[:5])
    assert np.array_equal(whole(coarse).positions, resumed(coarse).positions)


def test_flow_learns_a_density_known_exactly():
    """A diatomic with one atom kept: ln r is normal with 0.1, its direction is even: entropy and
    cross entropy in closed form.
    """
    rng = np.random.default_rng(0)
    n, spread, middle = 20_000, 0.1, np.log(0.15)
    direction = rng.normal(size=(n, 3))
    direction /= np.linalg.norm(direction, axis=1, keepdims=True)
    stretch = middle + spread * rng.normal(size=n)
    x = np.zeros((n, 2, 3))
    x[:, 1] = np.exp(stretch)[:, None] * direction
    system = System(names=("A", "B"), masses=[1.0, 1.0], bonds=[(0, 1)])
    frames, mapping = Frames(system, x + rng.normal(size=(n, 1, 3)), 300.0), Pick(["A"])(system)
    flow = FlowBackmapper.fit(frames, mapping, steps=600, width=32)
    normal = -0.5 * ((stretch - middle) / spread) ** 2 - np.log(spread * np.sqrt(2 * np.pi))
    exact = normal - 3 * stretch - np.log(4 * np.pi)  # d^3x = r^3 d(ln r) d(direction)
    found = flow.log_prob(frames)
    assert np.mean(exact - found) == pytest.approx(0, abs=0.02)
    drawn = np.log(np.linalg.norm(np.diff(flow(mapping(frames)).positions, axis=1), axis=-1))
    assert drawn.mean() == pytest.approx(middle, abs=0.01)
    assert drawn.std() == pytest.approx(spread, abs=0.01)
    turned = flow(mapping(frames)).positions[:, 1] - frames.positions[:, 0]
    assert np.abs((turned / np.linalg.norm(turned, axis=1, keepdims=True)).mean(0)).max() < 0.03


def test_one_fit_serves_any_number_of_molecules():
    rng, one, many = np.random.default_rng(1), waters(1), waters(5)
    geometry = np.array([[0, 0, 0], [0.08, 0.06, 0], [-0.08, 0.06, 0]])
    frames = Frames(one, geometry + rng.normal(scale=0.005, size=(200, 3, 3)), 300.0)
    fitted = FlowBackmapper.fit(frames, MoleculeCentres()(one), steps=20, width=16)
    mapping = MoleculeCentres()(many)
    sites = Frames(mapping.coarse, rng.uniform(0, 2, (4, 5, 3)), 300.0, box=2 * np.eye(3))
    fine, density = fitted.of(mapping).draw(sites, n_draws=2)
    assert np.abs(mapping(fine).positions - np.repeat(sites.positions, 2, 0)).max() < 1e-13
    assert density.shape == (8,)


@pytest.mark.parametrize("method", METHODS, ids=lambda m: m.__name__)
def test_ions_among_the_molecules(method):
    """An ion is its own site: nothing of it is drawn, and it does not stand in the way of the rest."""
    rng, system = np.random.default_rng(3), two_kinds()
    geometry = np.array([[0, 0, 0], [0.08, 0.06, 0], [-0.08, 0.06, 0]])
    x = np.concatenate([np.zeros((1, 3)), geometry + 0.5, geometry + 1.0]) + rng.normal(
        scale=0.004, size=(100, 7, 3)
    )
    frames, mapping = Frames(system, x, 300.0), MoleculeCentres()(system)
    backmapper = method.fit(frames, mapping, **QUICK.get(method, {}))
    coarse = mapping(frames)
    fine = backmapper(coarse)
    assert np.abs(mapping(fine).positions - coarse.positions).max() < 1e-13
    assert np.abs(fine.positions[:, 0] - x[:, 0]).max() < 1e-13
    if backmapper.has_density:
        assert np.isfinite(backmapper.log_prob(frames)).all()


def test_refusals(flow, peptide):
    with pytest.raises(ValueError, match=r"put them back with Resolvation"):
        Split(Drop(["SOL"])(two_kinds()))
    with pytest.raises(ValueError, match=r"coarse System"):
        flow(peptide)
    with pytest.raises(ValueError, match=r"n_draws >= 1"):
        flow(flow.mapping(peptide), n_draws=0)
    with pytest.raises(TypeError, match=r"FlowBackmapper"):
        TemplateBackmapper.fit(peptide, flow.mapping).log_prob(peptide)
    with pytest.raises(ValueError, match=r"molecules like those it was fitted to"):
        flow.of(MoleculeCentres()(waters(1)))


def two_kinds():
    water = waters(2)
    return System(
        names=("NA", *water.names),
        masses=[23.0, *water.masses],
        bonds=water.bonds + 1,
        residue_names=("NA", *water.residue_names),
    )


class Springs:
    """Independent harmonic springs to the origin: given the sites, everything is known."""

    def __init__(self, stiffness):
        self.stiffness = stiffness

    def energy_and_forces(self, frames):
        x = np.asarray(frames.positions, float)
        return 0.5 * self.stiffness * (x**2).sum((1, 2)), -self.stiffness * x


def harmonic_case(n_frames=400):
    """Three atoms in a bead and one alone; springs of 500 kJ/mol/nm^2."""
    system = System(
        names=("A", "B", "C", "D"), masses=[1.0, 2.0, 3.0, 4.0], bonds=[(0, 1), (1, 2), (2, 3)]
    )
    mapping = CentresOfMass({"ABC": ["#0", "#1", "#2"], "D": ["#3"]})(system)
    rng = np.random.default_rng(2)
    x = np.array([[0, 0, 0], [0.1, 0, 0], [0.1, 0.1, 0], [0.2, 0.1, 0.1]]) + rng.normal(
        scale=0.02, size=(n_frames, 4, 3)
    )
    return mapping, Frames(system, x, 300.0), Springs(500.0)


def test_minimise_finds_the_least_energy_on_the_sites():
    mapping, frames, springs = harmonic_case(20)
    found = minimise(frames, mapping, springs, steps=400)
    X, M = mapping(frames).positions, mapping.position_weights
    least = np.linalg.pinv(M) @ X  # of |x|^2 with M x = X
    assert np.abs(found.positions - least).max() < 1e-3
    assert np.abs(mapping(found).positions - X).max() < 1e-13


def test_null_space_langevin_samples_the_conditional_distribution():
    mapping, frames, springs = harmonic_case()
    found = null_space_langevin(
        frames, mapping, springs, steps=3000, timestep=0.01, friction=5.0, save_every=100
    )
    later = found[len(found) // 3 :]
    X, M = mapping(frames).positions, mapping.position_weights
    assert np.abs(mapping(later).positions - X[later.replicas]).max() < 1e-13
    mean = (np.linalg.pinv(M) @ X)[later.replicas]
    left = later.positions - mean
    # covariance kT / k times the projector on the null space of M
    projector = np.eye(4) - np.linalg.pinv(M) @ M
    exact = 8.314462618e-3 * 300 / 500 * projector
    covariance = np.einsum("nia,nja->ij", left, left) / (3 * len(left))
    assert np.abs(covariance - exact).max() < 0.03 * exact.max()


def test_metropolis_makes_samples_of_draws():
    """A flow that knows nothing of a spring between the kept and the other atom, corrected: <r>
    under r^2 exp(-beta k (r - r0)^2 / 2).
    """
    rng = np.random.default_rng(0)
    n, kT = 4000, 8.314462618e-3 * 300
    direction = rng.normal(size=(n, 3))
    x = np.zeros((n, 2, 3))
    x[:, 1] = (
        direction
        / np.linalg.norm(direction, axis=1, keepdims=True)
        * np.exp(np.log(0.15) + 0.12 * rng.normal(size=(n, 1)))
    )
    system = System(names=("A", "B"), masses=[1.0, 1.0], bonds=[(0, 1)])
    mapping = Pick(["A"])(system)
    flow = FlowBackmapper.fit(Frames(system, x, 300.0), mapping, steps=200, width=16)

    class Bond:
        def energy_and_forces(self, frames):
            d = np.linalg.norm(np.diff(frames.positions, axis=1)[:, 0], axis=-1)
            return 0.5 * 2e4 * (d - 0.16) ** 2, np.zeros(frames.positions.shape)

    found, report = metropolis(mapping(Frames(system, x, 300.0)), flow, Bond(), rounds=30)
    r = np.linalg.norm(np.diff(found.positions, axis=1)[:, 0], axis=-1)
    grid = np.linspace(0.05, 0.3, 5000)
    weight = grid**2 * np.exp(-0.5 * 2e4 * (grid - 0.16) ** 2 / kT)
    exact = (grid * weight).sum() / weight.sum()
    width = np.sqrt((grid**2 * weight).sum() / weight.sum() - exact**2)
    assert r.mean() == pytest.approx(exact, abs=4 * width / np.sqrt(n))
    assert r.std() == pytest.approx(width, rel=0.05)
    assert 0.2 < report.acceptance < 0.9


def test_redraw_leaves_the_others_alone(flow, peptide):
    bad = np.zeros((10, 1), bool)
    bad[[2, 7]] = True
    fine = redraw(peptide[:10], flow, bad)
    changed = np.abs(fine.positions - peptide.positions[:10]).max((1, 2)) > 1e-6
    assert np.flatnonzero(changed).tolist() == [2, 7]
    assert np.abs(flow.mapping(fine).positions - flow.mapping(peptide[:10]).positions).max() < 1e-13
